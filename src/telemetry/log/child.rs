//! The words of child processes.

use crate::duration::human;
use std::time::Duration;

/// A line that a child process wrote, or as much of it as is shown.
pub(crate) fn wrote(pid: u32, stream: &'static str, line: &str) {
    say!(debug, pid, stream, "{line}");
}

/// A child process that is told to end.
pub(crate) fn ends(program: &str, pid: u32, why: &'static str, after: Duration) {
    say!(warn, program, pid, duration = %human(after), "child {why}, ending its process group");
}
