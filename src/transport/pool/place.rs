//! Where a call waits for its connection.

use crate::sync::{Mutex, lock};
use std::task::{Context, Poll, Waker};

/// Filled by whoever has something for the call, emptied by the call.
#[derive(Debug)]
pub(super) struct Place<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    outcome: Option<T>,
    waker: Option<Waker>,
    /// The call was given up.
    left: bool,
}

impl<T> Default for Place<T> {
    fn default() -> Place<T> {
        Place(Mutex::new(State { outcome: None, waker: None, left: false }))
    }
}

impl<T> Place<T> {
    /// What it is given, which comes back where the call was given up meanwhile.
    pub(super) fn put(&self, outcome: T) -> Option<T> {
        let (back, waker) = {
            let mut state = lock(&self.0);
            if state.left {
                (Some(outcome), None)
            } else {
                state.outcome = Some(outcome);
                (None, state.waker.take())
            }
        };
        crate::sync::wake_all(waker);
        back
    }

    /// Something changed for those who wait.
    pub(super) fn stir(&self) {
        let waker = lock(&self.0).waker.take();
        crate::sync::wake_all(waker);
    }

    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<T> {
        // Cloned before the lock is taken, and what it replaces dropped after it is given back.
        let waker = cx.waker().clone();
        let (polled, _before) = {
            let mut state = lock(&self.0);
            match state.outcome.take() {
                Some(outcome) => (Poll::Ready(outcome), Some(waker)),
                None => (Poll::Pending, state.waker.replace(waker)),
            }
        };
        polled
    }

    /// The call is given up: what it was given already.
    pub(super) fn leave(&self) -> Option<T> {
        let (outcome, _waker) = {
            let mut state = lock(&self.0);
            state.left = true;
            (state.outcome.take(), state.waker.take())
        };
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken_once_and_comes_back_where_nobody_waits_any_more() {
        let (place, cx) = (Place::default(), Context::from_waker(Waker::noop()));
        assert!(place.poll(&cx).is_pending());
        assert_eq!(place.put(1), None);
        assert_eq!(place.poll(&cx), Poll::Ready(1));
        assert_eq!((place.put(2), place.leave(), place.put(3)), (None, Some(2), Some(3)));
    }
}

#[cfg(all(test, unwedge_loom))]
mod loom_tests {
    use super::*;
    use crate::sync::{Arc, explore};

    /// A connection is put while its call is given up, or looks: it is with exactly one of them.
    #[test]
    fn loom_what_is_put_is_in_one_hand_whatever_the_call_does_meanwhile() {
        for leaves in [true, false] {
            explore(3, move || {
                let place = Arc::new(Place::default());
                let giving = Arc::clone(&place);
                let giver = loom::thread::spawn(move || giving.put(7));
                let cx = Context::from_waker(Waker::noop());
                let seen = match place.poll(&cx) {
                    Poll::Ready(seen) => Some(seen),
                    Poll::Pending if leaves => place.leave(),
                    Poll::Pending => None,
                };
                let back = giver.join().expect("no panic");
                let left = match place.poll(&cx) {
                    Poll::Ready(left) => Some(left),
                    Poll::Pending => None,
                };
                let hands = [seen, back, left];
                assert_eq!(hands.iter().flatten().count(), 1, "{hands:?}");
            });
        }
    }
}
