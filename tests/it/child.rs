//! Child processes on the real system: what ignores SIGTERM, leaves others behind or does not read ends all the same.
#![cfg(unix)]

use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use unwedge::child::{Command, Outcome};
use unwedge::{ErrorKind, within};

const SECOND: Duration = Duration::from_secs(1);
/// What no test takes, however busy the machine.
const CEILING: Duration = Duration::from_secs(60);

fn sh(script: &str, limit: Duration) -> Command {
    Command::new("/bin/sh", limit).args(["-c", script]).inherit_env(["PATH"])
}

/// The numbers that a script wrote, one a line.
fn pids(text: &str) -> Vec<u32> {
    text.split_whitespace().map(|pid| pid.parse().unwrap_or_else(|_| panic!("{pid:?} is no pid"))).collect()
}

/// What the kernel still knows of a process; a zombie is shown with state Z.
fn known(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.trim().to_owned())
}

/// Runs no more, and if it is our child, is no zombie. An orphan is for the first process of the system to reap, and
/// not every container has one that does.
fn gone(pid: u32) -> bool {
    let Some(stat) = known(pid) else { return true };
    let mut fields = stat.split_whitespace();
    let (state, parent) = (fields.next(), fields.next());
    state == Some("Z") && parent != Some(&std::process::id().to_string())
}

async fn until_gone(pids: &[u32]) {
    let began = Instant::now();
    while !pids.iter().all(|pid| gone(*pid)) {
        assert!(began.elapsed() < CEILING, "{:?}", pids.iter().map(|pid| known(*pid)).collect::<Vec<_>>());
        sleep(Duration::from_millis(20)).await;
    }
}

const STUBBORN: &str = r#"trap "" TERM; sleep 1000 & echo $$ $!; while :; do sleep 1000; done"#;

#[tokio::test]
async fn a_child_that_ignores_sigterm_is_gone_after_limit_and_grace_with_its_grandchildren() {
    let (limit, grace) = (SECOND, SECOND / 2);
    let ended = timeout(CEILING, sh(STUBBORN, limit).grace(grace).run()).await.unwrap().unwrap();
    assert_eq!((ended.outcome, ended.forced), (Outcome::TimedOut, true));
    assert!(ended.took >= limit + grace, "{:?}", ended.took);
    assert!(ended.to_string().ends_with("killed after its grace"), "{ended}");
    let pids = pids(&ended.stdout.text());
    assert_eq!(pids.len(), 2);
    assert!(known(pids[0]).is_none(), "the child itself is reaped when run() returns");
    until_gone(&pids).await;
}

#[tokio::test]
async fn a_child_that_heeds_sigterm_has_its_grace_and_is_not_killed() {
    let script = r#"trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.05; done"#;
    let ended = timeout(CEILING, sh(script, SECOND).grace(CEILING).run()).await.unwrap().unwrap();
    assert_eq!((ended.outcome, ended.forced), (Outcome::TimedOut, false));
    assert_eq!(ended.status.and_then(|status| status.code()), Some(3));
    assert_eq!(ended.stdout.text(), "up\nbye\n");
}

#[tokio::test]
async fn what_a_child_leaves_behind_is_killed_when_it_ends_by_itself() {
    let ended = timeout(CEILING, sh("sleep 1000 & echo $!", CEILING).run()).await.unwrap().unwrap();
    assert_eq!(ended.outcome, Outcome::Completed);
    until_gone(&pids(&ended.stdout.text())).await;
}

