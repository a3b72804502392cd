//! Child processes with a timeout, which end together with their whole process group.

mod capture;
mod group;
mod groups;
mod run;

pub use capture::Output;
pub(crate) use groups::kill_of;
#[cfg(unix)]
pub(crate) use groups::{is_ours, kill_all};

use crate::Error;
use crate::duration::{LONGEST, check, human};
use bytes::Bytes;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// A command with a timeout: `SIGTERM` to its process group at the limit, `SIGKILL` after the grace period.
///
/// By default the environment is empty, and the working directory is that of this process. Processes that the command
/// started are killed with it, also when it ends by itself or when the future is dropped. Not killed are a grandchild in a
/// session of its own (`setsid`), and any child if this process ends in a way that drops no future: by `SIGKILL`, by a signal
/// that it does not handle ([`Signals`](crate::supervise::Signals)), by an abort, or by `std::process::exit` in place of
/// [`Report::exit`](crate::supervise::Report::exit).
///
/// | setting | default | why |
/// | --- | --- | --- |
/// | limit | none: an argument of [`new`](Command::new) | nothing waits forever |
/// | [`grace`](Command::grace) | 5 s | time for the command to save its state |
/// | [`inherit_env`](Command::inherit_env) | nothing | the child does not get the secrets of this process |
/// | [`keep_output`](Command::keep_output) | 64 KiB of each stream | the cause of a failure is at the end |
///
/// ```
/// use std::time::Duration;
/// use unwedge::child::{Command, Outcome};
///
/// # #[cfg(unix)]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
/// let command = Command::new("/bin/cat", Duration::from_secs(30)).stdin("an incident");
/// assert_eq!((command.get_program().to_str(), command.get_grace()), (Some("/bin/cat"), Duration::from_secs(5)));
/// let ended = command.run().await?;
/// assert_eq!((ended.outcome, &*ended.stdout.text()), (Outcome::Completed, "an incident"));
/// # Ok(()) }
/// # #[cfg(not(unix))] fn main() {}
/// ```
#[derive(Clone)]
#[must_use]
#[doc(alias("subprocess", "kill_on_drop"))]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    inherited: Vec<OsString>,
    dir: Option<PathBuf>,
    stdin: Bytes,
    limit: Duration,
    grace: Duration,
    keep: usize,
}

impl Command {
    /// A program, by path or found in the `PATH` of this process, and its timeout.
    pub fn new(program: impl Into<OsString>, limit: Duration) -> Command {
        Command {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            inherited: Vec::new(),
            dir: None,
            stdin: Bytes::new(),
            limit,
            grace: Duration::from_secs(5),
            keep: 64 << 10,
        }
    }

    /// Adds arguments. No shell reads them.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Command {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment, in place of an inherited one.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Command {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Inherits these variables from the environment of this process: `["PATH", "HOME"]`. Default none.
    pub fn inherit_env<N: Into<OsString>>(mut self, names: impl IntoIterator<Item = N>) -> Command {
        self.inherited.extend(names.into_iter().map(Into::into));
        self
    }

    /// Its working directory. Default that of this process.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Command {
        self.dir = Some(dir.into());
        self
    }

    /// The content of its standard input. Default none. The command need not read it.
    pub fn stdin(mut self, bytes: impl Into<Bytes>) -> Command {
        self.stdin = bytes.into();
        self
    }

    /// The grace period between `SIGTERM` and `SIGKILL`. Default 5 s; zero kills at once.
    pub fn grace(mut self, grace: Duration) -> Command {
        self.grace = grace;
        self
    }

    /// The number of bytes kept from the end of each output stream. Default 64 KiB. The whole output is logged by `tracing` at
    /// debug level, line by line.
    pub fn keep_output(mut self, bytes: usize) -> Command {
        self.keep = bytes;
        self
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        &self.program
    }

    /// Its arguments.
    pub fn get_args(&self) -> impl Iterator<Item = &OsStr> {
        self.args.iter().map(OsString::as_os_str)
    }

    /// The variables set for it, in the order of the calls.
    pub fn get_env(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The names of the variables that it inherits.
    pub fn get_inherit_env(&self) -> impl Iterator<Item = &OsStr> {
        self.inherited.iter().map(OsString::as_os_str)
    }

    /// Its working directory; `None` for that of this process.
    pub fn get_dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The content of its standard input.
    pub fn get_stdin(&self) -> &Bytes {
        &self.stdin
    }

    /// Its timeout.
    pub fn get_limit(&self) -> Duration {
        self.limit
    }

    /// The grace period between `SIGTERM` and `SIGKILL`.
    pub fn get_grace(&self) -> Duration {
        self.grace
    }

    /// The number of bytes kept of each output stream.
    pub fn get_keep_output(&self) -> usize {
        self.keep
    }

    fn check(&self) -> Result<(), Error> {
        check(&format!("the limit of {}", self.name()), self.limit)?;
        if self.grace > LONGEST {
            return Err(Error::config(format!(
                "the grace of {} is {:#}: the longest duration is 10 years",
                self.name(),
                human(self.grace)
            )));
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}

/// Without arguments, environment and input, where secrets are.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Command { program, limit, grace, dir, .. } = self;
        f.debug_struct("Command")
            .field("program", program)
            .field("dir", dir)
            .field("limit", limit)
            .field("grace", grace)
            .finish_non_exhaustive()
    }
}

/// How a child process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Outcome {
    /// By itself, with exit status 0.
    Completed,
    /// By itself, with another status or by a signal that was not ours.
    Failed,
    /// It reached its timeout, or the deadline of the enclosing scope.
    TimedOut,
    /// It was stopped before its limit.
    Killed,
}

impl Outcome {
    /// `completed`, `failed`, `timed_out` or `killed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Failed => "failed",
            Outcome::TimedOut => "timed_out",
            Outcome::Killed => "killed",
        }
    }
}

/// The result of a child process that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// Its exit status; `None` for one that was killed and that the kernel has not released yet.
    pub status: Option<ExitStatus>,
    /// Its run time.
    pub took: Duration,
    /// Whether it got `SIGKILL`, because it did not end within the grace period.
    pub forced: bool,
    /// The end of its standard output.
    pub stdout: Output,
    /// The end of its standard error.
    pub stderr: Output,
}

/// `timed out after 5 m, killed after its grace`, `failed after 3 s with exit status 2`.
impl Display for Ended {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let took = human(self.took);
        let forced = if self.forced { ", killed after its grace" } else { "" };
        match self.outcome {
            Outcome::Completed => write!(f, "completed after {took:#}"),
            Outcome::TimedOut => write!(f, "timed out after {took:#}{forced}"),
            Outcome::Killed => write!(f, "stopped after {took:#}{forced}"),
            Outcome::Failed => {
                write!(f, "failed after {took:#}")?;
                let Some(status) = self.status else { return Ok(()) };
                match (status.code(), group::signal(status)) {
                    (Some(code), _) => write!(f, " with exit status {code}"),
                    (None, Some(signal)) => write!(f, " by signal {signal}"),
                    _ => Ok(()),
                }
            }
        }
    }
}
