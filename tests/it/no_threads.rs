//! A machine that gives no more threads, as in a control group that is full.

use crate::processes::{again, plays_well, runtime};
use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use unwedge::Client;
use unwedge::supervise::{Signals, Supervisor};

const CEILING: Duration = Duration::from_secs(60);

/// From here on this process has no memory for the stack of another thread. False where that cannot be arranged.
fn no_more_threads() -> bool {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = pages.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or_default();
    let most = pages * 4096 + (256 << 10);
    let pid = std::process::id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--as={most}:{most}")]).status();
    let limited = limited.is_ok_and(|status| status.success());
    let given = std::thread::Builder::new().spawn(|| ()).is_ok();
    if !limited || given {
        println!("skipped: threads cannot be withheld here");
    }
    limited && !given
}

#[test]
fn without_a_thread_for_signals_there_is_an_error_and_they_keep_their_effect() {
    let name = "no_threads::without_a_thread_for_signals_there_is_an_error_and_they_keep_their_effect";
    let command = again(name, || {
        // Started beforehand, since a process cannot be started later.
        let pid = std::process::id();
        let mut kill = Command::new("sh");
        let mut kill = kill.args(["-c", &format!("read line; kill -TERM {pid}")]);
        kill = kill.stdin(std::process::Stdio::piped());
        #[expect(clippy::zombie_processes, reason = "this process ends first")]
        let mut kill = kill.spawn().unwrap();
        if !no_more_threads() {
            return;
        }
        assert!(Signals::install().is_err());
        std::io::Write::write_all(&mut kill.stdin.take().unwrap(), b"now\n").unwrap();
        std::thread::sleep(CEILING);
        unreachable!("the signal had no effect");
    });
    let Some(mut command) = command else { return };
    // Its output is read: a child whose output is closed ends by that.
    let ran = runtime().block_on(async { timeout(CEILING / 2, command.output()).await });
    let ran = ran.expect("it ends").unwrap();
    let ended = ran.status.success() || ran.status.signal() == Some(15);
    assert!(ended, "skipped, or ended by the signal: {ran:?}");
}

/// A process that terminates this one when it is written to, started while one can be.
fn prepared() -> std::process::Child {
    let script = format!("read line && kill -TERM {}", std::process::id());
    let mut kill = Command::new("sh");
    kill.args(["-c", &script]).stdin(std::process::Stdio::piped()).spawn().unwrap()
}

#[test]
fn without_a_thread_a_signal_that_nobody_takes_has_its_effect_no_sooner_than_else() {
    let name = "no_threads::without_a_thread_a_signal_that_nobody_takes_has_its_effect_no_sooner_than_else";
    let command = again(name, || {
        let _signals = Signals::install().unwrap();
        #[expect(clippy::zombie_processes, reason = "this process ends with it")]
        let mut kill = prepared();
        if !no_more_threads() {
            return;
        }
        println!("\nplays");
        std::io::Write::write_all(&mut kill.stdin.take().unwrap(), b"now\n").unwrap();
        std::thread::sleep(CEILING);
        unreachable!("the signal had no effect");
    });
    let Some(mut command) = command else { return };
    let began = Instant::now();
    let ran = runtime().block_on(async { timeout(CEILING / 2, command.output()).await });
    let ran = ran.expect("it ends").unwrap();
    if ran.status.success() && !String::from_utf8_lossy(&ran.stdout).contains("plays") {
        return;
    }
    assert_eq!(ran.status.signal(), Some(15), "{ran:?}");
    assert!(began.elapsed() >= Duration::from_secs(1), "it had its second: {:?}", began.elapsed());
}

#[test]
fn a_first_signal_that_is_waited_for_needs_no_thread_and_is_an_orderly_end() {
    let name = "no_threads::a_first_signal_that_is_waited_for_needs_no_thread_and_is_an_orderly_end";
    let command = again(name, || {
        let signals = Signals::install().unwrap();
        let runtime = runtime();
        #[expect(clippy::zombie_processes, reason = "this process ends with it")]
        let mut kill = prepared();
        if !no_more_threads() {
            return;
        }
        let asked = runtime.block_on(async {
            let mut asked = std::pin::pin!(signals.asked());
            std::future::poll_fn(|cx| std::task::Poll::Ready(asked.as_mut().poll(cx).is_ready())).await;
            std::io::Write::write_all(&mut kill.stdin.take().unwrap(), b"now\n").unwrap();
            timeout(CEILING / 2, asked).await.expect("it is told").name()
        });
        assert_eq!(asked, "SIGTERM");
    });
    if let Some(command) = command {
        runtime().block_on(plays_well(command));
    }
}

#[test]
fn without_a_thread_a_name_cannot_be_resolved_and_a_crew_not_watched_which_are_errors() {
    let name =
        "no_threads::without_a_thread_a_name_cannot_be_resolved_and_a_crew_not_watched_which_are_errors";
    let command = again(name, || {
        let client = Client::builder().retry(unwedge::retry::Settings::default().max_retries(0));
        let client = client.build().unwrap();
        let runtime = runtime();
        if !no_more_threads() {
            return;
        }
        runtime.block_on(async {
            let error = client.get("http://localhost:9/").send().await.unwrap_err();
            assert!(error.is_connect(), "{error}");
            let circuit = client.breakers().snapshot();
            assert_eq!(circuit[0].consecutive_failures, 0, "it says nothing about the server: {error}");
            let mut crew = Supervisor::new();
            crew.spawn("relay", CEILING, |heart| async move { heart.cancelled().await });
            let error = crew.run_until(std::future::pending::<()>(), CEILING).await.unwrap_err();
            assert!(error.is_config() && error.to_string().contains("thread of the watchdog"), "{error}");
        });
    });
    if let Some(command) = command {
        runtime().block_on(plays_well(command));
    }
}
