//! The settings of a stack, checked as a whole.

use crate::breaker;
#[cfg(feature = "client")]
use crate::deadline::Resolved;
use crate::deadline::{Headers, Limits};
use crate::error::Error;
use crate::health;
use crate::inflight::Table;
use crate::options::Group;
use crate::retry::{self, RequestHead};
use crate::stack::bounds::Bounds;
use crate::stack::context::{LayerContext, Parts};
use crate::stack::events::Listeners;
use crate::stack::handle::Handle;
use crate::stack::request_options::{RequestHooks, RequestOptions};
use crate::stack::service::StackLayer;
use crate::stack::shared::Shared;
use crate::sync::Mutex;
use crate::telemetry::{ClientName, Labels};
use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::broadcast;

/// The settings of a [`StackLayer`]; relations between them are checked by [`build`](StackBuilder::build).
#[derive(Clone, Default)]
#[must_use]
pub struct StackBuilder {
    limits: Limits,
    retry: retry::Settings,
    breaker: breaker::Settings,
    health: Option<health::Settings>,
    propagate: Option<Headers>,
    asked: RequestHooks,
    name: Option<Arc<str>>,
}

impl StackBuilder {
    /// The time limits of a call and its parts. Default 30 s in all, 10 s for an attempt; see [`Limits`].
    pub fn limits(mut self, limits: Limits) -> StackBuilder {
        self.limits = limits;
        self
    }

    /// The settings of retry. Default up to three retries; see [`retry::Settings`].
    pub fn retry(mut self, retry: retry::Settings) -> StackBuilder {
        self.retry = retry;
        self
    }

    /// The settings of the circuit breaker. Default open after five failures in a row; see [`breaker::Settings`].
    pub fn breaker(mut self, breaker: breaker::Settings) -> StackBuilder {
        self.breaker = breaker;
        self
    }

    /// Switches the health check on: a path like `"/health"`, or [`health::Settings`]. Default off, because a
    /// server without a health endpoint must not lose its clients.
    pub fn health(mut self, health: impl Into<health::Settings>) -> StackBuilder {
        self.health = Some(health.into());
        self
    }

    /// Options for requests that other code builds, an SDK for example. Options on the request itself win. Default none.
    ///
    /// It is called once for a call, and once for each place a redirect leads to, outside every lock, before anything is
    /// taken; a panic in it reaches the caller.
    ///
    /// ```
    /// use std::time::Duration;
    /// use unwedge::stack::RequestOptions;
    /// use unwedge::{CallOptions, LongPoll};
    ///
    /// const WATCH: LongPoll =
    ///     LongPoll::because("a watch waits for changes").up_to(Duration::from_secs(300));
    /// let stack = unwedge::StackLayer::builder().for_requests(|head| {
    ///     match head.uri().query() {
    ///         Some(query) if query.contains("watch=true") => RequestOptions::new().long_poll(WATCH),
    ///         _ if head.uri().path().starts_with("/search") => RequestOptions::new().idempotent(),
    ///         _ => RequestOptions::new().options(CallOptions::new().retries(1)),
    ///     }
    /// });
    /// ```
    pub fn for_requests(
        mut self,
        ask: impl Fn(&RequestHead<'_>) -> RequestOptions + Send + Sync + 'static,
    ) -> StackBuilder {
        self.asked.options = Some(Arc::new(ask));
        self
    }

    /// The [`Group`] of requests that name none themselves, nor by [`for_requests`](StackBuilder::for_requests). Default
    /// none: an origin is judged as one. Called as that is.
    ///
    /// ```
    /// use unwedge::Group;
    ///
    /// // The first segment of the path, as long as those are few.
    /// let stack = unwedge::StackLayer::builder().group_by(|head| {
    ///     let segment = head.uri().path().split('/').nth(1)?;
    ///     matches!(segment, "billing" | "jobs").then(|| Group::from(segment.to_owned()))
    /// });
    /// ```
    pub fn group_by(
        mut self,
        ask: impl Fn(&RequestHead<'_>) -> Option<Group> + Send + Sync + 'static,
    ) -> StackBuilder {
        self.asked.group = Some(Arc::new(ask));
        self
    }

    /// Sends a header with each attempt: the milliseconds left to its deadline, and the number of the attempt. Default off,
    /// because a header discloses both.
    ///
    /// Written right before an attempt is sent: the least of the attempt limit and what is left of the call, the
    /// request's own [`Deadline`](crate::Deadline) and every enclosing scope; of a long poll its hold. A shorter time
    /// that the request already carries in that header stays. Health checks carry none, since they are made for all
    /// callers, and a server that refuses what is late must not be called down because the caller who happened to
    /// make the check was in a hurry. On the server, [`IncomingLayer`](crate::deadline::IncomingLayer) opens a scope
    /// from it.
    ///
    /// ```
    /// use unwedge::{StackLayer, deadline};
    ///
    /// let layer = StackLayer::builder().propagate_deadline(deadline::Headers::default()).build()?;
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    #[doc(alias("deadline_propagation", "grpc_timeout"))]
    pub fn propagate_deadline(mut self, headers: Headers) -> StackBuilder {
        self.propagate = Some(headers);
        self
    }

    /// The name of this client: on the status page, in its JSON, in the log, and as the label
    /// `client` of metrics. State belongs to each client, so that one origin may have as many circuits as there are
    /// clients. Default a number, counted up in the process from 1.
    ///
    /// A name is written by the programmer, one for each part of a program that has a client of its own: it makes series
    /// of metrics, and must not come from outside. Two clients of one name share their series, and the last writer of a
    /// gauge wins.
    ///
    /// ```
    /// let scheduler = unwedge::StackLayer::builder().name("scheduler").build()?;
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`build`](StackBuilder::build) returns kind `Config` for a name that is blank, above 64 bytes, a number, or has a
    /// control character in it.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> StackBuilder {
        self.name = Some(name.into());
        self
    }

