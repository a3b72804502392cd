//! One request: built, remembered where it is wrong, and sent.

use crate::body::Body;
use crate::client::redirect::Following;
use crate::client::response::Response;
use crate::client::url::lift_credentials;
use crate::client::{Client, IntoUrl};
use crate::collect::Collect;
use crate::deadline::Deadline;
use crate::duration;
use crate::error::Error;
use crate::longpoll::LongPoll;
use crate::options::{CallOptions, Group, Label};
use crate::retry::Idempotent;
use crate::target::Target;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A request under construction.
///
/// What is wrong with it is remembered and comes out of [`send`](RequestBuilder::send) as an error of kind `Config`,
/// before anything leaves. Awaiting the builder itself is the same as `send().await`.
#[must_use = "a request is sent by send()"]
pub struct RequestBuilder {
    client: Client,
    request: Request<Body>,
    deadline: Option<Duration>,
    /// The first thing that was wrong.
    wrong: Option<Error>,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: Method, url: impl IntoUrl) -> RequestBuilder {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        let wrong = url.into_url().map(|url| *request.uri_mut() = url).err();
        RequestBuilder { client, request, deadline: None, wrong }
    }

    fn check(mut self, step: impl FnOnce(&mut Request<Body>) -> Result<(), Error>) -> RequestBuilder {
        if self.wrong.is_none() {
            self.wrong = step(&mut self.request).err();
        }
        self
    }

    /// Adds a header; one of the same name that was added before stays.
    pub fn header<V>(self, name: impl AsRef<str>, value: V) -> RequestBuilder
    where
        V: TryInto<HeaderValue>,
    {
        self.check(|request| {
            let name = name.as_ref();
            let key = HeaderName::try_from(name).map_err(|_| {
                Error::config(format!(
                    "the header name {name:?} cannot be sent: it must be a token (RFC 9110)"
                ))
            })?;
            request.headers_mut().append(key, header_value(name, value)?);
            Ok(())
        })
    }

    /// Adds `Authorization: Bearer`; the token is never printed.
    pub fn bearer_auth(self, token: impl fmt::Display) -> RequestBuilder {
        self.check(|request| {
            let mut value = header_value("authorization", format!("Bearer {token}"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
            Ok(())
        })
    }

    /// Adds these pairs to the query of the URL: anything that `serde` writes as pairs or as a flat struct.
    pub fn query<Q: Serialize + ?Sized>(self, query: &Q) -> RequestBuilder {
        self.check(|request| {
            let more = serde_urlencoded::to_string(query)
                .map_err(|e| Error::config(format!("the query cannot be written: {e}")))?;
            if more.is_empty() {
                return Ok(());
            }
            let uri = request.uri();
            let path = match uri.query() {
                Some(query) if !query.is_empty() => format!("{}?{query}&{more}", uri.path()),
                _ => format!("{}?{more}", uri.path()),
            };
            let mut parts = uri.clone().into_parts();
            let cannot = |e: &dyn fmt::Display| Error::config(format!("the query cannot be added: {e}"));
            parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|e| cannot(&e))?);
            *request.uri_mut() = Uri::from_parts(parts).map_err(|e| cannot(&e))?;
            Ok(())
        })
    }

    /// Sets the body to this value as JSON, and the content type unless it is set.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> RequestBuilder {
        self.check(|request| {
            let json = serde_json::to_vec(value)
                .map_err(|e| Error::config(format!("the value cannot be written as JSON: {e}")))?;
            let json_type = HeaderValue::from_static("application/json");
            request.headers_mut().entry(CONTENT_TYPE).or_insert(json_type);
            *request.body_mut() = Body::full(json);
            Ok(())
        })
    }

    /// Sets the body. One that streams cannot be sent again, so that its request gets one attempt.
    pub fn body(mut self, body: impl Into<Body>) -> RequestBuilder {
        *self.request.body_mut() = body.into();
        self
    }

    /// Bounds this one call, from [`send`](RequestBuilder::send) to the last byte of the body, also where it streams.
    /// More than zero, at most 10 years. It can only shorten what the limits of the client say.
    pub fn deadline(mut self, limit: Duration) -> RequestBuilder {
        self.deadline = Some(limit);
        self.check(|_| duration::check("the deadline of the request", limit))
    }

    /// Adds an `Idempotency-Key`, which makes a POST or PATCH safe to repeat where the server knows the header.
    pub fn idempotency_key(self, key: impl AsRef<str>) -> RequestBuilder {
        self.header("idempotency-key", key.as_ref())
    }

    /// Marks the request as one that may be processed twice, whatever its method.
    pub fn idempotent(self) -> RequestBuilder {
        self.extension(Idempotent)
    }

    /// Marks the request as a long poll: see [`LongPoll`].
    pub fn long_poll(self, poll: LongPoll) -> RequestBuilder {
        self.check(|request| {
            poll.check()?;
            request.extensions_mut().insert(poll);
            Ok(())
        })
    }

    /// How much of the response belongs to the attempt, in place of [`Limits::collect`](crate::Limits::collect).
    pub fn collect(self, collect: Collect) -> RequestBuilder {
        self.extension(collect)
    }

    /// What is shown in place of the path in errors, spans and tables, where the path carries a secret.
    pub fn label(self, name: impl Into<Cow<'static, str>>) -> RequestBuilder {
        self.extension(Label::new(name))
    }

    /// Limits of this one call, in place of those of the client: see [`CallOptions`].
    pub fn options(self, options: CallOptions) -> RequestBuilder {
        self.extension(options)
    }

    /// The part of its origin that this request talks to, with a circuit breaker of its own: see [`Group`].
    pub fn group(self, group: impl Into<Group>) -> RequestBuilder {
        self.extension(group.into())
    }

    /// Adds a request extension.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, extension: T) -> RequestBuilder {
        self.request.extensions_mut().insert(extension);
        self
    }

    /// Sends the request. The time of a [`deadline`](RequestBuilder::deadline) runs from here.
    ///
    /// # Errors
    /// Kind `Config` for what is wrong with the request, before anything leaves; else what the call died of. Any
    /// response is `Ok`, whatever its status: see [`Response::error_for_status`].
    ///
    /// # Cancellation safety
    /// Dropping the future ends the call: no further attempt leaves.
    pub fn send(mut self) -> Sending {
        if let Some(limit) = self.deadline {
            self.request.extensions_mut().insert(Deadline::after(limit));
        }
        match self.wrong {
            Some(error) => Sending::failed(error, &self.request),
            None => Sending::new(&self.client, self.request),
        }
    }
}

