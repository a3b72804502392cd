//! The listener: one step after the other, each of which ends, and a pause after one that failed.

use crate::Options;
use crate::api::{Acquired, Api};
use crate::common::daemon::{Daemon, Done};
use crate::common::output::millis;
use crate::common::{Object, Stop, log};
use crate::jobs::Jobs;
use http::StatusCode;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use unwedge::admin::Admin;
use unwedge::retry::{Backoff, Delays};
use unwedge::supervise::Heartbeat;
use unwedge::{Error, within};

/// After a step that failed, growing while they fail.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long acquisitions without an answer may be asked about when the program ends.
const LAST_WORD: Duration = Duration::from_secs(5);

pub(crate) struct Listener {
    api: Api,
    daemon: Daemon,
    backoff: Backoff,
    name: String,
    token: Option<String>,
    session: Option<String>,
    jobs: Jobs,
    failing_since: Option<Instant>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    sessions: u64,
    polls: u64,
    jobs: u64,
    errors: u64,
}

impl Listener {
    pub(crate) fn new(server: &str, options: &Options, daemon: Daemon) -> Result<Listener, Stop> {
        let seed = options.common.seed;
        let api = Api::new(server, options.control_plane, options.hold, seed)?;
        let mut backoff = Backoff::exponential(FIRST_PAUSE).cap(LONGEST_PAUSE);
        if let Some(seed) = seed {
            backoff = backoff.seed(seed);
        }
        daemon.watch(api.transitions());
        Ok(Listener {
            api,
            daemon,
            backoff,
            // Keys are this process's own, so that two listeners never speak for each other.
            name: format!("{:016x}", rand::random::<u64>()),
            token: None,
            session: None,
            jobs: Jobs::default(),
            failing_since: None,
            counts: Counts::default(),
        })
    }

    /// What there is to see of it.
    pub(crate) fn shown(&self, admin: Admin) -> Admin {
        self.api.shown(admin)
    }

    /// Works until the program is asked to end.
    ///
    /// # Errors
    /// Where the broker will not have this listener: whether that stays so is found out by another run.
    pub(crate) async fn run(&mut self, heart: &Heartbeat) -> Result<(), Error> {
        tokio::select! {
            biased;
            // A step may be cut anywhere: what it had begun stands in `self`.
            () = heart.cancelled() => Ok(()),
            ended = self.work(heart) => ended,
        }
    }

