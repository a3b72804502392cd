//! A full disk, a pipe that nobody reads and a reader that has gone, behind what a program writes.

use crate::program::{Ran, example, finish};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::Instant;

#[path = "../../examples/common/sink.rs"]
#[allow(dead_code, reason = "what the examples alone use")]
mod sink;

use sink::{Closed, Sink, Wrote};

/// A disk with so many bytes of room.
struct Disk {
    room: usize,
    written: Vec<u8>,
    fails: std::io::ErrorKind,
}

impl std::io::Write for &mut Disk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.room == 0 {
            return Err(self.fails.into());
        }
        let n = bytes.len().min(self.room);
        self.room -= n;
        self.written.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_lines_and_a_torn_one_is_ended_before_the_next() {
    let mut disk = Disk { room: 8, written: Vec::new(), fails: std::io::ErrorKind::StorageFull };
    {
        let mut sink = Sink::new(&mut disk);
        assert_eq!(sink.line(b"one\n").unwrap(), Wrote::Line);
        assert_eq!(sink.line(b"second\n").unwrap(), Wrote::Lost);
        assert_eq!(sink.line(b"third\n").unwrap(), Wrote::Lost);
        assert_eq!(sink.lost(), 2);
    }
    assert_eq!(disk.written, b"one\nseco");
}

#[test]
fn a_line_that_was_torn_is_ended_when_there_is_room_again() {
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    #[derive(Clone)]
    struct Shared(Arc<Mutex<Disk>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            (&mut *self.0.lock().unwrap()).write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let disk = Disk { room: 2, written: Vec::new(), fails: std::io::ErrorKind::StorageFull };
    let disk = Shared(Arc::new(Mutex::new(disk)));
    let mut sink = Sink::new(disk.clone());
    assert_eq!(sink.line(b"torn\n").unwrap(), Wrote::Lost);
    disk.0.lock().unwrap().room = 100;
    assert_eq!(sink.line(b"whole\n").unwrap(), Wrote::AfterLoss(1));
    assert_eq!(disk.0.lock().unwrap().written, b"to\nwhole\n");
}

#[test]
fn what_is_written_after_a_loss_says_how_many_lines_were_lost() {
    /// Full for the second and third write.
    #[derive(Default)]
    struct Sometimes(u32, Vec<u8>);
    impl std::io::Write for &mut Sometimes {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += 1;
            if let 2 | 3 = self.0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut disk = Sometimes::default();
    let mut sink = Sink::new(&mut disk);
    let wrote: Vec<Wrote> =
        ["a\n", "b\n", "c\n", "d\n", "e\n"].map(|l| sink.line(l.as_bytes()).unwrap()).into();
    assert_eq!(wrote, [Wrote::Line, Wrote::Lost, Wrote::Lost, Wrote::AfterLoss(2), Wrote::Line]);
    assert_eq!(disk.1, b"a\nd\ne\n");
}

#[test]
fn only_a_reader_that_has_gone_ends_a_program() {
    use std::io::ErrorKind::*;
    for (fails, ends) in [(BrokenPipe, true), (StorageFull, false), (QuotaExceeded, false), (Other, false)] {
        let mut disk = Disk { room: 0, written: Vec::new(), fails };
        let closed = matches!(Sink::new(&mut disk).line(b"x\n"), Err(Closed));
        assert_eq!(closed, ends, "{fails:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_daemon_whose_standard_output_is_on_a_full_disk_goes_on_to_its_end() {
    for name in ["patrol_loop", "supervised_platform", "checkin_agent", "broker_listener"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let began = Instant::now();
        let mut daemon = example(name);
        daemon.args(["--json", "--for", "2s"]).stdout(Stdio::from(full));
        let ran = finish(daemon.spawn().unwrap(), began).await;
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        assert!(ran.took >= Duration::from_secs(2), "{name} ended early: {ran:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_daemon_whose_standard_error_is_on_a_full_disk_counts_the_lines_of_its_log_that_it_lost() {
    for name in ["patrol_loop", "supervised_platform", "checkin_agent", "broker_listener"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let began = Instant::now();
        let mut daemon = example(name);
        daemon.args(["--json", "--for", "2s"]).stderr(Stdio::from(full));
        let ran = finish(daemon.spawn().unwrap(), began).await;
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        assert!(ran.took >= Duration::from_secs(2), "{name} ended early: {ran:?}");
        let done = ran.objects().pop().unwrap_or_default();
        assert_eq!(done["event"], "done", "{name}: {ran:?}");
        // "ready" and "asked to end" at the least.
        assert!(done["lost_lines"].as_u64().is_some_and(|lost| lost >= 2), "{name}: {done}");
    }
}

/// A daemon whose standard output is on a disk of its own that is full for its first second, where this machine allows
/// such a disk.
#[cfg(target_os = "linux")]
async fn with_a_full_disk_for_a_second(name: &str, args: &[&str]) -> Option<Ran> {
    const MOUNT: &str = r#"
        set -e
        mkdir -p "$1"
        mount -t tmpfs -o size=64k none "$1"
    "#;
    const RUN: &str = r#"
        disk="$1"
        shift
        : > "$disk/out"
        head -c 65536 /dev/zero > "$disk/full" || true
        (sleep 1; rm "$disk/full") &
        code=0
        "$@" > "$disk/out" || code=$?
        wait
        cat "$disk/out"
        exit $code
    "#;
    let disk = std::env::temp_dir().join(format!("unwedge-disk-{}-{name}", std::process::id()));
    let own = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(&disk);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    if !own(MOUNT).status().await.is_ok_and(|status| status.success()) {
        println!("skipped: no disk of its own can be had here");
        return None;
    }
    let mut command = own(&format!("{MOUNT}{RUN}"));
    command.arg(example(name).as_std().get_program()).args(args);
    let ran = finish(command.spawn().unwrap(), Instant::now()).await;
    let _ = std::fs::remove_dir(&disk);
    Some(ran)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_daemon_says_so_when_there_is_room_again_on_the_disk_and_how_many_lines_were_lost() {
    let args = ["--json", "--for", "3s", "--every", "100ms", "--limit", "50ms"];
    let Some(ran) = with_a_full_disk_for_a_second("patrol_loop", &args).await else { return };
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said = ran.stderr.lines().find(|line| line.contains("there is room again"));
    let lost = said.and_then(|line| line.rsplit_once("lines=")?.1.trim().parse::<u64>().ok());
    assert!(lost.is_some_and(|lost| lost > 0), "{ran:?}");
    // Whole objects, of which the first ones are missing.
    let objects = ran.objects();
    assert_ne!(objects[0]["event"], "ready", "{ran:?}");
    let done = objects.last().unwrap();
    assert_eq!((&done["event"], done["lost_lines"].as_u64()), (&"done".into(), lost), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_daemon_whose_output_nobody_reads_and_whose_pipe_is_full_goes_on_to_its_end() {
    // As many bytes as a pipe holds, and the daemon behind them.
    let path = example("patrol_loop").as_std().get_program().to_owned();
    let script = r#"head -c 65536 /dev/zero; exec "$0" --json --for 2s --every 200ms --limit 100ms"#;
    let mut full = Command::new("sh");
    full.args(["-c", script]).arg(path).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let began = Instant::now();
    let mut daemon = full.spawn().unwrap();
    let _unread = daemon.stdout.take().unwrap();
    let ran = finish(daemon, began).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.took >= Duration::from_secs(2), "it ended early: {ran:?}");
}
