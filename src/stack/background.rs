//! Health checks beside the calls: keeps the verdict on one origin fresh, so that no caller waits for it, and closes the
//! circuit of an origin that nobody calls.

mod way;

use crate::body::empty;
use crate::breaker::{Admitted, Outcome, Phase};
use crate::deadline::{before, outside};
use crate::error::{BoxError, Error, ErrorKind};
use crate::health::{Settings, SingleFlight};
use crate::inflight;
use crate::origin::table::Entry;
use crate::stack::background::way::Way;
use crate::stack::drain::Drain;
use crate::stack::origin_state::OriginState;
use crate::telemetry;
use crate::telemetry::spans::{self, Traced};
use http::{Request, Response, Uri};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;
use tower_service::Service;
use tracing::Span;

/// How often a check that somebody else makes is looked at again, and a service that cannot be used.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// So many checks in a row that died of their connection are made again at once: as many as a pool may hold that has
/// gone stale.
const STALE: u32 = 32;
const FAILED: Outcome = Outcome::Failure { retry_after: None };

/// Runs for as long as it is polled. Dropped in mid-check it leaves the verdict unknown, and the next caller checks.
pub(super) async fn keep_fresh<S, B, R>(
    service: S,
    origin_state: Arc<Entry<OriginState>>,
    called: Uri,
) -> Result<(), Error>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Unpin,
{
    let (Some(health), Some(flight)) = (&origin_state.context.health, &origin_state.health) else {
        return Err(Error::config("there is no health check to keep fresh: it needs a path"));
    };
    let uri = health.uri(&called)?;
    let (mut stale, mut told) = (0, None);
    loop {
        // From before the look at it, so that no change of the circuit is missed.
        let mut changed = pin!(origin_state.breaker.changed().notified());
        changed.as_mut().enable();
        if let Some(until) = not_before(&origin_state, flight, Instant::now()) {
            before(until, changed).await?;
            continue;
        }
        // A clone for each check: it holds no place in a pool between two of them, and one that broke is not used again.
        let mut service = service.clone();
        // A full pool of the caller's own says nothing about the server, and takes no place of a probe; whoever needs
        // the verdict meanwhile checks by itself.
        if poll_fn(|cx| outside(|| service.poll_ready(cx))).await.is_err() {
            rest(LOOK_AGAIN.max(health.interval)).await?;
            continue;
        }
        let mut lead = match LeadingCheck::take(&origin_state, flight, Instant::now()) {
            Ok(lead) => lead,
            Err(until) => {
                drop(service);
                before(until, changed).await?;
                continue;
            }
        };
        let span = spans::check(&origin_state.origin, &uri);
        let way = Way::new(origin_state.context.check_limit());
        let checked = {
            let check = check(&mut service, health, (uri.clone(), &way), span.as_deref());
            let mut check = pin!(caught(check));
            let mut until = way.until();
            loop {
                let checked = before(until, check.as_mut()).await?;
                // Our own pool had no room for it before: the server has its whole time from the hand-over on.
                let later = way.until();
                if checked.is_some() || later == until {
                    break checked;
                }
                until = later;
                lead.renew(&way);
            }
        };
        if let (None | Some(Err(CheckFailure::Panic)), Some(span)) = (&checked, &span) {
            let cause = if checked.is_none() { "no answer in time" } else { PANICKED };
            spans::failed(span, &unhealthy(cause));
        }
        drop(span);
        match checked {
            // Dropped without a verdict: the next round checks again, on another connection.
            Some(Err(CheckFailure::Connection)) => {
                drop(lead);
                stale += 1;
                if stale % STALE == 0 {
                    rest(LOOK_AGAIN).await?;
                }
                continue;
            }
            Some(Err(CheckFailure::Machine)) => {
                drop(lead);
                rest(LOOK_AGAIN).await?;
                continue;
            }
            // It was still waiting for our own pool, or for an address.
            None if way.is_local() => {
                drop(lead);
                rest(LOOK_AGAIN).await?;
                continue;
            }
            Some(Err(CheckFailure::Server(cause))) => lead.finish(Err((cause, FAILED)), &mut told),
            Some(Ok(())) => lead.finish(Ok(()), &mut told),
            Some(Err(CheckFailure::Panic)) => lead.finish(Err((PANICKED.to_owned(), FAILED)), &mut told),
            None => lead.finish(Err(("no answer in time".to_owned(), Outcome::TimedOut)), &mut told),
        }
        stale = 0;
    }
}

async fn rest(duration: Duration) -> Result<(), Error> {
    before(Instant::now() + duration, pending::<()>()).await.map(drop)
}

/// When the next check may begin; `None` where that is now.
///
/// While the circuit is open nothing is sent. While it is half-open checks are its probes: they follow each other until
/// they have closed or re-opened it, however fresh the verdict is.
fn not_before(origin_state: &OriginState, flight: &SingleFlight, now: Instant) -> Option<Instant> {
    if origin_state.context.parts.breaker {
        let circuit = origin_state.breaker.snapshot();
        match (circuit.phase, circuit.retry_in) {
            (Phase::Closed | Phase::Disabled, _) => {}
            (_, Some(retry_in)) => return Some(now + retry_in),
            (_, None) => return None,
        }
    }
    flight.rests(now).then(|| flight.next_check().filter(|at| *at > now).unwrap_or(now + LOOK_AGAIN))
}

/// What a check failed of.
enum CheckFailure {
    /// A connection of the pool that was gone: no evidence.
    Connection,
    /// What this machine lacked: no evidence either, and not over at once.
    Machine,
    Server(String),
    Panic,
}

const PANICKED: &str = "the check panicked";

