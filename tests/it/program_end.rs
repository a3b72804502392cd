//! How a program ends: at a signal, whoever takes it, and with what it started. Each in a process of its own.

use crate::event_runner::Notes;
use crate::processes::{again, hang_ups_are_ignored, plays_well, runtime, to_itself};
use crate::program::CEILING;
use std::future::{Future, pending};
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use unwedge::supervise::{Signals, Supervisor};
use unwedge::{child, supervise};

/// Longer than a signal waits for somebody to take it.
const LONG: Duration = Duration::from_millis(1600);

/// This test again in a process of its own, `None` in that process.
fn alone(name: &str, plays: impl FnOnce()) -> Option<Command> {
    again(&format!("program_end::{name}"), plays)
}

fn ends_well(name: &str, plays: impl FnOnce()) {
    if let Some(command) = alone(name, plays) {
        runtime().block_on(plays_well(command));
    }
}

/// Its output is read: a process whose output is closed ends by that.
async fn status(mut command: Command) -> ExitStatus {
    timeout(CEILING, command.output()).await.expect("it ends").unwrap().status
}

/// A crew of one loop, which does this when it starts, and needs so long to end.
fn crew(starts: fn(), drain: Duration) -> Supervisor {
    let mut crew = Supervisor::new();
    crew.spawn("relay", CEILING, move |heart| async move {
        starts();
        heart.cancelled().await;
        sleep(drain).await;
    });
    crew
}

fn terminates() {
    to_itself("TERM");
}

#[test]
fn a_crew_that_a_handler_of_the_program_ends_has_all_of_its_grace() {
    ends_well("a_crew_that_a_handler_of_the_program_ends_has_all_of_its_grace", || {
        let _signals = Signals::install().unwrap();
        let report = runtime().block_on(async {
            let mut own = signal(SignalKind::terminate()).unwrap();
            let own = async move {
                own.recv().await;
            };
            crew(terminates, LONG).run_until(own, CEILING).await.unwrap()
        });
        assert_eq!((report.signal, report.clean), (Some("asked"), true));
        assert!(report.took >= LONG, "{report:?}");
    });
}

#[test]
fn what_a_program_does_after_the_crew_that_a_signal_ended_belongs_to_the_same_end() {
    ends_well("what_a_program_does_after_the_crew_that_a_signal_ended_belongs_to_the_same_end", || {
        let _signals = Signals::install().unwrap();
        runtime().block_on(async {
            let mut own = signal(SignalKind::terminate()).unwrap();
            tokio::select! {
                report = crew(terminates, LONG).run_until(pending::<()>(), CEILING) => panic!("{report:?}"),
                _ = own.recv() => sleep(LONG).await,
            }
        });
    });
}

#[test]
fn a_crew_ends_in_order_at_a_signal_that_nobody_answers() {
    ends_well("a_crew_ends_in_order_at_a_signal_that_nobody_answers", || {
        let _signals = Signals::install().unwrap();
        let report = runtime()
            .block_on(async { crew(terminates, LONG).run_until(pending::<()>(), CEILING).await.unwrap() });
        assert_eq!((report.signal, report.clean), (Some("SIGTERM"), true));
        assert!(report.took >= LONG, "{report:?}");
    });
}

#[test]
fn a_crew_leaves_a_signal_to_the_part_of_the_program_that_took_it() {
    ends_well("a_crew_leaves_a_signal_to_the_part_of_the_program_that_took_it", || {
        let signals = Signals::install().unwrap();
        let report = runtime().block_on(async {
            // As where it first tells a load balancer to send it no more.
            let later = async move {
                signals.asked().await;
                sleep(LONG).await;
            };
            let later = tokio::spawn(later);
            let later = async move { later.await.unwrap() };
            crew(terminates, Duration::ZERO).run_until(later, CEILING).await.unwrap()
        });
        assert_eq!((report.signal, report.clean), (Some("asked"), true));
    });
}

