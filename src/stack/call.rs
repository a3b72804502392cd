//! The life of a call: one hand-written future that asks the parts and acts on their answers.

use super::builder::Shared;
use super::lane::Lane;
use super::life::{Admission, Life};
use super::read::{Read, read};
use super::stream::Guarded;
use super::wait::{Bound, Clock, Drain, Nearest};
use crate::body::{Body, Replay, empty};
use crate::collect::{Buffer, Plan};
use crate::deadline::{Timer, outside};
use crate::error::{BoxError, Error, Phase};
use crate::inflight::observe;
use crate::origin::Entry;
use crate::telemetry;
use bytes::Bytes;
use http::{Request, Response, request, response};
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
        request: Option<(request::Parts, B)>,
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
        // Waits for the answer to its own health check.
        Probe { #[pin] future: F },
        // Waits for a response head.
        Sent { #[pin] future: F },
        // Reads the body inside the attempt.
        Collect { reading: Option<(response::Parts, R)>, buffer: Buffer, limit: u64 },
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
            request: Some(request.into_parts()),
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
            let Some((head, _)) = this.request.as_ref() else { unreachable!("it is taken when it is sent") };
            match Life::begin(this.life, shared, this.lane.take(), head) {
                Ok(life) => {
                    clock = Clock::at(life.started);
                    *this.span = telemetry::call(&life.lane.origin, &life.method, || life.url());
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
            let bounds = Nearest::default().at(life.deadline, Bound::Deadline);
            let next = match this.state.as_mut().project() {
                StateProj::Start => {
                    let uri = this.request.as_ref().map(|(head, _)| &head.uri);
                    match life.admit(uri, clock.now()) {
                        Admission::Go => this.state.set(State::Ready { probe: false }),
                        Admission::Lead => this.state.set(State::Ready { probe: true }),
                        Admission::Wait => this.state.set(State::Health),
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
                        None => Next::Pending(bounds.at(Some(*until), Bound::Wake)),
                        Some(drain) => Next::Pending(bounds.at(Some(drain.until), Bound::Wake)),
                    }
                }
                StateProj::Health => match life.poll_health(cx) {
                    Poll::Pending => {
                        life.idle(Phase::HealthCheck, &mut clock);
                        Next::Pending(bounds)
                    }
                    Poll::Ready(Ok(lead)) => {
                        this.state.set(State::Ready { probe: lead });
                        continue;
                    }
                    Poll::Ready(Err(error)) => Next::Failed(life.failed(error, true, clock.now()), None),
                },
                StateProj::Ready { probe } => {
                    let probe = *probe;
                    match life.inside(|| this.inner.poll_ready(cx)) {
                        Poll::Pending => {
                            life.idle(Phase::Ready, &mut clock);
                            Next::Pending(bounds.at(life.probe_ends().filter(|_| probe), Bound::Probe))
                        }
                        Poll::Ready(Err(error)) => {
                            // A service that failed to become ready is not asked again.
                            let error = Error::from(error.into()).at(Phase::Ready);
                            break Err(life.finally(error, clock.now()));
                        }
                        Poll::Ready(Ok(())) if probe => {
                            let request = match health_check(life, this.request) {
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
                            let request = next(life, this.request);
                            life.sent(clock.now());
                            *this.attempt_span = telemetry::attempt(life.attempt);
                            let future = {
                                let _attempt = this.attempt_span.enter();
                                life.inside(|| this.inner.call(request))
                            };
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
                            Err(error) => Next::Failed(life.failed(error, true, now), drain),
                        }
                    }
                },
                StateProj::Sent { future } => {
                    let (polled, doing) = {
                        let _attempt = this.attempt_span.enter();
                        life.inside(|| observe(|| future.poll(cx)))
                    };
                    clock.stale();
                    match polled {
                        Poll::Pending => {
                            life.idle(doing, &mut clock);
                            Next::Pending(bounds.attempt(life))
                        }
                        Poll::Ready(Err(error)) => {
                            let error = Error::from(error.into());
                            Next::Failed(life.failed(error, this.request.is_some(), clock.now()), None)
                        }
                        Poll::Ready(Ok(answer)) => {
                            let (head, mut body) = answer.into_parts();
                            let now = clock.now();
                            match life.head(&head, this.request.is_some(), now) {
                                Err(until) => Next::Failed(Ok(until), Some(Drain::new(body, now))),
                                Ok(Plan::Stream { .. }) => {
                                    break Ok(Guarded::hand_over(this.life, head, Bytes::new(), body, now));
                                }
                                Ok(Plan::Collect(limit)) => {
                                    // Most bodies are there already: those never go through the state.
                                    let mut buffer = Buffer::default();
                                    match read(life, &mut body, &mut buffer, limit, &mut clock, cx) {
                                        Read::Complete => {
                                            break Ok(life.respond(head, buffer, clock.now()));
                                        }
                                        Read::TooMuch => {
                                            let (read, now) = (buffer.take(), clock.now());
                                            break Ok(Guarded::hand_over(this.life, head, read, body, now));
                                        }
                                        Read::Broken(error) => Next::Failed(
                                            life.failed(error, this.request.is_some(), clock.now()),
                                            None,
                                        ),
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
                        Read::Broken(error) => {
                            Next::Failed(life.failed(error, this.request.is_some(), clock.now()), None)
                        }
                        done => {
                            let Some((head, body)) = reading.take() else {
                                unreachable!("it was there above")
                            };
                            let mut buffer = std::mem::take(buffer);
                            let now = clock.now();
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
                    // Everything that could make progress was polled; only now the timer.
                    let Some((at, bound)) = bounds.get() else { return Poll::Pending };
                    match this.timer.as_mut().poll(at, cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Err(error)) => break Err(life.finally(error, clock.now())),
                        Poll::Ready(Ok(())) => clock.stale(),
                    }
                    match life.expired(bound, this.request.is_some(), clock.now()) {
                        Some(failed) => (failed, None),
                        None => continue,
                    }
                }
            };
            match failed {
                Ok(until) => this.state.set(State::wait(until, drain)),
                Err(error) => break Err(error),
            }
        };
        drop(span);
        this.state.set(State::Done);
        *this.life = None;
        Poll::Ready(ended)
    }
}

/// What one turn of the loop came to, where it did not just go on.
enum Next<R> {
    Pending(Nearest),
    /// The attempt is over: when the next begins, or the error of the call; and what is left of a response.
    Failed(Result<Instant, Error>, Option<Drain<R>>),
}

/// The request of this attempt; what is needed for another one stays behind.
#[inline]
fn next<B: 'static>(life: &Life, kept: &mut Option<(request::Parts, B)>) -> Request<B> {
    let Some((head, body)) = kept.take() else { unreachable!("no attempt begins without a request") };
    if life.may_repeat() {
        match life.shared.retry.replay.copy(&body) {
            Some(body) => *kept = Some((head.clone(), body)),
            None => life.shared.say_unreplayable(Replay::name_of::<B>()),
        }
    }
    Request::from_parts(head, body)
}

/// The health check that goes before a request.
fn health_check<B: 'static>(life: &Life, kept: &Option<(request::Parts, B)>) -> Result<Request<B>, Error> {
    let (Some(health), Some((head, _))) = (&life.shared.health, kept) else {
        unreachable!("only a stack with a health check leads one, and before its request is sent");
    };
    let Some(body) = empty::<B>() else {
        return Err(Error::config(format!(
            "no health check can be sent: it is not known how an empty body of type {} is made",
            Replay::name_of::<B>()
        )));
    };
    let mut probe = Request::new(body);
    *probe.uri_mut() = health.uri(&head.uri)?;
    *probe.version_mut() = head.version;
    Ok(probe)
}
