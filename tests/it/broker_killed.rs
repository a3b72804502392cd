//! A broker that is killed under its listener, and started again.

use crate::running::Running;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What the broker wrote down, gone with the test.
struct Journal(PathBuf);

impl Journal {
    fn new(name: &str) -> Journal {
        let path = std::env::temp_dir().join(format!("unwedge-broker-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Journal(path)
    }

    /// The jobs of which it says this, in its order.
    fn jobs(&self, what: &str) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).expect("a journal");
        let lines = text.lines().filter_map(|line| line.strip_prefix(what)?.split(' ').nth(1));
        lines.map(|job| format!("job-{job}")).collect()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn broker(at: &str, journal: &Path, jobs: usize) -> Running {
    let (journal, jobs) = (journal.to_str().expect("UTF-8"), jobs.to_string());
    let args =
        ["--broker", at, "--journal", journal, "--jobs", &jobs, "--job-every", "100ms", "--hold", "10s"];
    Running::start("broker_listener", &args).await
}

fn done(seen: &[Value]) -> Vec<String> {
    let jobs = seen.iter().filter(|object| object["event"] == "job");
    jobs.map(|job| job["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_in_mid_poll_costs_the_listener_no_job_and_doubles_none() {
    // Each broker has as many new ones, however slowly this test comes to kill it.
    const EACH: usize = 6;
    const JOBS: usize = 4 * EACH;
    let journal = Journal::new("kill");
    let mut serving = broker("127.0.0.1:0", &journal.0, EACH).await;
    let server = serving.server();
    let at = server.trim_start_matches("http://").to_owned();
    let args = ["--server", &server, "--control-plane-timeout", "2s", "--hold", "10s"];
    let mut listener = Running::start("broker_listener", &args).await;
    for kills in 1..=3 {
        for _ in 0..3 {
            serving.event("acquired").await;
        }
        serving.event("parked").await;
        serving.signal("KILL").await;
        let code = serving.end().await.code;
        assert_eq!(code, None, "kill {kills} ended it");
        serving = broker(&at, &journal.0, EACH * (kills + 1)).await;
    }
    while done(listener.seen()).len() < JOBS {
        listener.event("job").await;
    }
    let ran = listener.stop().await;
    serving.stop().await;
    let done = done(&ran.objects());
    let once: BTreeSet<&String> = done.iter().collect();
    assert_eq!((once.len(), done.len()), (JOBS, JOBS), "none lost, none doubled: {done:?}");
    let acquired = journal.jobs("acquired");
    assert_eq!(acquired.iter().collect::<BTreeSet<_>>(), once, "the broker says the same");
    assert_eq!((acquired.len(), journal.jobs("queued").len()), (JOBS, JOBS));
    let objects = ran.objects();
    let sessions = objects.iter().filter(|o| o["event"] == "session" && o["ok"] == true).count();
    assert!((2..=4).contains(&sessions), "one for each broker that it met: {sessions}");
    assert!(objects.iter().any(|o| o["event"] == "recovered" && o["name"] == "broker"), "{objects:?}");
}