#[test]
fn two_signals_at_once_are_one_request_and_cost_no_grace() {
    fn both() {
        // At once: two programs that send one each may be a tenth of a second apart on a busy machine.
        use nix::sys::signal::{Signal, kill};
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            kill(nix::unistd::Pid::this(), signal).unwrap();
        }
    }
    ends_well("two_signals_at_once_are_one_request_and_cost_no_grace", || {
        let signals = Signals::install().unwrap();
        let crew = crew(both, LONG);
        let report = runtime().block_on(async { crew.run_until(signals.asked(), CEILING).await.unwrap() });
        assert!(report.clean && report.took >= LONG, "{report:?}");
    });
}

#[test]
fn a_hang_up_during_a_reload_ends_nothing_and_is_told_of_by_the_next_receiver() {
    if hang_ups_are_ignored() {
        return;
    }
    ends_well("a_hang_up_during_a_reload_ends_nothing_and_is_told_of_by_the_next_receiver", || {
        let signals = Signals::install().unwrap();
        drop(signals.hangups());
        runtime().block_on(async {
            for _ in 0..2 {
                // Heard while there is no receiver.
                to_itself("HUP");
                sleep(Duration::from_millis(200)).await;
                timeout(CEILING, signals.hangups().recv()).await.expect("it is told");
            }
            let nothing = timeout(Duration::from_millis(200), signals.hangups().recv()).await;
            assert!(nothing.is_err(), "the last one was told of already");
            to_itself("TERM");
            assert_eq!(timeout(CEILING, signals.asked()).await.unwrap().name(), "SIGTERM");
        });
    });
}

/// Waits for ever for somebody who reads what is logged.
struct Stuck;

