//! Who ends the crew: a signal to the process, or whatever the program waits for.

mod asked;
#[cfg(unix)]
mod listener;

pub use asked::Asked;

#[cfg(unix)]
use listener as system;

use std::future::Future;
use std::io;

/// Waits for SIGINT, and on Unix for SIGTERM and SIGHUP too: [`Signals::install`] and [`Signals::asked`] in one.
///
/// From the first poll on the signals are this process's own: they do not end it by themselves any more. What a second
/// one does stands with [`Signals`]. A signal that comes before the first poll has its default effect; install
/// [`Signals`] in the first line of `main` where the start takes long.
#[doc(alias("sigterm", "sigint"))]
pub async fn ctrl_c() -> Asked {
    match Signals::install() {
        Ok(signals) => signals.asked().await,
        Err(error) => Asked { name: "SIGTERM", failed: Some(error), again: None },
    }
}

/// The signals that end a program, from the first line of `main` on.
///
/// | signal | what it does |
/// | --- | --- |
/// | the first of SIGTERM, SIGINT, SIGHUP | asks for an orderly end: whoever waits in [`asked`](Signals::asked) is told, also one who comes later |
/// | the same, and nobody waits within 1 s | its default effect: the program ends at once, since its start or its end hangs |
/// | a second one | the process groups of all [children](crate::child) are killed; the grace of a [`Supervisor`](crate::supervise::Supervisor) is over, and a program that is still there after 1 s ends with 128 and the number of the signal |
/// | a third one | the same without the second |
/// | SIGHUP, after [`hangups`](Signals::hangups) | told to whoever asked for it, for a program that reads its settings again |
/// | SIGHUP that was ignored when the program was started (`nohup`; seen on Linux) | stays ignored |
///
/// [`Supervisor::new`](crate::supervise::Supervisor::new) installs them where the program is process 1 (of a container): there a
/// signal without a handler has no effect at all. Elsewhere than on Unix only Ctrl-C is listened for, from the first poll
/// of [`asked`](Signals::asked) on.
///
/// ```no_run
/// use std::time::Duration;
/// use unwedge::supervise::{Signals, Supervisor};
///
/// # async fn connect() {}
/// # async fn sweep() -> Result<(), unwedge::Error> { Ok(()) }
/// # async fn daemon() -> Result<(), Box<dyn std::error::Error>> {
/// let signals = Signals::install()?; // before anything that takes time
/// connect().await;
/// let mut crew = Supervisor::new();
/// crew.patrol("patrol", Duration::from_secs(3600), Duration::from_secs(300), |_| sweep());
/// let report = crew.run_until(signals.asked(), Duration::from_secs(10)).await?;
/// std::process::exit(report.exit_code());
/// # }
/// ```
#[derive(Clone, Debug)]
#[doc(alias("sigterm", "sigint", "sighup"))]
pub struct Signals(system::Handle);

impl Signals {
    /// Listens to the signals from here on. Called again it gives another handle to the same.
    ///
    /// # Errors
    /// Where the system gives no handler or no thread.
    pub fn install() -> io::Result<Signals> {
        system::install().map(Signals)
    }

    /// Waits until the program is asked to end; ready at once where it was asked already.
    ///
    /// # Cancellation safety
    /// Nothing is lost: the next one who waits is told.
    pub fn asked(&self) -> impl Future<Output = Asked> + Send + use<> {
        system::asked(self.0.clone())
    }

    /// Waits until the program is asked a second time, when its children have been killed and 1 s is left: for a last
    /// word.
    ///
    /// # Cancellation safety
    /// Nothing is lost.
    pub fn asked_again(&self) -> impl Future<Output = ()> + Send + use<> {
        system::asked_again(self.0.clone())
    }

    /// Takes SIGHUP out of what ends the program: from this call on each one is told here. On other systems than Unix
    /// there is none.
    ///
    /// ```no_run
    /// # use unwedge::supervise::Signals;
    /// # async fn read_settings() {}
    /// # async fn reloads() -> std::io::Result<()> {
    /// let mut hangups = Signals::install()?.hangups();
    /// loop {
    ///     hangups.recv().await;
    ///     read_settings().await;
    /// }
    /// # }
    /// ```
    pub fn hangups(&self) -> Hangups {
        Hangups(system::hangups(&self.0))
    }
}

/// SIGHUP as a wish: see [`Signals::hangups`].
#[derive(Debug)]
pub struct Hangups(system::Hangups);

impl Hangups {
    /// Waits for the next one. Several that came since the last look are one.
    ///
    /// # Cancellation safety
    /// Nothing is lost.
    pub async fn recv(&mut self) {
        system::hangup(&mut self.0).await;
    }
}

#[cfg(not(unix))]
mod system {
    use super::Asked;
    use std::future::pending;
    use std::io;
    use tokio::signal::ctrl_c;

    pub(super) type Handle = ();
    pub(super) type Hangups = ();

    pub(super) fn install() -> io::Result<Handle> {
        Ok(())
    }

    pub(super) async fn asked((): Handle) -> Asked {
        let mut asked = Asked::from(ctrl_c().await);
        asked.again = Some(Box::pin(async {
            if ctrl_c().await.is_err() {
                pending::<()>().await;
            }
        }));
        asked
    }

    pub(super) async fn asked_again((): Handle) {
        if ctrl_c().await.is_err() || ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    }

    pub(super) fn hangups((): &Handle) -> Hangups {}

    pub(super) async fn hangup((): &mut Hangups) {
        pending().await
    }
}
