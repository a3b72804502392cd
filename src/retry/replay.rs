//! Bodies of other clients, of which an empty one can be made again.

use crate::body::learn;
use http_body::Body;
use std::sync::Arc;

/// For [`Settings::replay_with`](super::Settings::replay_with): a body that is at its end, or whose size is exactly zero, is
/// sent again as what `make` makes. Any other is sent once. Health checks of clients with bodies of this type, which have
/// an empty one, are made so too.
///
/// The bodies of kube, tonic and octocrab cannot be cloned, and are no types that this crate knows. With this one line their
/// GETs and DELETEs are repeated:
///
/// ```
/// # mod kube { pub mod client { pub use unwedge::Body; } }
/// use unwedge::retry;
///
/// let settings = retry::Settings::default().replay_with(retry::replay_empty(kube::client::Body::empty));
/// let stack = unwedge::StackLayer::builder().retry(settings).build()?;
/// # Ok::<(), unwedge::Error>(())
/// ```
pub fn replay_empty<B: Body + 'static>(
    make: impl Fn() -> B + Send + Sync + 'static,
) -> impl Fn(&B) -> Option<B> + Send + Sync + 'static {
    let make = Arc::new(make);
    learn::<B>(make.clone());
    move |body| (body.is_end_stream() || body.size_hint().exact() == Some(0)).then(&*make)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Full;

    #[test]
    fn only_a_body_without_a_byte_is_made_again() {
        let copy = replay_empty(|| crate::Body::streaming(Full::<Bytes>::default()));
        assert!(copy(&crate::Body::streaming(Full::<Bytes>::default())).is_some(), "its size is zero");
        assert!(copy(&crate::Body::empty()).is_some(), "it is at its end");
        assert!(copy(&crate::Body::streaming(Full::new(Bytes::from("x")))).is_none());
        let unknown = futures_util::stream::empty::<Result<Bytes, std::io::Error>>();
        assert!(copy(&crate::Body::from_stream(unknown)).is_none(), "nobody knows what is still to come");
    }
}