    async fn work(&mut self, heart: &Heartbeat) -> Result<(), Error> {
        let mut pauses = self.backoff.delays();
        loop {
            // Signs of life and none of progress: a broker that is down is no fault of a listener that asks it.
            heart.beat();
            match self.step(heart).await {
                Ok(()) => {
                    pauses = self.backoff.delays();
                    self.well();
                }
                Err(error) => {
                    let pause = self.pause(&error, &mut pauses);
                    if self.session.is_none() && is_final(&error) {
                        return Err(error);
                    }
                    if !heart.rest(pause).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// What is missing is made, what is open is settled, then the next job is waited for.
    async fn step(&mut self, heart: &Heartbeat) -> Result<(), Error> {
        let token = self.token().await?;
        heart.beat();
        let session = self.session(&token).await?;
        heart.beat();
        self.settle(&token).await.ok();
        if self.jobs.is_full() {
            return self.settle(&token).await;
        }
        let poll = self.api.message(&token, &session);
        let delivered = {
            let _parked = heart.parked("the broker has no job yet");
            tell(&self.daemon, "poll", poll).await?
        };
        self.counts.polls += 1;
        if let Some(job) = delivered {
            self.jobs.delivered(job);
        }
        self.settle(&token).await
    }

    async fn token(&mut self) -> Result<String, Error> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        let token = tell(&self.daemon, "token", self.api.token()).await?;
        Ok(self.token.insert(token).clone())
    }

    async fn session(&mut self, token: &str) -> Result<String, Error> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let key = format!("{}-session-{}", self.name, self.counts.sessions);
        let session = tell(&self.daemon, "session", self.api.session(token, &key)).await?;
        self.counts.sessions += 1;
        Ok(self.session.insert(session).clone())
    }

    /// Acquires what was delivered, one after the other, up to the first that is not answered.
    async fn settle(&mut self, token: &str) -> Result<(), Error> {
        while let Some(job) = self.jobs.next().map(str::to_owned) {
            let key = format!("{}-{job}", self.name);
            let acquire = self.api.acquire(token, &job, &key);
            match tell(&self.daemon, "acquire", acquire).await {
                Ok(Acquired::Ours) if self.jobs.ours(&job) => self.handle(&job),
                Ok(Acquired::Ours) => tracing::warn!(job, "it was done before"),
                Ok(Acquired::Others) => self.jobs.drop_open(&job),
                Err(error) => {
                    if !error.is_retriable() && error.status().is_some_and(|s| s != StatusCode::UNAUTHORIZED)
                    {
                        tracing::error!(job, "not acquired, and never will be: {}", log::said(&error));
                        self.jobs.drop_open(&job);
                    }
                    self.jobs.unanswered();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Where the work would begin.
    fn handle(&mut self, job: &str) {
        self.counts.jobs += 1;
        tracing::info!(job, "job");
        self.daemon.tell(&self.daemon.event("job").with("id", job));
    }

    /// How long to wait after a step that failed.
    fn pause(&mut self, error: &Error, pauses: &mut Delays) -> Duration {
        self.counts.errors += 1;
        self.failing_since.get_or_insert_with(Instant::now);
        match error.status() {
            // A broker that was restarted knows neither.
            Some(StatusCode::UNAUTHORIZED) => (self.token, self.session) = (None, None),
            Some(StatusCode::NOT_FOUND | StatusCode::GONE) => self.session = None,
            _ => {}
        }
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        error.retry_in().unwrap_or_default().max(pause)
    }

    fn well(&mut self) {
        if let Some(since) = self.failing_since.take() {
            tracing::info!("the broker answers again");
            self.daemon.recovered("broker", since.elapsed());
        }
    }

    /// Says good-bye, and how it went. What was asked for shortly before the end may be ours by now.
    pub(crate) async fn leave(&mut self, done: Done) -> Done {
        let settled = within(LAST_WORD, async {
            match self.jobs.open() {
                0 => Ok(()),
                _ => {
                    let token = self.token().await?;
                    self.settle(&token).await
                }
            }
        });
        if let Err(error) = settled.await.and_then(|settled| settled) {
            tracing::warn!(jobs = self.jobs.open(), "acquisitions without an answer: {}", log::said(&error));
        }
        if let (Some(token), Some(session)) = (&self.token, &self.session) {
            if let Err(error) = self.api.leave(token, session).await {
                tracing::warn!("the session was not deleted: {}", log::said(&error));
            }
        }
        done.count("jobs", self.counts.jobs)
            .count("polls", self.counts.polls)
            .count("sessions", self.counts.sessions)
            .count("errors", self.counts.errors)
            .count("unanswered", self.jobs.open())
    }
}

/// Whether the broker heard the request and will not have it, now or later.
fn is_final(error: &Error) -> bool {
    let again = [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::GONE];
    !error.is_retriable()
        && error.status().is_some_and(|status| status.is_client_error() && !again.contains(&status))
}

/// Says what became of a call.
async fn tell<T>(
    daemon: &Daemon,
    name: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let began = Instant::now();
    let ended = call.await;
    let object = daemon.event(name).with("ok", ended.is_ok()).with("ms", millis(began.elapsed()));
    let object = match &ended {
        Ok(_) => object.with("kind", None::<&str>),
        Err(error) => {
            tracing::warn!(retriable = error.is_retriable(), "{name}: {}", log::said(error));
            failed(object, error)
        }
    };
    daemon.tell(&object);
    ended
}

fn failed(object: Object, error: &Error) -> Object {
    let status = error.status().map(|status| status.as_u16());
    let object = object.with("kind", error.kind().as_str()).with("status", status);
    object.with("retriable", error.is_retriable()).with("error", error.to_string())
}
