//! The server: a tower service that answers in virtual time.

use crate::days::{Away, Day, Kind, Looks, seconds};
use crate::luck::{self, Draw};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tower_service::Service;

/// The number of a call in its run, as an extension of each of its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) u64);

/// How long an answer, a status that says no, and a connection that is refused take.
const ANSWER: Duration = Duration::from_millis(20);
const STATUS: Duration = Duration::from_millis(5);
const REFUSAL: Duration = Duration::from_millis(1);
/// Longer than any client waits for an attempt.
const SLOW: Duration = Duration::from_secs(12);

/// One run of a day. Clones are the same server.
#[derive(Clone)]
pub(crate) struct Server(Arc<Run>);

struct Run {
    day: &'static Day,
    seed: u64,
    start: Instant,
    away: Vec<(Duration, Duration)>,
    seen: Mutex<Seen>,
}

/// What arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    /// Attempts of each call, by its number.
    pub(crate) attempts: Vec<u16>,
    /// Requests in each of the times at which the server was away.
    pub(crate) while_away: Vec<u64>,
    pub(crate) throttled: u64,
    /// When the limiter let one pass last.
    passed: Option<Duration>,
    /// The minute of the quota, and how many were answered in it.
    minute: (u64, u64),
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answer(StatusCode),
    /// 429, and come back in so many seconds.
    Throttled(u64),
    Reset,
    Refused,
}

impl Server {
    pub(crate) fn start(day: &'static Day, seed: u64) -> Server {
        let away = day.away.windows(day.length, seed);
        let seen = Seen { while_away: vec![0; away.len()], ..Seen::default() };
        Server(Arc::new(Run { day, seed, start: Instant::now(), away, seen: Mutex::new(seen) }))
    }

    pub(crate) fn started(&self) -> Instant {
        self.0.start
    }

    pub(crate) fn day(&self) -> (&'static Day, u64) {
        (self.0.day, self.0.seed)
    }

    pub(crate) fn away(&self) -> &[(Duration, Duration)] {
        &self.0.away
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt of this call arrives: how long it takes, and what becomes of it.
    fn arrives(&self, call: u64) -> (Duration, Fate) {
        let run = &*self.0;
        let now = run.start.elapsed();
        let mut seen = self.seen();
        seen.requests += 1;
        let attempt = seen.attempt(call);
        let next = run.away.partition_point(|(_, to)| *to <= now);
        let is_away = run.away.get(next).is_some_and(|(from, _)| *from <= now);
        if is_away {
            seen.while_away[next] += 1;
        }
        let looks = run.day.away.looks().filter(|_| is_away);
        let whole = looks.filter(|looks| *looks != Looks::Partly);
        let (takes, fate) = match whole {
            Some(Looks::Refused) => (REFUSAL, Fate::Refused),
            Some(Looks::Slow) => (SLOW, Fate::Answer(StatusCode::OK)),
            Some(_) => (STATUS, Fate::Answer(StatusCode::SERVICE_UNAVAILABLE)),
            None => run.sound(&mut seen, call, attempt, now, looks.is_some()),
        };
        // What is in flight when the server goes is reset.
        match run.away.get(next + usize::from(is_away)) {
            Some((from, _)) if run.cuts() && *from < now + takes => (*from - now, Fate::Reset),
            _ => (takes, fate),
        }
    }
}

impl Run {
    fn cuts(&self) -> bool {
        self.day.away.looks() == Some(Looks::Refused)
    }

    /// What becomes of an attempt while the server is there, or in part.
    fn sound(
        &self,
        seen: &mut Seen,
        call: u64,
        attempt: u64,
        now: Duration,
        partly: bool,
    ) -> (Duration, Fate) {
        let failed = (STATUS, Fate::Answer(StatusCode::SERVICE_UNAVAILABLE));
        let well = (ANSWER, Fate::Answer(StatusCode::OK));
        let replica = |of: u64| luck::bits(self.seed, Draw::Fate, call, attempt) % of;
        match self.day.server {
            Kind::Failing(share) if luck::share(self.seed, Draw::Fate, call, attempt) < share => failed,
            Kind::OneDead(of) if replica(of) == 0 => (REFUSAL, Fate::Refused),
            Kind::Rolling(of) if partly && replica(of) == self.turn(now) => (REFUSAL, Fate::Refused),
            Kind::Limiter(rate) if !seen.passes(now, seconds(1.0 / rate as f64)) => failed,
            Kind::Quota(most) if !seen.is_within(now, most) => {
                seen.throttled += 1;
                let left = Duration::from_secs(60 * (now.as_secs() / 60 + 1)) - now;
                (STATUS, Fate::Throttled(left.as_secs_f64().ceil() as u64))
            }
            _ => well,
        }
    }

    /// Which replica is being restarted.
    fn turn(&self, now: Duration) -> u64 {
        match self.day.away {
            Away::Once { from, .. } => now.saturating_sub(seconds(from)).as_secs() / 10,
            _ => 0,
        }
    }
}

impl Seen {
    /// How many attempts of this call came before.
    fn attempt(&mut self, call: u64) -> u64 {
        let n = call as usize;
        if self.attempts.len() <= n {
            self.attempts.resize(n + 1, 0);
        }
        self.attempts[n] += 1;
        u64::from(self.attempts[n] - 1)
    }

    fn passes(&mut self, now: Duration, gap: Duration) -> bool {
        let passes = self.passed.is_none_or(|passed| now - passed >= gap);
        if passes {
            self.passed = Some(now);
        }
        passes
    }

    fn is_within(&mut self, now: Duration, most: u64) -> bool {
        let minute = now.as_secs() / 60;
        if self.minute.0 != minute {
            self.minute = (minute, 0);
        }
        self.minute.1 += 1;
        self.minute.1 <= most
    }
}

impl Service<Request<Full<Bytes>>> for Server {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let number = request.extensions().get::<Number>().copied();
        let server = self.clone();
        Box::pin(async move {
            let Number(call) = number.ok_or_else(|| io::Error::other("a request without its number"))?;
            let (takes, fate) = server.arrives(call);
            sleep(takes).await;
            let mut answer = Response::new(Full::from("x"));
            match fate {
                Fate::Answer(status) => *answer.status_mut() = status,
                Fate::Throttled(wait) => {
                    *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                    answer.headers_mut().insert("retry-after", wait.into());
                }
                Fate::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
                Fate::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
            }
            Ok(answer)
        })
    }
}
