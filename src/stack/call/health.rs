//! The health check that goes before an attempt, made by this call or by another.

use crate::breaker;
use crate::duration::human;
use crate::error::{BoxError, Error, ErrorKind, Phase};
use crate::health::Ended;
use crate::stack::call::held::Probe;
use crate::stack::call::state::CallState;
use crate::telemetry;
use http::StatusCode;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;

impl CallState {
    /// What another caller's health check came to.
    ///
    /// `Ok(true)` where its leader left and this call leads the next.
    pub(super) fn poll_health(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        let (Probe::Waiting(waiting), Some(flight)) = (&self.held.probe, &self.origin_state.health) else {
            return Poll::Ready(Ok(false));
        };
        let Poll::Ready(ended) = flight.poll(waiting, Instant::now(), cx) else { return Poll::Pending };
        flight.leave(waiting);
        self.held.probe = Probe::None;
        Poll::Ready(match ended {
            Ended::Passed => Ok(false),
            Ended::Lead(number) => {
                self.held.probe = Probe::Leading(number);
                self.attempts.began = Instant::now();
                Ok(true)
            }
            Ended::Failed(cause) => {
                // Counted once, by the caller that made the check.
                self.settle(breaker::Outcome::Nothing, Instant::now());
                Err(self.unhealthy(cause.to_string()))
            }
        })
    }

    /// Whether this status passes the health check.
    pub(super) fn healthy(&self, status: StatusCode) -> Result<(), String> {
        match &self.context().health {
            Some(health) => health.judge(status),
            None => Ok(()),
        }
    }

    /// The health check that this call made ran into its bound.
    pub(super) fn probe_timed_out(&mut self, now: Instant) -> Result<(), Error> {
        let limit = human(self.context().check_limit());
        let passage = &self.attempts.passage;
        let checked = if passage.is_queued() {
            Err(self.undecided(format!("no connection had room for the check within {limit:#}"), true))
        } else if passage.is_local() {
            let doing = passage.doing();
            Err(self.undecided(format!("no answer within {limit:#} ({doing})"), true))
        } else {
            self.probed(Err(format!("no answer within {limit:#}")), now)
        };
        self.end_check_span(None, &checked);
        checked.map_err(|mut error| {
            error.inner_mut().fault.timed_out = true;
            error
        })
    }

    /// The health check that this call made is over.
    pub(super) fn probed(&mut self, result: Result<(), String>, now: Instant) -> Result<(), Error> {
        let lead = self.held.end_probe();
        let Some(flight) = &self.origin_state.health else { return Ok(()) };
        self.origin_state.meter.checked(result.is_ok());
        let half_open = self.held.half_open().is_some();
        let outcome = result.as_ref().copied().map_err(|cause| Arc::from(cause.as_str()));
        let recovered = match lead {
            Probe::Leading(number) => flight.finish(number, outcome, now),
            _ => None,
        };
        if recovered.is_some() {
            self.origin_state.recovered();
        }
        match result {
            Ok(()) => {
                if let Some(permit) = &mut self.held.permit {
                    permit.unsent();
                }
                if half_open || recovered.is_some() {
                    // Since the first check that failed or since the circuit opened, whichever came first.
                    let opened = self.origin_state.breaker.snapshot().opened_for;
                    let down_for = recovered.max(opened);
                    self.origin_state.meter.recovered(down_for);
                    telemetry::recovered(self.origin_state.endpoint(), down_for);
                }
                Ok(())
            }
            Err(cause) => Err(self.unhealthy(cause)),
        }
    }

    /// The health check that this call made ended with an error.
    pub(super) fn probe_broke(&mut self, error: BoxError, now: Instant) -> Result<(), Error> {
        let error = Error::from(error);
        self.end_span(Some(&error));
        let (local, idle) = (error.is_of_this_machine(), error.inner().fault.idle);
        if !error.is_of_the_connection() && !local {
            return self.probed(Err(error.cause()), now);
        }
        let mut failed = self.undecided(error.cause(), local);
        failed.inner_mut().fault.idle = idle;
        Err(failed)
    }

    /// The health check that this call made says nothing about the server, for a fault of this machine (`local`) or of a
    /// connection. What is known of it stays as it was; whoever needs to know more checks again.
    fn undecided(&mut self, cause: String, local: bool) -> Error {
        self.held.leave_probe(self.origin_state.health.as_deref());
        let mut failed = self.unhealthy(cause);
        let fault = &mut failed.inner_mut().fault;
        (fault.reused, fault.local) = (!local, local);
        failed
    }

    fn unhealthy(&self, cause: String) -> Error {
        let (since, retry_in) = match &self.origin_state.health {
            Some(flight) => flight.outlook(Instant::now()),
            None => Default::default(),
        };
        let kind = ErrorKind::Unhealthy { since, retry_in };
        let mut error = Error::new(kind, format!("health check failed: {cause}")).at(Phase::HealthCheck);
        error.inner_mut().fault.probe = true;
        error
    }
}
