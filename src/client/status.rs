//! A status that nobody wanted, as an error.

use crate::body::Body;
use crate::client::response::Response;
use crate::collect::coded;
use crate::deadline::Timer;
use crate::duration::human;
use crate::error::{Error, ErrorKind, Story};
use crate::retry::after::retry_after;
use crate::target::text::one_line;
use http_body::Body as _;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

impl Response {
    /// The response itself where its status is below 400, else an error that tells the whole story: the status, the
    /// first KiB of the body, and what became of the attempts before.
    ///
    /// The body is read for at most 1 s, so that a server which drips an error body delays no call for long.
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