    /// How long a call and its parts may take.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let stack = unwedge::StackLayer::builder().health("/health");
    /// assert_eq!(stack.get_limits().get_total(), Duration::from_secs(30));
    /// assert_eq!(stack.get_retry().get_max_retries(), 3);
    /// assert_eq!(stack.get_health().map(|health| health.get_path()), Some("/health"));
    /// ```
    pub fn get_limits(&self) -> &Limits {
        &self.limits
    }

    /// How calls are repeated.
    pub fn get_retry(&self) -> &retry::Settings {
        &self.retry
    }

    /// When an origin is left alone.
    pub fn get_breaker(&self) -> &breaker::Settings {
        &self.breaker
    }

    /// How an origin is asked for its health; `None` where it is not.
    pub fn get_health(&self) -> Option<&health::Settings> {
        self.health.as_ref()
    }

    /// Which headers tell the server how long it is waited for; `None` where none do.
    pub fn get_propagate_deadline(&self) -> Option<&Headers> {
        self.propagate.as_ref()
    }

    /// What this client is called; `None` where it gets a number.
    pub fn get_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Checks all settings and their relations.
    ///
    /// # Errors
    /// Kind `Config`: zero or endless limits, an attempt above the total, a lease or window that is too short for an
    /// attempt, a health path without a slash. The message names the values and the rule.
    pub fn build(self) -> Result<StackLayer, Error> {
        let context = self.context(Parts::ALL)?;
        let worst = Bounds::of(&context);
        worst.check()?;
        if let Some(warning) = worst.warning() {
            tracing::warn!("{warning}"); // the same text as in Bounds, so that either leads to the other
        }
        Ok(StackLayer::new(Handle::new(Shared::new(context))))
    }

    #[cfg(feature = "client")]
    pub(crate) fn checks_in_background(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.mode == health::Mode::Background)
    }

    #[cfg(feature = "client")]
    pub(crate) fn bounds(&self) -> Result<Resolved, Error> {
        self.limits.resolve()
    }

    pub(super) fn build_parts(self, parts: Parts) -> Result<Handle, Error> {
        Ok(Handle::new(Shared::new(self.context(parts)?)))
    }

    /// Settings that were checked, each by itself and against the others.
    pub(super) fn context(self, parts: Parts) -> Result<LayerContext, Error> {
        let StackBuilder { limits, retry, breaker, health, propagate, asked, name } = self;
        let bounds = limits.resolve()?;
        if parts.retry {
            retry.check()?;
        }
        if parts.breaker {
            breaker.check(bounds.attempt)?;
        }
        if let Some(health) = &health {
            health.check()?;
        }
        if let Some(headers) = &propagate {
            headers.check()?;
        }
        let client = name.map_or_else(|| Ok(ClientName::numbered()), ClientName::given)?;
        Ok(LayerContext {
            parts,
            rng: Mutex::new(retry.backoff.rng()),
            rules: Arc::new(breaker.seeded_like(&retry.backoff).rules(bounds.attempt)),
            bounds,
            retry,
            health,
            propagate,
            asked,
            table: Arc::new(Table::new(client.clone())),
            events: broadcast::channel(256).0,
            listeners: Listeners::default(),
            hasher: RandomState::new(),
            labels: Labels::new(client),
            said_unreplayable: AtomicBool::new(false),
        })
    }
}

impl StackLayer {
    /// A layer with settings of your own.
    pub fn builder() -> StackBuilder {
        StackBuilder::default()
    }
}

impl Default for StackLayer {
    /// All parts on with their defaults; no health check, since that needs a path.
    fn default() -> StackLayer {
        match StackBuilder::default().build_parts(Parts::ALL) {
            Ok(handle) => StackLayer::new(handle),
            Err(error) => unreachable!("the defaults fit together: {error}"),
        }
    }
}

impl fmt::Debug for StackBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackBuilder")
            .field("limits", &self.limits)
            .field("retry", &self.retry)
            .field("breaker", &self.breaker)
            .field("health", &self.health)
            .field("propagate", &self.propagate)
            .field("for_requests", &self.asked.options.is_some())
            .field("group_by", &self.asked.group.is_some())
            .field("name", &self.name)
            .finish()
    }
}
