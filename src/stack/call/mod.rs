//! The life of a call: one hand-written future that asks the parts and acts on their answers.

mod admission;
mod body;
mod collect;
mod gate;
mod health;
pub(crate) mod hop;
mod limits;
mod outcome;
mod poll;
mod refusal;
pub(in crate::stack) mod report;
mod request;
mod stage;
pub(in crate::stack) mod state;
pub(crate) mod timers;

use crate::collect::{Buffer, Plan};
use crate::deadline::{Deadline, Scope, Timer, outside};
use crate::error::{BoxError, Error, Phase};
use crate::stack::call::{
    admission::Admission,
    collect::{Read, read},
    hop::{Hop, is_redirect},
    request::Outgoing,
    stage::{Next, State, StateProj, Then},
    state::CallState,
    timers::{Bound, Clock, Nearest},
};
use crate::stack::{drain::Drain, origin_state::OriginState, stream::Guarded};
use crate::{body::Body, inflight::observe, origin::table::Entry, telemetry};
use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use pin_project::pin_project;
use std::task::{Context, Poll};
use std::{future::Future, pin::Pin, sync::Arc};
use tower_service::Service;
use tracing::Span;

/// The future of a call.
///
/// It may be dropped at any moment: table entry, permit, connection and the place in a health check are given
/// back, and a call that was silent for long is counted as a hang. No further attempt leaves.
///
/// # Panics
/// When it is polled after it was ready, and where the inner service, a classifier or a copy of the user's panics.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Call<S, B, R>
where
    S: Service<Request<B>>,
{
    inner: S,
    // Taken by the first poll, which begins the life of the call.
    origin_state: Option<Result<Arc<Entry<OriginState>>, Error>>,
    request: Outgoing<B>,
    // Method and URL of a request that a redirect answered, where it is followed.
    redirected: Option<Box<(Method, Uri)>>,
    hop: Hop,
    // The deadline of the scope that the call was made in.
    ambient: Option<Deadline>,
    life: Option<CallState>,
    span: Span,
    attempt_span: Span,
    #[pin]
    timer: Timer,
    #[pin]
    state: State<S::Future, R>,
}

impl<S, B, R> Call<S, B, R>
where
    S: Service<Request<B>>,
{
    #[inline]
    pub(in crate::stack) fn new(
        inner: S,
        origin_state: Result<Arc<Entry<OriginState>>, Error>,
        request: Request<B>,
        hop: Hop,
    ) -> Call<S, B, R> {
        Call {
            inner,
            origin_state: Some(origin_state),
            request: Outgoing::new(request),
            redirected: None,
            ambient: Deadline::earlier(Scope::current().deadline, hop.ambient),
            hop,
            life: None,
            span: Span::none(),
            attempt_span: Span::none(),
            timer: Timer::default(),
            state: State::Start,
        }
    }
}

