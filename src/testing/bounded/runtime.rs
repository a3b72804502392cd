//! The end of the runtime in the middle of a call, which no script of a server can play.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Thread, park_timeout};
use std::time::Duration;

use http::{Request, Response};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;
use tower_service::Service;

use super::super::{Peer, Pipe, Reply};
use super::drive::{call, cannot_listen, words};
use super::report::Ended;
use crate::BoxError;

pub(super) const NAME: &str = "runtime-end";
pub(super) const ABOUT: &str = "the runtime ends while the connect is awaited";

/// How long a call may take to meet its connect, and then to notice that its runtime is gone, in real time. Nothing has to
/// be waited for: this is room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// A call that waits for its connect on the handle of a runtime, which ends meanwhile.
///
/// The call stays on this thread, as it would under `Handle::block_on`: its types need not be `Send`. A paused clock of
/// the caller stands for that long.
pub(super) fn ends_in_mid_wait<S, B, R>(make: &mut impl FnMut(Pipe) -> S, url: &str) -> Ended
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: Default,
{
    let runtime = Runtime::start();
    let _inside = runtime.handle.enter();
    let peer = Peer::new().forever(Reply::connect_hang());
    let mut service = make(peer.pipe());
    // The budget is that of the caller's task, which goes on with its next poll.
    let mut call = pin!(unconstrained(call(&mut service, url)));
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let start = Instant::now();
    let mut ended_at: Option<Instant> = None;
    let mut runtime_end = Some(runtime.end);
    loop {
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut cx)));
        let after = ended_at.unwrap_or(start).elapsed();
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(_)) | Err(_) if peer.connects() == 0 => {
                return Ended::NotReached { said: "ended without a connect".to_owned() };
            }
            Ok(Poll::Ready(Ok(answer))) => {
                return Ended::Read { after, status: answer.status().as_u16(), bytes: 0 };
            }
            Ok(Poll::Ready(Err(error))) => return Ended::Failed { after, error: words(error.into()) },
            Err(panic) => return Ended::Failed { after, error: format!("panicked: {}", said(&*panic)) },
        }
        if ended_at.is_none() && peer.connects() > 0 {
            // The next poll may find it ended, or be woken by its end.
            drop(runtime_end.take());
            ended_at = Some(Instant::now());
        }
        let Some(left) = PATIENCE.checked_sub(ended_at.unwrap_or(start).elapsed()) else { break };
        park_timeout(left);
    }
    match ended_at {
        Some(_) => Ended::NoHead { after: PATIENCE },
        None => Ended::NotReached { said: format!("no connect within {PATIENCE:?}") },
    }
}

/// A runtime on a thread of its own, in real time. It ends when it is told to, or when this is dropped.
struct Runtime {
    handle: Handle,
    end: oneshot::Sender<()>,
}

impl Runtime {
    fn start() -> Runtime {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap_or_else(cannot_listen);
        let handle = runtime.handle().clone();
        let (end, ends) = oneshot::channel();
        let thread = std::thread::Builder::new().name("unwedge-runtime-end".to_owned());
        let runs = move || {
            let _ = runtime.block_on(ends);
            // Blocking work of the client is left alone: it would be waited for without a limit.
            runtime.shutdown_background();
        };
        thread.spawn(runs).unwrap_or_else(cannot_listen);
        Runtime { handle, end }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let words = payload.downcast_ref::<&str>().copied();
    words.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