fn header_value<V: TryInto<HeaderValue>>(name: &str, value: V) -> Result<HeaderValue, Error> {
    // The value is not shown: it may be a secret.
    value.try_into().map_err(|_| {
        Error::config(format!(
            "the value of the header {name:?} cannot be sent: it must be one line of visible characters"
        ))
    })
}

impl IntoFuture for RequestBuilder {
    type Output = Result<Response, Error>;
    type IntoFuture = Sending;

    fn into_future(self) -> Sending {
        self.send()
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestBuilder({})", target(&self.request))
    }
}

fn target(request: &Request<Body>) -> Target {
    Target {
        method: request.method().clone(),
        uri: request.uri().clone(),
        label: request.extensions().get::<Label>().cloned(),
    }
}

/// The future of a request: see [`RequestBuilder::send`].
#[must_use = "futures do nothing unless polled"]
pub struct Sending {
    call: ResponseFuture,
    target: Option<Target>,
}

impl Sending {
    pub(super) fn new(client: &Client, mut request: Request<Body>) -> Sending {
        match lift_credentials(&mut request) {
            Ok(()) => Sending { target: Some(target(&request)), call: ResponseFuture::run(client, request) },
            Err(error) => Sending::failed(error, &request),
        }
    }

    fn failed(mut error: Error, request: &Request<Body>) -> Sending {
        // Without a host it was the URL that could not be read; the error shows what there is of it.
        if request.uri().host().is_some() {
            error.inner_mut().target = Some(target(request));
        }
        Sending { target: None, call: ResponseFuture::failed(error) }
    }
}

impl Future for Sending {
    type Output = Result<Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(Pin::new(&mut self.call).poll(cx));
        let mut target = self.target.take();
        if let (Some(target), Some((method, uri))) = (&mut target, self.call.landed()) {
            (target.method, target.uri) = (method.clone(), uri.clone());
        }
        Poll::Ready(match (ended, target) {
            (Ok(response), Some(target)) => Ok(Response::new(response, target)),
            (Ok(_), None) => unreachable!("only what failed to be sent has no target"),
            (Err(mut error), target) => {
                let told = &mut error.inner_mut().target;
                *told = told.take().or(target);
                Err(error)
            }
        })
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sending")
    }
}

/// The future of a [`Client`] as a tower service.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(State);

enum State {
    Failed(Option<Error>),
    // A call is over a kilobyte: one allocation costs less than moving it from hand to hand, and keeps the futures of
    // callers small.
    Running(Pin<Box<Following>>),
}

impl ResponseFuture {
    pub(super) fn new(client: &Client, mut request: Request<Body>) -> ResponseFuture {
        match lift_credentials(&mut request) {
            Ok(()) => ResponseFuture::run(client, request),
            Err(error) => ResponseFuture::failed(error),
        }
    }

    fn run(client: &Client, request: Request<Body>) -> ResponseFuture {
        ResponseFuture(State::Running(Box::pin(Following::new(client, request))))
    }

    /// Method and URL that the answer is from, where that is another than was asked.
    fn landed(&self) -> Option<(&Method, &Uri)> {
        match &self.0 {
            State::Running(call) => call.landed(),
            State::Failed(_) => None,
        }
    }

    fn failed(error: Error) -> ResponseFuture {
        ResponseFuture(State::Failed(Some(error)))
    }
}

impl Future for ResponseFuture {
    type Output = Result<http::Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Running(call) => call.as_mut().poll(cx),
            State::Failed(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => panic!("a request was polled after it had ended"),
            },
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
