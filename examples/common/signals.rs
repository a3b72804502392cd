//! Signals that end a program.

use std::io;

/// Handlers for SIGINT, and on Unix for SIGTERM too. A signal that came since they were installed is not missed.
pub(crate) struct Signals(imp::Handlers);

impl Signals {
    /// From here on a signal does not end the process by itself.
    pub(crate) fn install() -> io::Result<Signals> {
        imp::install().map(Signals)
    }

    /// The next signal, by its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        imp::next(&mut self.0).await
    }
}

/// Waits for the first signal, and says which it was. Where no handler can be had, it ends the process by itself.
pub(crate) async fn ended() -> &'static str {
    match Signals::install() {
        Ok(mut signals) => signals.next().await,
        Err(_) => std::future::pending().await,
    }
}

#[cfg(unix)]
mod imp {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub(super) type Handlers = (Signal, Signal);

    pub(super) fn install() -> std::io::Result<Handlers> {
        Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    }

    pub(super) async fn next((interrupt, terminate): &mut Handlers) -> &'static str {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
mod imp {
    use tokio::signal::windows::{CtrlC, ctrl_c};

    pub(super) type Handlers = CtrlC;

    pub(super) fn install() -> std::io::Result<Handlers> {
        ctrl_c()
    }

    pub(super) async fn next(interrupt: &mut Handlers) -> &'static str {
        interrupt.recv().await;
        "SIGINT"
    }
}