async fn check<S, B, R>(
    service: &mut S,
    health: &Settings,
    (uri, way): (Uri, &Way),
    span: Option<&Span>,
) -> Result<(), CheckFailure>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Unpin,
{
    let said = |error: S::Error| {
        let error = Error::from(error.into());
        if let Some(span) = span {
            spans::failed(span, &error);
        }
        match error {
            error if error.is_of_the_connection() => CheckFailure::Connection,
            error if error.is_of_this_machine() => CheckFailure::Machine,
            error => CheckFailure::Server(error.cause()),
        }
    };
    let unknown =
        || CheckFailure::Server("it is not known how an empty body of this type is made".to_owned());
    let body = empty::<B>().ok_or_else(unknown)?;
    let mut request = Request::new(body);
    *request.uri_mut() = uri;
    if span.is_some() {
        request.extensions_mut().insert(Traced);
    }
    let mut answer = pin!(within(span, || outside(|| service.call(request))));
    let answer = poll_fn(|cx| {
        let _listening = inflight::listen();
        let polled = within(span, || outside(|| answer.as_mut().poll(cx)));
        if polled.is_pending() {
            way.note(inflight::reported());
        }
        polled
    });
    let answer = answer.await.map_err(said)?;
    let (head, body) = answer.into_parts();
    let verdict = health.judge(head.status);
    if let Some(span) = span {
        let failure = verdict.as_ref().err().map(|cause| unhealthy(cause));
        spans::checked(span, Some(&head), failure.as_ref());
    }
    let mut rest = Drain::new(body, Instant::now());
    let until = rest.until;
    // Read what there is, so that the connection can be used again; too much of it is left alone.
    let _ = before(until, poll_fn(|cx| rest.poll(cx))).await;
    verdict.map_err(CheckFailure::Server)
}

fn unhealthy(cause: &str) -> Error {
    let kind = ErrorKind::Unhealthy { since: Duration::ZERO, retry_in: Duration::ZERO };
    Error::new(kind, format!("health check failed: {cause}"))
}

fn within<T>(span: Option<&Span>, work: impl FnOnce() -> T) -> T {
    let _entered = span.map(Span::enter);
    work()
}

/// A panic of the service ends its check and no other.
async fn caught(check: impl Future<Output = Result<(), CheckFailure>>) -> Result<(), CheckFailure> {
    let mut check = pin!(check);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| check.as_mut().poll(cx)));
        polled.unwrap_or(Poll::Ready(Err(CheckFailure::Panic)))
    })
    .await
}

/// The place of the one who checks, and the admission of the breaker; given back when it is dropped.
struct LeadingCheck<'a> {
    origin_state: &'a Entry<OriginState>,
    flight: &'a SingleFlight,
    number: Option<u64>,
    /// None where the layer has no breaker.
    permit: Option<Admitted>,
}

impl<'a> LeadingCheck<'a> {
    /// # Errors
    /// When to ask again.
    fn take(
        origin_state: &'a Entry<OriginState>,
        flight: &'a SingleFlight,
        now: Instant,
    ) -> Result<LeadingCheck<'a>, Instant> {
        let mut lead = LeadingCheck { origin_state, flight, number: None, permit: None };
        if origin_state.context.parts.breaker {
            let admitted = origin_state.breaker.admit(now, origin_state.breaker.lease());
            let mut permit = admitted.map_err(|refused| now + refused.retry_in.min(LOOK_AGAIN))?;
            permit.sent_at(now);
            lead.permit = Some(permit);
        }
        lead.number = match lead.half_open() {
            Some(generation) => flight.probe(generation, now),
            None => flight.lead_beside(now),
        };
        if lead.number.is_some() { Ok(lead) } else { Err(now + LOOK_AGAIN) }
    }

    /// It was handed over only after a wait for room: the lead and the place of a probe last as long from then on.
    fn renew(&mut self, way: &Way) {
        let origin_state = self.origin_state;
        if let Some(number) = self.number {
            self.flight.renew(number, way.began());
        }
        if let Some(permit) = &mut self.permit {
            // One whose place is gone meanwhile is no probe any more: its outcome is no news.
            permit.hand_over(&origin_state.breaker, way.limit(), Instant::now());
        }
    }

    fn half_open(&self) -> Option<u64> {
        self.permit.as_ref().and_then(Admitted::half_open_generation)
    }

    /// `told` is the round of probes in which a recovery was told last.
    fn finish(mut self, verdict: Result<(), (String, Outcome)>, told: &mut Option<u64>) {
        let Some(number) = self.number.take() else { return };
        let (origin_state, now) = (self.origin_state, Instant::now());
        let round = self.half_open();
        let (outcome, verdict) = match verdict {
            Err((cause, outcome)) => (outcome, Err(Arc::from(cause))),
            // As a check that goes before a call: while the circuit is closed the calls speak for themselves.
            Ok(()) if round.is_none() => (Outcome::Nothing, Ok(())),
            Ok(()) => (Outcome::Success, Ok(())),
        };
        let passed = verdict.is_ok();
        origin_state.meter.checked(passed);
        let down_for = self.flight.finish(number, verdict, now);
        if down_for.is_some() || (passed && round.is_some() && round != *told) {
            let down_for = down_for.max(origin_state.breaker.snapshot().opened_for);
            origin_state.meter.recovered(down_for);
            telemetry::recovered(origin_state.endpoint(), down_for);
            origin_state.recovered();
            *told = round;
        }
        if let Some(permit) = self.permit.take() {
            permit.record(&origin_state.breaker, outcome, now);
        }
    }
}

impl Drop for LeadingCheck<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            self.flight.abandon(number);
        }
        if let Some(permit) = self.permit.take() {
            permit.record(&self.origin_state.breaker, Outcome::Nothing, Instant::now());
        }
    }
}
