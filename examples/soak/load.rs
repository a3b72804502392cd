//! The calls: against every fault in turn, by two clients, some dropped on their way, some in a program that has faults
//! of its own.

use crate::common::Stop;
use http_body_util::BodyExt;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use unwedge::retry::{self, Backoff};
use unwedge::{Client, Limits, breaker};

/// A call as a whole. Short, so that a hundred faults meet in a second.
const TOTAL: Duration = Duration::from_millis(400);
/// Of a body that does not end a caller has had enough at some time.
const ENOUGH: usize = 2 * 1024 * 1024;

/// How calls ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) refused: u64,
    pub(crate) dropped: u64,
}

impl Tally {
    pub(crate) fn calls(self) -> u64 {
        self.answered + self.failed + self.refused + self.dropped
    }

    pub(crate) fn since(self, earlier: Tally) -> Tally {
        Tally {
            answered: self.answered - earlier.answered,
            failed: self.failed - earlier.failed,
            refused: self.refused - earlier.refused,
            dropped: self.dropped - earlier.dropped,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { answered, failed, refused, dropped } = self;
        let calls = self.calls();
        write!(f, "{calls} calls: {answered} answered, {failed} failed, {refused} refused, {dropped} dropped")
    }
}

/// Counts that are added to from all sides.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<[AtomicU64; 4]>);

#[derive(Clone, Copy)]
enum End {
    Answered,
    Failed,
    Refused,
    Dropped,
}

impl Progress {
    fn count(&self, end: End) {
        self.0[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn tally(&self) -> Tally {
        let [answered, failed, refused, dropped] = [0, 1, 2, 3].map(|at| self.0[at].load(Ordering::Relaxed));
        Tally { answered, failed, refused, dropped }
    }
}

pub(crate) struct Load {
    urls: Arc<[String]>,
    /// One as it comes, whose breakers keep many calls from the wire, and one that always goes there. None when they
    /// were dropped.
    clients: Option<[Client; 2]>,
    rng: SmallRng,
    progress: Progress,
}

impl Load {
    pub(crate) fn start(urls: &[String], seed: u64) -> Result<Load, Stop> {
        let clients = Some([client(false)?, client(true)?]);
        let rng = SmallRng::seed_from_u64(seed);
        Ok(Load { urls: urls.into(), clients, rng, progress: Progress::default() })
    }

    /// Makes so many calls, and begins none after `ends`.
    pub(crate) fn run(
        &mut self,
        calls: usize,
        at_once: usize,
        ends: Option<Instant>,
    ) -> impl Future<Output = ()> + use<> {
        let (urls, clients, progress) = (Arc::clone(&self.urls), self.clients.clone(), self.progress.clone());
        let mut rng = SmallRng::from_rng(&mut self.rng);
        async move {
            let Some(clients) = clients else { return };
            let mut running = JoinSet::new();
            for n in 0..calls {
                if ends.is_some_and(|ends| Instant::now() >= ends) {
                    break;
                }
                if running.len() >= at_once {
                    running.join_next().await;
                }
                let (client, url) =
                    (clients[rng.random_range(0..2_usize)].clone(), urls[n % urls.len()].clone());
                let patience =
                    (rng.random_range(0..4_usize) == 0).then(|| TOTAL.mul_f64(rng.random::<f64>()));
                let progress = progress.clone();
                let around = Around::draw(&mut rng);
                running.spawn(async move {
                    let call = around.call(client, url);
                    let end = match patience {
                        None => call.await,
                        Some(patience) => timeout(patience, call).await.unwrap_or(End::Dropped),
                    };
                    progress.count(end);
                });
            }
            while running.join_next().await.is_some() {}
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.progress.tally()
    }

    pub(crate) fn drop_clients(&mut self) {
        self.clients = None;
    }

    pub(crate) fn entries(&self) -> u64 {
        self.clients.iter().flatten().map(|client| client.in_flight().len() as u64).sum()
    }

    /// Places of half-open circuits that are taken.
    pub(crate) fn slots(&self) -> u64 {
        let breakers = self.clients.iter().flatten().flat_map(|client| client.breakers().snapshot());
        breakers.map(|breaker| breaker.probes_in_flight as u64).sum()
    }
}

fn client(always: bool) -> Result<Client, Stop> {
    let ms = Duration::from_millis;
    let limits = Limits::default().total(TOTAL).attempt(ms(150)).connect(ms(100)).idle(ms(100));
    let breaker = breaker::Settings::default().open(Backoff::constant(ms(200))).disabled(always);
    let retry = retry::Settings::default().max_retries(2).backoff(ms(10)).budget(None);
    let client = Client::builder().limits(limits).breaker(breaker).retry(retry).build();
    client.map_err(|error| Stop::Failed(error.to_string()))
}

/// The program around a call.
#[derive(Clone, Copy)]
enum Around {
    Well,
    /// Beside work of the same task that always has something ready, and spends the whole cooperative budget.
    Busy,
    /// On a runtime that ends in mid-call.
    Ended,
}

/// How far a call gets on a runtime that ends.
const BEGUN: Duration = Duration::from_millis(20);

/// A runtime that ends without waiting for anybody, also where the call on it is dropped.
struct Ends(Option<Runtime>);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Around {
    fn draw(rng: &mut SmallRng) -> Around {
        match rng.random_range(0..64_usize) {
            0..4 => Around::Busy,
            4 => Around::Ended,
            _ => Around::Well,
        }
    }

    async fn call(self, client: Client, url: String) -> End {
        match self {
            Around::Well => call(&client, &url).await,
            Around::Busy => {
                let mut busy = pin!(async {
                    loop {
                        tokio::task::consume_budget().await;
                    }
                });
                let mut call = pin!(call(&client, &url));
                poll_fn(|cx| {
                    // It never ends, and leaves no budget to what is polled after it.
                    let _ = busy.as_mut().poll(cx);
                    call.as_mut().poll(cx)
                })
                .await
            }
            Around::Ended => {
                let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
                let Ok(runtime) = runtime else { return End::Dropped };
                let handle = runtime.handle().clone();
                let ends = Ends(Some(runtime));
                #[expect(clippy::disallowed_methods, reason = "bounded by the deadline of the call")]
                let waits = spawn_blocking(move || handle.block_on(call(&client, &url)));
                sleep(BEGUN).await;
                drop(ends);
                waits.await.unwrap_or(End::Failed)
            }
        }
    }
}

async fn call(client: &Client, url: &str) -> End {
    let sent = client.get(url).deadline(TOTAL).send().await;
    let mut body = match sent {
        Ok(answer) => answer.into_body(),
        Err(error) if error.is_refused() => return End::Refused,
        Err(_) => return End::Failed,
    };
    let mut had = 0;
    while had < ENOUGH {
        match body.frame().await {
            None => return End::Answered,
            Some(Ok(frame)) => had += frame.data_ref().map_or(0, |data| data.len()),
            Some(Err(_)) => return End::Failed,
        }
    }
    End::Dropped
}
