//! A process with all that it starts: a process group on Unix, a job object on Windows. What differs between systems
//! stands here alone.

use crate::child::groups::Registered;
use process_wrap::tokio::{ChildWrapper, CommandWrap};
use std::io;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// For how long a killed process is waited for. One that hangs in the kernel outlasts even SIGKILL.
const KILLED: Duration = Duration::from_secs(5);

/// Ended as a whole when it is dropped.
pub(super) struct Group {
    child: Box<dyn ChildWrapper>,
    pub(super) pid: u32,
    over: bool,
    /// Until the process was waited for: then its number may be another's.
    living: Option<Registered>,
}

impl Group {
    pub(super) fn start(command: Command) -> io::Result<Group> {
        let mut command = CommandWrap::from(command);
        #[cfg(unix)]
        command.wrap(process_wrap::tokio::ProcessGroup::leader());
        #[cfg(windows)]
        command.wrap(process_wrap::tokio::JobObject);
        let child = command.spawn()?;
        let pid = child.id().unwrap_or_default();
        let mut group = Group { child, pid, over: false, living: Registered::new(pid) };
        if group.living.is_none() {
            group.kill();
            return Err(io::Error::other("the program ends, and starts no more processes"));
        }
        Ok(group)
    }

    pub(super) fn pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdin().take(), self.child.stdout().take(), self.child.stderr().take())
    }

    /// Waits for the process itself; then whatever it left behind in its group is killed.
    pub(super) async fn exited(&mut self) -> io::Result<ExitStatus> {
        // Not the group's own wait, which on Unix would stay for those left behind.
        let status = self.child.inner_mut().wait().await?;
        self.kill();
        self.over = true;
        self.living = None;
        Ok(status)
    }

    /// Where this program is the first process of its container, those left behind became its children: no zombie stays
    /// of them either. Elsewhere there is nobody, and it is done at once.
    pub(super) async fn reap(&mut self) {
        if self.over {
            // An error is about those left behind, not about the process.
            let _ = timeout(KILLED, self.child.wait()).await;
        }
    }

    /// Asks everybody in the group to end. Windows has no such request: there they are killed.
    pub(super) fn ask_to_end(&mut self) {
        #[cfg(unix)]
        let asked = self.child.signal(SIGTERM);
        #[cfg(not(unix))]
        let asked = self.child.start_kill();
        // Nobody is left to be asked.
        drop(asked);
    }

    fn kill(&mut self) {
        // Fails when nobody is left, which is what is wanted.
        let _ = self.child.start_kill();
    }

    /// Kills everybody, and waits a little for the process itself. `None` where it did not go.
    pub(super) async fn killed(&mut self) -> io::Result<Option<ExitStatus>> {
        self.kill();
        timeout(KILLED, self.exited()).await.ok().transpose()
    }
}

/// POSIX fixes the number.
#[cfg(unix)]
const SIGTERM: i32 = 15;

/// The signal that ended it.
#[cfg(unix)]
pub(super) fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
pub(super) fn signal(_: ExitStatus) -> Option<i32> {
    None
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            // tokio reaps in the background whom nobody waits for any more.
            self.kill();
        }
    }
}
