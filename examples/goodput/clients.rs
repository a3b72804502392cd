//! The clients: the stack, and what it must not be worse than.

use crate::days::Day;
use crate::luck::{self, Draw};
use crate::play;
use crate::score::Score;
use crate::server::Server;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::retry::Backoff;
use unwedge::stack::{AttemptLayer, DeadlineLayer, Part, RetryLayer};
use unwedge::{Error, Stack, StackLayer, breaker, retry};

/// The limits of the stack, which all get: of a call, and of an attempt.
const TOTAL: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    /// One attempt under its limit.
    None,
    /// Retries with their budget, under both limits.
    Retries,
    /// The same without the budget: what floods a server that is down.
    RetriesNoBudget,
    /// The stack without its breaker.
    NoBreaker,
    /// The stack with all its defaults.
    Unwedge,
}

impl Client {
    pub(crate) const ALL: [Client; 5] =
        [Client::None, Client::Retries, Client::RetriesNoBudget, Client::NoBreaker, Client::Unwedge];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Client::None => "none",
            Client::Retries => "retries",
            Client::RetriesNoBudget => "retries_no_budget",
            Client::NoBreaker => "no_breaker",
            Client::Unwedge => "unwedge",
        }
    }

    /// Whether the stack must not be worse than this one. Retries without a budget stand in the table for honesty
    /// alone: nobody can afford them on the other days.
    pub(crate) const fn is_rival(self) -> bool {
        matches!(self, Client::None | Client::Retries | Client::NoBreaker)
    }

    /// Plays a day until so many calls have been made.
    pub(crate) async fn play(self, day: &'static Day, seed: u64, calls: u64) -> Result<Score, Error> {
        let mut score = Score::default();
        for run in 0..day.runs(calls) {
            let seed = luck::bits(seed, Draw::Run, name(day), run);
            let server = Server::start(day, seed);
            let jitter = luck::bits(seed, Draw::Jitter, 0, 0);
            match self {
                Client::None => play::run(&server, Once(server.clone()), &mut score).await,
                Client::Retries => {
                    let service = retries(retry(jitter), server.clone())?;
                    play::run(&server, service, &mut score).await;
                }
                Client::RetriesNoBudget => {
                    let service = retries(retry(jitter).budget(None), server.clone())?;
                    play::run(&server, service, &mut score).await;
                }
                Client::NoBreaker => {
                    let off = breaker::Settings::default().disabled(true);
                    let layer = StackLayer::builder().retry(retry(jitter)).breaker(off).build()?;
                    play::run(&server, layer.layer(server.clone()), &mut score).await;
                }
                Client::Unwedge => {
                    let layer = StackLayer::builder().retry(retry(jitter)).build()?;
                    play::run(&server, layer.layer(server.clone()), &mut score).await;
                }
            }
        }
        Ok(score)
    }
}

fn name(day: &Day) -> u64 {
    day.name.bytes().fold(0, |state, byte| luck::bits(state, Draw::Run, u64::from(byte), 0))
}

/// The default, with jitter that can be had again.
fn retry(jitter: u64) -> retry::Settings {
    retry::Settings::default().backoff(Backoff::default().seed(jitter))
}

/// Retries and the two limits, and nothing else.
fn retries(settings: retry::Settings, server: Server) -> Result<Stack<Part<Part<Server>>>, Error> {
    let attempt = AttemptLayer::new(ATTEMPT)?.layer(server);
    Ok(DeadlineLayer::new(TOTAL)?.layer(RetryLayer::new(settings)?.layer(attempt)))
}

/// What careful code does first: a limit around one attempt.
#[derive(Clone)]
struct Once(Server);

impl Service<Request<Full<Bytes>>> for Once {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let attempt = timeout(ATTEMPT, self.0.call(request));
        Box::pin(async move { attempt.await? })
    }
}
