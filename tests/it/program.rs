//! The built examples, run as a user runs them.

mod built;

use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, timeout};

/// No run of an example may take longer, whatever it meets.
pub(crate) const CEILING: Duration = Duration::from_secs(60);

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// From before the process was started until it was gone.
    pub(crate) took: Duration,
    /// The most memory that was seen resident, in KiB; 0 where the system does not say it.
    pub(crate) peak: u64,
}

impl Ran {
    /// Every line of standard output as an object.
    pub(crate) fn objects(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(object).collect()
    }
}

/// A line of standard output.
pub(crate) fn object(line: &str) -> serde_json::Value {
    let value: serde_json::Value = serde_json::from_str(line)
        .unwrap_or_else(|error| panic!("standard output has {line:?}, which is no JSON: {error}"));
    assert!(value.is_object(), "{line:?} is no object");
    value
}

/// An example beside this test binary, built from the source as it is.
pub(crate) fn example(name: &str) -> Command {
    let mut command = Command::new(built::example(name));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env_remove("NO_COLOR").env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
}

/// Runs an example to its end.
pub(crate) async fn run(name: &str, args: &[&str]) -> Ran {
    let mut command = example(name);
    let began = Instant::now();
    let child = command.args(args).spawn().expect("the example can be started");
    finish(child, began).await
}

/// This command line ends with two, says this on standard error, and nothing on standard output.
pub(crate) async fn refused_by(mut program: Command, args: &[&str], said: &str) {
    let began = Instant::now();
    let ran = finish(program.args(args).spawn().expect("it can be started"), began).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}: {ran:?}");
    assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
}

/// Each of these command lines ends with two, says this on standard error, and nothing on standard output.
pub(crate) async fn refused(name: &str, lines: &[(&[&str], &str)]) {
    for (args, said) in lines {
        refused_by(example(name), args, said).await;
    }
}

/// Reads what a process says until it is gone, and watches its memory.
pub(crate) async fn finish(mut child: Child, began: Instant) -> Ran {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let status =
        std::path::Path::new("/proc").join(child.id().unwrap_or_default().to_string()).join("status");
    let mut peak = 0;
    let mut tick = interval(Duration::from_millis(10));
    let ended = async {
        loop {
            tokio::select! {
                ended = child.wait() => return ended.expect("a child can be waited for"),
                _ = tick.tick() => peak = resident(&status).unwrap_or(0).max(peak),
            }
        }
    };
    let all = async { tokio::join!(ended, read(stdout), read(stderr)) };
    let (ended, stdout, stderr) = timeout(CEILING, all).await.expect("an example ends");
    Ran { code: ended.code(), stdout, stderr, took: began.elapsed(), peak }
}

/// The high-water mark of a process. It only grows, so the last look has seen all but the last few milliseconds.
fn resident(status: &std::path::Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        from.read_to_end(&mut bytes).await.expect("a pipe can be read");
    }
    text(&bytes)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Sends a signal to this process alone.
#[cfg(unix)]
pub(crate) async fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args([&format!("-{name}"), &*pid]).status().await;
    assert!(sent.expect("kill can be run").success());
}
