//! What an event server sends. Pure but for the one break-off, which happens once.

use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the agent of a demonstration does, by the name of its incident.
pub(crate) const AGENT: &str = r#"case "$INCIDENT_ID" in
*slow*) sleep 1.5 ;;
*hung*) sleep 60 ;;
*stubborn*) trap '' TERM; n=0; while [ $n -lt 60 ]; do sleep 1; n=$((n + 1)); done ;;
*crash*) echo "no such node" >&2; exit 3 ;;
*) sleep 0.1 ;;
esac"#;

/// The clusters of a demonstration.
pub(crate) const CLUSTERS: [&str; 3] = ["alpha", "beta", "gamma"];
/// Of alpha, before which its server breaks off.
const BREAK_AT: u64 = 8;
/// Above what the runner takes.
const TOO_LARGE: usize = 70 << 10;

pub(crate) enum Script {
    /// So many events for any cluster, so often.
    Even {
        count: u64,
        every: Duration,
    },
    Demo {
        broken_off: AtomicBool,
    },
}

/// One event, after a pause.
pub(crate) struct Step {
    pub(crate) pause: Duration,
    pub(crate) data: String,
}

impl Script {
    pub(crate) fn demo() -> Script {
        Script::Demo { broken_off: AtomicBool::default() }
    }

    pub(crate) fn knows(&self, cluster: &str) -> bool {
        match self {
            Script::Even { .. } => !cluster.is_empty(),
            Script::Demo { .. } => CLUSTERS.contains(&cluster),
        }
    }

    /// The nth event of a cluster, from 1.
    pub(crate) fn step(&self, cluster: &str, n: u64) -> Option<Step> {
        match self {
            Script::Even { count, .. } if n > *count => None,
            Script::Even { every, .. } => {
                Some(Step { pause: *every, data: event(cluster, "warning", &format!("{cluster}-{n}")) })
            }
            Script::Demo { .. } => demo(cluster, n),
        }
    }

    /// Whether the server breaks off before this event, this one time.
    pub(crate) fn breaks_off(&self, cluster: &str, n: u64) -> bool {
        match self {
            Script::Demo { broken_off } if cluster == CLUSTERS[0] && n == BREAK_AT => {
                !broken_off.swap(true, Ordering::Relaxed)
            }
            _ => false,
        }
    }

    /// How many events there are in all, of the demonstration.
    pub(crate) fn demo_length(&self) -> u64 {
        let of = |cluster| (1..).take_while(|n| self.step(cluster, *n).is_some()).count() as u64;
        CLUSTERS.into_iter().map(of).sum()
    }
}

fn event(cluster: &str, severity: &str, incident_id: &str) -> String {
    let summary = format!("{incident_id} on {cluster}");
    json!({ "cluster": cluster, "severity": severity, "incident_id": incident_id, "summary": summary })
        .to_string()
}

fn demo(cluster: &str, n: u64) -> Option<Step> {
    let step = |pause: u64, severity: &str, kind: &str| {
        let data = event(cluster, severity, &format!("{cluster}-{kind}-{n}"));
        Some(Step { pause: Duration::from_millis(pause), data })
    };
    let odd = |data: String| Some(Step { pause: Duration::from_millis(100), data });
    match (cluster, n) {
        // Day to day, with what servers send by mistake.
        ("alpha", 3) => odd(event(cluster, "critical", &"x".repeat(TOO_LARGE))),
        ("alpha", 5) => odd("this is no JSON".to_owned()),
        ("alpha", 6) => odd(event("omega", "critical", "omega-1")),
        ("alpha", 1..=16) if n.is_multiple_of(4) => step(300, "info", "fine"),
        ("alpha", 1..=16) => step(300, "warning", "fine"),
        // More than agents can do in time: the last of them grow too old.
        ("beta", 1) => step(2000, "critical", "slow"),
        ("beta", 2..=14) => step(10, "critical", "slow"),
        // Agents that have to be ended, then some that fail one after the other, then none.
        ("gamma", 1) => step(9000, "critical", "hung"),
        ("gamma", 2) => step(100, "critical", "stubborn"),
        ("gamma", 3..=10) => step(if n == 3 { 3000 } else { 300 }, "critical", "crash"),
        ("gamma", 11..=16) => step(if n == 11 { 7000 } else { 400 }, "warning", "fine"),
        _ => None,
    }
}
