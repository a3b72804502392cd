//! The thread of a blocking client, and how its work is waited for.

use crate::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;
use std::{io, panic, thread};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::{self, JoinError, JoinHandle};

/// A call that has waited this long asks the thread whether it runs, which has as long to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A runtime that is driven by a thread, as long as somebody has this.
#[derive(Debug)]
pub(super) struct Thread {
    runtime: Handle,
    id: thread::ThreadId,
    patience: Duration,
    /// Dropped with the last owner, which ends the thread.
    _end: oneshot::Sender<()>,
}

impl Thread {
    pub(super) fn start() -> io::Result<Thread> {
        let own = Builder::new_current_thread().enable_all().build()?;
        let runtime = own.handle().clone();
        let (_end, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("unwedge-blocking".to_owned()).spawn(move || {
            let _ = own.block_on(ended);
            own.shutdown_background(); // a name that is still looked up holds up nothing
        })?;
        Ok(Thread { runtime, id: thread.thread().id(), patience: PATIENCE, _end })
    }

    #[expect(clippy::disallowed_methods, reason = "whoever waits is its owner, and hears of its panic")]
    fn spawn<F: Future<Output: Send> + Send + 'static>(&self, work: F) -> JoinHandle<F::Output> {
        self.runtime.spawn(work)
    }

    pub(super) fn may_wait(&self) -> Result<(), Error> {
        let blocked =
            "a blocking client in an async task: await unwedge::Client there, or use spawn_blocking";
        if thread::current().id() == self.id || in_a_task() { Err(Error::config(blocked)) } else { Ok(()) }
    }

    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        self.may_wait()?;
        let call = self.spawn(work);
        let stop = call.abort_handle();
        let (done, outcome): (_, mpsc::Receiver<Result<_, JoinError>>) = sync_channel(1);
        self.spawn(async move { done.send(call.await) });
        let mut asked: Option<Arc<AtomicBool>> = None;
        loop {
            match outcome.recv_timeout(self.patience) {
                Ok(Ok(result)) => return result,
                Ok(Err(ended)) if ended.is_panic() => panic::resume_unwind(ended.into_panic()),
                Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::config("the thread of the blocking client has ended"));
                }
                Err(RecvTimeoutError::Timeout) if asked.is_some_and(|runs| !runs.load(Ordering::Acquire)) => {
                    stop.abort();
                    return Err(Error::config(
                        "the thread of the blocking client is held up by code that blocks",
                    ));
                }
                Err(RecvTimeoutError::Timeout) => {
                    let runs = Arc::<AtomicBool>::default();
                    asked = Some(runs.clone());
                    self.spawn(async move { runs.store(true, Ordering::Release) });
                }
            }
        }
    }
}

/// Whether this thread polls a future. Only what tokio polls has a budget, and threads that may be blocked have none.
fn in_a_task() -> bool {
    let spends = |_| pin!(task::consume_budget()).poll(&mut Context::from_waker(Waker::noop())).is_pending();
    Handle::try_current().is_ok() && (0..1024).any(spends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::RecvTimeoutError::Disconnected;

    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn the_thread_ends_with_its_last_owner() {
        let one = Arc::new(Thread::start().unwrap());
        let (held, ended) = sync_channel::<()>(0);
        one.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        let other = one.clone();
        drop(one);
        assert_eq!(other.wait(async { Ok(7) }).unwrap(), 7);
        drop(other);
        assert_eq!(
            ended.recv_timeout(60 * SEC),
            Err(Disconnected),
            "the runtime is gone with all of its tasks"
        );
    }

    #[test]
    fn work_of_a_thread_that_is_gone_is_an_error_before_it_begins_and_in_the_middle() {
        let mut thread = Thread::start().unwrap();
        let end = std::mem::replace(&mut thread._end, oneshot::channel().0);
        let (begun, has_begun) = sync_channel(1);
        let error = thread::scope(|scope| {
            let waits = scope.spawn(|| {
                thread.wait(async move {
                    begun.send(()).unwrap();
                    std::future::pending::<Result<(), Error>>().await
                })
            });
            has_begun.recv_timeout(60 * SEC).unwrap();
            drop(end);
            waits.join().unwrap().unwrap_err()
        });
        assert!(error.is_config() && error.to_string().contains("has ended"), "{error}");
        let error = thread.wait(async { Ok(()) }).unwrap_err();
        assert!(error.is_config() && error.to_string().contains("has ended"), "{error}");
    }

    #[test]
    fn a_thread_that_somebody_blocks_ends_the_calls_that_wait_for_it() {
        let thread = Thread { patience: SEC / 10, ..Thread::start().unwrap() };
        let (release, blocked) = sync_channel::<()>(0);
        thread.spawn(async move {
            let _ = blocked.recv_timeout(60 * SEC);
        });
        let error = thread.wait(async { Ok(()) }).unwrap_err();
        assert!(error.is_config() && error.to_string().contains("held up"), "{error}");
        drop(release);
    }

    #[test]
    fn a_call_outlasts_the_patience_of_its_caller_while_the_thread_runs() {
        let thread = Thread { patience: SEC / 2, ..Thread::start().unwrap() };
        let slow = async {
            tokio::time::sleep(SEC * 6 / 5).await;
            Ok(7)
        };
        assert_eq!(thread.wait(slow).unwrap(), 7);
    }

    #[test]
    fn a_panic_goes_on_in_who_waits_and_the_next_call_is_served() {
        let thread = Thread::start().unwrap();
        let panics =
            || thread.wait(async { if true { panic!("a classifier of the user's") } else { Ok(()) } });
        let payload = panic::catch_unwind(panic::AssertUnwindSafe(panics)).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"a classifier of the user's"));
        assert_eq!(thread.wait(async { Ok(7) }).unwrap(), 7);
    }

    #[expect(clippy::disallowed_methods, reason = "what each kind of task may do is the question")]
    #[test]
    fn it_waits_where_a_thread_may_be_blocked_and_nowhere_else() {
        let thread = Arc::new(Thread::start().unwrap());
        let wait = {
            let thread = thread.clone();
            move || thread.wait(async { Ok(7) })
        };
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let runtime = builder.worker_threads(1).enable_all().build().unwrap();
            let (within, in_a_task, on_a_thread) = (wait.clone(), wait.clone(), wait.clone());
            let error = runtime.block_on(async move { within() }).unwrap_err();
            assert!(error.is_config() && error.to_string().contains("spawn_blocking"), "{error}");
            let waited = runtime.block_on(async {
                let tasks = (task::spawn(async move { in_a_task() }), task::spawn_blocking(on_a_thread));
                (tasks.0.await.unwrap(), tasks.1.await.unwrap())
            });
            assert!(waited.0.is_err_and(|error| error.is_config()));
            assert_eq!(waited.1.unwrap(), 7);
        }
        let own = {
            let wait = wait.clone();
            thread.wait(async { Ok(task::unconstrained(async move { wait() }).await) })
        };
        assert!(own.unwrap().is_err_and(|error| error.is_config()), "its own thread would wait for itself");
    }
}
