//! The response of a call.

use crate::body::{Attempts, Body};
use crate::collect::{coded, declared};
use crate::error::{Error, ErrorKind, Phase};
use crate::target::{Target, text::one_line};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, Method, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper_util::client::legacy::connect::HttpInfo;
use serde::de::DeserializeOwned;
use std::fmt::{self};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;

/// More than any answer of a control plane; what is larger is a download and asks for it by [`Response::cap`].
const CAP: u64 = 8 << 20;

/// A response: its head, and a body that is in memory already (up to `collect`, 1 MiB) or streams under its limits.
pub struct Response {
    pub(super) inner: http::Response<Body>,
    pub(super) target: Target,
    cap: u64,
    trailers: Option<HeaderMap>,
}

impl Response {
    pub(super) fn new(inner: http::Response<Body>, target: Target) -> Response {
        Response { inner, target, cap: CAP, trailers: None }
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

    /// The number of bytes left in the body, if that is known.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
    /// let image = unwedge::get("https://files.example.com/image").send().await?;
    /// println!("{} bytes from {:?}", image.content_length().unwrap_or(0), image.remote_addr());
    /// # Ok(()) }
    /// ```
    pub fn content_length(&self) -> Option<u64> {
        self.inner.body().size_hint().exact()
    }

    /// The address at the other end of the connection: of the proxy, where there is one. `None` where the connection
    /// is no TCP connection of ours.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.extensions().get::<HttpInfo>().map(HttpInfo::remote_addr)
    }

    /// The URL that answered, after all redirects, without the credentials that were given in it.
    pub fn url(&self) -> &Uri {
        &self.target.uri
    }

    /// The number of attempts, their total time, and the wait that the server asked for if it was too long. After
    /// redirects the attempts are those of the last hop, and the time is that of the whole call.
    pub fn attempts(&self) -> Attempts {
        self.inner.body().attempts()
    }

    /// The most bytes that [`bytes`](Response::bytes), [`text`](Response::text) and [`json`](Response::json) read. Default
    /// 8 MiB, which is larger than the responses of most APIs.
    #[must_use]
    pub fn cap(mut self, bytes: u64) -> Response {
        self.cap = bytes;
        self
    }

