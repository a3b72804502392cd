//! What can make a call hang, as scripts for the pipe. All of it takes time: what answers as fast as it is read would
//! hold a paused clock where it is. What never rests moves that clock itself.

use std::time::Duration;

use super::super::{Cut, Pipe, Reply, Script};

/// One way to hold a call up.
pub(super) struct Hang {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What the peer does; the argument is its pace.
    pub(super) script: fn(Duration) -> Script,
    connect: Connect,
}

/// What a connect is like.
#[derive(Clone, Copy, Debug)]
enum Connect {
    AtOnce,
    /// It takes a pace: for servers that are tried again and again.
    Slow,
    /// It always has something ready.
    Busy,
}

impl Hang {
    pub(super) fn over(&self, pipe: Pipe, pace: Duration) -> Pipe {
        match self.connect {
            Connect::AtOnce => pipe,
            Connect::Slow => pipe.connect_takes(pace),
            Connect::Busy => pipe.connect_busy(pace),
        }
    }
}

/// One byte, header, event or answer in this time: fast enough to keep an idle bound quiet, slow enough to be cheap.
pub(super) fn pace(limit: Duration) -> Duration {
    (limit / 100).clamp(Duration::from_millis(1), Duration::from_secs(1))
}

macro_rules! hangs {
    ($($name:literal, $about:literal, $connect:ident, $script:expr;)*) => {
        &[$(Hang { name: $name, about: $about, connect: Connect::$connect, script: $script }),*]
    };
}

const TIB: u64 = 1 << 40;

fn events() -> Reply {
    Reply::endless().header("content-type", "text/event-stream")
}

#[rustfmt::skip]
pub(super) static ALL: &[Hang] = hangs! {
    // Before the request
    "connect-hang", "the connect is never answered", AtOnce, |_| Reply::connect_hang().into();
    "connect-busy", "the connect spends the whole cooperative budget of its task, for ever", Busy, |_| Reply::connect_hang().into();
    "refused", "nothing listens, for ever", Slow, |_| Reply::refuse().into();
    "accept-silence", "accepts and never reads", AtOnce, |_| Reply::silent().into();
    // Instead of a head
    "no-answer", "reads the request, then silence", AtOnce, |_| Reply::hang().into();
    "reset-before-head", "reads the request and resets, for ever", AtOnce, |pace| Reply::reset().after(pace).into();
    "half-head", "half a head, then silence", AtOnce, |_| Reply::ok("x").cut_head(20, Cut::Hang).into();
    "slow-headers", "a head of 1 MiB, byte by byte", AtOnce, |pace| Reply::ok("x").head_size(1 << 20).slow_head(pace).into();
    "endless-headers", "header lines without end", AtOnce, |pace| Reply::endless_headers(pace).into();
    "endless-1xx", "informational responses without end", AtOnce, |pace| Reply::endless_informational(pace).into();
    // In the body
    "headers-stall", "the head, then silence", AtOnce, |_| Reply::headers_then_hang().into();
    "body-stall", "half of the body, then silence", AtOnce, |_| Reply::sized(100).hang_after(50).into();
    "drip", "a body that fits into memory, byte by byte", AtOnce, |pace| Reply::sized(1 << 20).drip(1, pace).into();
    "drip-chunked", "a chunked body without end, byte by byte", AtOnce, |pace| Reply::endless().drip(1, pace).into();
    "endless-body", "a chunked body without end", AtOnce, |pace| Reply::endless().drip(16 * 1024, pace).into();
    "download-stall", "the first KiB of a TiB, then silence", AtOnce, |_| Reply::sized(TIB).hang_after(1024).into();
    "download-drip", "a TiB, byte by byte", AtOnce, |pace| Reply::sized(TIB).drip(1, pace).into();
    "events-stall", "an event stream that falls silent", AtOnce, |_| events().hang_after(16).into();
    "events-drip", "an event stream without end", AtOnce, |pace| events().drip(8, pace).into();
    // Answers that a client could follow for ever
    "status-503", "answers 503, for ever", AtOnce, |pace| Reply::status(503).after(pace).into();
    "retry-after-day", "answers 503 with Retry-After: 86400", AtOnce, |pace| Reply::status(503).retry_after("86400").after(pace).into();
    "redirect-loop", "redirects to itself, for ever", AtOnce, |pace| Reply::redirect("/").after(pace).into();
};
