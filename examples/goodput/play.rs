//! One run of a day: all its calls, each at its time, whatever became of the ones before.

use crate::clients::Client;
use crate::days::{Day, seconds};
use crate::luck::{self, Draw};
use crate::score::{Ended, Score};
use crate::server::{Number, Server};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tower_service::Service;

/// Makes the calls of a run through this service, and adds what came of them.
pub(crate) async fn run<S, B>(server: &Server, service: S, score: &mut Score)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send,
{
    let (day, seed) = server.day();
    let start = server.started();
    let calls = (day.rate * day.length) as u64;
    let ended = Arc::new(Mutex::new(vec![None; calls as usize]));
    let mut tasks = JoinSet::new();
    for n in 0..calls {
        let at = (n as f64 + luck::share(seed, Draw::Arrival, n, 0)) / day.rate;
        sleep_until(start + seconds(at)).await;
        let (mut service, ended) = (service.clone(), Arc::clone(&ended));
        tasks.spawn(async move {
            let answer = service.call(request(n)).await;
            let ok = answer.is_ok_and(|answer| answer.status().as_u16() < 400);
            let end = Ended { at: start.elapsed(), ok };
            ended.lock().unwrap_or_else(PoisonError::into_inner)[n as usize] = Some(end);
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
    // A call that panicked has said so itself, and is missed in the count.
    let ended: Vec<Ended> = ended.iter().flatten().copied().collect();
    score.add(day, &ended, &server.seen(), server.away());
}

fn request(n: u64) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = http::Uri::from_static("http://api.example.com/jobs");
    request.extensions_mut().insert(Number(n));
    request
}

/// One client on one day, played.
pub(crate) struct Played {
    /// The place of the day among those that were asked for.
    pub(crate) day: usize,
    pub(crate) client: Client,
    pub(crate) score: Result<Score, String>,
}

/// Plays these days with all clients, on as many threads as there are cores. Each client on each day has a clock of its
/// own, which goes on as soon as nobody has anything left to do.
pub(crate) fn all(days: &[&'static Day], seed: u64, calls: u64) -> mpsc::Receiver<Played> {
    let (tell, played) = mpsc::channel(Client::ALL.len());
    let next = Arc::new(AtomicUsize::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..threads {
        let (days, tell, next) = (days.to_vec(), tell.clone(), Arc::clone(&next));
        thread::spawn(move || {
            loop {
                let job = next.fetch_add(1, Ordering::Relaxed);
                let Some(day) = days.get(job / Client::ALL.len()) else { break };
                let client = Client::ALL[job % Client::ALL.len()];
                let score = alone(client, day, seed, calls);
                if tell.blocking_send(Played { day: job / Client::ALL.len(), client, score }).is_err() {
                    break; // the program is ending
                }
            }
        });
    }
    played
}

fn alone(client: Client, day: &'static Day, seed: u64, calls: u64) -> Result<Score, String> {
    // Only the clock: nothing here reads or writes.
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(client.play(day, seed, calls)).map_err(|error| error.to_string())
}
