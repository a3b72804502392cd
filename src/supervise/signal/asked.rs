//! Who asked for the end.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

/// What the future said that ends a crew: see [`Supervisor::run_until`](crate::supervise::Supervisor::run_until).
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

impl Asked {
    /// The name of the signal: `SIGTERM`, `SIGINT`, `SIGHUP`; or what was given as the name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether a signal asked that ends the process, and not only this crew. A SIGHUP that a program names itself makes
    /// it read its settings anew.
    pub(crate) fn ends_process(&self) -> bool {
        self.again.is_some() || matches!(self.name, "SIGTERM" | "SIGINT")
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
