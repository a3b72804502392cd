//! Health checks beside the calls: keeps the verdict on one origin fresh, so that no caller waits for it.

use super::lane::Lane;
use super::wait::Drain;
use crate::body::empty;
use crate::breaker::{Lease, Outcome, Phase};
use crate::deadline::outside;
use crate::error::{BoxError, Error};
use crate::origin::Entry;
use crate::preflight::{Answer, Flight, Settings};
use crate::telemetry;
use http::{Request, Response, Uri};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower_service::Service;

/// How often an open circuit, or a check that a caller makes, is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs for as long as it is polled. Dropped in mid-check it leaves the verdict unknown, and the next caller checks.
pub(super) async fn keep_fresh<S, B, R>(
    mut service: S,
    lane: Arc<Entry<Lane>>,
    called: Uri,
) -> Result<(), Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Unpin,
{
    let (Some(health), Some(flight)) = (&lane.shared.health, &lane.health) else {
        return Err(Error::config("there is no health check to keep fresh: it needs a path"));
    };
    let uri = health.uri(&called)?;
    loop {
        // While the circuit is open nothing is sent; the first half-open call brings its own check.
        if !matches!(lane.breaker.phase(), Phase::Closed | Phase::Disabled) {
            sleep(LOOK_AGAIN).await;
            continue;
        }
        match flight.ask(None, Instant::now()) {
            Answer::Go => {
                sleep_until(flight.next_check().unwrap_or_else(|| Instant::now() + LOOK_AGAIN)).await
            }
            Answer::Refuse { retry_in, .. } => sleep(retry_in).await,
            Answer::Wait(waiting) => {
                flight.leave(&waiting);
                sleep(LOOK_AGAIN).await;
            }
            Answer::Lead(number) => {
                let lead = Lead(Some((flight, number)));
                // A full pool of the caller's own says nothing about the server; whoever needs the verdict meanwhile
                // takes the lead over.
                if poll_fn(|cx| outside(|| service.poll_ready(cx))).await.is_err() {
                    return Err(Error::config(
                        "the service beneath failed to become ready: it cannot be used again",
                    ));
                }
                let verdict =
                    timeout(lane.shared.check_limit(), check(&mut service, health, uri.clone())).await;
                match verdict {
                    // Dropped without a verdict: the next round checks again, on another connection.
                    Ok(Err(Broke::Connection)) => {}
                    Ok(Err(Broke::Machine)) => {
                        drop(lead);
                        sleep(LOOK_AGAIN).await;
                    }
                    Ok(Err(Broke::Server(cause))) => lead.finish(&lane, Err(cause)),
                    Ok(Ok(())) => lead.finish(&lane, Ok(())),
                    Err(_) => lead.finish(&lane, Err("no answer in time".to_owned())),
                }
            }
        }
    }
}

/// What a check failed of.
enum Broke {
    /// A connection of the pool that was gone: no evidence.
    Connection,
    /// What this machine lacked: no evidence either, and not over at once.
    Machine,
    Server(String),
}

async fn check<S, B, R>(service: &mut S, health: &Settings, uri: Uri) -> Result<(), Broke>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Unpin,
{
    let said = |error: S::Error| match Error::from(error.into()) {
        error if error.is_of_the_connection() => Broke::Connection,
        error if error.is_of_this_machine() => Broke::Machine,
        error => Broke::Server(error.cause()),
    };
    let unknown = || Broke::Server("it is not known how an empty body of this type is made".to_owned());
    let body = empty::<B>().ok_or_else(unknown)?;
    let mut request = Request::new(body);
    *request.uri_mut() = uri;
    let mut answer = pin!(outside(|| service.call(request)));
    let answer = poll_fn(|cx| outside(|| answer.as_mut().poll(cx))).await.map_err(said)?;
    let status = answer.status();
    let mut rest = Drain::new(answer.into_body(), Instant::now());
    let until = rest.until;
    // Read what there is, so that the connection can be used again; too much of it is left alone.
    let _ = tokio::time::timeout_at(until, poll_fn(|cx| rest.poll(cx))).await;
    if (health.accept)(status) { Ok(()) } else { Err(Broke::Server(status.as_u16().to_string())) }
}

/// The place of the one who checks; given back when it is dropped.
struct Lead<'a>(Option<(&'a Flight, u64)>);

impl Lead<'_> {
    fn finish(mut self, lane: &Entry<Lane>, verdict: Result<(), String>) {
        let Some((flight, number)) = self.0.take() else { return };
        let now = Instant::now();
        let failed = verdict.is_err();
        lane.meter.checked(!failed);
        let down_for = flight.finish(number, verdict.map_err(Arc::from), now);
        if let Some(down_for) = down_for {
            lane.meter.recovered(Some(down_for));
            telemetry::recovered(&lane.origin, Some(down_for));
        }
        // As a check that a caller makes: a failed one is evidence, a passed one is not.
        let lease = Lease::sent(lane.shared.rules.lease);
        match lane.breaker.admit(now, lease) {
            Ok(admitted) if failed => {
                admitted.record(&lane.breaker, Outcome::Failure { retry_after: None }, now);
            }
            Ok(admitted) => admitted.record(&lane.breaker, Outcome::Nothing, now),
            Err(_) => {}
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if let Some((flight, number)) = self.0.take() {
            flight.abandon(number);
        }
    }
}
