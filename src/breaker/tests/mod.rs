//! What the breaker promises, on a paused clock.

mod abandoned;
mod concurrent;
mod manual;
mod models;
mod opening;
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

/// Opens after 5 failures for 5 s, without jitter.
fn steady() -> Settings {
    use crate::retry::{Backoff, Jitter};
    Settings::default().open(Backoff::exponential(secs(5)).cap(secs(60)).jitter(Jitter::None))
}

fn permit(breaker: &Breaker) -> Permit {
    breaker.acquire_owned().expect("admitted")
}

/// `"SSF"`: calls one after the other, each over at once. X is neutral.
fn play(breaker: &Breaker, calls: &str) {
    for call in calls.chars() {
        match call {
            'S' => permit(breaker).success(),
            'F' => permit(breaker).failure(),
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

/// Open for 5 s, and those over: the next call is a probe.
async fn half_open(breaker: &Breaker) {
    play(breaker, "FFFFF");
    advance(refused(breaker)).await;
    assert_eq!(phase(breaker), Phase::HalfOpen);
}

fn drain(events: &mut Receiver<Transition>) -> Vec<(Phase, Phase)> {
    std::iter::from_fn(|| events.try_recv().ok()).map(|t| (t.from, t.to)).collect()
}
