//! What may be sent twice: known body types are recognised at run time, so that no bound stands on a user's body.

mod learned;
#[cfg(feature = "reqwest")]
mod reqwest;
mod same_type;

pub(crate) use learned::learn;

use crate::body::Body;
use crate::body::replay::same_type::{same, via};
use crate::error::BoxError;
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{BodyExt, Empty, Full};
use std::any::{Any, type_name};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;

/// How to make a second request body from the first.
#[derive(Clone, Default)]
pub(crate) struct Replay(Option<Arc<dyn Any + Send + Sync>>);

type Copy<B> = Box<dyn Fn(&B) -> Option<B> + Send + Sync>;

impl Replay {
    /// For one body type, the user's own way.
    pub(crate) fn with<B: 'static>(copy: impl Fn(&B) -> Option<B> + Send + Sync + 'static) -> Replay {
        let copy: Copy<B> = Box::new(copy);
        Replay(Some(Arc::new(copy)))
    }

    /// A second body, or `None` where this one can be sent only once.
    pub(crate) fn copy<B: 'static>(&self, body: &B) -> Option<B> {
        if let Some(copy) = self.0.as_deref().and_then(|c| c.downcast_ref::<Copy<B>>()) {
            return copy(body);
        }
        known(body)
    }

    /// Whether bodies of this type can ever be sent twice, for the warning that says so.
    pub(crate) fn name_of<B>() -> &'static str {
        type_name::<B>()
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Replay(custom)" } else { "Replay" })
    }
}

fn known<B: 'static>(body: &B) -> Option<B> {
    let copy = clone_of::<B, Full<Bytes>>(body)
        .or_else(|| clone_of::<B, Empty<Bytes>>(body))
        .or_else(|| clone_of::<B, ()>(body))
        .or_else(|| clone_of::<B, String>(body))
        .or_else(|| clone_of::<B, Bytes>(body))
        .or_else(|| clone_of::<B, &'static str>(body))
        .or_else(|| clone_of::<B, Vec<u8>>(body))
        .or_else(|| via::<B, Body>(body, Body::try_clone));
    #[cfg(feature = "reqwest")]
    let copy = copy.or_else(|| reqwest::copy(body));
    copy.or_else(|| boxed::<B, Infallible>(body))
        .or_else(|| boxed::<B, crate::Error>(body))
        .or_else(|| boxed::<B, BoxError>(body))
        .or_else(|| boxed::<B, io::Error>(body))
        .or_else(|| boxed::<B, hyper::Error>(body))
}

/// An empty body of type `B`, where it is known how to make one: what a health check sends.
pub(crate) fn empty<B: 'static>() -> Option<B> {
    let empty = same::<B, Full<Bytes>>(Full::default)
        .or_else(|| same::<B, Empty<Bytes>>(Empty::new))
        .or_else(|| same::<B, ()>(|| ()))
        .or_else(|| same::<B, String>(String::new))
        .or_else(|| same::<B, Bytes>(Bytes::new))
        .or_else(|| same::<B, &'static str>(|| ""))
        .or_else(|| same::<B, Vec<u8>>(Vec::new))
        .or_else(|| same::<B, Body>(Body::empty));
    #[cfg(feature = "reqwest")]
    let empty = empty.or_else(reqwest::empty::<B>);
    empty
        .or_else(boxed_empty::<B, Infallible>)
        .or_else(boxed_empty::<B, crate::Error>)
        .or_else(boxed_empty::<B, BoxError>)
        .or_else(boxed_empty::<B, io::Error>)
        .or_else(boxed_empty::<B, hyper::Error>)
        .or_else(learned::empty::<B>)
}

fn clone_of<B: 'static, T: Clone + 'static>(body: &B) -> Option<B> {
    via::<B, T>(body, |body| Some(body.clone()))
}

/// A boxed body is not `Clone`, but an empty one needs no cloning.
fn boxed<B: 'static, E: 'static>(body: &B) -> Option<B> {
    let is_empty = |hint: http_body::SizeHint, ended: bool| ended || hint.exact() == Some(0);
    via::<B, BoxBody<Bytes, E>>(body, |b| {
        is_empty(b.size_hint(), b.is_end_stream()).then(|| BoxBody::new(nothing()))
    })
    .or_else(|| {
        via::<B, UnsyncBoxBody<Bytes, E>>(body, |b| {
            is_empty(b.size_hint(), b.is_end_stream()).then(|| UnsyncBoxBody::new(nothing()))
        })
    })
}

fn boxed_empty<B: 'static, E: 'static>() -> Option<B> {
    same::<B, BoxBody<Bytes, E>>(|| BoxBody::new(nothing()))
        .or_else(|| same::<B, UnsyncBoxBody<Bytes, E>>(|| UnsyncBoxBody::new(nothing())))
}

fn nothing<E: 'static>() -> impl http_body::Body<Data = Bytes, Error = E> + Send + Sync + 'static {
    Empty::<Bytes>::new().map_err(|never| match never {})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replays<B: 'static>(body: &B) -> bool {
        Replay::default().copy(body).is_some()
    }

    #[test]
    fn bodies_in_memory_can_be_sent_twice_and_streams_cannot() {
        assert!(replays(&Full::new(Bytes::from("x"))));
        assert!(replays(&Empty::<Bytes>::new()));
        assert!(replays(&()));
        assert!(replays(&"x".to_owned()));
        assert!(replays(&Bytes::from("x")));
        assert!(replays(&Body::full("x")));
        assert!(!replays(&Body::streaming(Full::new(Bytes::from("x")))));
    }

    #[test]
    fn a_boxed_body_can_be_sent_twice_when_it_is_empty() {
        let empty: UnsyncBoxBody<Bytes, BoxError> = UnsyncBoxBody::new(nothing());
        assert!(replays(&empty));
        let full: BoxBody<Bytes, Infallible> = BoxBody::new(Full::new(Bytes::from("x")));
        assert!(!replays(&full));
    }

    #[test]
    fn the_users_own_way_goes_first() {
        #[derive(Debug, PartialEq)]
        struct Mine(u8);
        assert!(!replays(&Mine(1)));
        let replay = Replay::with::<Mine>(|mine| Some(Mine(mine.0)));
        assert_eq!(replay.copy(&Mine(7)), Some(Mine(7)));
        assert!(replay.copy(&"another type").is_some());
    }

    #[test]
    fn an_empty_body_can_be_made_for_every_known_type() {
        assert!(empty::<Full<Bytes>>().is_some());
        assert!(empty::<Body>().is_some());
        assert!(empty::<UnsyncBoxBody<Bytes, BoxError>>().is_some());
        assert!(empty::<hyper::body::Incoming>().is_none());
    }
}