impl<S, B, R> Future for Call<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: 'static,
    R: http_body::Body + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut clock = Clock::default();
        if let Some(origin_state) = this.origin_state.take() {
            let Some(request) = this.request.first() else { unreachable!("it is taken when it is sent") };
            match origin_state.and_then(|origin_state| {
                CallState::begin(this.life, origin_state, request, *this.ambient, this.hop)
            }) {
                Ok(life) => {
                    clock = Clock::at(life.began);
                    *this.span = telemetry::call(&life.origin_state.origin, &life.method, || life.url());
                }
                Err(error) => {
                    this.state.set(State::Done);
                    return Poll::Ready(Err(error));
                }
            }
        }
        let span = this.span.enter();
        let ended = loop {
            let Some(life) = this.life.as_mut() else { panic!("a call was polled after it had ended") };
            let copy = this.request.is_some();
            let bounds = Nearest::default().at(life.deadline, Bound::Deadline);
            let next = match this.state.as_mut().project() {
                StateProj::Start => {
                    match life.admit(clock.now()) {
                        Admission::Go => this.state.set(State::ready(false, clock.now())),
                        Admission::Lead => this.state.set(State::ready(true, clock.now())),
                        Admission::Wait => this.state.set(State::Health),
                        Admission::Later(until) => this.state.set(State::wait(until, None)),
                        Admission::RefusedAt(until, error) => this.state.set(State::refuse(until, error)),
                        Admission::Refused(error) => break life.close(error, clock.now()),
                    }
                    continue;
                }
                StateProj::Wait { until, drain, then } => {
                    if drain.as_mut().is_some_and(|d| d.poll(cx).is_ready() || clock.now() >= d.until) {
                        life.drained(drain.take());
                    }
                    match drain {
                        None if clock.now() >= *until => {
                            match std::mem::replace(then, Then::Start) {
                                Then::Start => this.state.set(State::Start),
                                Then::Send => this.state.set(State::ready(false, clock.now())),
                                Then::Refuse(error) => break life.close(error, clock.now()),
                            }
                            continue;
                        }
                        None => {
                            *until = life.woken(*until, cx);
                            Next::Pending(bounds.at(Some(*until), Bound::Wake))
                        }
                        Some(drain) => Next::Pending(bounds.at(Some(drain.until), Bound::Wake)),
                    }
                }
                StateProj::Health => match life.poll_health(cx) {
                    Poll::Pending => {
                        life.idle(Phase::HealthCheck, &mut clock);
                        let bounds = bounds.at(life.waits_until(), Bound::Deadline);
                        Next::Pending(bounds.at(life.leader_ends(), Bound::Wake))
                    }
                    Poll::Ready(Ok(lead)) => {
                        this.state.set(State::ready(lead, clock.now()));
                        continue;
                    }
                    Poll::Ready(Err(error)) => Next::Failed(life.failed(error, true, clock.now()), None),
                },
                StateProj::Ready { probe, since } => {
                    let (probe, since) = (*probe, *since);
                    match life.inside(|| this.inner.poll_ready(cx)) {
                        Poll::Pending => {
                            life.idle(Phase::Ready, &mut clock);
                            // A full pool of the caller's own says nothing about the health of the server.
                            let bounds = bounds.at(life.waits_until(), Bound::Deadline);
                            Next::Pending(bounds.at(life.place_ends(since), Bound::Place))
                        }
                        Poll::Ready(Err(error)) => {
                            // A service that failed to become ready is not asked again.
                            let error = Error::from(error.into()).at(Phase::Ready);
                            break Err(life.finally(error, clock.now()));
                        }
                        Poll::Ready(Ok(())) if !life.may_send(probe, clock.now()) => {
                            this.state.set(State::Start);
                            continue;
                        }
                        Poll::Ready(Ok(())) if probe => {
                            let request = match this.request.health_check(life) {
                                Ok(request) => request,
                                Err(error) => break Err(life.finally(error, clock.now())),
                            };
                            life.sent(clock.now());
                            let future = life.inside(|| outside(|| this.inner.call(request)));
                            clock.stale();
                            this.state.set(State::Probe { future });
                            continue;
                        }
                        Poll::Ready(Ok(())) => {
                            let now = clock.now();
                            life.sent(now);
                            this.request.prepare(life, now);
                            *this.attempt_span = telemetry::attempt(life.attempt);
                            let call = || this.inner.call(this.request.take());
                            let future = life.inside_attempt(this.attempt_span, call);
                            clock.stale();
                            this.state.set(State::Sent { future });
                            continue;
                        }
                    }
                }
                StateProj::Probe { future } => match life.inside(|| outside(|| future.poll(cx))) {
                    Poll::Pending => {
                        life.idle(Phase::HealthCheck, &mut clock);
                        Next::Pending(bounds.at(life.probe_ends(), Bound::Probe))
                    }
                    Poll::Ready(answer) => {
                        clock.stale();
                        let now = clock.now();
                        let (checked, drain) = match answer {
                            Ok(answer) => {
                                let checked = life.probed(life.healthy(answer.status()), now);
                                (checked, Some(Drain::new(answer.into_body(), now)))
                            }
                            Err(error) => (life.probe_broke(error.into(), now), None),
                        };
                        match checked {
                            Ok(()) => {
                                this.state.set(State::Wait { until: now, drain, then: Then::Send });
                                continue;
                            }
                            Err(error) => Next::Failed(life.failed(error, true, now), drain),
                        }
                    }
                },
                StateProj::Sent { future } => {
                    let poll = || observe(|| future.poll(cx));
                    let (polled, doing) = life.inside_attempt(this.attempt_span, poll);
                    clock.stale();
                    match polled {
                        Poll::Pending => {
                            life.idle(doing, &mut clock);
                            Next::Pending(bounds.attempt(life))
                        }
                        Poll::Ready(Err(error)) => {
                            let error = Error::from(error.into());
                            Next::Failed(life.failed(error, copy, clock.now()), None)
                        }
                        Poll::Ready(Ok(answer)) => {
                            let (head, mut body) = answer.into_parts();
                            let now = clock.now();
                            let verdict = life.head(&head, copy, now);
                            if verdict.is_ok() && life.follows && is_redirect(&head) {
                                *this.redirected = Some(Box::new((life.method.clone(), life.uri())));
                            }
                            match verdict {
                                Err(until) => Next::Failed(Ok(until), Some(life.set_aside(head, body, now))),
                                Ok(Plan::Stream { .. }) => {
                                    break Ok(Guarded::hand_over(this.life, head, Bytes::new(), body, now));
                                }
                                Ok(Plan::Collect(limit)) => {
                                    // Most bodies are there already: those never go through the state.
                                    let mut buffer = Buffer::default();
                                    match read(life, &mut body, &mut buffer, limit, &mut clock, cx) {
                                        Read::Complete => break Ok(life.respond(head, buffer, clock.now())),
                                        Read::TooMuch => {
                                            let (read, now) = (buffer.take(), clock.now());
                                            break Ok(Guarded::hand_over(this.life, head, read, body, now));
                                        }
                                        Read::Broken(error) => {
                                            Next::Failed(life.failed(error, copy, clock.now()), None)
                                        }
                                        Read::Pending => {
                                            let bounds = bounds.attempt(life).stall(life);
                                            let reading = Some((head, body));
                                            this.state.set(State::Collect { reading, buffer, limit });
                                            Next::Pending(bounds)
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                StateProj::Collect { reading, buffer, limit } => {
                    let Some((_, body)) = reading else { unreachable!("it is taken when the call ends") };
                    match read(life, body, buffer, *limit, &mut clock, cx) {
                        Read::Pending => Next::Pending(bounds.attempt(life).stall(life)),
                        Read::Broken(error) => Next::Failed(life.failed(error, copy, clock.now()), None),
                        done => {
                            let Some((head, body)) = reading.take() else { unreachable!("seen above") };
                            let (mut buffer, now) = (std::mem::take(buffer), clock.now());
                            if let Read::Complete = done {
                                break Ok(life.respond(head, buffer, now));
                            }
                            break Ok(Guarded::hand_over(this.life, head, buffer.take(), body, now));
                        }
                    }
                }
                StateProj::Done => panic!("a call was polled after it had ended"),
            };
            let (failed, drain) = match next {
                Next::Failed(failed, drain) => (failed, drain),
                Next::Pending(bounds) => {
                    // Everything that could make progress was polled; only now what ends the wait.
                    if let Some(error) = life.cancelled(cx) {
                        break Err(error);
                    }
                    let Some((at, bound)) = bounds.get() else { return Poll::Pending };
                    match this.timer.as_mut().poll(at, cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Err(error)) => break Err(life.finally(error, clock.now())),
                        Poll::Ready(Ok(())) => clock.reached(at),
                    }
                    let now = clock.now();
                    let expired = match (bound, this.state.as_mut().project()) {
                        (Bound::Attempt(limit), StateProj::Collect { reading, buffer, .. }) => {
                            match (life.outlived(limit, copy, now), reading.take()) {
                                (None, Some((head, body))) => {
                                    break Ok(Guarded::hand_on(this.life, head, buffer.take(), body, now));
                                }
                                (outlived, _) => outlived,
                            }
                        }
                        _ => life.expired(bound, copy, now),
                    };
                    match expired {
                        Some(failed) => (failed, None),
                        None => continue,
                    }
                }
            };
            match failed {
                Ok(until) => this.state.set(State::wait(until, drain)),
                Err(error) => break life.close(error, clock.now()),
            }
        };
        drop(span);
        this.state.set(State::Done);
        *this.life = None;
        Poll::Ready(ended)
    }
}
