//! The client for programs without a tokio runtime: it has one of its own, on a thread of its own.
//!
//! ```no_run
//! let client = unwedge::blocking::Client::new()?; // keep it: clones share thread, connections and breakers
//! let jobs: Vec<String> = client.get("https://api.example.com/jobs").send()?.json()?;
//! # Ok::<(), unwedge::Error>(())
//! ```
//!
//! Limits, retries and circuit breakers are those of [`unwedge::Client`](crate::Client), and so is what calls fail with. Two
//! errors of kind `Config` come on top, from whatever waits: in an async task, which must not be blocked (a thread of
//! `tokio::task::spawn_blocking` may be), and where the thread of the client is gone, or held up by code of yours that it
//! runs, such as an attempt layer that blocks: that is noticed within 20 s. A panic of such code goes on in who waits for it.

mod thread;

use crate::client::response::AsJson;
use crate::client::{ClientBuilder, IntoUrl};
use crate::{Body, CallOptions, Collect, Error, Group, LongPoll};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use std::{borrow::Cow, fmt, io, mem, ops::Deref, time::Duration};
use thread::Thread;

/// An HTTP client that blocks, and whose every call ends. Clones are cheap and share everything; the thread ends with the
/// last clone, request and response. It may be made and dropped anywhere.
#[derive(Clone, Debug)]
pub struct Client {
    client: crate::Client,
    thread: Arc<Thread>,
}

macro_rules! methods {
    ($($name:ident $method:ident),*) => { $(
        #[doc = concat!("A ", stringify!($method), " request.")]
        pub fn $name(&self, url: impl IntoUrl) -> RequestBuilder { self.request(Method::$method, url) }
    )* };
}

impl Client {
    /// A client with all defaults.
    ///
    /// # Errors
    /// Kind `Config` where this machine has no thread or descriptor left for it.
    pub fn new() -> Result<Client, Error> {
        Client::from_builder(crate::Client::builder())
    }

    /// A client with these settings.
    ///
    /// # Errors
    /// As [`ClientBuilder::build`] and [`new`](Client::new).
    ///
    /// ```
    /// # use unwedge::testing::{Peer, Reply};
    /// # let peer = Peer::new().forever(Reply::ok("fine"));
    /// let settings = unwedge::Client::builder().name("reports");
    /// # let settings = settings.pipe(peer.pipe());
    /// let client = unwedge::blocking::Client::from_builder(settings)?;
    /// let answer = client.get("http://api.example/jobs").send()?.error_for_status()?;
    /// assert_eq!((answer.status().as_u16(), answer.text()?), (200, "fine".to_owned()));
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    pub fn from_builder(builder: ClientBuilder) -> Result<Client, Error> {
        let client = builder.build()?;
        let none = |e| Error::config(format!("the thread of a blocking client cannot be started: {e}"));
        Ok(Client { client, thread: Arc::new(Thread::start().map_err(none)?) })
    }

    /// The client beneath: its breakers, calls in flight, events and bounds.
    pub fn inner(&self) -> &crate::Client {
        &self.client
    }

    /// A request with this method: see [`unwedge::Client::request`](crate::Client::request).
    pub fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        RequestBuilder { request: self.client.request(method, url), thread: self.thread.clone() }
    }

    methods!(get GET, head HEAD, post POST, put PUT, patch PATCH, delete DELETE);
}

/// A request under construction, as [that of the async client](crate::client::RequestBuilder).
#[derive(Debug)]
#[must_use = "a request is sent by send()"]
pub struct RequestBuilder {
    request: crate::client::RequestBuilder,
    thread: Arc<Thread>,
}

macro_rules! settings {
    ($($name:ident($($arg:ident: $of:ty),*)),* $(,)?) => { $(
        #[doc = concat!("See [`", stringify!($name), "`](crate::client::RequestBuilder::", stringify!($name), ").")]
        pub fn $name(self, $($arg: $of),*) -> RequestBuilder {
            RequestBuilder { request: self.request.$name($($arg),*), ..self }
        }
    )* };
}

impl RequestBuilder {
    settings! {
        header(name: impl AsRef<str>, value: impl TryInto<HeaderValue>), headers(headers: HeaderMap),
        bearer_auth(token: impl fmt::Display), basic_auth(user: impl fmt::Display, password: Option<impl fmt::Display>),
        query(query: &(impl Serialize + ?Sized)), json(value: &(impl Serialize + ?Sized)),
        form(form: &(impl Serialize + ?Sized)), body(body: impl Into<Body>), deadline(limit: Duration),
        idempotency_key(key: impl AsRef<str>), idempotent(), long_poll(poll: LongPoll), collect(collect: Collect),
        label(name: impl Into<Cow<'static, str>>), options(options: CallOptions), group(group: impl Into<Group>),
        extension(extension: impl Clone + Send + Sync + 'static),
    }

    /// Sends the request, and waits for its response. The time of a [`deadline`](RequestBuilder::deadline) runs from here.
    ///
    /// # Errors
    /// As [that of the async client](crate::client::RequestBuilder::send), and those of [this module](self).
    pub fn send(self) -> Result<Response, Error> {
        let request = self.request;
        let inner = self.thread.wait(async move { request.send().await })?;
        Ok(Response { inner, thread: self.thread, rest: Bytes::new(), lost: false })
    }
}

/// A response; what it has from [the async one](crate::Response) by `Deref` is its head. As [`io::Read`] it gives its body,
/// piece by piece and without a cap.
#[derive(Debug)]
pub struct Response {
    inner: crate::Response,
    thread: Arc<Thread>,
    rest: Bytes,
    lost: bool,
}

impl Deref for Response {
    type Target = crate::Response;
    fn deref(&self) -> &crate::Response {
        &self.inner
    }
}

impl Response {
    /// See [`cap`](crate::Response::cap).
    #[must_use]
    pub fn cap(self, bytes: u64) -> Response {
        Response { inner: self.inner.cap(bytes), ..self }
    }

    /// See [`error_for_status`](crate::Response::error_for_status), also for errors.
    pub fn error_for_status(self) -> Result<Response, Error> {
        Ok(Response { inner: self.thread.wait(self.inner.error_for_status())?, ..self })
    }

    /// See [`bytes`](crate::Response::bytes), also for errors.
    pub fn bytes(self) -> Result<Bytes, Error> {
        self.thread.wait(self.inner.bytes())
    }

    /// See [`text`](crate::Response::text), also for errors.
    pub fn text(self) -> Result<String, Error> {
        self.thread.wait(self.inner.text())
    }

    /// See [`json`](crate::Response::json), also for errors.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let json = AsJson::of(&self.inner);
        json.read(&self.thread.wait(self.inner.decoded())?)
    }

    /// See [`chunk`](crate::Response::chunk), also for errors.
    pub fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.thread.may_wait()?;
        if self.lost {
            return Err(Error::config("the body is gone: an earlier read of it failed"));
        }
        if !self.rest.is_empty() {
            return Ok(Some(mem::take(&mut self.rest)));
        }
        let mut body = self.inner.take();
        self.lost = true;
        let (piece, body) = self.thread.wait(async move { Ok((body.chunk().await, body)) })?;
        (self.lost, *self.inner.body_mut()) = (false, body.into_body());
        piece
    }
}

impl io::Read for Response {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() && !into.is_empty() {
            self.rest = self.chunk().map_err(io::Error::other)?.unwrap_or_default();
        }
        let part = self.rest.split_to(self.rest.len().min(into.len()));
        into[..part.len()].copy_from_slice(&part);
        Ok(part.len())
    }
}
