//! One service for many calls, where it cannot be cloned.

use crate::sync::{Mutex, lock, wake_all};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use tower_service::Service;

/// A handle to one service that all calls share: each has it while it is asked whether it is ready and while the request
/// is handed to it, and the responses are awaited side by side. Nothing runs in the background and nothing is queued: a
/// call that waits for the service waits in its own task, in the phase [`Ready`](crate::error::Phase::Ready), under
/// its deadline.
///
/// A service that fails to become ready fails the call that asked, with its own error; the next call asks again.
pub struct Buffered<S> {
    place: Arc<Place<S>>,
    /// Taken when it was ready, until it is called.
    held: Option<Box<S>>,
    /// By which it is known in the queue, once it has waited.
    ticket: Option<u64>,
}

/// Where the service is while nobody has it.
struct Place<S> {
    state: Mutex<State<S>>,
    queue: Arc<Queue>,
    /// Wakes the queue: the service keeps one waker, and must not keep that of a call that may be dropped.
    waker: Waker,
}

struct State<S> {
    service: Option<Box<S>>,
    /// Who came while another call had it.
    missed: Vec<Waker>,
}

/// Who waits for the service to become ready. Free of its type, which need not be `'static`, as a waker is.
#[derive(Default)]
struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    last: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl<S> Buffered<S> {
    pub(super) fn new(service: S) -> Buffered<S> {
        let queue = Arc::new(Queue::default());
        let waker = Waker::from(Arc::clone(&queue));
        let state = Mutex::new(State { service: Some(Box::new(service)), missed: Vec::new() });
        Buffered { place: Arc::new(Place { state, queue, waker }), held: None, ticket: None }
    }

    /// It was called, or is not needed: whoever waits may ask it.
    fn give_back(&mut self) {
        if let Some(service) = self.held.take() {
            let missed = self.place.put(service);
            wake_all(missed);
            self.place.queue.wake_waiting();
        }
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.place.queue.leave(ticket);
        }
    }
}

impl<S> Place<S> {
    /// The service, or the promise to be woken when it is back.
    fn take(&self, waker: &Waker) -> Option<Box<S>> {
        if let Some(service) = lock(&self.state).service.take() {
            return Some(service);
        }
        let mut mine = Some(waker.clone());
        let mut state = lock(&self.state);
        let service = state.service.take();
        if service.is_none()
            && !state.missed.iter().any(|waker| mine.as_ref().is_some_and(|m| m.will_wake(waker)))
        {
            state.missed.extend(mine.take());
        }
        // A waker is dropped without the lock.
        drop(state);
        drop(mine);
        service
    }

    /// Puts it back. Who came meanwhile is to be woken.
    fn put(&self, service: Box<S>) -> Vec<Waker> {
        let mut state = lock(&self.state);
        state.service = Some(service);
        std::mem::take(&mut state.missed)
    }
}

impl Queue {
    fn enter(&self, ticket: &mut Option<u64>, waker: &Waker) {
        let waker = waker.clone();
        let mut waiting = lock(&self.0);
        let ticket = *ticket.get_or_insert_with(|| {
            waiting.last += 1;
            waiting.last
        });
        let before = waiting.wakers.insert(ticket, waker);
        drop(waiting);
        drop(before);
    }

    fn leave(&self, ticket: u64) {
        let left = lock(&self.0).wakers.remove(&ticket);
        drop(left);
    }

    /// All of them, who has waited longest first: one alone might be in a task that nobody polls.
    fn wake_waiting(&self) {
        let wakers = std::mem::take(&mut lock(&self.0).wakers);
        wake_all(wakers.into_values());
    }
}

impl Wake for Queue {
    fn wake(self: Arc<Self>) {
        self.wake_waiting();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_waiting();
    }
}

impl<S, R> Service<R> for Buffered<S>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.held.is_none() {
            self.held = self.place.take(cx.waker());
        }
        let Buffered { place, held, ticket } = self;
        let Some(service) = held else { return Poll::Pending };
        let mut within = Context::from_waker(&place.waker);
        let mut polled = service.poll_ready(&mut within);
        if polled.is_pending() {
            // Once more when it is in the queue, lest it became ready in between.
            place.queue.enter(ticket, cx.waker());
            polled = service.poll_ready(&mut within);
        }
        match polled {
            // Nobody keeps a service that is not ready: a call that is not polled any more would keep it from all others.
            Poll::Pending => {
                if let Some(service) = held.take() {
                    wake_all(place.put(service));
                }
            }
            Poll::Ready(Ok(())) => self.leave(),
            Poll::Ready(Err(_)) => {
                self.leave();
                self.give_back();
            }
        }
        polled
    }

    fn call(&mut self, request: R) -> S::Future {
        let Some(service) = &mut self.held else {
            panic!("a service was called before it was ready");
        };
        // Where it panics, it is given back when this is dropped.
        let future = service.call(request);
        self.give_back();
        future
    }
}

/// Another handle to the same service, which has nothing yet.
impl<S> Clone for Buffered<S> {
    fn clone(&self) -> Buffered<S> {
        Buffered { place: Arc::clone(&self.place), held: None, ticket: None }
    }
}

impl<S> Drop for Buffered<S> {
    fn drop(&mut self) {
        self.leave();
        self.give_back();
    }
}

impl<S> fmt::Debug for Buffered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffered").field("held", &self.held.is_some()).finish_non_exhaustive()
    }
}
