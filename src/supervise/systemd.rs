//! What systemd is told where it asks, by `NOTIFY_SOCKET`: see sd_notify(3). Elsewhere nothing happens.

#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(not(unix))]
pub(crate) use elsewhere::*;

#[cfg(unix)]
mod unix {
    use crate::telemetry::log::supervise as log;
    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::net::UnixDatagram;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
    use std::time::Duration;

    const READY: &str = "READY=1\n";
    const ALIVE: &str = "WATCHDOG=1\n";
    const STOPPING: &str = "STOPPING=1\n";

    /// What systemd could not be told yet, by its place in [`WORDS`].
    static DUE: AtomicU8 = AtomicU8::new(0);
    const WORDS: [&str; 3] = ["", READY, STOPPING];

    /// One for all words: a process that has used up its descriptors lives, and has to be able to say so.
    static SOCKET: OnceLock<UnixDatagram> = OnceLock::new();

    /// Takes the descriptor that all words need, while there are some left.
    pub(crate) fn prepare() {
        if std::env::var_os("NOTIFY_SOCKET").is_some() {
            // Where there is none, each word tries again and says so.
            let _ = own();
        }
    }

    /// `Type=notify`: the service is up.
    pub(crate) fn ready() {
        say_or_owe(1);
    }

    /// The process is about to end: systemd takes that for the end of the unit, and no later word back.
    pub(crate) fn stopping() {
        say_or_owe(2);
    }

    /// `WatchdogSec=`: tasks run. Not sent while every worker is blocked, so that systemd restarts what nothing inside
    /// the process can.
    pub(crate) fn alive() {
        let due = DUE.load(Ordering::Relaxed);
        if due > 0 {
            say_or_owe(due);
        }
        say(ALIVE);
    }

    /// How long systemd waits for the next sign of life.
    pub(crate) fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())
    }

    fn say_or_owe(word: u8) {
        DUE.store(if say(WORDS[usize::from(word)]) { 0 } else { word }, Ordering::Relaxed);
    }

    /// Whether it need not be said again.
    fn say(word: &str) -> bool {
        static SAID: AtomicBool = AtomicBool::new(false);
        let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return true };
        let Err(error) = send(&socket, word.as_bytes()) else { return true };
        // Said once: it is told again at every look.
        if !SAID.swap(true, Ordering::Relaxed) {
            log::systemd(&error);
        }
        false
    }

    /// Never waits, not for a reader that has hung either, behind whose full queue `sd_notify::notify` stays for ever.
    fn send(socket: &OsStr, word: &[u8]) -> io::Result<()> {
        let own = own()?;
        #[cfg(target_os = "linux")]
        if let Some(name) = std::os::unix::ffi::OsStrExt::as_bytes(socket).strip_prefix(b"@") {
            use std::os::linux::net::SocketAddrExt;
            let at = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            return own.send_to_addr(word, &at).map(drop);
        }
        own.send_to(word, socket).map(drop)
    }

    fn own() -> io::Result<&'static UnixDatagram> {
        if let Some(own) = SOCKET.get() {
            return Ok(own);
        }
        let own = UnixDatagram::unbound()?;
        own.set_nonblocking(true)?;
        Ok(SOCKET.get_or_init(|| own))
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::time::Duration;

    pub(crate) fn prepare() {}

    pub(crate) fn ready() {}

    pub(crate) fn stopping() {}

    pub(crate) fn alive() {}

    pub(crate) fn watchdog() -> Option<Duration> {
        None
    }
}