    /// The next piece of the body; `None` at its end. A body up to `collect` (1 MiB) is one piece, which is there
    /// already. There is no cap: what is done with each piece is up to the caller.
    ///
    /// # Errors
    /// The failure of a body that streams: a stall, a deadline, a broken connection.
    ///
    /// # Cancellation safety
    /// Nothing is lost when the future is dropped.
    ///
    /// ```no_run
    /// # async fn save(piece: &[u8]) {}
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
    /// let mut image = unwedge::get("https://files.example.com/image").send().await?;
    /// while let Some(piece) = image.chunk().await? {
    ///     save(&piece).await;
    /// }
    /// # Ok(()) }
    /// ```
    #[doc(alias("bytes_stream", "download"))]
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let body = self.inner.body_mut();
            match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.told(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(Some(data)),
                    Err(frame) => self.trailers = frame.into_trailers().ok().or(self.trailers.take()),
                },
            }
        }
    }

    /// The trailers (RFC 9110, 6.5), which come after the body: what is left of it is read and thrown away.
    ///
    /// # Errors
    /// As for [`chunk`](Response::chunk), and kind `TooLarge` where more than the [`cap`](Response::cap) is left.
    ///
    /// # Cancellation safety
    /// It may be called again.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
    /// let mut answer = unwedge::get("https://api.example.com/jobs").send().await?;
    /// while let Some(piece) = answer.chunk().await? {
    ///     print!("{}", String::from_utf8_lossy(&piece));
    /// }
    /// let checksum = answer.trailers().await?.and_then(|trailers| trailers.get("checksum"));
    /// # let _ = checksum;
    /// # Ok(()) }
    /// ```
    pub async fn trailers(&mut self) -> Result<Option<&HeaderMap>, Error> {
        let mut left = self.cap;
        while let Some(piece) = self.chunk().await? {
            left = match left.checked_sub(piece.len() as u64) {
                Some(left) => left,
                None => {
                    let detail = format!("more than its cap of {} bytes is left of the body", self.cap);
                    return Err(self.told(Error::new(ErrorKind::TooLarge, detail)));
                }
            };
        }
        Ok(self.trailers.as_ref())
    }

    /// The same error, of this response's body.
    fn told(&self, mut error: Error) -> Error {
        error.inner_mut().target.get_or_insert_with(|| self.target.clone());
        let at = error.phase().unwrap_or(Phase::Body);
        error.at(at)
    }

    /// The whole body.
    ///
    /// # Errors
    /// Kind `TooLarge` where it is above the [`cap`](Response::cap), named in the message; the connection is closed.
    /// Otherwise the failure of a body that streams: a stall, a deadline, a broken connection.
    ///
    /// # Cancellation safety
    /// What was read is lost when the future is dropped.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        let Response { inner, target, cap, .. } = self;
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
    /// As for [`bytes`](Response::bytes), and kind `Transport` where the body is in a coding (`Content-Encoding`) that
    /// was not undone: the message names it.
    pub async fn text(self) -> Result<String, Error> {
        let bytes = self.decoded().await?;
        Ok(match String::from_utf8_lossy(&bytes) {
            std::borrow::Cow::Borrowed(text) => text.to_owned(),
            std::borrow::Cow::Owned(text) => text,
        })
    }

    /// The whole body, read as JSON.
    ///
    /// # Errors
    /// As for [`text`](Response::text), and kind `Transport` where the body is not the JSON that was expected. That
    /// error is not retriable; its message may quote the value that did not fit.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let json = AsJson::of(&self);
        json.read(&self.decoded().await?)
    }

    /// The body alone, with all that is told of it in errors; nothing is left of it here.
    #[cfg(feature = "blocking")]
    pub(super) fn take(&mut self) -> Response {
        let body = std::mem::replace(self.inner.body_mut(), Body::empty());
        Response {
            inner: http::Response::new(body),
            target: self.target.clone(),
            cap: self.cap,
            trailers: None,
        }
    }

    /// The body, where what was read of it means something: not one in a coding that nobody has undone.
    pub(super) async fn decoded(self) -> Result<Bytes, Error> {
        let coded = coded(self.headers()).map(|mut error| {
            error.inner_mut().target = Some(self.target.clone());
            error
        });
        let bytes = self.bytes().await?;
        match coded {
            Some(error) if !bytes.is_empty() => Err(error.received(bytes.len() as u64)),
            _ => Ok(bytes),
        }
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

/// What is told of a body that is not the JSON that was expected.
pub(super) struct AsJson {
    target: Target,
    status: StatusCode,
    of_type: Option<String>,
}

impl AsJson {
    pub(super) fn of(response: &Response) -> AsJson {
        let of_type = response.headers().get(CONTENT_TYPE).and_then(|of_type| of_type.to_str().ok());
        let of_type = of_type.map(|of_type| one_line(&of_type.chars().take(100).collect::<String>()));
        AsJson { target: response.target.clone(), status: response.status(), of_type }
    }

    pub(super) fn read<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(bytes).map_err(|e| {
            let of_type = self.of_type.filter(|of_type| !of_type.contains("json"));
            let detail = format!(
                "the body of the {} response ({} bytes{}) is not the JSON that was expected: {e}",
                self.status.as_u16(),
                bytes.len(),
                of_type.map_or(String::new(), |of_type| format!(" of type {of_type:?}")),
            );
            let mut error = Error::new(ErrorKind::Transport, detail).at(Phase::Body).with_source(e);
            let inner = error.inner_mut();
            inner.fault.caller = true;
            inner.target = Some(self.target);
            error
        })
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may carry secrets.
        write!(f, "Response({}: {})", self.target, self.status())
    }
}
