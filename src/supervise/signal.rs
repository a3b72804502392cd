//! Who ends the crew.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

/// What the future said that ends a crew: see [`Supervisor::run_until`](super::Supervisor::run_until).
///
/// Made from nothing, from a name, and from what `tokio::signal::ctrl_c()` returns.
pub struct Asked {
    pub(crate) name: &'static str,
    pub(crate) failed: Option<io::Error>,
    /// Asked once more: at once, then.
    pub(crate) again: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl From<&'static str> for Asked {
    fn from(name: &'static str) -> Asked {
        Asked { name, failed: None, again: None }
    }
}

impl From<()> for Asked {
    fn from((): ()) -> Asked {
        Asked::from("asked")
    }
}

impl From<io::Result<()>> for Asked {
    fn from(signal: io::Result<()>) -> Asked {
        Asked { name: "SIGINT", failed: signal.err(), again: None }
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("name", &self.name)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Waits for SIGINT, and on Unix for SIGTERM too. A second one ends the grace at once.
///
/// From the first poll on the signals are this future's: they do not end the process by themselves any more.
pub async fn ctrl_c() -> Asked {
    system::signal().await
}

#[cfg(unix)]
mod system {
    use super::Asked;
    use std::future::poll_fn;
    use std::task::Poll;
    use tokio::signal::unix::{Signal, SignalKind, signal as listen};

    pub(super) async fn signal() -> Asked {
        let failed = |name, error| Asked { name, failed: Some(error), again: None };
        let mut int = match listen(SignalKind::interrupt()) {
            Ok(int) => int,
            Err(error) => return failed("SIGINT", error),
        };
        let mut term = match listen(SignalKind::terminate()) {
            Ok(term) => term,
            Err(error) => return failed("SIGTERM", error),
        };
        let name = either(&mut int, &mut term).await;
        let again = Box::pin(async move {
            either(&mut int, &mut term).await;
        });
        Asked { name, failed: None, again: Some(again) }
    }

    async fn either(int: &mut Signal, term: &mut Signal) -> &'static str {
        // One at a time: where both are there, the other one is the second.
        poll_fn(|cx| {
            if int.poll_recv(cx).is_ready() {
                return Poll::Ready("SIGINT");
            }
            term.poll_recv(cx).map(|_| "SIGTERM")
        })
        .await
    }
}

#[cfg(not(unix))]
mod system {
    use super::Asked;
    use tokio::signal::ctrl_c;

    pub(super) async fn signal() -> Asked {
        let mut asked = Asked::from(ctrl_c().await);
        asked.again = Some(Box::pin(async {
            if ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        asked
    }
}
