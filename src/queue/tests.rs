mod waking;

use super::fifo::Offer;
use super::reference::Reference;
use super::store::Store;
use super::*;
use proptest::prelude::*;
use tokio::time::{advance, timeout};

const MAX_AGE: Duration = Duration::from_secs(600);
const MS: Duration = Duration::from_millis(1);

fn queue(settings: Settings) -> Queue<&'static str, u32> {
    Queue::new(settings).expect("settings that work")
}

fn values<K, V: Copy>(items: &[Item<K, V>]) -> Vec<V> {
    items.iter().map(|item| item.value).collect()
}

fn adds_up(counts: Counts) {
    let Counts { pushed, served, expired, refused, dropped, drained, waiting } = counts;
    assert_eq!(pushed, served + expired + refused + dropped + drained + waiting, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn an_item_one_millisecond_too_old_expires_and_one_that_much_younger_is_served() {
    let queue = queue(Settings::default().max_age(MAX_AGE));
    queue.push("a", 1).unwrap();
    advance(2 * MS).await;
    queue.push("a", 2).unwrap();
    advance(MAX_AGE - MS).await;
    let swept = queue.sweep();
    let [expired] = &swept.expired[..] else { panic!("{swept:?}") };
    assert_eq!((expired.item.value, expired.item.age, expired.max_age), (1, MAX_AGE + MS, MAX_AGE));
    let served = queue.try_pop().expect("the younger one");
    assert_eq!((served.value, served.age), (2, MAX_AGE - MS));
    let counts = queue.counts();
    assert_eq!((counts.pushed, counts.served, counts.expired, counts.waiting), (2, 1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_never_served_also_before_the_sweep() {
    let queue = queue(Settings::default().max_age(MAX_AGE));
    queue.push("a", 1).unwrap();
    advance(MAX_AGE).await;
    queue.push("a", 2).unwrap();
    assert_eq!(queue.try_pop().map(|item| item.value), Some(1), "as old as it may become");
    queue.push("b", 3).unwrap();
    advance(MAX_AGE + MS).await;
    assert!(queue.try_pop().is_none());
    assert_eq!(queue.counts().waiting, 2, "left for the sweep, which reports them");
    assert_eq!(queue.sweep().expired.len(), 2);
    adds_up(queue.counts());
}

#[tokio::test(start_paused = true)]
async fn keys_take_turns_so_that_a_noisy_one_starves_nobody() {
    let queue = queue(Settings::default());
    for n in 0..100 {
        queue.push("noisy", n).unwrap();
    }
    queue.push("calm", 100).unwrap();
    queue.push("quiet", 101).unwrap();
    let served: Vec<_> = (0..5).map(|_| queue.try_pop().unwrap().value).collect();
    assert_eq!(served, [0, 100, 101, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_or_key_hands_back_what_it_does_not_take() {
    let queue = queue(Settings::default().capacity(3).per_key(2));
    queue.push("a", 1).unwrap();
    queue.push("a", 2).unwrap();
    let refused = queue.push("a", 3).unwrap_err();
    assert_eq!((refused.key, refused.value, refused.why), ("a", 3, Why::KeyFull));
    queue.push("b", 4).unwrap();
    assert_eq!(queue.push("b", 5).unwrap_err().to_string(), "the queue is full: nothing accepted for b");
    queue.close();
    assert_eq!(queue.push("b", 6).unwrap_err().why, Why::Closed);
    assert_eq!(values(&queue.discard(&"a")), [1, 2]);
    assert_eq!(values(&queue.drain()), [4]);
    let counts = queue.counts();
    assert_eq!((counts.pushed, counts.refused, counts.dropped, counts.drained), (6, 3, 2, 1));
    adds_up(counts);
}

#[tokio::test(start_paused = true)]
async fn the_valve_raises_an_alarm_in_place_of_expiring_too_much() {
    let queue = queue(Settings::default().max_age(MAX_AGE).valve(0.5, Duration::from_secs(60)));
    for n in 0..20 {
        queue.push("a", n).unwrap();
    }
    advance(MAX_AGE + MS).await;
    let swept = queue.sweep();
    let alarm = swept.alarm.expect("twenty of twenty would expire");
    assert!(swept.expired.is_empty());
    assert_eq!((alarm.would_expire, alarm.of, alarm.held), (20, 20, 20));
    assert_eq!(
        alarm.to_string(),
        "20 of 20 items would have expired in 1 m, more than a share of 0.5: 20 held"
    );
    assert!(queue.try_pop().is_none(), "held, but too old to be served");
    advance(Duration::from_secs(59)).await;
    assert!(queue.sweep().alarm.is_some());
    advance(Duration::from_secs(1)).await;
    let swept = queue.sweep();
    assert_eq!((swept.expired.len(), swept.alarm), (20, None), "gives way after a window");
    adds_up(queue.counts());
}

#[tokio::test(start_paused = true)]
async fn what_the_valve_holds_is_saved_by_a_drain() {
    let queue = queue(Settings::default().max_age(MAX_AGE).valve(0.5, Duration::from_secs(60)));
    for n in 0..10 {
        queue.push("a", n).unwrap();
    }
    advance(MAX_AGE + MS).await;
    assert!(queue.sweep().alarm.is_some());
    assert_eq!(queue.drain().len(), 10);
    assert_eq!((queue.counts().drained, queue.counts().expired), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn a_few_late_items_among_many_served_pass_the_valve() {
    let queue = queue(Settings::default().max_age(MAX_AGE).valve(0.1, Duration::from_secs(60)));
    queue.push("a", 0).unwrap();
    advance(MAX_AGE + MS).await;
    for n in 1..20 {
        queue.push("a", n).unwrap();
        queue.try_pop().unwrap();
    }
    let swept = queue.sweep();
    assert_eq!((swept.expired.len(), swept.alarm), (1, None));
}

#[tokio::test(start_paused = true)]
async fn a_pop_that_is_dropped_takes_nothing_and_its_wakeup_goes_to_another() {
    let queue = queue(Settings::default());
    let mut given_up = Box::pin(queue.pop());
    let mut patient = Box::pin(queue.pop());
    assert!(futures_are_pending(&mut given_up, &mut patient));
    queue.push("a", 1).unwrap();
    drop(given_up);
    let item = timeout(MAX_AGE, patient).await.expect("woken").expect("open");
    assert_eq!(item.value, 1);
    assert_eq!(queue.counts().waiting, 0);
}

fn futures_are_pending<F: Future + Unpin>(a: &mut F, b: &mut F) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    [a, b].into_iter().all(|f| std::pin::Pin::new(f).poll(&mut context).is_pending())
}

#[tokio::test(start_paused = true)]
async fn a_closed_queue_serves_what_waits_and_then_ends_every_pop() {
    let queue = queue(Settings::default());
    queue.push("a", 1).unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let queue = queue.clone();
        waiting.spawn(async move { queue.pop().await.map(|item| item.value) });
    }
    tokio::task::yield_now().await;
    queue.close();
    let mut got = timeout(MAX_AGE, waiting.join_all()).await.expect("every pop ends");
    got.sort();
    assert_eq!(got, [None, None, Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn the_sweeper_hands_over_what_expires_and_ends_with_the_queue() {
    let queue = queue(Settings::default().max_age(MAX_AGE));
    queue.push("a", 7).unwrap();
    let mut seen = Vec::new();
    let began = Instant::now();
    let closing = async {
        tokio::time::sleep(MAX_AGE + Duration::from_secs(90)).await;
        queue.close();
    };
    let sweeps = queue.keep_swept(Duration::from_secs(60), |swept| {
        seen.extend(swept.expired.iter().map(|e| (e.item.value, began.elapsed())));
    });
    let (swept, ()) = tokio::join!(sweeps, closing);
    swept.unwrap();
    assert_eq!(seen, [(7, MAX_AGE + Duration::from_secs(60))], "the first sweep after it became too old");
}

#[test]
fn settings_that_cannot_work_are_refused_with_value_and_rule() {
    for (settings, message) in [
        (Settings::default().max_age(Duration::ZERO), "max_age is 0 s: it must be longer than zero"),
        (Settings::default().capacity(0), "capacity is 0: a queue has to hold something"),
        (Settings::default().per_key(0), "per_key is 0: a queue has to hold something"),
        (
            Settings::default().valve(1.5, MAX_AGE),
            "the share of the valve is 1.5: it must be at least 0 and below 1",
        ),
        (
            Settings::default().valve(f64::NAN, MAX_AGE),
            "the share of the valve is NaN: it must be at least 0 and below 1",
        ),
    ] {
        let error = Queue::<&str, u32>::new(settings).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (message, crate::ErrorKind::Config));
    }
}

#[test]
fn the_counts_are_exact_on_four_threads() {
    const EACH: u32 = 20_000;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    runtime.block_on(async {
        let settings = Settings::default().max_age(2 * MS).capacity(200).per_key(80);
        let queue = Queue::<u32, u32>::new(settings).unwrap();
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut consumers = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let (queue, seen) = (queue.clone(), Arc::clone(&seen));
            consumers.spawn(async move {
                while let Some(item) = queue.pop().await {
                    assert!(item.age <= 2 * MS, "{:?}", item.age);
                    seen.lock().unwrap().push(item.value);
                }
            });
        }
        let mut producers = tokio::task::JoinSet::new();
        for producer in 0..2 {
            let (queue, seen) = (queue.clone(), Arc::clone(&seen));
            producers.spawn(async move {
                for n in 0..EACH {
                    if let Err(refused) = queue.push(n % 5, producer * EACH + n) {
                        seen.lock().unwrap().push(refused.value);
                        tokio::task::yield_now().await;
                    }
                    if n % 64 == 0 {
                        let swept = queue.sweep();
                        seen.lock().unwrap().extend(swept.expired.iter().map(|e| e.item.value));
                        adds_up(queue.counts());
                    }
                }
            });
        }
        producers.join_all().await;
        queue.close();
        timeout(60 * Duration::from_secs(1), consumers.join_all()).await.expect("the consumers end");
        seen.lock().unwrap().extend(values(&queue.drain()));
        let mut seen = std::mem::take(&mut *seen.lock().unwrap());
        seen.sort_unstable();
        assert_eq!(seen, (0..2 * EACH).collect::<Vec<_>>(), "each once");
        let counts = queue.counts();
        adds_up(counts);
        assert_eq!((counts.pushed, counts.waiting), (u64::from(2 * EACH), 0));
    });
}

#[derive(Clone, Debug)]
enum Op {
    Push(u8),
    Pop,
    Sweep,
    Drain,
    Discard(u8),
    Close,
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0u8..4).prop_map(Op::Push),
        8 => Just(Op::Pop),
        4 => Just(Op::Sweep),
        1 => Just(Op::Drain),
        1 => (0u8..4).prop_map(Op::Discard),
        1 => Just(Op::Close),
        6 => (0u64..40).prop_map(Op::Wait),
    ]
}

/// Some keys share a hash.
fn hash(key: u8) -> u64 {
    u64::from(key / 2)
}

proptest! {
    #[test]
    fn the_queue_does_what_the_reference_does(
        ops in prop::collection::vec(op(), 1..200),
        max_age in 1u64..60,
        capacity in 1usize..20,
        per_key in 1usize..8,
        valve in prop::option::of((0.0..0.9f64, 1u64..90)),
    ) {
        let mut settings = Settings::default().max_age(Duration::from_millis(max_age)).capacity(capacity).per_key(per_key);
        if let Some((share, window)) = valve {
            settings = settings.valve(share, Duration::from_millis(window));
        }
        let valve = valve.map(|(share, window)| (share, window, 10));
        let mut reference = Reference::new(max_age, capacity, per_key, valve);
        let mut store = Store::new(settings);
        // Far enough from the clock's zero for ages to be subtracted.
        let start = Instant::now() + Duration::from_secs(3600);
        let (mut now, mut value) = (0, 0);
        for op in ops {
            let at = start + Duration::from_millis(now);
            match op {
                Op::Push(key) => {
                    value += 1;
                    let why = store.push(&mut Offer::new(key, value), hash(key), at).err();
                    prop_assert_eq!(why, reference.push(key, value, now));
                }
                Op::Pop => {
                    let popped = store.pop(at).map(|item| (item.key, item.value));
                    prop_assert_eq!(popped, reference.pop(now));
                }
                Op::Sweep => {
                    let swept = store.sweep(at);
                    let expired: Vec<u32> = swept.expired.iter().map(|e| e.item.value).collect();
                    match reference.sweep(now) {
                        Ok(late) => prop_assert_eq!((expired, swept.alarm), (late, None)),
                        Err(held) => prop_assert_eq!(swept.alarm.map(|a| a.held), Some(held as u64)),
                    }
                }
                Op::Drain => prop_assert_eq!(values(&store.drain(at)), reference.take(None)),
                Op::Discard(key) => prop_assert_eq!(values(&store.discard(hash(key), &key, at)), reference.take(Some(key))),
                Op::Close => {
                    store.close();
                    reference.closed = true;
                }
                Op::Wait(ms) => now += ms,
            }
            let waiting = reference.list.len() as u64;
            prop_assert_eq!(store.counts(), Counts { waiting, ..reference.counts });
            adds_up(store.counts());
            for key in 0..4 {
                prop_assert_eq!(store.waiting(hash(key), &key), reference.list.iter().filter(|e| e.key == key).count());
            }
        }
    }
}
