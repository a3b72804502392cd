//! What a run was like: every call with its times, every change of the breaker, every request that arrived.

use crate::clients::Which;
use crate::scenarios::{LENGTH, Scenario, Stake};
use crate::site::Site;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use unwedge::breaker::Phase;

/// How late a timer may be before a bound counts as broken.
const SLACK: Duration = Duration::from_millis(100);

/// One call of an agent. Times are since the start of the run.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) poll: bool,
    pub(crate) began: Duration,
    pub(crate) ended: Option<Duration>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Still in flight.
    Running,
    /// A complete answer below 400.
    Answered,
    /// An error, or an answer that says no.
    Failed {
        /// By the client itself, nothing was sent.
        refused: bool,
    },
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            End::Running => "running",
            End::Answered => "answered",
            End::Failed { refused: false } => "failed",
            End::Failed { refused: true } => "refused",
        }
    }
}

impl Call {
    pub(crate) fn failed(&self) -> bool {
        matches!(self.end, End::Failed { .. })
    }
}

/// What is written down while a run goes on.
#[derive(Clone)]
pub(crate) struct Record {
    start: Instant,
    /// Each event is told in a line on standard output.
    told: bool,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) calls: Vec<Call>,
    pub(crate) breaker: Vec<(Duration, Phase)>,
}

impl Record {
    pub(crate) fn start() -> Record {
        Record { start: Instant::now(), told: false, notes: Arc::default() }
    }

    /// Of an agent in a process of its own.
    #[cfg(unix)]
    pub(crate) fn told() -> Record {
        Record { told: true, ..Record::start() }
    }

    fn tell(&self, line: impl FnOnce() -> String) {
        if self.told {
            // Nobody may be there to read it.
            let _ = writeln!(io::stdout(), "{}", line());
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn end(&self) -> Instant {
        self.start + LENGTH
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins; it is ended by its number.
    pub(crate) fn began(&self, poll: bool) -> usize {
        let mut notes = self.notes();
        self.tell(|| format!("began {poll}"));
        notes.calls.push(Call { poll, began: self.elapsed(), ended: None, end: End::Running });
        notes.calls.len() - 1
    }

    pub(crate) fn ended(&self, number: usize, end: End) {
        let now = self.elapsed();
        self.tell(|| format!("ended {number} {}", end.as_str()));
        if let Some(call) = self.notes().calls.get_mut(number) {
            call.ended = Some(now);
            call.end = end;
        }
    }

    pub(crate) fn breaker(&self, phase: Phase) {
        let now = self.elapsed();
        self.tell(|| format!("circuit {}", phase.as_str()));
        self.notes().breaker.push((now, phase));
    }
}

/// One client in one scenario, when it is over.
pub(crate) struct Run {
    pub(crate) scenario: &'static Scenario,
    pub(crate) client: Which,
    pub(crate) calls: Vec<Call>,
    pub(crate) breaker: Vec<(Duration, Phase)>,
    /// Requests that arrived at the server, and connections on which it never read the one that was sent.
    pub(crate) requests: u64,
    pub(crate) length: Duration,
}

/// What became of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Recovered,
    FailedFast,
    Hung,
    Lost,
}

impl Outcome {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Outcome::Recovered => "recovered",
            Outcome::FailedFast => "failed_fast",
            Outcome::Hung => "hung",
            Outcome::Lost => "lost",
        }
    }
}

impl Run {
    pub(crate) fn over(scenario: &'static Scenario, client: Which, record: &Record, site: &Site) -> Run {
        let length = record.elapsed();
        let Notes { calls, breaker } = record.notes().clone();
        Run { scenario, client, calls, breaker, requests: site.requests(), length }
    }

    /// All calls but the long polls.
    pub(crate) fn work(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| !call.poll)
    }

    /// How long a call took, or has taken so far.
    pub(crate) fn age(&self, call: &Call) -> Duration {
        call.ended.unwrap_or(self.length).saturating_sub(call.began)
    }

    /// A call that was in flight at the end, and longer than the client itself allows.
    pub(crate) fn is_hung(&self, call: &Call) -> bool {
        let bound = self.client.bound(self.scenario.manner, call.poll);
        call.end == End::Running && self.age(call) > bound + SLACK
    }

    pub(crate) fn hung(&self) -> bool {
        self.calls.iter().any(|call| self.is_hung(call))
    }

    /// How long the first call that failed took to say so.
    pub(crate) fn first_error(&self) -> Option<Duration> {
        self.calls.iter().find(|call| call.failed()).map(|call| self.age(call))
    }

    /// From the server's return to the first answer, the longest where it returned more than once; `None` where there
    /// was no return or no answer after it.
    pub(crate) fn back(&self) -> Option<Duration> {
        let after = |returned: Duration| {
            let ends = self.work().filter(|call| call.end == End::Answered).filter_map(|call| call.ended);
            ends.filter(|ended| *ended >= returned).min().map(|ended| ended - returned)
        };
        let backs: Option<Vec<Duration>> = self.scenario.returns().into_iter().map(after).collect();
        backs?.into_iter().max()
    }

    /// How many calls ended without an answer, the long polls aside.
    pub(crate) fn failed(&self) -> usize {
        self.work().filter(|call| call.failed()).count()
    }

    /// Requests on the wire that brought nothing.
    pub(crate) fn wasted(&self) -> u64 {
        let answered = self.calls.iter().filter(|call| call.end == End::Answered).count();
        self.requests.saturating_sub(answered as u64)
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let returned = self.scenario.returns().is_empty() || self.back().is_some();
        let lost = self.work().any(Call::failed);
        match self.scenario.stake {
            _ if self.hung() => Outcome::Hung,
            Stake::Service if returned => Outcome::Recovered,
            Stake::EveryCall if returned && !lost => Outcome::Recovered,
            Stake::Error if self.told_in_time() => Outcome::FailedFast,
            Stake::Service | Stake::EveryCall | Stake::Error => Outcome::Lost,
        }
    }

    fn told_in_time(&self) -> bool {
        let total = self.scenario.manner.total();
        self.work().filter(|call| call.failed()).all(|call| self.age(call) <= total + SLACK)
    }

    /// The parts of the promise that were not kept.
    pub(crate) fn broken(&self) -> Vec<String> {
        let broken = self.scenario.promise.iter().filter(|clause| !clause.kept(self));
        broken.map(ToString::to_string).collect()
    }
}
