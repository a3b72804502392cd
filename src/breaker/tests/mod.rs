//! What the breaker promises, on a paused clock.

mod abandoned;
mod chance;
mod concurrent;
mod looking;
mod manual;
mod models;
mod opening;
mod polls;
mod probing;
mod settings;

use super::{Breaker, Permit, Phase, Settings, Transition};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::advance;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn breaker(settings: Settings) -> Breaker {
    Breaker::new("https://api.example.com", settings).expect("valid settings")
}

/// Opens for 5 s, then twice as long each time, without jitter.
fn steady() -> Settings {
    use crate::retry::{Backoff, Jitter};
    Settings::default().open(Backoff::exponential(secs(5)).cap(secs(60)).jitter(Jitter::None))
}

fn permit(breaker: &Breaker) -> Permit {
    breaker.acquire_owned().expect("admitted")
}

/// `"SSF"`: calls one after the other, each over at once. X is neutral, T timed out.
fn play(breaker: &Breaker, calls: &str) {
    for call in calls.chars() {
        match call {
            'S' => permit(breaker).success(),
            'F' => permit(breaker).failure(),
            'T' => permit(breaker).timed_out(),
            'X' => permit(breaker).neutral(),
            other => panic!("{other}"),
        }
    }
}

fn phase(breaker: &Breaker) -> Phase {
    let phase = breaker.snapshot().phase;
    assert_eq!(breaker.phase(), phase);
    phase
}

fn refused(breaker: &Breaker) -> Duration {
    let error = breaker.acquire().expect_err("refused");
    assert!(error.is_open());
    error.retry_in().expect("a refusal says when")
}

/// A second after the last success as many failures as it takes.
async fn open(breaker: &Breaker) {
    advance(secs(1)).await;
    while phase(breaker) == Phase::Closed {
        play(breaker, "F");
    }
}

/// Open for 5 s, and those over: the next call is a probe.
async fn half_open(breaker: &Breaker) {
    open(breaker).await;
    advance(refused(breaker)).await;
    assert_eq!(phase(breaker), Phase::HalfOpen);
}

fn drain(events: &mut Receiver<Transition>) -> Vec<(Phase, Phase)> {
    std::iter::from_fn(|| events.try_recv().ok()).map(|t| (t.from, t.to)).collect()
}
