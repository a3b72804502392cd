//! Pops that wait, are woken, look late or are dropped before they do.

use super::*;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Popped = Option<Item<u8, u32>>;

struct Waiting<'a> {
    pop: Pin<Box<dyn Future<Output = Popped> + 'a>>,
    woken: Arc<Woken>,
}

impl Waiting<'_> {
    fn poll(&mut self) -> Poll<Popped> {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        self.pop.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[derive(Clone, Debug)]
enum Op {
    Push(u8),
    TryPop,
    Begin,
    Poll(prop::sample::Index),
    Drop(prop::sample::Index),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u8..3).prop_map(Op::Push),
        1 => Just(Op::TryPop),
        6 => Just(Op::Begin),
        3 => any::<prop::sample::Index>().prop_map(Op::Poll),
        4 => any::<prop::sample::Index>().prop_map(Op::Drop),
    ]
}

proptest! {
    #[test]
    fn no_pop_sleeps_on_while_there_is_something_to_serve_whoever_else_was_dropped_after_it_was_woken(
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let queue = Queue::<u8, u32>::new(Settings::default()).unwrap();
        let mut waiting: Vec<Waiting<'_>> = Vec::new();
        for op in ops {
            match op {
                Op::Push(key) => drop(queue.push(key, 0).unwrap()),
                Op::TryPop => drop(queue.try_pop()),
                Op::Begin => {
                    let mut new = Waiting { pop: Box::pin(queue.pop()), woken: Arc::default() };
                    if new.poll().is_pending() {
                        waiting.push(new);
                    }
                }
                Op::Poll(_) | Op::Drop(_) if waiting.is_empty() => {}
                Op::Poll(at) => {
                    let at = at.index(waiting.len());
                    if waiting[at].poll().is_ready() {
                        waiting.swap_remove(at);
                    }
                }
                Op::Drop(at) => drop(waiting.swap_remove(at.index(waiting.len()))),
            }
        }
        // Whoever was woken looks, and nobody else does.
        while let Some(at) = waiting.iter().position(|pop| pop.woken.0.load(Ordering::SeqCst)) {
            if waiting[at].poll().is_ready() {
                waiting.swap_remove(at);
            }
        }
        let left = queue.counts().waiting;
        prop_assert!(waiting.is_empty() || left == 0, "{left} items, {} asleep", waiting.len());
    }
}
