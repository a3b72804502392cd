//! What came back.

use crate::body::{Attempts, Body};
use crate::collect::declared;
use crate::error::{Error, ErrorKind, Phase};
use crate::origin::Target;
use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, StatusCode, Uri, Version};
use serde::de::DeserializeOwned;
use std::fmt;

/// More than any answer of a control plane; what is larger is a download and asks for it by [`Response::cap`].
const CAP: u64 = 8 << 20;

/// A response: its head, and a body that is in memory already (up to `collect`, 1 MiB) or streams under guard.
pub struct Response {
    inner: http::Response<Body>,
    target: Target,
    cap: u64,
}

impl Response {
    pub(super) fn new(inner: http::Response<Body>, target: Target) -> Response {
        Response { inner, target, cap: CAP }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// The version of HTTP that was spoken.
    pub fn version(&self) -> Version {
        self.inner.version()
    }

    /// The response extensions.
    pub fn extensions(&self) -> &Extensions {
        self.inner.extensions()
    }

    /// The URL that answered, without the credentials that were given in it.
    pub fn url(&self) -> &Uri {
        &self.target.uri
    }

    /// How the response came about: attempts, time, and the wait the server asked for where it was too long.
    pub fn attempts(&self) -> Attempts {
        self.inner.body().attempts()
    }

    /// The most that [`bytes`](Response::bytes), [`text`](Response::text) and [`json`](Response::json) read. Default
    /// 8 MiB, because nobody means to hold more of an API answer in memory.
    #[must_use]
    pub fn cap(mut self, bytes: u64) -> Response {
        self.cap = bytes;
        self
    }

    /// The whole body.
    ///
    /// # Errors
    /// Kind `TooLarge` where it is above the [`cap`](Response::cap), named in the message; the connection is closed.
    /// Else what a body that streams ends with: a stall, a deadline, a broken connection.
    ///
    /// # Cancellation safety
    /// What was read is lost when the future is dropped.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        let Response { inner, target, cap } = self;
        let told = |mut error: Error| {
            error.inner_mut().target.get_or_insert_with(|| target.clone());
            error
        };
        let length = declared(inner.headers()).filter(|_| target.method != Method::HEAD);
        if let Some(length) = length.filter(|length| *length > cap) {
            let detail = format!("the body of {length} bytes is above its cap of {cap} bytes");
            return Err(told(Error::new(ErrorKind::TooLarge, detail).at(Phase::Body)));
        }
        inner.into_body().bytes(cap).await.map_err(|error| {
            let at = error.phase().unwrap_or(Phase::Body);
            told(error.at(at))
        })
    }

    /// The whole body as text in UTF-8; what is not UTF-8 in it becomes U+FFFD.
    ///
    /// # Errors
    /// As for [`bytes`](Response::bytes).
    pub async fn text(self) -> Result<String, Error> {
        let bytes = self.bytes().await?;
        Ok(match String::from_utf8_lossy(&bytes) {
            std::borrow::Cow::Borrowed(text) => text.to_owned(),
            std::borrow::Cow::Owned(text) => text,
        })
    }

    /// The whole body, read as JSON.
    ///
    /// # Errors
    /// As for [`bytes`](Response::bytes), and kind `Transport` where the body is not the JSON that was expected; that
    /// error is not retriable.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let target = self.target.clone();
        let status = self.status();
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|e| {
            let detail = format!(
                "the body of the {} response ({} bytes) is not the JSON that was expected: {e}",
                status.as_u16(),
                bytes.len()
            );
            let mut error = Error::new(ErrorKind::Transport, detail).at(Phase::Body).with_source(e);
            let inner = error.inner_mut();
            inner.fault.caller = true;
            inner.target = Some(target);
            error
        })
    }

    /// The body, to read it frame by frame.
    pub fn body_mut(&mut self) -> &mut Body {
        self.inner.body_mut()
    }

    /// The body alone.
    pub fn into_body(self) -> Body {
        self.inner.into_body()
    }

    /// The same response as the `http` crate has it.
    pub fn into_http(self) -> http::Response<Body> {
        self.inner
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may carry secrets.
        write!(f, "Response({}: {})", self.target, self.status())
    }
}
