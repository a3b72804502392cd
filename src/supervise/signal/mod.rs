//! Signals that end a program or make it reload its settings.

mod asked;
#[cfg(unix)]
mod listener;

pub use asked::Asked;

#[cfg(unix)]
use listener as system;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

/// Waits for SIGINT, and on Unix for SIGTERM and SIGHUP too: [`Signals::install`] and [`Signals::asked`] in one.
///
/// From the first poll on these signals no longer end the process by themselves. [`Signals`] describes the effect of a second
/// one. A signal before the first poll has its default effect: if the start takes long, install [`Signals`] in the first
/// line of `main`.
#[doc(alias("sigterm", "sigint"))]
pub async fn ctrl_c() -> Asked {
    match Signals::install() {
        Ok(signals) => signals.asked().await,
        Err(error) => Asked { name: "SIGTERM", failed: Some(error), again: None },
    }
}

/// Handles the signals that end a program, from the first line of `main` on.
///
/// | signal | effect |
/// | --- | --- |
/// | the first of SIGTERM, SIGINT, SIGHUP | a graceful shutdown: [`asked`](Signals::asked) completes, also if it is called later |
/// | the same, and nothing calls `asked` within 1 s | a [`Supervisor`](crate::supervise::Supervisor) that runs begins its graceful shutdown, if the future that ends it has not done so yet. Without one the signal has its default effect: the program ends at once, because its start or its end hangs |
/// | another within 100 ms | counts as the same one: a terminal and the program that started this one may both send theirs |
/// | a second one | the process groups of all [children](crate::child) are killed; the grace of a [`Supervisor`](crate::supervise::Supervisor) is over, and a program that is still there after 1 s ends with 128 and the number of the signal |
/// | a third one | the same, without that 1 s |
/// | SIGHUP, after [`hangups`](Signals::hangups) | [`Hangups::recv`] completes, for a program that reloads its settings |
/// | SIGHUP that was ignored when the program was started (`nohup`; seen on Linux) | stays ignored |
///
/// [`Supervisor::new`](crate::supervise::Supervisor::new) installs them, SIGHUP excepted, if the program is process 1 (of a
/// container), because there a signal without a handler has no effect at all. A program that puts itself into the background
/// by a fork does so first: the new process has the handlers, and hears nothing before the next call of one of these
/// functions or of [`run_until`](crate::supervise::Supervisor::run_until). On other systems than Unix only Ctrl-C is handled, from the first poll of
/// [`asked`](Signals::asked) on.
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
/// report.exit()
/// # }
/// ```
#[derive(Clone, Debug)]
#[doc(alias("sigterm", "sigint", "sighup"))]
pub struct Signals(());

impl Signals {
    /// Installs the handlers. A second call returns another handle to the same ones.
    ///
    /// # Errors
    /// If the system refuses a handler or a thread.
    pub fn install() -> io::Result<Signals> {
        system::install().map(Signals)
    }

    /// Waits for the first signal; completes at once if it has come already.
    ///
    /// # Cancellation safety
    /// No signal is lost: the next call completes.
    pub fn asked(&self) -> impl Future<Output = Asked> + Send + use<> {
        system::asked()
    }

    /// Waits for the second signal, after which the children have been killed and 1 s is left: for a last log line.
    ///
    /// # Cancellation safety
    /// Nothing is lost.
    pub fn asked_again(&self) -> impl Future<Output = ()> + Send + use<> {
        system::asked_again()
    }

    /// From the first call on SIGHUP no longer ends the program: [`Hangups::recv`] completes for each one. A receiver is told
    /// at once of one that came before it was made and that nobody was told of. On other systems than Unix there is none.
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
        Hangups(system::hangups())
    }
}

/// As process 1, before the program has said what it wants.
pub(super) fn install_unasked() -> io::Result<()> {
    system::install_unasked()
}

/// A crew that runs, and takes the first signal where nobody else does.
pub(super) struct Crew(system::Crew);

impl Crew {
    pub(super) fn new() -> Crew {
        Crew(system::Crew::new())
    }

    /// What ends the crew: this future, or a signal that nobody answers.
    pub(super) async fn asked<S: Into<Asked>>(&self, signal: impl Future<Output = S>) -> Asked {
        let mut signal = pin!(signal);
        // The other may spend the whole budget of each poll.
        let mut unanswered = pin!(tokio::task::unconstrained(self.0.unanswered()));
        poll_fn(|cx| match signal.as_mut().poll(cx) {
            Poll::Ready(asked) => Poll::Ready(asked.into()),
            Poll::Pending => unanswered.as_mut().poll(cx),
        })
        .await
    }
}

/// A receiver of SIGHUP: see [`Signals::hangups`].
#[derive(Debug)]
pub struct Hangups(system::Hangups);

impl Hangups {
    /// Waits for the next SIGHUP. Several since the last call count as one.
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

    pub(super) type Hangups = ();

    pub(super) struct Crew(());

    impl Crew {
        pub(super) fn new() -> Crew {
            Crew(())
        }

        pub(super) async fn unanswered(&self) -> Asked {
            pending().await
        }
    }

    pub(super) fn install() -> io::Result<()> {
        Ok(())
    }

    pub(super) fn install_unasked() -> io::Result<()> {
        Ok(())
    }

    pub(super) async fn asked() -> Asked {
        let mut asked = Asked::from(ctrl_c().await);
        asked.again = Some(Box::pin(async {
            if ctrl_c().await.is_err() {
                pending::<()>().await;
            }
        }));
        asked
    }

    pub(super) async fn asked_again() {
        if ctrl_c().await.is_err() || ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    }

    pub(super) fn hangups() -> Hangups {}

    pub(super) async fn hangup((): &mut Hangups) {
        pending().await
    }
}
