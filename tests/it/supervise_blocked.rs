//! Threads that are blocked, and real signals: what no paused clock can play.

use crate::support::{MS, SECOND};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use unwedge::supervise::{Event, Supervisor};

/// Far more than it takes; a test that gets there has failed.
const CEILING: Duration = Duration::from_secs(30);

/// Waits for the report on a thread of its own, and then lets go of the worker thread.
fn reported(crew: &Supervisor, release: mpsc::SyncSender<()>) -> std::thread::JoinHandle<Option<String>> {
    let mut events = crew.events();
    std::thread::spawn(move || {
        loop {
            match events.blocking_recv() {
                Ok(Event::Stale { name, .. }) => {
                    let _ = release.send(());
                    return Some(name.to_string());
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

/// A crew whose only worker thread is blocked by this subsystem until it was reported as stale.
fn blocks(set_up: impl FnOnce(&mut Supervisor, mpsc::Receiver<()>)) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (release, held) = mpsc::sync_channel(1);
    let mut crew = Supervisor::new();
    crew.watch_every(20 * MS);
    set_up(&mut crew, held);
    let witness = reported(&crew, release);
    runtime.block_on(async { crew.run_until(tokio::time::sleep(50 * MS), SECOND).await.unwrap() });
    witness.join().unwrap()
}

fn blocks_until_reported() -> Option<String> {
    blocks(|crew, held| {
        let mut held = Some(held);
        crew.spawn("blocker", 50 * MS, move |heart| {
            let held = held.take();
            async move {
                heart.beat();
                if let Some(held) = held {
                    assert!(held.recv_timeout(CEILING).is_ok(), "it was not reported");
                }
                heart.cancelled().await;
            }
        });
    })
}

#[test]
fn one_that_blocks_its_thread_is_reported_although_no_timer_can_fire() {
    assert_eq!(blocks_until_reported().as_deref(), Some("blocker"));
}

#[test]
fn a_sweep_that_blocks_its_thread_is_reported() {
    let reported = blocks(|crew, held| {
        let mut held = Some(held);
        crew.patrol("alerts", 10 * SECOND, 50 * MS, move |_| {
            let held = held.take();
            async move {
                if let Some(held) = held {
                    assert!(held.recv_timeout(CEILING).is_ok(), "it was not reported");
                }
            }
        });
    });
    assert_eq!(reported.as_deref(), Some("alerts"));
}

#[test]
fn a_blocked_thread_does_not_take_the_timers_of_the_other_workers_with_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (release, held) = mpsc::sync_channel(1);
    let mut held = Some(held);
    let mut crew = Supervisor::new();
    crew.watch_every(20 * MS);
    crew.spawn("blocker", SECOND, move |heart| {
        let held = held.take();
        async move {
            if let Some(held) = held {
                // The worker that waited for this timer is the one that is blocked, while the other sleeps.
                tokio::time::sleep(50 * MS).await;
                assert!(held.recv_timeout(CEILING).is_ok(), "the other loop stood still");
            }
            heart.cancelled().await;
        }
    });
    crew.spawn("relay", SECOND, move |heart| {
        let release = release.clone();
        async move {
            heart.rest(100 * MS).await;
            let _ = release.try_send(());
            heart.cancelled().await;
        }
    });
    let report =
        runtime.block_on(async { crew.run_until(tokio::time::sleep(200 * MS), SECOND).await.unwrap() });
    assert_eq!((report.clean, report.restarts), (true, 0), "{report:?}");
}

/// A log that fails when it matters.
struct Mute;

impl tracing::Subscriber for Mute {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        panic!("no room on the disk of the log");
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_log_that_panics_costs_neither_the_program_nor_the_news_of_the_other_stale_ones() {
    let _guard = tracing::subscriber::set_default(Mute);
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    for name in ["scheduler", "relay"] {
        crew.spawn(name, SECOND, |_| std::future::pending::<()>());
    }
    crew.run_until(tokio::time::sleep(10 * SECOND), SECOND).await.unwrap();
    let mut stale = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Stale { name, .. } = event {
            stale.push(name.to_string());
        }
    }
    stale.sort_unstable();
    assert_eq!(stale, ["relay", "scheduler"]);
}

/// What the process does that the next tests start: this test binary again, told so by its environment.
const ROLE: &str = "UNWEDGE_TEST_SUPERVISED_PROCESS";

#[cfg(unix)]
mod process {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixDatagram;
    use std::process::{Child, Command, Stdio};
    use unwedge::supervise::ctrl_c;

    #[test]
    fn plays_the_process_of_other_tests() {
        let Ok(role) = std::env::var(ROLE) else { return };
        if role == "mute" {
            tracing::subscriber::set_global_default(Mute).unwrap();
            // On a machine with one core the name of this test stands in the line already.
            println!("\n{:?}", blocks_until_reported());
            return;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let mut crew = Supervisor::new();
        crew.spawn("relay", SECOND, move |heart| {
            let deaf = role == "deaf";
            async move {
                println!("up");
                match deaf {
                    true => std::future::pending().await,
                    false => heart.cancelled().await,
                }
            }
        });
        let grace = CEILING * 10;
        let report = runtime.unwrap().block_on(crew.run_until(ctrl_c(), grace)).unwrap();
        println!("{} {:?} {:?}", report.signal.unwrap_or("none"), report.clean, report.stragglers);
        std::process::exit(report.exit_code());
    }

    #[test]
    fn a_log_that_panics_does_not_end_the_watchdog() {
        let mut relay = Started::begun("mute", None);
        assert_eq!(relay.line("\")"), "Some(\"blocker\")");
    }

    struct Started(Child, BufReader<std::process::ChildStdout>);

    impl Started {
        fn new(role: &str, notify: Option<&std::path::Path>) -> Started {
            let mut started = Started::begun(role, notify);
            started.line("up");
            started
        }

        fn begun(role: &str, notify: Option<&std::path::Path>) -> Started {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args([
                "--exact",
                "--nocapture",
                "supervise_blocked::process::plays_the_process_of_other_tests",
            ]);
            command.env(ROLE, role).stdout(Stdio::piped()).stderr(Stdio::null());
            command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
            if let Some(path) = notify {
                command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "60000");
            }
            let mut child = command.spawn().unwrap();
            let out = BufReader::new(child.stdout.take().unwrap());
            Started(child, out)
        }

        /// Reads until a line ends with this.
        fn line(&mut self, end: &str) -> String {
            let mut line = String::new();
            while !line.trim_end().ends_with(end) {
                line.clear();
                assert!(self.1.read_line(&mut line).unwrap() > 0, "it ended before {end:?}");
            }
            line.trim_end().to_owned()
        }

        fn signal(&self, name: &str) {
            let sent = Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).spawn();
            assert!(sent.unwrap().wait_with_output().unwrap().status.success());
        }

        fn code(&mut self) -> Option<i32> {
            self.0.wait().unwrap().code()
        }
    }

    impl Drop for Started {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn either_signal_ends_it_in_order_with_code_zero() {
        for (kill, name) in [("TERM", "SIGTERM"), ("INT", "SIGINT")] {
            let mut relay = Started::new("obeys", None);
            relay.signal(kill);
            assert_eq!(relay.line("[]"), format!("{name} true []"));
            assert_eq!(relay.code(), Some(0));
        }
    }

    #[test]
    fn a_second_signal_ends_it_long_before_the_grace() {
        let mut relay = Started::new("deaf", None);
        relay.signal("TERM");
        // Standard signals do not queue: the second is sent until it has been seen.
        while relay.0.try_wait().unwrap().is_none() {
            relay.signal("INT");
            std::thread::sleep(20 * MS);
        }
        let told = relay.line("]");
        assert!(told.starts_with("SIG") && told.ends_with(" false [\"relay\"]"), "{told}");
        assert_eq!(relay.code(), Some(1));
    }

    #[test]
    fn systemd_that_reads_nothing_holds_up_neither_the_program_nor_its_end_and_hears_later_that_it_is_ready()
    {
        let dir = std::env::temp_dir().join(format!("unwedge-hung-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let socket = UnixDatagram::bind(dir.join("socket")).unwrap();
        let other = UnixDatagram::unbound().unwrap();
        other.set_nonblocking(true).unwrap();
        while other.send_to(b"X=1", dir.join("socket")).is_ok() {}
        let mut relay = Started::new("obeys", Some(&dir.join("socket")));
        socket.set_read_timeout(Some(CEILING)).unwrap();
        let mut word = [0; 256];
        let mut told = false;
        while !told {
            let read = socket.recv(&mut word).unwrap();
            told = word[..read].starts_with(b"READY=1");
        }
        while other.send_to(b"X=1", dir.join("socket")).is_ok() {}
        relay.signal("TERM");
        assert_eq!(relay.line("[]"), "SIGTERM true []");
        assert_eq!(relay.code(), Some(0));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn systemd_is_told_that_it_is_ready_alive_and_about_to_end() {
        let dir = std::env::temp_dir().join(format!("unwedge-notify-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let socket = UnixDatagram::bind(dir.join("socket")).unwrap();
        socket.set_read_timeout(Some(CEILING)).unwrap();
        let next = || {
            let mut word = [0; 256];
            let read = socket.recv(&mut word).unwrap();
            String::from_utf8_lossy(&word[..read]).trim().to_owned()
        };
        let mut relay = Started::new("obeys", Some(&dir.join("socket")));
        assert_eq!(next(), "READY=1");
        assert_eq!(next(), "WATCHDOG=1");
        assert_eq!(next(), "WATCHDOG=1");
        relay.signal("TERM");
        let mut last = next();
        while last == "WATCHDOG=1" {
            last = next();
        }
        assert_eq!(last, "STOPPING=1");
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(relay.code(), Some(0));
    }
}
