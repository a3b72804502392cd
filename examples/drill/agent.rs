//! The agent: the same for all clients. It asks, and asks again when it is time, and never gives up.

use crate::clients::{Ask, Caller, Trouble, Which};
use crate::common::Stop;
#[cfg(unix)]
use crate::few_files;
use crate::record::{End, Record, Run};
use crate::scenarios::{Place, Scenario, ms};
use crate::site::Site;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, sleep_until, timeout_at};
use unwedge::breaker::Transition;

/// An agent with one client in one scenario, with its own server.
#[derive(Clone)]
pub(crate) struct Agent {
    pub(crate) scenario: &'static Scenario,
    pub(crate) client: Which,
    pub(crate) record: Record,
    site: Arc<Site>,
    worker: Worker,
}

/// What makes the calls.
#[derive(Clone)]
pub(crate) struct Worker {
    scenario: &'static Scenario,
    caller: Caller,
    record: Record,
    base: Arc<str>,
}

impl Agent {
    /// Starts the server; its clock and the agent's start here.
    pub(crate) fn start(scenario: &'static Scenario, client: Which) -> Result<Agent, Stop> {
        let (site, at) = Site::start(scenario)?;
        let record = Record::start();
        let worker = Worker::new(scenario, client, record.clone(), &format!("http://{at}"))?;
        Ok(Agent { scenario, client, record, site: Arc::new(site), worker })
    }

    /// Works until the scenario is over. What is in flight then is cut.
    pub(crate) async fn run(self) -> Run {
        let all = async { tokio::join!(self.play(), self.site.serve()) };
        let _ = timeout_at(self.record.end(), all).await;
        Run::over(self.scenario, self.client, &self.record, &self.site)
    }

    async fn play(&self) {
        #[cfg(unix)]
        if let Place::FewFiles = self.scenario.place {
            return few_files::play(self.scenario, self.client, &self.worker.base, &self.record).await;
        }
        self.worker.run().await;
    }
}

impl Worker {
    pub(crate) fn new(
        scenario: &'static Scenario,
        client: Which,
        record: Record,
        base: &str,
    ) -> Result<Worker, Stop> {
        let http2 = matches!(scenario.place, Place::Http2);
        let caller = Caller::new(client, scenario.manner, http2).map_err(Stop::Failed)?;
        Ok(Worker { scenario, caller, record, base: base.into() })
    }

    pub(crate) async fn run(&self) {
        let work = join_all((0..self.scenario.callers).map(|_| self.work()));
        let polls = join_all((0..usize::from(self.scenario.polls)).map(|_| self.poll("/message")));
        let watches = join_all((0..self.scenario.watches).map(|_| self.poll("/watch")));
        tokio::join!(work, polls, watches, self.watch());
    }

    /// One call each tick; ticks that pass during a call are skipped.
    async fn work(&self) {
        let mut next = Instant::now();
        // A call that begins with the last tick would only be cut.
        while next + ms(100) < self.record.end() {
            sleep_until(next).await;
            let ended = self.call(Ask::Work, "/work").await;
            let now = Instant::now();
            while next <= now {
                next += self.scenario.every();
            }
            if let Err(Trouble { retry_in: Some(wait), .. }) = ended {
                next = next.max(now + wait);
            }
        }
    }

    /// One long poll after the other.
    async fn poll(&self, path: &str) {
        loop {
            let wait = match self.call(Ask::Poll, path).await {
                Ok(()) => Duration::ZERO,
                Err(trouble) => trouble.retry_in.unwrap_or(self.scenario.every()),
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn call(&self, ask: Ask, path: &str) -> Result<(), Trouble> {
        let number = self.record.began(ask == Ask::Poll);
        let ended = self.caller.call(ask, &format!("{}{path}", self.base)).await;
        self.record.ended(
            number,
            match &ended {
                Ok(()) => End::Answered,
                Err(trouble) => End::Failed { refused: trouble.refused },
            },
        );
        ended
    }

    async fn watch(&self) {
        if let Caller::Unwedge(client) = &self.caller {
            self.note(client.breakers().subscribe()).await;
        }
    }

    async fn note(&self, mut changes: Receiver<Transition>) {
        while let Ok(change) = changes.recv().await {
            self.record.breaker(change.to);
        }
    }
}
