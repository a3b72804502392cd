//! The process groups of this program's children that live right now, for an end that cannot wait for anybody.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

static LIVING: Mutex<Groups> = Mutex::new(Groups { pids: None, ended: false });

struct Groups {
    /// Made by the first child.
    pids: Option<HashSet<u32>>,
    /// The program ends at once: whoever comes too late is not started.
    ended: bool,
}

fn living() -> MutexGuard<'static, Groups> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A group among the living, until this is dropped.
pub(super) struct Registered(u32);

impl Registered {
    /// `None` once the program ends: what was just started has to be killed.
    pub(super) fn new(pid: u32) -> Option<Registered> {
        let mut living = living();
        if living.ended {
            return None;
        }
        living.pids.get_or_insert_default().insert(pid);
        Some(Registered(pid))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(pids) = &mut living().pids {
            pids.remove(&self.0);
        }
    }
}

/// Whether this process was started through the library and is still waited for.
#[cfg(unix)]
pub(crate) fn is_ours(pid: u32) -> bool {
    living().pids.as_ref().is_some_and(|pids| pids.contains(&pid))
}

/// Kills the process groups of all children, at once and for good: none is started any more.
#[cfg(unix)]
pub(crate) fn kill_all() {
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;
    let mut living = living();
    living.ended = true;
    for pid in living.pids.iter().flatten().filter_map(|pid| i32::try_from(*pid).ok()) {
        // Fails where nobody is left, which is what is wanted.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
}
