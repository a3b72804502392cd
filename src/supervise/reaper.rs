//! Process 1 of a container inherits every process whose parent is gone, and nobody else takes their exit status: each
//! would stay a zombie, until there is no process number left.

use crate::child;
use crate::telemetry::log::supervise as log;
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tokio::time::Instant;

/// How often zombies are looked for.
const EVERY: Duration = Duration::from_secs(2);
/// For how long a zombie is left to whoever started it: to take a child's status later than that is not usual.
const LEAVE: Duration = Duration::from_secs(10);

/// A thread that reaps, until this is dropped.
pub(super) struct Reaper {
    _stop: SyncSender<()>,
}

impl Reaper {
    /// None where this is not process 1.
    pub(super) fn start() -> Option<Reaper> {
        if std::process::id() != 1 {
            return None;
        }
        let (stop, stopped) = sync_channel::<()>(0);
        let reaps = move || {
            let mut zombies = Zombies::default();
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                for pid in zombies.due(&children_that_ended(), Instant::now()) {
                    if !child::is_ours(pid) {
                        reap(pid);
                    }
                }
            }
        };
        let spawned = std::thread::Builder::new().name("reaper".to_owned()).spawn(reaps);
        match spawned {
            Ok(_) => Some(Reaper { _stop: stop }),
            Err(error) => {
                log::no_reaper(&error);
                None
            }
        }
    }
}

/// Since when each zombie is known to be one.
#[derive(Debug, Default)]
struct Zombies(HashMap<u32, Instant>);

impl Zombies {
    /// Those that nobody has taken for long enough.
    fn due(&mut self, ended: &[u32], now: Instant) -> Vec<u32> {
        self.0.retain(|pid, _| ended.contains(pid));
        for pid in ended {
            self.0.entry(*pid).or_insert(now);
        }
        let due = self.0.iter().filter(|(_, since)| now.saturating_duration_since(**since) >= LEAVE);
        due.map(|(pid, _)| *pid).collect()
    }
}

/// The zombies among the children of this process.
fn children_that_ended() -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        is_zombie_of(&stat, std::process::id())
    })
    .collect()
}

/// Reads `pid (name) state parent ..`; the name may hold anything, brackets and blanks too.
fn is_zombie_of(stat: &str, parent: u32) -> bool {
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    fields.next() == Some("Z") && fields.next().and_then(|of| of.parse().ok()) == Some(parent)
}

fn reap(pid: u32) {
    let Ok(raw) = i32::try_from(pid) else { return };
    match waitpid(Pid::from_raw(raw), Some(WaitPidFlag::WNOHANG)) {
        Ok(_) => log::reaped(pid),
        // Somebody was faster.
        Err(Errno::ECHILD) => {}
        Err(error) => log::no_reaper(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_is_due_after_ten_seconds_and_forgotten_when_somebody_took_it() {
        let start = Instant::now();
        let mut zombies = Zombies::default();
        assert!(zombies.due(&[7, 8], start).is_empty());
        assert!(zombies.due(&[7, 8], start + LEAVE - Duration::from_millis(1)).is_empty());
        assert_eq!(zombies.due(&[8], start + LEAVE), [8]);
        // The number is used again by another one.
        assert!(zombies.due(&[7], start + LEAVE).is_empty());
        assert_eq!(zombies.due(&[7], start + 2 * LEAVE), [7]);
    }

    #[test]
    fn the_state_of_a_process_is_read_behind_the_last_bracket_of_its_name() {
        assert!(is_zombie_of("42 (a) Z 1 42 42", 1));
        assert!(is_zombie_of("42 (evil) S 1 (x) Z 1 42", 1));
        assert!(!is_zombie_of("42 (a) S 1 42", 1));
        assert!(!is_zombie_of("42 (a) Z 2 42", 1));
        assert!(!is_zombie_of("", 1));
    }
}