#[tokio::test]
async fn a_run_that_is_dropped_takes_its_whole_group_along_and_leaves_no_zombie() {
    let dir = std::env::temp_dir().join(format!("unwedge-child-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("pids");
    let script = format!("{} > pids.new; mv pids.new pids; wait", STUBBORN.split("; while").next().unwrap());
    let run = sh(&script, CEILING).dir(&dir).run();
    let told = async {
        loop {
            if let Ok(text) = std::fs::read_to_string(&file) {
                break text;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let text = tokio::select! {
        ended = run => panic!("{ended:?}"),
        text = timeout(CEILING, told) => text.unwrap(),
    };
    std::fs::remove_dir_all(&dir).unwrap();
    until_gone(&pids(&text)).await;
}

/// Waits until the process before it has left the group, so that the end of the group does not reach it.
#[cfg(target_os = "linux")]
const LEAVES: &str = r#"setsid sleep 90 & pid=$!
until [ "$(cut -d' ' -f6 /proc/$pid/stat)" = "$pid" ]; do :; done
echo $pid"#;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_output_that_a_process_outside_of_the_group_holds_open_is_not_waited_for() {
    let began = Instant::now();
    let ended = timeout(CEILING, sh(LEAVES, CEILING).run()).await.expect("not waited for").unwrap();
    let left = pids(&ended.stdout.text());
    let lives = known(left[0]).is_some_and(|stat| !stat.starts_with('Z'));
    #[expect(clippy::disallowed_methods, reason = "kill waits for nobody")]
    let killed = std::process::Command::new("kill").args(["-9", &left[0].to_string()]).status().unwrap();
    assert!(lives && killed.success(), "it still held the output");
    assert_eq!((ended.outcome, ended.stdout.cut), (Outcome::Completed, 0));
    assert!(began.elapsed() >= SECOND, "what is on its way is read for a second");
}

#[tokio::test]
async fn a_child_that_is_stopped_is_killed_and_not_timed_out() {
    let (stop, stopped) = oneshot::channel::<()>();
    let run = sh("sleep 1000", CEILING).run_until(async {
        let _ = stopped.await;
    });
    stop.send(()).unwrap();
    let ended = timeout(CEILING, run).await.unwrap().unwrap();
    assert_eq!((ended.outcome, ended.forced), (Outcome::Killed, false));
}

#[tokio::test]
async fn the_scope_of_a_run_bounds_it_and_leaves_room_for_the_grace() {
    let scope = 6 * SECOND;
    let run = within(scope, sh("sleep 1000", CEILING).grace(CEILING).run());
    let ended = timeout(CEILING, run).await.unwrap().expect("ended before the scope did").unwrap();
    assert_eq!(ended.outcome, Outcome::TimedOut);
    assert!(ended.took >= scope / 3, "{:?}", ended.took);
}

#[tokio::test]
async fn how_a_child_ended_is_told_apart() {
    for (script, outcome, words) in [
        ("exit 0", Outcome::Completed, "completed"),
        ("exit 7", Outcome::Failed, "with exit status 7"),
        ("kill -9 $$", Outcome::Failed, "by signal 9"),
    ] {
        let ended = timeout(CEILING, sh(script, CEILING).run()).await.unwrap().unwrap();
        assert_eq!(ended.outcome, outcome, "{script}");
        assert!(ended.to_string().contains(words), "{ended}");
    }
}

#[tokio::test]
async fn the_end_of_a_long_output_is_kept_and_all_of_it_is_read() {
    let script = "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789012345678; i=$((i+1)); done; echo last; echo oops >&2";
    let ended = timeout(CEILING, sh(script, CEILING).keep_output(1000).run()).await.unwrap().unwrap();
    assert_eq!(ended.outcome, Outcome::Completed);
    assert_eq!(ended.stdout.bytes.len(), 1000);
    assert_eq!(ended.stdout.cut, 3000 * 50 + 5 - 1000);
    assert!(ended.stdout.text().ends_with("\nlast\n"));
    assert_eq!((ended.stderr.text().as_ref(), ended.stderr.cut), ("oops\n", 0));
}

#[tokio::test]
async fn an_input_larger_than_the_pipe_that_is_never_read_holds_nothing_up() {
    let input = vec![b'x'; 4 << 20];
    let ended = timeout(CEILING, sh("echo done", CEILING).stdin(input.clone()).run()).await.unwrap().unwrap();
    assert_eq!((ended.outcome, &*ended.stdout.text()), (Outcome::Completed, "done\n"));
    let ended = timeout(CEILING, sh("sleep 1000", SECOND).stdin(input.clone()).run()).await.unwrap().unwrap();
    assert_eq!(ended.outcome, Outcome::TimedOut);
    let ended = timeout(CEILING, sh("wc -c", CEILING).stdin(input).run()).await.unwrap().unwrap();
    assert_eq!(ended.stdout.text().trim(), (4 << 20).to_string());
}

#[tokio::test]
async fn a_child_that_closes_its_output_and_goes_on_is_waited_for() {
    let ended =
        timeout(CEILING, sh("exec >&- 2>&-; sleep 0.3; exit 4", CEILING).run()).await.unwrap().unwrap();
    assert_eq!(ended.status.and_then(|status| status.code()), Some(4));
}

#[tokio::test]
async fn a_child_sees_the_environment_and_directory_it_was_given_and_no_other() {
    let command = Command::new("/usr/bin/env", CEILING).env("INCIDENT_ID", "17");
    let ended = timeout(CEILING, command.run()).await.unwrap().unwrap();
    assert_eq!(ended.stdout.text(), "INCIDENT_ID=17\n");
    let ended = timeout(CEILING, Command::new("/bin/pwd", CEILING).dir("/").run()).await.unwrap().unwrap();
    assert_eq!(ended.stdout.text(), "/\n");
    let command = Command::new("/usr/bin/env", CEILING).inherit_env(["PATH"]).env("PATH", "/bin");
    let ended = timeout(CEILING, command.run()).await.unwrap().unwrap();
    assert_eq!(ended.stdout.text(), "PATH=/bin\n", "what is set wins over what is inherited");
}

#[tokio::test]
async fn what_cannot_be_started_is_named() {
    for (command, message) in [
        (Command::new("no-such-agent", SECOND), "cannot start \"no-such-agent\": no such command"),
        (
            Command::new("/bin/sh", SECOND).dir("/no-such-dir"),
            "cannot start \"/bin/sh\": its working directory \"/no-such-dir\" is no directory",
        ),
        (Command::new("/bin/sh", Duration::ZERO), "the limit of /bin/sh is 0 s: it must be longer than zero"),
        (Command::new("/bin/sh", SECOND).grace(Duration::MAX), "the longest duration is 10 years"),
        (Command::new("/", SECOND), "cannot start \"/\": Permission denied"),
    ] {
        let error = command.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn arguments_environment_and_input_are_not_shown() {
    let command = sh("secret", SECOND).env("TOKEN", "secret").stdin("secret");
    assert!(!format!("{command:?}").contains("secret"), "{command:?}");
}

#[test]
fn outside_of_a_runtime_it_is_an_error() {
    let run = std::pin::pin!(sh("true", SECOND).run());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = run.poll(&mut context) else { panic!("waits for nobody") };
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn on_a_runtime_without_its_timer_nothing_is_started() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let error = runtime.block_on(unwedge::child::Command::new("true", SECOND).run()).unwrap_err();
    assert!(error.is_config() && error.to_string().contains("enable_time"), "{error}");
}
