//! Calls that are offered at a fixed rate, whatever becomes of those before, and what becomes of them.

use crate::servers::clients::Caller;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// So many calls at once, again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) burst: u32,
    pub(crate) every: Duration,
    pub(crate) rounds: u32,
    /// So many bytes are sent with each call, which is a POST then.
    pub(crate) post: Option<usize>,
}

impl Load {
    /// For about so many seconds.
    pub(crate) fn new(burst: u32, every_ms: u64, seconds: u32) -> Load {
        let every = Duration::from_millis(every_ms);
        let rounds = u32::try_from(u128::from(seconds) * 1000 / u128::from(every_ms)).expect("a few");
        Load { burst, every, rounds, post: None }
    }

    /// The same by POST, with a body of so many bytes.
    pub(crate) fn posting(self, bytes: usize) -> Load {
        Load { post: Some(bytes), ..self }
    }
}

/// What became of the calls.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Tally {
    pub(crate) offered: u32,
    pub(crate) good: u32,
    /// What the others said, and how often.
    pub(crate) bad: BTreeMap<String, u32>,
}

impl Tally {
    /// In percent.
    pub(crate) fn share(&self) -> f64 {
        100.0 * f64::from(self.good) / f64::from(self.offered.max(1))
    }
}

/// Offers the calls of this load, and counts.
pub(crate) async fn offer(caller: Caller, load: Load, url: String) -> Tally {
    let (caller, url) = (Arc::new(caller), Arc::new(url));
    let body = load.post.map(|bytes| Bytes::from(vec![b'x'; bytes]));
    let mut calls = JoinSet::new();
    let mut tick = interval(load.every);
    // Where the machine itself was away for a moment, the calls of that moment do not all come at once.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..load.rounds {
        tick.tick().await;
        for _ in 0..load.burst {
            let (caller, url, body) = (Arc::clone(&caller), Arc::clone(&url), body.clone());
            calls.spawn(async move { caller.call(&url, body).await });
        }
    }
    let mut tally = Tally::default();
    while let Some(ended) = calls.join_next().await {
        tally.offered += 1;
        match ended.expect("no call panics") {
            Ok(()) => tally.good += 1,
            Err(what) => *tally.bad.entry(what).or_default() += 1,
        }
    }
    tally
}
