//! The life of a call: one hand-written future that asks the parts and acts on their answers.

use super::builder::Shared;
use super::lane::Lane;
use super::life::{Admission, Life};
use super::stream::Guarded;
use super::wait::{Bound, Clock, Drain, Nearest};
use crate::body::{Body, Replay, empty};
use crate::collect::{Buffer, Plan};
use crate::deadline::{Deadline, Timer, outside};
use crate::error::{BoxError, Error, Phase};
use crate::inflight::observe;
use crate::origin::Entry;
use crate::telemetry;
use bytes::{Buf, Bytes};
use http::{Request, Response, response};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tower_service::Service;
use tracing::Span;

pin_project! {
    /// The future of a call.
    ///
    /// It may be dropped at any moment: table entry, permit, connection and the place in a health check are given
    /// back, and a call that was silent for long is counted as a hang.
    #[must_use = "futures do nothing unless polled"]
    pub struct Call<S, B, R>
    where
        S: Service<Request<B>>,
    {
        inner: S,
        shared: Option<Arc<Shared>>,
        lane: Option<Arc<Entry<Lane>>>,
        // What goes out next; while an attempt is under way, the copy for the one after it.
        request: Option<Request<B>>,
        // The deadline of the scope that the call was made in.
        ambient: Option<Deadline>,
        life: Option<Life>,
        span: Span,
        attempt_span: Span,
        #[pin]
        timer: Timer,
        #[pin]
        state: State<S::Future, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        // Asks for admission.
        Start,
        // Lets time pass, and reads what is left of a response that is thrown away.
        Wait { until: Instant, drain: Option<Drain<R>>, then: Then },
        // Waits for another caller's health check.
        Health,
        // Waits until the inner service is ready.
        Ready { probe: bool },
        // Waits for a response head.
        Sent { #[pin] future: F, probe: bool },
        // Reads the body inside the attempt.
        Collect { head: Option<response::Parts>, body: Option<R>, buffer: Buffer, limit: u64 },
        Done,
    }
}

#[derive(Clone, Copy)]
enum Then {
    Start,
    Send,
}

impl<F, R> State<F, R> {
    fn wait(until: Instant, drain: Option<Drain<R>>) -> State<F, R> {
        State::Wait { until, drain, then: Then::Start }
    }
}

impl<S, B, R> Call<S, B, R>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(
        inner: S,
        shared: Arc<Shared>,
        lane: Option<Arc<Entry<Lane>>>,
        request: Request<B>,
    ) -> Call<S, B, R> {
        Call {
            inner,
            shared: Some(shared),
            lane,
            request: Some(request),
            ambient: Deadline::current(),
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
        if let Some(shared) = this.shared.take() {
            let Some(request) = this.request.as_ref() else { unreachable!("it is taken when it is sent") };
            match Life::begin(shared, this.lane.take(), request, *this.ambient) {
                Ok(life) => {
                    clock = Clock::at(life.started);
                    *this.span = telemetry::call(&life.lane.origin, &life.method, || life.url());
                    *this.life = Some(life);
                }
                Err(error) => {
                    this.state.set(State::Done);
                    return Poll::Ready(Err(error));
                }
            }
        }
        let _span = this.span.enter();
        let ended = loop {
            let Some(life) = this.life.as_mut() else { panic!("a call was polled after it had ended") };
            let bounds = Nearest::default().at(life.deadline, Bound::Deadline);
            let bounds = match this.state.as_mut().project() {
                StateProj::Start => {
                    let uri = this.request.as_ref().map(Request::uri);
                    match life.admit(uri, clock.now()) {
                        Admission::Go => this.state.set(State::Ready { probe: false }),
                        Admission::Lead => this.state.set(State::Ready { probe: true }),
                        Admission::Wait => {
                            life.enter(Phase::HealthCheck, clock.now());
                            this.state.set(State::Health);
                        }
                        Admission::Later(until) => this.state.set(State::wait(until, None)),
                        Admission::Refused(error) => break Err(life.finally(error, clock.now())),
                    }
                    continue;
                }
                StateProj::Wait { until, drain, then } => {
                    if drain.as_mut().is_some_and(|d| d.poll(cx).is_ready() || clock.now() >= d.until) {
                        *drain = None;
                    }
                    match drain {
                        None if clock.now() >= *until => {
                            match then {
                                Then::Start => this.state.set(State::Start),
                                Then::Send => this.state.set(State::Ready { probe: false }),
                            }
                            continue;
                        }
                        None => bounds.at(Some(*until), Bound::Wake),
                        Some(drain) => bounds.at(Some(drain.until), Bound::Wake),
                    }
                }
                StateProj::Health => match life.poll_health(cx) {
                    Poll::Pending => bounds.at(life.waits_until(), Bound::Deadline),
                    Poll::Ready(Ok(lead)) => {
                        this.state.set(State::Ready { probe: lead });
                        continue;
                    }
                    Poll::Ready(Err(error)) => match life.failed(error, true, clock.now()) {
                        Ok(until) => {
                            this.state.set(State::wait(until, None));
                            continue;
                        }
                        Err(error) => break Err(error),
                    },
                },
                StateProj::Ready { probe } => match this.inner.poll_ready(cx) {
                    Poll::Pending => {
                        life.idle(Phase::Ready, &mut clock);
                        let bounds = bounds.at(life.waits_until(), Bound::Deadline);
                        bounds.at(life.probe_ends().filter(|_| *probe), Bound::Probe)
                    }
                    Poll::Ready(Err(error)) => {
                        // A service that failed to become ready is not asked again.
                        let error = Error::from(error.into()).at(Phase::Ready);
                        break Err(life.finally(error, clock.now()));
                    }
                    Poll::Ready(Ok(())) => {
                        let probe = *probe;
                        let outgoing =
                            if probe { health_check(life, this.request) } else { next(life, this.request) };
                        let request = match outgoing {
                            Ok(request) => request,
                            Err(error) => break Err(life.finally(error, clock.now())),
                        };
                        life.sent(probe, clock.now());
                        *this.attempt_span = telemetry::attempt(life.attempt, probe);
                        let inner = &mut *this.inner;
                        let future = this.attempt_span.in_scope(|| {
                            if probe { outside(|| inner.call(request)) } else { inner.call(request) }
                        });
                        clock.stale();
                        this.state.set(State::Sent { future, probe });
                        continue;
                    }
                },
                StateProj::Sent { future, probe } => {
                    let probe = *probe;
                    let (polled, doing) = this.attempt_span.in_scope(|| {
                        observe(|| if probe { outside(|| future.poll(cx)) } else { future.poll(cx) })
                    });
                    clock.stale();
                    match polled {
                        Poll::Pending if probe => bounds.at(life.probe_ends(), Bound::Probe),
                        Poll::Pending => {
                            life.idle(doing, &mut clock);
                            let bounds = bounds.at(life.overdue_at(), Bound::Overdue);
                            match life.attempt_ends() {
                                Some((at, limit)) => bounds.at(Some(at), Bound::Attempt(limit)),
                                None => bounds,
                            }
                        }
                        Poll::Ready(answer) if probe => {
                            let now = clock.now();
                            let (result, drain) = match answer {
                                Ok(answer) => {
                                    (life.healthy(answer.status()), Some(Drain::new(answer.into_body(), now)))
                                }
                                Err(error) => (Err(Error::from(error.into()).cause()), None),
                            };
                            match life.probed(result, now) {
                                Ok(()) => {
                                    this.state.set(State::Wait { until: now, drain, then: Then::Send });
                                    continue;
                                }
                                Err(error) => match life.failed(error, true, now) {
                                    Ok(until) => {
                                        this.state.set(State::wait(until, drain));
                                        continue;
                                    }
                                    Err(error) => break Err(error),
                                },
                            }
                        }
                        Poll::Ready(Err(error)) => {
                            let error = Error::from(error.into());
                            match life.failed(error, this.request.is_some(), clock.now()) {
                                Ok(until) => {
                                    this.state.set(State::wait(until, None));
                                    continue;
                                }
                                Err(error) => break Err(error),
                            }
                        }
                        Poll::Ready(Ok(answer)) => {
                            let (head, body) = answer.into_parts();
                            let now = clock.now();
                            match life.head(&head, this.request.is_some(), now) {
                                Err(until) => this.state.set(State::wait(until, Some(Drain::new(body, now)))),
                                Ok(Plan::Collect(limit)) => this.state.set(State::Collect {
                                    head: Some(head),
                                    body: Some(body),
                                    buffer: Buffer::default(),
                                    limit,
                                }),
                                Ok(Plan::Stream { .. }) => {
                                    break Ok(Guarded::hand_over(this.life, head, Bytes::new(), body, now));
                                }
                            }
                            continue;
                        }
                    }
                }
                StateProj::Collect { head, body, buffer, limit } => {
                    let reading = body.as_mut().map(|body| Pin::new(body).poll_frame(cx));
                    match reading {
                        Some(Poll::Pending) => {
                            life.enter_body(&mut clock);
                            let bounds = bounds.at(life.overdue_at(), Bound::Overdue);
                            let bounds = match life.attempt_ends() {
                                Some((at, limit)) => bounds.at(Some(at), Bound::Attempt(limit)),
                                None => bounds,
                            };
                            match life.flow.bound() {
                                Some((at, stall)) => bounds.at(Some(at), Bound::Stall(stall)),
                                None => bounds,
                            }
                        }
                        Some(Poll::Ready(Some(Ok(frame)))) => {
                            match frame.into_data() {
                                Ok(mut data) => {
                                    life.got(data.remaining(), &mut clock);
                                    buffer.push(data.copy_to_bytes(data.remaining()));
                                }
                                Err(frame) => buffer.trailers = frame.into_trailers().ok().map(Box::new),
                            }
                            if buffer.len() > *limit {
                                if let (Some(head), Some(body)) = (head.take(), body.take()) {
                                    let (read, now) = (buffer.take(), clock.now());
                                    break Ok(Guarded::hand_over(this.life, head, read, body, now));
                                }
                            }
                            continue;
                        }
                        Some(Poll::Ready(Some(Err(error)))) => {
                            let error =
                                Error::from(error.into()).at(Phase::Body).received(life.flow.received());
                            match life.failed(error, this.request.is_some(), clock.now()) {
                                Ok(until) => {
                                    this.state.set(State::wait(until, None));
                                    continue;
                                }
                                Err(error) => break Err(error),
                            }
                        }
                        Some(Poll::Ready(None)) | None => {
                            let Some(mut head) = head.take() else { unreachable!("it is taken once") };
                            let now = clock.now();
                            life.complete(now);
                            let attempts = life.attempts(&mut head, now);
                            let body = Body::collected(buffer.take(), buffer.trailers.take());
                            break Ok(Response::from_parts(head, body.with_attempts(attempts)));
                        }
                    }
                }
                StateProj::Done => panic!("a call was polled after it had ended"),
            };

            // Everything that could make progress was polled; only now the timer.
            let Some((at, bound)) = bounds.get() else { return Poll::Pending };
            match this.timer.as_mut().poll(at, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => break Err(life.finally(error, clock.now())),
                Poll::Ready(Ok(())) => clock.stale(),
            }
            let now = clock.now();
            let failed = match bound {
                Bound::Wake => continue,
                Bound::Overdue => {
                    life.overdue(now);
                    continue;
                }
                Bound::Deadline => {
                    let error = life.out_of_time(now);
                    break Err(life.finally(error, now));
                }
                Bound::Attempt(limit) => life.failed(life.too_slow(limit), this.request.is_some(), now),
                Bound::Stall(stall) => {
                    life.failed(stall.error(life.flow.received()), this.request.is_some(), now)
                }
                Bound::Probe => match life.probed(Err(life.probe_silence()), now) {
                    Ok(()) => continue,
                    Err(error) => life.failed(error, true, now),
                },
            };
            match failed {
                Ok(until) => this.state.set(State::wait(until, None)),
                Err(error) => break Err(error),
            }
        };
        drop(_span);
        this.state.set(State::Done);
        *this.life = None;
        Poll::Ready(ended)
    }
}

/// The request of this attempt; what is needed for another one stays behind.
fn next<B: 'static>(life: &Life, kept: &mut Option<Request<B>>) -> Result<Request<B>, Error> {
    let Some(request) = kept.take() else { unreachable!("no attempt begins without a request") };
    if life.may_repeat() {
        match life.shared.retry.replay.copy(request.body()) {
            Some(body) => *kept = Some(copy(&request, body)),
            None => life.shared.say_unreplayable(Replay::name_of::<B>()),
        }
    }
    Ok(request)
}

fn copy<B>(request: &Request<B>, body: B) -> Request<B> {
    let mut copy = Request::new(body);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    copy
}

/// The health check that goes before a request.
fn health_check<B: 'static>(life: &Life, request: &Option<Request<B>>) -> Result<Request<B>, Error> {
    let (Some(health), Some(request)) = (&life.shared.health, request) else {
        unreachable!("only a stack with a health check leads one, and before its request is sent");
    };
    let Some(body) = empty::<B>() else {
        return Err(Error::config(format!(
            "no health check can be sent: it is not known how an empty body of type {} is made",
            Replay::name_of::<B>()
        )));
    };
    let mut probe = Request::new(body);
    *probe.uri_mut() = health.uri(request.uri())?;
    *probe.version_mut() = request.version();
    Ok(probe)
}
