//! A long-running example while it runs: what it says is read line by line, and it is ended by a signal or by itself.

use crate::program::{CEILING, Ran, example, object, signal, text};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Killed when it is dropped.
pub(crate) struct Running {
    began: Instant,
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    reader: JoinSet<()>,
    seen: Vec<Value>,
}

impl Running {
    /// Starts an example with `--json` and waits until it is ready.
    pub(crate) async fn start(name: &str, args: &[&str]) -> Running {
        let began = Instant::now();
        let mut child = example(name).arg("--json").args(args).spawn().expect("the example can be started");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let stderr = Arc::default();
        let mut reader = JoinSet::new();
        // A pipe that nobody empties would hold up the program.
        reader.spawn(drain(child.stderr.take().expect("a pipe"), Arc::clone(&stderr)));
        let mut running = Running { began, child, stdout, stderr, reader, seen: Vec::new() };
        let first = running.next().await;
        assert_eq!(first["event"], "ready", "the first object: {}", running.told());
        running
    }

    /// The address of the server that it uses or is.
    pub(crate) fn server(&self) -> String {
        self.seen[0]["server"].as_str().expect("an address").to_owned()
    }

    /// Everything it has said so far, as far as it was read.
    pub(crate) fn seen(&self) -> &[Value] {
        &self.seen
    }

    /// Reads on to the next object of this name.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        self.until(name, |object| object["event"] == name).await
    }

    /// Reads on to the next object that is `wanted`.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let ends = Instant::now() + CEILING;
        loop {
            let object = self.next().await;
            if wanted(&object) {
                return object;
            }
            assert!(Instant::now() < ends, "no {what} within {CEILING:?}: {}", self.told());
        }
    }

    /// Sends it a signal, to it alone.
    pub(crate) async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    /// Waits until it is gone by itself.
    pub(crate) async fn end(mut self) -> Ran {
        while let Some(line) = self.line().await {
            self.seen.push(object(&line));
        }
        let ended =
            timeout(CEILING, self.child.wait()).await.expect("it ends").expect("it can be waited for");
        let _ = timeout(CEILING, self.reader.join_next()).await;
        let stdout = self.seen.iter().map(|object| format!("{object}\n")).collect();
        let stderr = text(&self.stderr.lock().unwrap());
        Ran { code: ended.code(), stdout, stderr, took: self.began.elapsed(), peak: 0 }
    }

    /// Ends it as an operator would, and it has to end well.
    pub(crate) async fn stop(self) -> Ran {
        self.signal("TERM").await;
        let ran = self.end().await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let last = ran.objects().pop().unwrap_or_default();
        assert_eq!((&last["event"], &last["exit"]), (&"done".into(), &0.into()), "{ran:?}");
        ran
    }

    async fn next(&mut self) -> Value {
        match self.line().await {
            Some(line) => {
                self.seen.push(object(&line));
                self.seen[self.seen.len() - 1].clone()
            }
            None => panic!("it is over too early: {}", self.told()),
        }
    }

    async fn line(&mut self) -> Option<String> {
        match timeout(CEILING, self.stdout.next_line()).await {
            Ok(line) => line.expect("a pipe can be read"),
            Err(_) => panic!("nothing was said for {CEILING:?}: {}", self.told()),
        }
    }

    fn told(&self) -> String {
        let last: Vec<String> = self.seen.iter().rev().take(20).rev().map(ToString::to_string).collect();
        format!("\n{}\nand on standard error:\n{}", last.join("\n"), text(&self.stderr.lock().unwrap()))
    }
}

async fn drain(mut stderr: ChildStderr, all: Arc<Mutex<Vec<u8>>>) {
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = stderr.read(&mut piece).await {
        all.lock().unwrap().extend_from_slice(&piece[..n]);
    }
}
