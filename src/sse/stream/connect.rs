//! One connect: the request of the stream, made anew each time, through the user's service.

use crate::body::{Body, Replay};
use crate::collect::Endless;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::origin::Origin;
use crate::retry::classify::is_idempotent;
use crate::target::{Label, Target};
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use tokio::time::Instant;
use tower_service::Service;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A connect under way. Boxed once for each, so that the stream has one type over every service.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

/// Makes a connect: with the last event id, and what the caller has renewed.
pub(super) type Open = Box<dyn FnMut(&str, &HeaderMap) -> Opening + Send>;

/// What is the same for all connects of a stream.
pub(super) struct Connect {
    pub(super) open: Open,
    pub(super) origin: Origin,
    /// The deadline that the request brings.
    pub(super) ends: Option<Instant>,
    /// Whether the stream connects again after its end and its loss.
    pub(super) again: bool,
    /// Whether the request can be sent more than once at all.
    pub(super) repeats: bool,
    target: Target,
}

impl Connect {
    /// `again`: whether it connects again, where the caller said so.
    pub(super) fn new<S, B>(service: S, request: Request<B>, again: Option<bool>) -> Result<Connect, Error>
    where
        S: Service<Request<B>, Response = Response<Body>, Error = Error> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Send + 'static,
    {
        let origin = Origin::of(request.uri())?;
        let (mut head, body) = request.into_parts();
        let again = again.unwrap_or_else(|| is_idempotent(&head.method, &head.headers, &head.extensions));
        let copy = |body: &B| Replay::default().copy(body);
        let repeats = copy(&body).is_some();
        if again && !repeats {
            return Err(Error::config(format!(
                "an event stream sends its request again at each reconnect, which a body of type {} does not allow",
                Replay::name_of::<B>()
            )));
        }
        for (name, value) in [
            (ACCEPT, "text/event-stream"),
            (CACHE_CONTROL, "no-cache"),
            // A compressed event may lie in the compressor until the next one comes.
            (ACCEPT_ENCODING, "identity"),
        ] {
            head.headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        let target = Target {
            method: head.method.clone(),
            uri: head.uri.clone(),
            label: head.extensions.get::<Label>().cloned(),
        };
        let ends = head.extensions.get::<Deadline>().map(|deadline| deadline.instant());
        head.extensions.insert(Endless);
        let mut body = Some(body);
        let open = move |last_id: &str, renewed: &HeaderMap| -> Opening {
            let mut head = head.clone();
            for (name, value) in renewed {
                head.headers.insert(name, value.clone());
            }
            // An id that no header can carry (control characters) is not sent; an empty one is none.
            match HeaderValue::from_bytes(last_id.as_bytes()) {
                Ok(id) if !last_id.is_empty() => drop(head.headers.insert(LAST_EVENT_ID, id)),
                _ => drop(head.headers.remove(LAST_EVENT_ID)),
            }
            let body = if repeats { body.as_ref().and_then(&copy) } else { body.take() };
            let mut service = service.clone();
            Box::pin(async move {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                let Some(body) = body else {
                    return Err(Error::config("the body of an event stream cannot be sent again"));
                };
                service.call(Request::from_parts(head, body)).await
            })
        };
        Ok(Connect { open: Box::new(open), origin, ends, again, repeats, target })
    }

    /// The error with the URL in its message, where it has none yet.
    pub(super) fn named(&self, mut error: Error) -> Error {
        error.inner_mut().target.get_or_insert_with(|| self.target.clone());
        error
    }
}
