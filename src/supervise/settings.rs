//! How one subsystem is restarted and watched.

use crate::Error;
use crate::duration::{check, human};
use crate::supervise::policy::{OnReturn, Policy};
use crate::supervise::readiness::Shared;
use crate::supervise::report::Recorder;
use crate::supervise::restart::Run;
use crate::supervise::state::SubsystemState;
use crate::supervise::watch::Watch;
use crate::sync::Arc;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub(crate) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The settings of one subsystem of a [`Supervisor`](crate::supervise::Supervisor), before it runs.
///
/// ```
/// # use std::time::Duration;
/// # use unwedge::supervise::{OnReturn, Supervisor, Watch};
/// # let mut crew = Supervisor::new();
/// crew.spawn("import", Duration::from_secs(60), |heart| async move { heart.progress() })
///     .on_return(OnReturn::Stop)
///     .watch(Watch::Enforce);
/// # let task = crew.spawn("export", Duration::from_secs(60), |heart| async move { heart.progress() });
/// assert_eq!((task.get_watch(), task.get_splay()), (Watch::Warn, 0.0));
/// ```
pub struct Task {
    cell: Result<Arc<SubsystemState>, Option<Error>>,
    policy: Policy,
    splay: f64,
    /// The least threshold that makes sense: the interval, or the limit of a sweep.
    least: Duration,
    start: Box<dyn FnOnce(Run) -> Running + Send>,
}

impl Task {
    pub(crate) fn new(
        cell: Result<Arc<SubsystemState>, Error>,
        least: Duration,
        start: impl FnOnce(Run) -> Running + Send + 'static,
    ) -> Task {
        let cell = cell.map_err(Some);
        Task { cell, policy: Policy::default(), splay: 0.0, least, start: Box::new(start) }
    }

    /// The meaning of an unexpected return. Default: restarted after 5 s.
    pub fn on_return(&mut self, on_return: OnReturn) -> &mut Task {
        *self.policy.on_return_mut() = on_return;
        self
    }

    /// The restart policy. Default: see [`Policy`].
    pub fn policy(&mut self, policy: Policy) -> &mut Task {
        self.policy = policy;
        self
    }

    /// The stale threshold: the age of the last heartbeat from which the subsystem is stale. Default twice the interval;
    /// for a patrol, counted during a sweep, 10 % more than the limit.
    pub fn stale_after(&mut self, threshold: Duration) -> &mut Task {
        self.set(|settings| settings.stale_after = Some(threshold));
        self
    }

    /// The reaction of the watchdog. Default [`Watch::Warn`].
    pub fn watch(&mut self, watch: Watch) -> &mut Task {
        self.set(|settings| settings.watch = watch);
        self
    }

    /// Spreads the ticks of a patrol: each comes later by up to this share of the interval, drawn anew each time. Between 0
    /// and 1, default 0. It has no effect on a loop that is no patrol.
    pub fn splay(&mut self, share: f64) -> &mut Task {
        self.splay = share;
        self
    }

    /// The meaning of an unexpected return.
    pub fn get_on_return(&self) -> OnReturn {
        self.policy.get_on_return()
    }

    /// The restart policy.
    pub fn get_policy(&self) -> &Policy {
        &self.policy
    }

    /// The stale threshold; `None` if the subsystem could not be added.
    pub fn get_stale_after(&self) -> Option<Duration> {
        self.cell.as_ref().ok()?.settings().threshold()
    }

    /// The reaction of the watchdog.
    pub fn get_watch(&self) -> Watch {
        self.cell.as_ref().map_or_else(|_| Watch::default(), |cell| cell.settings().watch)
    }

    /// The spread of a patrol's ticks.
    pub fn get_splay(&self) -> f64 {
        self.splay
    }

    fn set(&self, change: impl FnOnce(&mut crate::supervise::state::Settings)) {
        if let Ok(cell) = &self.cell {
            cell.set(change);
        }
    }

    pub(crate) fn check(&mut self) -> Result<Arc<SubsystemState>, Error> {
        let cell = match &mut self.cell {
            Ok(cell) => cell,
            Err(error) => {
                let again = || Error::config("a subsystem could not be added");
                return Err(error.take().unwrap_or_else(again));
            }
        };
        let name = &cell.name;
        let settings = cell.settings();
        self.policy.check(name)?;
        for (what, value) in [("interval", settings.every), ("stale threshold", settings.threshold())] {
            check(&format!("the {what} of {name}"), value.unwrap_or_default())?;
        }
        check(&format!("the limit of {name}"), self.least)?;
        let every = settings.every.unwrap_or_default();
        if self.least > every {
            return Err(Error::config(format!(
                "the limit of {name} is {:#}, above its interval of {:#}: a sweep must be over when the next is due",
                human(self.least),
                human(every)
            )));
        }
        let threshold = settings.threshold().unwrap_or_default();
        if threshold < self.least {
            return Err(Error::config(format!(
                "the stale threshold of {name} is {:#}, below the {:#} between two signs of life: it would always be stale",
                human(threshold),
                human(self.least)
            )));
        }
        if !(0.0..=1.0).contains(&self.splay) {
            let splay = self.splay;
            return Err(Error::config(format!("the splay of {name} is {splay}: it must be between 0 and 1")));
        }
        Ok(Arc::clone(cell))
    }

    /// The future of all its runs.
    pub(crate) fn start(
        self,
        cell: Arc<SubsystemState>,
        shared: Arc<Shared>,
        recorder: Recorder,
        seed: Option<u64>,
    ) -> Running {
        (self.start)(Run { cell, shared, recorder, policy: self.policy, splay: self.splay, seed })
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.cell.as_ref().map_or("", |cell| &cell.name))
            .field("policy", &self.policy)
            .field("splay", &self.splay)
            .finish_non_exhaustive()
    }
}
