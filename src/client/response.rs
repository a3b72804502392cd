//! What came back.

use crate::body::{Attempts, Body};
use crate::collect::{coded, declared};
use crate::deadline::Timer;
use crate::duration::human;
use crate::error::{Error, ErrorKind, Phase, Story};
use crate::retry::after::retry_after;
use crate::target::{Target, text::one_line};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, Method, StatusCode, Uri, Version};
use http_body::Body as _;
use serde::de::DeserializeOwned;
use std::fmt::{self, Write as _};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

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

    /// The URL that answered, after all redirects, without the credentials that were given in it.
    pub fn url(&self) -> &Uri {
        &self.target.uri
    }

    /// How the response came about: attempts, time, and the wait the server asked for where it was too long. After
    /// redirects the attempts are those of the last hop, and the time is that of the whole call.
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
        let target = self.target.clone();
        let status = self.status();
        let of_type = self.headers().get(CONTENT_TYPE).and_then(|of_type| of_type.to_str().ok());
        let of_type = of_type.map(|of_type| one_line(&of_type.chars().take(100).collect::<String>()));
        let bytes = self.decoded().await?;
        serde_json::from_slice(&bytes).map_err(|e| {
            let of_type = of_type.filter(|of_type| !of_type.contains("json"));
            let detail = format!(
                "the body of the {} response ({} bytes{}) is not the JSON that was expected: {e}",
                status.as_u16(),
                bytes.len(),
                of_type.map_or(String::new(), |of_type| format!(" of type {of_type:?}")),
            );
            let mut error = Error::new(ErrorKind::Transport, detail).at(Phase::Body).with_source(e);
            let inner = error.inner_mut();
            inner.fault.caller = true;
            inner.target = Some(target);
            error
        })
    }

    /// The body, where what was read of it means something: not one in a coding that nobody has undone.
    async fn decoded(self) -> Result<Bytes, Error> {
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

    /// The response itself where its status is below 400, else an error that tells the whole story: the status, the
    /// first KiB of the body, and what became of the attempts before.
    ///
    /// The body is read for at most 1 s, so that a server which drips its excuses holds nobody up.
    ///
    /// # Errors
    /// Kind `RetryAfter` where the server said when to come back, else `Transport`; see
    /// [`Error::status`] and [`Error::is_retriable`].
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
    /// let job = unwedge::get("https://api.example.com/jobs/7").send().await?.error_for_status().await?;
    /// // GET https://api.example.com/jobs/7: 503 Service Unavailable: try later (attempt 4 of 4; before: ..)
    /// # Ok(()) }
    /// ```
    pub async fn error_for_status(self) -> Result<Response, Error> {
        let status = self.status();
        if status.as_u16() < 400 {
            return Ok(self);
        }
        let Response { inner, target, .. } = self;
        let (mut head, body) = inner.into_parts();
        let attempts = body.attempts();
        // Only a date from a server is compared with it.
        #[expect(clippy::disallowed_methods, reason = "Retry-After may be a date")]
        let now = SystemTime::now();
        let retry_in = attempts.retry_after.or_else(|| retry_after(&head.headers, now));
        let mut detail = status.as_u16().to_string();
        if let Some(reason) = status.canonical_reason() {
            detail = format!("{detail} {reason}");
        }
        if let Some(wait) = retry_in {
            // Writing to a String cannot fail.
            let _ = write!(detail, ", the server asks to wait {:#}", human(wait));
        }
        // Bytes that nobody can read are no excuse.
        let excuse = if coded(&head.headers).is_some() { String::new() } else { beginning(body).await };
        if !excuse.is_empty() {
            let _ = write!(detail, ": {excuse}");
        }
        let kind = match retry_in {
            Some(retry_in) => ErrorKind::RetryAfter { retry_in },
            None => ErrorKind::Transport,
        };
        let mut error = Error::new(kind, detail);
        let inner = error.inner_mut();
        inner.target = Some(target);
        inner.status = Some(status);
        inner.attempt = attempts.count;
        // The wait that the server asks for is in the sentence already.
        inner.retry_in = attempts.retry_in.filter(|in_all| retry_in.is_none_or(|asked| *in_all > asked));
        if let Some(story) = head.extensions.remove::<Story>() {
            inner.attempts_allowed = story.attempts_allowed;
            inner.journal = story.journal;
        }
        Err(error)
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

/// The most of a body that an error shows, and how long is waited for it.
const SHOWN: usize = 1024;
const READ: Duration = Duration::from_secs(1);

/// The first of a body as one line of text. What cannot be had in time is left out.
async fn beginning(mut body: Body) -> String {
    let mut read = Vec::new();
    let mut timer = pin!(Timer::default());
    let ends = Instant::now() + READ;
    let more = loop {
        let frame = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Pending => timer.as_mut().poll(ends, cx).map(|_| None),
            ready => ready,
        });
        let Some(Ok(frame)) = frame.await else { break false };
        let Some(data) = frame.data_ref() else { continue };
        read.extend_from_slice(&data[..data.len().min(SHOWN + 1 - read.len())]);
        if read.len() > SHOWN {
            read.truncate(SHOWN);
            break true;
        }
    };
    let text = String::from_utf8_lossy(&read);
    // A character that the end of the excerpt cut in two is no mistake of the server's.
    let text = if more { text.trim_end_matches(char::REPLACEMENT_CHARACTER) } else { &text };
    let line = one_line(text.trim());
    if more { line + "..." } else { line }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may carry secrets.
        write!(f, "Response({}: {})", self.target, self.status())
    }
}
