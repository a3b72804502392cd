//! One run of a command, from its start until nothing of it is left.

use crate::child::capture::Capture;
use crate::child::group::Group;
use crate::child::{Command, Ended, Outcome};
use crate::deadline::sleep_until;
use crate::registry::{PROCESSES, ProcessView, View};
use crate::sync::Arc;
use crate::{Deadline, Error, ErrorKind, telemetry};
use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// For how long output is read after the process is gone: a process that left the group may hold its pipes.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Command {
    /// Runs it to its end. See [`run_until`](Command::run_until).
    ///
    /// # Errors
    /// As there.
    pub async fn run(self) -> Result<Ended, Error> {
        self.run_until(pending()).await
    }

    /// Runs it until it ends by itself, its limit runs out or `stop` is done. In the last two cases its process group
    /// gets `SIGTERM` and, if the process is still there after the grace, `SIGKILL`. When the process is gone, whatever
    /// it left in its group is killed.
    ///
    /// In a scope ([`within`](crate::within)) the limit is such that limit and grace fit into what is left of the scope;
    /// the grace takes at most half of that.
    ///
    /// # Errors
    /// Kind `Config` for a limit that cannot work, a program that is not there or may not be run, outside of a tokio
    /// runtime and on one without its timer; `Transport` where the system could not start or watch a process. A process
    /// that fails is no error. Where this program ignores `SIGCHLD`, or waits for all its children, the status of a process
    /// is lost and the error says so.
    ///
    /// # Panics
    /// On a runtime that was built without I/O, as tokio's own processes do.
    ///
    /// # Cancellation safety
    /// Dropped, it kills the process group at once, without a grace; the runtime reaps the process.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<Ended, Error> {
        self.check()?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::config("no tokio runtime: a child process needs one"));
        }
        // Before there is a process that nobody could end.
        sleep_until(Instant::now()).await?;
        let began = Instant::now();
        let mut group = Group::start(self.command()).map_err(|error| self.not_started(&error))?;
        let (stdin, stdout, stderr) = group.pipes();
        let pid = group.pid;
        let (limit, grace) =
            self.bounds(Deadline::current().map(|scope| scope.instant().saturating_duration_since(began)));
        let process =
            Arc::new(Process { command: self.name(), pid, began, limit, ending: AtomicBool::new(false) });
        PROCESSES.add(&process);
        let (mut out, mut err) = (Capture::new(self.keep), Capture::new(self.keep));
        let life = {
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // One that does not read all of it is free to do so: how it ends says whether it is content.
                    let _ = stdin.write_all(&self.stdin).await;
                }
            };
            let mut pipes = pin!(async {
                tokio::join!(
                    feed,
                    read(stdout, &mut out, pid, "stdout"),
                    read(stderr, &mut err, pid, "stderr")
                );
            });
            let mut life = pin!(self.life(&mut group, stop, &process, grace));
            let early = tokio::select! {
                biased;
                life = &mut life => Some(life),
                // Closed by a process that goes on.
                () = &mut pipes => None,
            };
            match early {
                Some(life) => {
                    let _ = timeout(LAST_WORDS, pipes).await;
                    life
                }
                None => life.await,
            }
        };
        self.ended(life, began, out, err, pid)
    }

    fn ended(
        &self,
        life: io::Result<Exit>,
        began: Instant,
        out: Capture,
        err: Capture,
        pid: u32,
    ) -> Result<Ended, Error> {
        let Exit { outcome, status, forced, at } = life.map_err(|error| {
            Error::new(ErrorKind::Transport, format!("cannot watch {:?}: {error}", self.name()))
        })?;
        Ok(Ended {
            outcome,
            status,
            forced,
            took: at.duration_since(began),
            stdout: out.finish(|line| telemetry::log::child::wrote(pid, "stdout", line)),
            stderr: err.finish(|line| telemetry::log::child::wrote(pid, "stderr", line)),
        })
    }

    async fn life(
        &self,
        group: &mut Group,
        stop: impl Future<Output = ()>,
        process: &Process,
        grace: Duration,
    ) -> io::Result<Exit> {
        let began = process.began;
        let why = tokio::select! {
            biased;
            status = group.exited() => {
                let status = status?;
                group.reap().await;
                let outcome = if status.success() { Outcome::Completed } else { Outcome::Failed };
                return Ok(Exit { outcome, status: Some(status), forced: false, at: Instant::now() });
            }
            () = stop => Outcome::Killed,
            // Without a clock there is no limit: the child is ended rather than left without one.
            _ = sleep_until(began + process.limit) => Outcome::TimedOut,
        };
        let word = if why == Outcome::Killed { "stopped" } else { "timed out" };
        telemetry::log::child::ends(&self.name(), group.pid, word, began.elapsed());
        process.ending.store(true, Ordering::Relaxed);
        group.ask_to_end();
        let (status, forced) = match timeout(grace, group.exited()).await {
            Ok(status) => (Some(status?), false),
            Err(_) => (group.killed().await?, true),
        };
        group.reap().await;
        Ok(Exit { outcome: why, status, forced, at: Instant::now() })
    }

    /// Limit and grace, where this much is left of the scope it runs in.
    fn bounds(&self, left: Option<Duration>) -> (Duration, Duration) {
        let Some(left) = left else { return (self.limit, self.grace) };
        let grace = self.grace.min(left / 2);
        if self.limit + self.grace <= left {
            (self.limit, self.grace)
        } else {
            (self.limit.min(left - grace), grace)
        }
    }

    fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.args).env_clear();
        let inherited = self.inherited.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.envs(inherited).envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let stdin = if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn not_started(&self, error: &io::Error) -> Error {
        let name = self.name();
        if let Some(dir) = self.dir.as_ref().filter(|dir| !dir.is_dir()) {
            return Error::config(format!(
                "cannot start {name:?}: its working directory {dir:?} is no directory"
            ));
        }
        let kind = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => {
                ErrorKind::Config
            }
            _ => ErrorKind::Transport,
        };
        let found = match error.kind() {
            io::ErrorKind::NotFound => "no such command".to_owned(),
            _ => error.to_string(),
        };
        Error::new(kind, format!("cannot start {name:?}: {found}"))
    }
}

/// A process as an operator sees it, as long as it runs.
struct Process {
    command: String,
    pid: u32,
    began: Instant,
    limit: Duration,
    ending: AtomicBool,
}

impl View<ProcessView> for Process {
    fn view(&self, now: Instant) -> ProcessView {
        ProcessView {
            command: self.command.clone(),
            pid: self.pid,
            age: now.saturating_duration_since(self.began),
            limit: self.limit,
            ending: self.ending.load(Ordering::Relaxed),
        }
    }
}

struct Exit {
    outcome: Outcome,
    status: Option<ExitStatus>,
    forced: bool,
    at: Instant,
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, into: &mut Capture, pid: u32, stream: &'static str) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; 8 << 10];
    // An error is an end too: what the process did is told by its status.
    while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
        into.take(&chunk[..read], |line| telemetry::log::child::wrote(pid, stream, line));
    }
}
