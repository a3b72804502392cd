//! Streams that a server refuses because it is full.

use super::hostile::Hostile;
use super::hostile_two::{Wire, ok, reset, streams};
use super::*;
use crate::breaker;
use crate::retry::backoff::Rng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::sync::Mutex;
use tokio::time::sleep;

/// Of 300 calls, one a second, how many are served where so many percent of the streams are refused; and what share of the
/// attempts that the breaker counted had failed, in percent.
async fn served(refused: u32, breaker: bool) -> (u32, u64) {
    let rng = Arc::new(Mutex::new(Rng::seed_from_u64(u64::from(refused))));
    let server = Hostile::new(true, move |_, io| {
        let rng = Arc::clone(&rng);
        async move {
            let mut wire = Wire::begin(io, &streams(100)).await?;
            loop {
                let stream = wire.request().await?;
                let full = rng.lock().unwrap().random_range(0..100_u32) < refused;
                wire.say(&if full { reset(stream, 7) } else { ok(stream) }).await?;
            }
        }
    });
    let client = server.builder().breaker(breaker::Settings::default().disabled(!breaker)).build().unwrap();
    let mut served = 0;
    for _ in 0..300 {
        served += u32::from(client.post(URL).body("job").send().await.is_ok());
        sleep(SEC).await;
    }
    let seen = client.breakers().snapshot().remove(0);
    (served, 100 * seen.failures / seen.calls.max(1))
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_streams_now_and_then_loses_no_more_calls_with_a_breaker_than_without() {
    // As with failures of another kind: one call in a hundred, and two where every second stream is refused.
    for (refused, most) in [(33, 3), (50, 6)] {
        let ((with, failed), (without, _)) = (served(refused, true).await, served(refused, false).await);
        assert!(with + most >= without, "{refused} %: {with} of 300, {without} without a breaker");
        // The first in each call is none.
        assert!(failed <= u64::from(refused) * 3 / 4, "{refused} %: {failed} % of them are failures");
    }
}
