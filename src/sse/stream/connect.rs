//! One connect: the request of the stream, made anew each time, through the user's service.

use crate::body::{Body, Replay};
use crate::collect::Endless;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::origin::{Label, Origin, Target};
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, HeaderName, HeaderValue};
use http::{Request, Response};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use tokio::time::Instant;
use tower_service::Service;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A connect under way. Boxed once for each, so that the stream has one type over every service.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

/// What is the same for all connects of a stream.
pub(super) struct Connect {
    /// Connects, with the last event id.
    pub(super) open: Box<dyn FnMut(&str) -> Opening + Send>,
    pub(super) origin: Origin,
    /// The deadline that the request brings.
    pub(super) ends: Option<Instant>,
    target: Target,
}

impl Connect {
    pub(super) fn new<S, B>(service: S, request: Request<B>) -> Result<Connect, Error>
    where
        S: Service<Request<B>, Response = Response<Body>, Error = Error> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Send + 'static,
    {
        let origin = Origin::of(request.uri())?;
        let (mut head, body) = request.into_parts();
        let copy = |body: &B| Replay::default().copy(body);
        if copy(&body).is_none() {
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
        let open = move |last_id: &str| -> Opening {
            let mut head = head.clone();
            // An id that no header can carry (control characters) is not sent; an empty one is none.
            match HeaderValue::from_bytes(last_id.as_bytes()) {
                Ok(id) if !last_id.is_empty() => drop(head.headers.insert(LAST_EVENT_ID, id)),
                _ => drop(head.headers.remove(LAST_EVENT_ID)),
            }
            let (mut service, body) = (service.clone(), copy(&body));
            Box::pin(async move {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                let Some(body) = body else {
                    return Err(Error::config("the body of an event stream could not be copied any more"));
                };
                service.call(Request::from_parts(head, body)).await
            })
        };
        Ok(Connect { open: Box::new(open), origin, ends, target })
    }

    /// The error with the URL in its message, where it has none yet.
    pub(super) fn named(&self, mut error: Error) -> Error {
        error.inner_mut().target.get_or_insert_with(|| self.target.clone());
        error
    }
}
