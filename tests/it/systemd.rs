//! What systemd is told by a program that ends one crew and starts the next, by one that gives up, and by one that has no
//! descriptor left.

use crate::no_descriptors::fill;
use crate::processes::{again, runtime};
use crate::program::CEILING;
use crate::support::{MS, SECOND};
use std::future::ready;
use std::os::unix::net;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::{Child, ChildStdout};
use tokio::time::{sleep, timeout};
use unwedge::supervise::{Asked, Escalation, Policy, Supervisor, ctrl_c};

/// In the name of its folder: that of a socket has at most 107 bytes.
static UNITS: AtomicU32 = AtomicU32::new(0);

/// A process that systemd would listen to.
struct Unit {
    dir: PathBuf,
    /// The same one twice: to wait for a word, and to look for one.
    socket: (UnixDatagram, net::UnixDatagram),
    child: Child,
    stdout: tokio::io::Lines<BufReader<ChildStdout>>,
}

/// This test again, in a unit whose watchdog waits for 1.5 s: a word each half second, of which the kernel keeps ten.
fn unit(test: &str, plays: impl FnOnce()) -> Option<(tokio::runtime::Runtime, Unit)> {
    let name = format!("systemd::{test}");
    let mut command = again(&name, plays)?;
    let runtime = runtime();
    let unit = {
        let _inside = runtime.enter();
        let dir = std::env::temp_dir().join(format!(
            "unwedge-{}-{}",
            std::process::id(),
            UNITS.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir_all(&dir).unwrap();
        let socket = net::UnixDatagram::bind(dir.join("socket")).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = (UnixDatagram::from_std(socket.try_clone().unwrap()).unwrap(), socket);
        command.env("NOTIFY_SOCKET", dir.join("socket")).env("WATCHDOG_USEC", "1500000");
        command.env_remove("WATCHDOG_PID");
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Unit { dir, socket, child, stdout }
    };
    Some((runtime, unit))
}

impl Unit {
    async fn word(&self) -> String {
        let mut word = [0; 64];
        let read = timeout(CEILING, self.socket.0.recv(&mut word)).await.expect("a word in time").unwrap();
        String::from_utf8_lossy(&word[..read]).trim().to_owned()
    }

    /// A word that is there already.
    fn said(&self) -> Option<String> {
        let mut word = [0; 64];
        let read = self.socket.1.recv(&mut word).ok()?;
        Some(String::from_utf8_lossy(&word[..read]).trim().to_owned())
    }

    /// All words up to its end but those for the watchdog, and its exit code.
    async fn ends(mut self) -> (Vec<String>, Option<i32>) {
        let (mut words, mut word) = (Vec::new(), [0; 64]);
        let status = loop {
            tokio::select! {
                read = self.socket.0.recv(&mut word) => {
                    words.push(String::from_utf8_lossy(&word[..read.unwrap()]).trim().to_owned());
                }
                status = self.child.wait() => break status.unwrap(),
            }
        };
        words.extend(std::iter::from_fn(|| self.said()));
        std::fs::remove_dir_all(&self.dir).unwrap();
        words.retain(|word| word != "WATCHDOG=1");
        (words, status.code())
    }
}

/// A crew until this is ready.
async fn crew<S: Into<Asked>>(ends: impl Future<Output = S>) {
    let mut crew = Supervisor::new();
    crew.spawn("relay", SECOND, |heart| async move { heart.cancelled().await });
    crew.run_until(ends, SECOND).await.unwrap();
}

fn ends_itself() {
    let sent = std::process::Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_crew_that_others_follow_does_not_end_the_unit_and_the_signal_does() {
    let name = "a_crew_that_others_follow_does_not_end_the_unit_and_the_signal_does";
    let unit = unit(name, || {
        runtime().block_on(async {
            crew(ready(())).await;
            crew(sleep(30 * MS)).await;
            // Settings that were read anew.
            crew(async {
                sleep(30 * MS).await;
                "SIGHUP"
            })
            .await;
            // Its only loop is over.
            let mut over = Supervisor::new();
            over.spawn("once", SECOND, |_| ready(())).on_return(unwedge::supervise::OnReturn::Stop);
            over.run_until(std::future::pending::<()>(), SECOND).await.unwrap();
            let both = async {
                sleep(30 * MS).await;
                ends_itself();
                std::future::pending::<()>().await
            };
            tokio::select! { () = crew(ctrl_c()) => {}, () = both => {} }
        });
    });
    if let Some((runtime, unit)) = unit {
        let (words, _) = runtime.block_on(unit.ends());
        assert_eq!(words, ["READY=1", "READY=1", "READY=1", "READY=1", "STOPPING=1"]);
    }
}

#[test]
fn an_escalation_that_ends_the_process_ends_the_unit() {
    let unit = unit("an_escalation_that_ends_the_process_ends_the_unit", || {
        let mut crew = Supervisor::new();
        crew.escalate(Escalation::Exit(70));
        crew.spawn("scheduler", SECOND, |_| ready(Err::<(), _>("refused")))
            .policy(Policy::default().intensity(0, SECOND));
        runtime().block_on(crew.run_until(std::future::pending::<()>(), SECOND)).unwrap();
    });
    if let Some((runtime, unit)) = unit {
        let (words, code) = runtime.block_on(unit.ends());
        assert_eq!((words, code), (vec!["READY=1".to_owned(), "STOPPING=1".to_owned()], Some(70)));
    }
}

#[test]
fn a_program_without_a_descriptor_left_still_says_that_it_lives_and_that_it_ends() {
    let name = "a_program_without_a_descriptor_left_still_says_that_it_lives_and_that_it_ends";
    let unit = unit(name, || {
        let mut crew = Supervisor::new();
        crew.spawn("relay", SECOND, |heart| async move {
            let files = fill();
            println!("\n{}", if files.is_some() { "full" } else { "skipped" });
            heart.cancelled().await;
            drop(files);
        });
        runtime().block_on(crew.run_until(ctrl_c(), SECOND)).unwrap();
    });
    let Some((runtime, mut unit)) = unit else { return };
    runtime.block_on(async {
        let mut line = String::new();
        while !["full", "skipped"].contains(&line.as_str()) {
            line = timeout(CEILING, unit.stdout.next_line()).await.expect("a line in time").unwrap().unwrap();
        }
        // What was said before.
        while unit.said().is_some() {}
        for _ in 0..3 {
            assert_eq!(unit.word().await, "WATCHDOG=1");
        }
        crate::program::signal(&unit.child, "TERM").await;
        let (words, code) = unit.ends().await;
        assert_eq!((words, code), (vec!["STOPPING=1".to_owned()], Some(0)));
    });
}
