//! The process around the loops: a second signal, a hang-up, an end before it began, and process 1 of a container.

use crate::event_runner::{Notes, events, runner};
use crate::program::{CEILING, example, finish, signal};
use crate::running::Running;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// Whether this process does anything: a zombie does not.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

pub(crate) async fn until(what: &str, mut met: impl FnMut() -> bool) {
    let ends = Instant::now() + CEILING;
    while !met() {
        assert!(Instant::now() < ends, "{what}: not within {CEILING:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_leaves_no_child_alive_also_in_groups_of_their_own_that_ignore_the_first() {
    let notes = Notes::new("second");
    let server = events("127.0.0.1:0", 4, "1ms").await;
    let script = r#"trap '' TERM HUP INT; echo $$ >> "$0"; while :; do sleep 0.2; done"#;
    let args = ["--agents", "4", "--shutdown-timeout", "300"];
    let runner = runner(&server.server(), &args, script, notes.path()).await;
    until("four agents", || notes.lines().len() == 4).await;
    runner.signal("TERM").await;
    sleep(Duration::from_millis(200)).await;
    runner.signal("TERM").await;
    let ran = runner.end().await;
    server.stop().await;
    assert_ne!(ran.code, Some(0), "{ran:?}");
    for pid in notes.lines() {
        until("an agent is gone", || !is_alive(&pid)).await;
    }
}

/// Whether whoever started the tests told them to ignore SIGHUP, as nohup does: programs that they start then ignore it too.
pub(crate) fn hang_ups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap_or_default() & 1 == 1;
    if ignored {
        println!("skipped: SIGHUP is ignored here");
    }
    ignored
}

#[tokio::test]
async fn a_hang_up_is_an_orderly_end() {
    if hang_ups_are_ignored() {
        return;
    }
    let daemon = Running::start("patrol_loop", &["--every", "1s", "--limit", "500ms"]).await;
    daemon.signal("HUP").await;
    let ran = daemon.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.objects().pop().unwrap()["event"], "done");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_hang_up_that_was_ignored_at_the_start_stays_ignored() {
    let path = example("patrol_loop").as_std().get_program().to_owned();
    let mut nohup = Command::new("sh");
    nohup.args(["-c", r#"trap '' HUP; exec "$0" --json --for 3s --every 1s --limit 500ms"#]).arg(path);
    nohup.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let began = Instant::now();
    let mut daemon = nohup.spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(daemon.stdout.take().unwrap()).lines();
    let mut last = lines.next_line().await.unwrap().expect("it says that it is ready");
    signal(&daemon, "HUP").await;
    while let Some(line) = timeout(CEILING, lines.next_line()).await.expect("it ends").unwrap() {
        last = line;
    }
    assert!(last.contains(r#""event":"done","#) && began.elapsed() >= Duration::from_secs(3), "{last}");
}

/// A test of this file again in a process of its own, which `plays` and ends well. `None` in that process.
fn in_its_own_process(name: &str, plays: impl FnOnce()) -> Option<Command> {
    again(&format!("processes::{name}"), plays)
}

/// The same for any test.
pub(crate) fn again(path: &str, plays: impl FnOnce()) -> Option<Command> {
    const WORD: &str = "UNWEDGE_TEST_PLAYS";
    if std::env::var_os(WORD).is_some() {
        plays();
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([path, "--exact", "--nocapture"]).env(WORD, "1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Some(command)
}

pub(crate) async fn plays_well(mut command: Command) {
    let began = Instant::now();
    let ran = finish(command.spawn().unwrap(), began).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// Sends it to this process, and returns when it was sent.
pub(crate) fn to_itself(name: &str) {
    let pid = std::process::id().to_string();
    let sent = std::process::Command::new("kill").args([&format!("-{name}"), &*pid]).status();
    assert!(sent.unwrap().success());
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_signal_from_before_the_loops_ran_is_not_lost_and_ends_them_at_once() {
    let name = "a_signal_from_before_the_loops_ran_is_not_lost_and_ends_them_at_once";
    let command = in_its_own_process(name, || {
        let signals = unwedge::supervise::Signals::install().unwrap();
        to_itself("TERM");
        let report = runtime().block_on(async {
            let mut crew = unwedge::supervise::Supervisor::new();
            crew.spawn("relay", CEILING, |heart| async move { heart.cancelled().await });
            crew.run_until(signals.asked(), CEILING).await.unwrap()
        });
        assert_eq!((report.signal, report.clean, report.exit_code()), (Some("SIGTERM"), true, 0));
    });
    if let Some(command) = command {
        runtime().block_on(plays_well(command));
    }
}

#[test]
fn a_hang_up_that_the_program_asked_to_be_told_of_ends_nothing() {
    if hang_ups_are_ignored() {
        return;
    }
    let command = in_its_own_process("a_hang_up_that_the_program_asked_to_be_told_of_ends_nothing", || {
        let signals = unwedge::supervise::Signals::install().unwrap();
        let mut hangups = signals.hangups();
        runtime().block_on(async {
            for _ in 0..2 {
                to_itself("HUP");
                timeout(CEILING, hangups.recv()).await.expect("it is told");
            }
            // The next signal is the first that asks for the end.
            to_itself("TERM");
            assert_eq!(timeout(CEILING, signals.asked()).await.unwrap().name(), "SIGTERM");
        });
    });
    if let Some(command) = command {
        runtime().block_on(plays_well(command));
    }
}

#[test]
fn the_panic_hook_of_the_program_still_hears_of_supervised_loops() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    let command = in_its_own_process("the_panic_hook_of_the_program_still_hears_of_supervised_loops", || {
        let heard = Arc::<AtomicU32>::default();
        let counted = Arc::clone(&heard);
        std::panic::set_hook(Box::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        }));
        runtime().block_on(async {
            let mut crew = unwedge::supervise::Supervisor::new();
            let mut events = crew.events();
            crew.spawn("relay", CEILING, |_| async { panic!("a tenant without a name") });
            let panicked = async move {
                while !matches!(events.recv().await, Ok(unwedge::supervise::Event::Panicked { .. })) {}
            };
            crew.run_until(panicked, CEILING).await.unwrap();
        });
        drop(std::panic::take_hook());
        assert_eq!(heard.load(Ordering::SeqCst), 1);
    });
    if let Some(command) = command {
        runtime().block_on(plays_well(command));
    }
}

/// A program of its own in which the library listens to signals and nobody takes them: this test binary again.
fn deaf(name: &str) -> Option<Command> {
    const WORD: &str = "UNWEDGE_TEST_IS_DEAF";
    if std::env::var_os(WORD).is_some() {
        let _signals = unwedge::supervise::Signals::install().unwrap();
        println!("starting");
        loop {
            std::thread::park();
        }
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("processes::{name}"), "--exact", "--nocapture"]).env(WORD, "1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Some(command)
}

#[tokio::test]
async fn a_signal_during_a_slow_start_that_nobody_takes_has_its_default_effect() {
    use std::os::unix::process::ExitStatusExt;
    let Some(mut deaf) = deaf("a_signal_during_a_slow_start_that_nobody_takes_has_its_default_effect") else {
        return;
    };
    let mut starting = deaf.spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(starting.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().expect("it says that it starts").contains("starting") {}
    signal(&starting, "TERM").await;
    let status = timeout(CEILING, starting.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.signal(), Some(15), "{status:?}");
}

/// A process 1 of its own, where this machine allows it.
#[cfg(target_os = "linux")]
fn as_process_one(script: &str) -> Option<Command> {
    let mut can = std::process::Command::new("unshare");
    can.args(["--pid", "--fork", "--mount-proc", "true"]);
    if !can.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("skipped: no process namespace of its own can be had here");
        return None;
    }
    let path = example("supervised_platform").as_std().get_program().to_owned();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script]).arg(path);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Some(command)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn process_one_reaps_what_was_left_to_it_within_fifteen_seconds() {
    // The shell leaves a process behind, whose number it writes down, and becomes the program.
    let Some(mut command) = as_process_one(r#"sleep 1 & exec "$0" --json --for 18s"#) else { return };
    let began = Instant::now();
    let one = command.spawn().unwrap();
    let outer = one.id().unwrap();
    let zombies = || {
        let children = |pid: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default()
        };
        let first = children(&outer.to_string());
        let Some(first) = first.split_ascii_whitespace().next().map(str::to_owned) else { return 0 };
        let of_first = children(&first);
        of_first
            .split_ascii_whitespace()
            .filter(|pid| Path::new("/proc").join(pid).exists() && !is_alive(pid))
            .count()
    };
    until("a zombie", || zombies() == 1).await;
    let since = Instant::now();
    until("nobody is left", || zombies() == 0).await;
    let left = since.elapsed();
    assert!(left < Duration::from_secs(15), "{left:?}");
    let ran = finish(one, began).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// A test in a process of its own that is process 1 besides, where this machine allows it.
#[cfg(target_os = "linux")]
pub(crate) fn plays_well_as_process_one(command: &Command) {
    if as_process_one("").is_none() {
        return;
    }
    let mut one = Command::new("unshare");
    one.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(command.as_std().get_program());
    one.args(command.as_std().get_args()).env("UNWEDGE_TEST_PLAYS", "1");
    one.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    runtime().block_on(plays_well(one));
}

#[cfg(target_os = "linux")]
#[test]
fn process_one_leaves_the_status_of_a_child_to_whoever_waits_for_it_within_ten_seconds() {
    let name = "process_one_leaves_the_status_of_a_child_to_whoever_waits_for_it_within_ten_seconds";
    let command = in_its_own_process(name, || {
        assert_eq!(std::process::id(), 1);
        let mut child = std::process::Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
        let crew = async {
            let mut crew = unwedge::supervise::Supervisor::new();
            crew.spawn("relay", CEILING, |heart| async move { heart.cancelled().await });
            crew.run_until(sleep(Duration::from_secs(9)), CEILING).await.unwrap()
        };
        runtime().block_on(crew);
        assert_eq!(child.wait().unwrap().code(), Some(7));
    });
    if let Some(command) = command {
        plays_well_as_process_one(&command);
    }
}

/// A process that this one, as process 1, inherits and that has ended: it stays a zombie until somebody takes it.
#[cfg(target_os = "linux")]
fn zombie() -> String {
    let mut shell = std::process::Command::new("sh");
    let left = shell.args(["-c", "sleep 0 > /dev/null & echo $!"]).output().unwrap();
    String::from_utf8(left.stdout).unwrap().trim().to_owned()
}

#[cfg(target_os = "linux")]
#[test]
fn process_one_leaves_every_zombie_alone_where_it_was_told_so() {
    let name = "process_one_leaves_every_zombie_alone_where_it_was_told_so";
    let command = in_its_own_process(name, || {
        assert_eq!(std::process::id(), 1);
        let pid = zombie();
        // Longer than zombies are left to others, and than the next look at them.
        for (reap, length, left) in [(false, 14, true), (true, 14, false)] {
            runtime().block_on(async {
                let mut crew = unwedge::supervise::Supervisor::new();
                crew.reap(reap).spawn("relay", CEILING, |heart| async move { heart.cancelled().await });
                crew.run_until(sleep(Duration::from_secs(length)), CEILING).await.unwrap()
            });
            assert!(!is_alive(&pid), "it has ended");
            assert_eq!(Path::new("/proc").join(&pid).exists(), left, "reap({reap})");
        }
    });
    if let Some(command) = command {
        plays_well_as_process_one(&command);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn process_one_ends_at_a_signal_that_came_before_its_loops_ran() {
    let Some(mut command) = as_process_one(r#"exec "$0" --json --for 60s"#) else { return };
    let began = Instant::now();
    let one = command.spawn().unwrap();
    let children = || {
        let outer = one.id().unwrap_or_default();
        std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap_or_default()
    };
    let is_the_program = |pid: &str| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.starts_with("supervised_plat")
    };
    until("the program", || children().split_ascii_whitespace().any(is_the_program)).await;
    // As early as it can be caught: once per try, until it has a handler.
    let first = children().split_ascii_whitespace().next().unwrap().to_owned();
    while is_alive(&first) {
        let _ = Command::new("kill").args(["-TERM", &first]).stderr(Stdio::null()).status().await;
        sleep(Duration::from_millis(20)).await;
        assert!(began.elapsed() < CEILING, "it does not hear");
    }
    let ran = finish(one, began).await;
    assert!(ran.took < Duration::from_secs(60), "{ran:?}");
}