impl tracing::Subscriber for Stuck {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        parks();
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// Does nothing for ever, for all that the test has time for.
fn parks() -> ! {
    std::thread::sleep(2 * CEILING);
    panic!("it went on")
}

#[test]
fn a_log_that_is_stuck_does_not_hold_up_the_end_that_nobody_takes() {
    let command = alone("a_log_that_is_stuck_does_not_hold_up_the_end_that_nobody_takes", || {
        tracing::subscriber::set_global_default(Stuck).unwrap();
        let _signals = Signals::install().unwrap();
        to_itself("TERM");
        parks();
    });
    if let Some(command) = command {
        let status = runtime().block_on(status(command));
        assert_eq!(status.signal(), Some(15), "{status:?}");
    }
}

#[test]
fn a_second_signal_ends_a_program_whose_own_exit_hangs() {
    struct Hangs;

    impl Drop for Hangs {
        fn drop(&mut self) {
            parks();
        }
    }

    thread_local! {
        static HANGS: Hangs = const { Hangs };
    }

    let command = alone("a_second_signal_ends_a_program_whose_own_exit_hangs", || {
        let signals = Signals::install().unwrap();
        let (say, taken) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            runtime().block_on(signals.asked());
            say.send(()).unwrap();
            HANGS.with(|_| ());
            std::process::exit(0);
        });
        // No sooner is a second one a request of its own.
        while taken.try_recv().is_err() {
            to_itself("TERM");
            std::thread::sleep(Duration::from_millis(200));
        }
        to_itself("TERM");
        parks();
    });
    if let Some(command) = command {
        let status = runtime().block_on(status(command));
        assert_eq!(status.code(), Some(128 + 15), "{status:?}");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use crate::processes::{is_alive, plays_well_as_process_one, until};
    use crate::program::finish;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use tokio::time::Instant;

    #[test]
    fn as_process_one_a_crew_leaves_hang_ups_to_the_program_and_ends_in_order_at_the_rest() {
        fn hangs_up() {
            to_itself("HUP");
        }
        let name =
            "linux::as_process_one_a_crew_leaves_hang_ups_to_the_program_and_ends_in_order_at_the_rest";
        let command = alone(name, || {
            assert_eq!(std::process::id(), 1);
            let report = runtime().block_on(async {
                let mut hangups = signal(SignalKind::hangup()).unwrap();
                let terminates = async move {
                    hangups.recv().await;
                    sleep(LONG).await;
                    to_itself("TERM");
                    pending::<()>().await;
                };
                crew(hangs_up, LONG).run_until(terminates, CEILING).await.unwrap()
            });
            assert_eq!((report.signal, report.clean), (Some("SIGTERM"), true));
        });
        if let Some(command) = command {
            plays_well_as_process_one(&command);
        }
    }

    #[test]
    fn a_program_that_put_itself_into_the_background_hears_its_signals() {
        let name = "linux::a_program_that_put_itself_into_the_background_hears_its_signals";
        let command = alone(name, || {
            let signals = Signals::install().unwrap();
            nix::unistd::daemon(true, true).unwrap();
            runtime().block_on(async {
                let mut asked = pin!(signals.asked());
                std::future::poll_fn(|cx| std::task::Poll::Ready(asked.as_mut().poll(cx).is_ready())).await;
                to_itself("TERM");
                println!("told of {}", timeout(CEILING / 2, asked).await.expect("it hears").name());
            });
            std::process::exit(0);
        });
        if let Some(mut command) = command {
            let began = Instant::now();
            let ran = runtime().block_on(async { finish(command.spawn().unwrap(), began).await });
            assert!(ran.stdout.contains("told of SIGTERM"), "{ran:?}");
        }
    }

    /// Writes its number down, and sleeps.
    fn agent(notes: &Notes) -> child::Command {
        let script = r#"echo $$ >> "$0"; exec sleep 1000"#;
        child::Command::new("/bin/sh", 10 * CEILING).args(["-c", script, notes.path()]).inherit_env(["PATH"])
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_child_of_a_loop_that_blocks_its_thread_ends_with_the_crew_and_no_other_child_does() {
        let (its, others) = (Arc::new(Notes::new("blocked")), Notes::new("others"));
        let other = tokio::spawn(agent(&others).run());
        let (open, gate) = std::sync::mpsc::sync_channel::<()>(1);
        let (gate, blocked) = (Arc::new(Mutex::new(gate)), Arc::new(AtomicBool::new(false)));
        let mut crew = Supervisor::new();
        let (notes, says) = (Arc::clone(&its), Arc::clone(&blocked));
        crew.spawn("agent", CEILING, move |_| {
            let (notes, gate, says) = (Arc::clone(&notes), Arc::clone(&gate), Arc::clone(&says));
            async move {
                let blocks = async {
                    until("an agent", || notes.lines().len() == 1).await;
                    says.store(true, Ordering::SeqCst);
                    // Longer than the test waits for the agent, or until it is over.
                    let _ = gate.lock().unwrap().recv_timeout(10 * CEILING);
                };
                let (ended, ()) = tokio::join!(agent(&notes).run(), blocks);
                ended.map(drop)
            }
        });
        let both = until("both agents", || blocked.load(Ordering::SeqCst) && others.lines().len() == 1);
        let report = crew.run_until(both, Duration::from_millis(100)).await.unwrap();
        assert_eq!(report.stragglers, ["agent"]);
        until("the agent is gone", || !is_alive(&its.lines()[0])).await;
        assert!(is_alive(&others.lines()[0]));
        drop(open);
        other.abort();
    }

    #[test]
    fn an_exit_by_the_report_leaves_no_child_of_a_task_that_still_runs() {
        let name = "linux::an_exit_by_the_report_leaves_no_child_of_a_task_that_still_runs";
        let command = alone(name, || {
            let notes = Notes::new("exit");
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
            let report: supervise::Report = runtime.block_on(async {
                drop(tokio::spawn(agent(&notes).run()));
                until("an agent", || notes.lines().len() == 1).await;
                crew(|| (), Duration::ZERO).run_until(sleep(Duration::ZERO), CEILING).await.unwrap()
            });
            println!("\nagent {}", notes.lines()[0]);
            drop(notes);
            report.exit();
        });
        let Some(mut command) = command else { return };
        runtime().block_on(async {
            let ran = finish(command.spawn().unwrap(), Instant::now()).await;
            assert_eq!(ran.code, Some(0), "{ran:?}");
            let agent = ran.stdout.lines().find_map(|line| line.strip_prefix("agent ")).expect("an agent");
            until("the agent is gone", || !is_alive(agent)).await;
        });
    }
}
