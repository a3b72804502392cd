//! The agent: the same for both clients. It asks, and asks again when it is time, and never gives up.

use crate::clients::{Ask, Caller, Trouble, Which};
use crate::common::Stop;
use crate::record::{End, Record, Run};
use crate::scenarios::{Scenario, ms};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, sleep_until, timeout_at};
use unwedge::breaker::Transition;
use unwedge::testing::Peer;

/// An agent with one client in one scenario, with its own server.
#[derive(Clone)]
pub(crate) struct Agent {
    pub(crate) scenario: &'static Scenario,
    pub(crate) client: Which,
    pub(crate) caller: Caller,
    pub(crate) record: Record,
    peer: Arc<Peer>,
    base: Arc<str>,
}

impl Agent {
    /// Starts the server; its clock and the agent's start here.
    pub(crate) fn start(scenario: &'static Scenario, client: Which) -> Result<Agent, Stop> {
        let caller = Caller::new(client, scenario.manner).map_err(|error| Stop::Failed(error.to_string()))?;
        let peer = scenario.server();
        let base = format!("http://{}", peer.listen()?).into();
        Ok(Agent { scenario, client, caller, record: Record::start(), peer: Arc::new(peer), base })
    }

    /// Works until the scenario is over. What is in flight then is cut.
    pub(crate) async fn run(self) -> Run {
        let all = async {
            tokio::join!(self.work(), self.poll(), self.watch());
        };
        let _ = timeout_at(self.record.end(), all).await;
        Run::over(self.scenario, self.client, &self.record, &self.peer)
    }

    /// One call each tick; ticks that pass during a call are skipped.
    async fn work(&self) {
        let mut next = Instant::now();
        // A call that begins with the last tick would only be cut.
        while next + ms(100) < self.record.end() {
            sleep_until(next).await;
            let ended = self.call(Ask::Work).await;
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
    async fn poll(&self) {
        if !self.scenario.polls {
            return;
        }
        loop {
            let wait = match self.call(Ask::Poll).await {
                Ok(()) => Duration::ZERO,
                Err(trouble) => trouble.retry_in.unwrap_or(self.scenario.every()),
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn call(&self, ask: Ask) -> Result<(), Trouble> {
        let path = if ask == Ask::Poll { "/message" } else { "/work" };
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
