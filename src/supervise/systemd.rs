//! What systemd is told where it asks, by `NOTIFY_SOCKET`: see sd_notify(3). Elsewhere nothing happens.

#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(not(unix))]
pub(crate) use elsewhere::*;

#[cfg(unix)]
mod unix {
    use crate::telemetry::log_supervise;
    use sd_notify::{NotifyState, notify};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    /// `Type=notify`: the service is up.
    pub(crate) fn ready() {
        say(NotifyState::Ready);
    }

    pub(crate) fn stopping() {
        say(NotifyState::Stopping);
    }

    /// `WatchdogSec=`: tasks run. Not sent while every worker is blocked, so that systemd restarts what nothing inside
    /// the process can.
    pub(crate) fn alive() {
        say(NotifyState::Watchdog);
    }

    /// How long systemd waits for the next sign of life.
    pub(crate) fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())
    }

    fn say(state: NotifyState<'_>) {
        static SAID: AtomicBool = AtomicBool::new(false);
        // Ok where nobody asks. Said once: it is told again at every look.
        if let Err(error) = notify(&[state]) {
            if !SAID.swap(true, Ordering::Relaxed) {
                log_supervise::systemd(&error);
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::time::Duration;

    pub(crate) fn ready() {}

    pub(crate) fn stopping() {}

    pub(crate) fn alive() {}

    pub(crate) fn watchdog() -> Option<Duration> {
        None
    }
}
