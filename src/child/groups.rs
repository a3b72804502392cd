//! The process groups of this program's children that live right now, for an end that cannot wait for anybody.

use crate::inflight::owner::{self, Owner};
use crate::sync::Arc;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

static LIVING: Mutex<Groups> = Mutex::new(Groups { pids: None, ended: false });

struct Groups {
    /// With the subsystem in which each was started. Made by the first child.
    pids: Option<HashMap<u32, Option<Arc<Owner>>>>,
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
        let owner = owner::of_task();
        let mut living = living();
        if living.ended {
            return None;
        }
        living.pids.get_or_insert_default().insert(pid, owner);
        Some(Registered(pid))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let owner = living().pids.as_mut().and_then(|pids| pids.remove(&self.0));
        // Where nothing is locked.
        drop(owner);
    }
}

/// Whether this process was started through the library and is still waited for.
#[cfg(unix)]
pub(crate) fn is_ours(pid: u32) -> bool {
    living().pids.as_ref().is_some_and(|pids| pids.contains_key(&pid))
}

/// Kills the process groups of all children, at once and for good: none is started any more.
#[cfg(unix)]
pub(crate) fn kill_all() {
    let mut living = living();
    living.ended = true;
    for pid in living.pids.iter().flat_map(HashMap::keys) {
        kill(*pid);
    }
}

/// Kills the process groups of the children that were started in these subsystems. On Unix alone.
pub(crate) fn kill_of(is_theirs: impl Fn(&Arc<Owner>) -> bool) {
    for (pid, owner) in living().pids.iter().flatten() {
        if owner.as_ref().is_some_and(&is_theirs) {
            kill(*pid);
        }
    }
}

fn kill(pid: u32) {
    #[cfg(unix)]
    if let Ok(pid) = i32::try_from(pid) {
        use nix::sys::signal::{Signal, killpg};
        // Fails where nobody is left, which is what is wanted.
        let _ = killpg(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
    }
    #[cfg(not(unix))]
    let _ = pid;
}
