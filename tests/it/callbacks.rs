//! Code of the user that is called by this crate and calls it back: a recorder, a subscriber, closures, wakers, and the
//! `Clone`, `Drop` and `Display` of their values. A lock that is held meanwhile would be waited for by the one who holds
//! it, so each of these runs on a thread that somebody else watches.

use crate::admin::get as page;
use crate::support::*;
use crate::watch::Log;
use axum::Router;
use futures_util::FutureExt;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use std::cell::{Cell, RefCell};
use std::fmt::{self, Display, Formatter};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{advance, sleep};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use unwedge::admin::Admin;
use unwedge::breaker::{self, Breaker, Phase};
use unwedge::health::{self, Mode};
use unwedge::queue::{Queue, Settings};
use unwedge::retry::{self, Backoff};
use unwedge::stack::RequestOptions;
use unwedge::supervise::{Liveness, Readiness, Supervisor};
use unwedge::testing::{Peer, Reply};
use unwedge::{Group, LongPoll, Stack, StackLayer};

/// Runs this on a thread of its own, on a paused clock; one that never ends fails in place of hanging the tests.
#[track_caller]
fn in_time<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    let (done, told) = channel();
    let thread = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let ended = catch_unwind(AssertUnwindSafe(|| runtime.unwrap().block_on(work())));
        CALLS_BACK.take();
        let _ = done.send(ended);
    };
    std::thread::spawn(thread);
    // Long, because a busy machine is slow and only a deadlock is meant.
    match told.recv_timeout(Duration::from_secs(120)) {
        Ok(Ok(())) => {}
        Ok(Err(panic)) => resume_unwind(panic),
        Err(RecvTimeoutError::Timeout) => panic!("code of the user that calls back waits for ever"),
        Err(RecvTimeoutError::Disconnected) => panic!("the thread is gone"),
    }
}

thread_local! {
    /// What code of the user does whenever it is called on this thread.
    static CALLS_BACK: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static TIMES: Cell<u32> = const { Cell::new(0) };
}

fn calls_back(then: impl Fn() + 'static) {
    CALLS_BACK.set(Some(Rc::new(then)));
}

/// What it does is told in its turn: not again for that.
fn called() {
    struct Left;
    impl Drop for Left {
        fn drop(&mut self) {
            INSIDE.set(false);
        }
    }
    if INSIDE.replace(true) {
        return;
    }
    let _left = Left;
    let then = CALLS_BACK.with(|then| then.borrow().clone());
    if let Some(then) = then {
        TIMES.set(TIMES.get() + 1);
        then();
    }
}

/// A recorder and a subscriber that call back with everything they are told.
struct Nosy;

impl CounterFn for Nosy {
    fn increment(&self, _: u64) {
        called();
    }
    fn absolute(&self, _: u64) {
        called();
    }
}

impl GaugeFn for Nosy {
    fn increment(&self, _: f64) {
        called();
    }
    fn decrement(&self, _: f64) {
        called();
    }
    fn set(&self, _: f64) {
        called();
    }
}

impl HistogramFn for Nosy {
    fn record(&self, _: f64) {
        called();
    }
}

impl Recorder for Nosy {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        called();
        Counter::from_arc(Arc::new(Nosy))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        called();
        Gauge::from_arc(Arc::new(Nosy))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        called();
        Histogram::from_arc(Arc::new(Nosy))
    }
}

impl Subscriber for Nosy {
    fn enabled(&self, of: &tracing::Metadata<'_>) -> bool {
        // hyper-util tells of its pool while that is locked.
        of.target().starts_with("unwedge")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        called();
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {
        called();
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        called();
    }
    fn enter(&self, _: &Id) {
        called();
    }
    fn exit(&self, _: &Id) {
        called();
    }
}

/// Both listen on this thread from now on.
fn listens() -> (metrics::LocalRecorderGuard<'static>, tracing::subscriber::DefaultGuard) {
    drop(Log::listen());
    let recorder = metrics::set_default_local_recorder(&Nosy);
    unwedge::metrics::record();
    (recorder, tracing::subscriber::set_default(Nosy))
}

/// Every handle there is.
#[derive(Clone)]
struct Handles {
    layer: StackLayer,
    service: Stack<Plain>,
    alone: Breaker,
    liveness: Liveness,
    readiness: Readiness,
    queue: Queue<u8, u8>,
}

impl Handles {
    fn of(peer: &Peer, layer: StackLayer) -> Handles {
        let crew = Supervisor::new();
        Handles {
            service: stack(peer, &layer),
            layer,
            alone: Breaker::new("agents", breaker::Settings::default()).unwrap(),
            liveness: crew.liveness(),
            readiness: crew.readiness(),
            queue: Queue::new(Settings::default()).unwrap(),
        }
    }

    fn call_all(&self) {
        let (own, other) = ("http://peer.test/".parse().unwrap(), "http://other.test/".parse().unwrap());
        let breakers = self.layer.breakers();
        assert!(breakers.snapshot().iter().all(|shown| !shown.origin.is_empty()));
        let _ = (breakers.of(&own).unwrap().phase(), breakers.subscribe(), self.service.breakers());
        let _ = breakers.of_group(&own, "jobs").unwrap().snapshot();
        let other = breakers.of(&other).unwrap();
        other.force_open();
        assert!(other.acquire().is_err());
        other.force_closed();
        other.disable();
        other.reset();
        drop(self.alone.acquire());
        let _ = (self.alone.snapshot(), self.alone.subscribe());
        let calls = self.layer.in_flight();
        assert!(calls.snapshot().iter().all(|call| !call.url.is_empty()));
        calls.publish();
        let _ = (
            self.layer.bounds(),
            self.service.in_flight().len(),
            format!("{calls:?} {breakers:?} {:?}", self.layer),
        );
        self.liveness.beat("nosy");
        let _ = (self.liveness.snapshot(), self.liveness.last_tick("nosy"), format!("{:?}", self.liveness));
        assert!(self.liveness.is_healthy(&["nosy"], SECOND).0 && !self.readiness.is_ready());
        self.queue.push(1, 1).unwrap();
        let _ =
            (self.queue.counts(), self.queue.sweep(), format!("{:?}", self.queue), self.queue.discard(&2));
        assert!(self.queue.try_pop().is_some() && self.queue.waiting(&1) == 0);
        // Calls, as far as one poll takes them: to this origin, of a group, and somewhere else.
        let _ = call(&self.service, get("/nosy")).now_or_never();
        let _ = call(&self.service, with(get("/nosy"), Group::new("jobs"))).now_or_never();
    }
}

/// Failures, an open circuit, a failed and a passed health check, a recovery, a long poll, a retry.
async fn lives(handles: &Handles) {
    let service = &handles.service;
    for _ in 0..12 {
        let _ = call(service, get("/jobs")).await;
        sleep(500 * MS).await;
    }
    for _ in 0..8 {
        sleep(10 * SECOND).await;
        let _ = call(service, with(get("/jobs"), Group::new("jobs"))).await;
        let _ = call(service, get("/jobs")).await;
    }
    let poll = LongPoll::because("waits for news").unbounded();
    let _ = call(service, with(get("/jobs"), poll)).await;
    drop(call(service, get("/slow")).now_or_never());
}

fn eventful() -> Peer {
    let jobs = Reply::status(503);
    Peer::new()
        .on("/health", unwedge::testing::Script::new().times(2, Reply::status(500)).forever(Reply::ok("")))
        .on("/jobs", unwedge::testing::Script::new().times(14, jobs).forever(Reply::ok("done")))
        .on("/slow", Reply::hang())
        .forever(Reply::ok(""))
}

#[test]
fn a_recorder_and_a_subscriber_may_call_every_handle_back() {
    in_time(|| async {
        let peer = eventful();
        let steady = breaker::Settings::default().failures(3).open(Backoff::constant(5 * SECOND));
        let health = health::Settings::new("/health").mode(Mode::AfterFailure);
        let layer = StackLayer::builder().breaker(steady).health(health).build().unwrap();
        let handles = Handles::of(&peer, layer);
        let theirs = handles.clone();
        calls_back(move || theirs.call_all());
        let _listens = listens();
        lives(&handles).await;
        assert!(TIMES.get() > 100, "called back {} times", TIMES.get());
        assert!(handles.layer.in_flight().is_empty(), "{:?}", handles.layer.in_flight());
    });
}

#[test]
fn closures_about_calls_may_call_every_handle_back() {
    in_time(|| async {
        let (peer, handles) = (eventful(), Rc::new(OnceLock::<Handles>::new()));
        let theirs = Rc::clone(&handles);
        calls_back(move || theirs.get().into_iter().for_each(Handles::call_all));
        let layer = StackLayer::builder()
            .breaker(breaker::Settings::default().failures(3).open(Backoff::constant(5 * SECOND)))
            .retry(retry::Settings::default().classify(|_, _| {
                called();
                None
            }))
            .health(health::Settings::new("/health").accept(|status| {
                called();
                status.is_success()
            }))
            .for_requests(|_| {
                called();
                RequestOptions::new()
            })
            .group_by(|_| {
                called();
                None
            })
            .build()
            .unwrap();
        assert!(handles.set(Handles::of(&peer, layer)).is_ok());
        let handles = handles.get().unwrap();
        lives(handles).await;
        assert!(TIMES.get() > 50, "called back {} times", TIMES.get());
        assert!(handles.layer.in_flight().is_empty(), "{:?}", handles.layer.in_flight());
    });
}

#[test]
fn a_recorder_that_looks_at_the_breaker_of_an_origin_when_that_is_made_does_not_make_it_again() {
    /// Looks again and again, also at what comes of its own looking.
    struct Greedy(Arc<OnceLock<StackLayer>>, Arc<std::sync::atomic::AtomicU32>);
    impl GaugeFn for Greedy {
        fn increment(&self, _: f64) {}
        fn decrement(&self, _: f64) {}
        fn set(&self, _: f64) {
            let times = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert!(times < 100, "it is made again and again");
            let layer = self.0.get().unwrap();
            layer.breakers().of(&"http://peer.test/".parse().unwrap()).unwrap();
        }
    }
    impl Recorder for Greedy {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(Arc::new(Greedy(Arc::clone(&self.0), Arc::clone(&self.1))))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }
    in_time(|| async {
        let layer = Arc::new(OnceLock::new());
        let recorder: &'static Greedy = Box::leak(Box::new(Greedy(Arc::clone(&layer), Arc::default())));
        let _listens = metrics::set_default_local_recorder(recorder);
        unwedge::metrics::record();
        let made = layer.get_or_init(StackLayer::default);
        made.breakers().of(&"http://peer.test/".parse().unwrap()).unwrap();
        assert_eq!(recorder.1.load(std::sync::atomic::Ordering::Relaxed), 1);
        assert_eq!(made.breakers().snapshot().len(), 1);
    });
}

#[test]
fn circuits_that_are_looked_at_to_make_room_tell_nothing_while_the_table_is_locked() {
    in_time(|| async {
        let layer = StackLayer::builder()
            .breaker(breaker::Settings::default().failures(1).open(Backoff::constant(SECOND)))
            .build()
            .unwrap();
        let at = |n: u32| format!("http://host-{n}.test/").parse().unwrap();
        for n in 0..17_000 {
            let breaker = layer.breakers().of(&at(n)).unwrap();
            breaker.acquire().unwrap().failure();
        }
        let open = |layer: &StackLayer| layer.breakers().of(&at(0)).unwrap().snapshot().phase;
        assert_ne!(open(&layer), Phase::Closed);
        let theirs = layer.clone();
        calls_back(move || drop(theirs.breakers().of(&"http://host-1.test/".parse().unwrap())));
        let _listens = listens();
        // All are idle, and the waits of their circuits are over.
        for round in 0..4 {
            advance(MINUTE * 15).await;
            for n in 0..40 {
                layer.breakers().of(&at(100_000 + round * 100 + n)).unwrap();
            }
        }
        assert!(TIMES.get() > 0);
    });
}

#[test]
fn a_recorder_may_call_a_client_whose_checks_run_in_the_background() {
    in_time(|| async {
        let peer = Peer::new().forever(Reply::ok(""));
        let health = health::Settings::new("/health").mode(Mode::Background);
        let client = client(&peer).health(health).build().unwrap();
        let theirs = client.clone();
        calls_back(move || drop(theirs.get("http://peer.test/nosy").send().now_or_never()));
        let _listens = listens();
        assert_eq!(client.get("http://peer.test/").send().await.unwrap().status(), 200);
        assert!(TIMES.get() > 0);
    });
}

#[test]
fn a_readiness_check_may_look_at_the_page() {
    in_time(|| async {
        let (router, crew) = (Arc::new(OnceLock::<Router>::new()), Supervisor::new());
        let theirs = Arc::clone(&router);
        let looks = move || {
            if let Some(router) = theirs.get() {
                let router = router.clone();
                calls_back(move || drop(page(&router, "/admin").now_or_never()));
                called();
            }
            Ok(())
        };
        router.set(Admin::new(&crew).check("looks", looks).router().unwrap()).unwrap();
        let (status, body) = page(router.get().unwrap(), "/admin").await;
        assert_eq!(status, 200, "{body}");
        assert!(TIMES.get() > 0);
    });
}

#[test]
fn a_subscriber_may_ask_for_liveness_when_it_hears_that_there_are_too_many_names() {
    in_time(|| async {
        let liveness = Liveness::new();
        for n in 0..65_536 {
            liveness.beat(&n.to_string());
        }
        let theirs = liveness.clone();
        calls_back(move || assert!(theirs.last_tick("7").is_some()));
        let _listens = listens();
        liveness.beat("one too many");
        assert_eq!(TIMES.get(), 1);
    });
}

/// A key or value whose every piece of code calls back; not `Hash` and `Eq`.
#[derive(PartialEq, Eq, Hash, Debug)]
struct Thing(u8);

impl Clone for Thing {
    fn clone(&self) -> Thing {
        called();
        Thing(self.0)
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        called();
    }
}

impl Display for Thing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        called();
        write!(f, "{}", self.0)
    }
}

/// Writes to it call back.
struct Paper;

impl fmt::Write for Paper {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        called();
        Ok(())
    }
}

#[test]
fn keys_and_values_of_a_queue_may_use_it_when_they_are_cloned_dropped_and_shown() {
    in_time(|| async {
        let settings = Settings::default().max_age(10 * SECOND).capacity(6).per_key(3);
        let queue = Queue::<Thing, Thing>::new(settings).unwrap();
        let theirs = queue.clone();
        calls_back(move || {
            let _ = (theirs.counts(), theirs.waiting(&Thing(1)), theirs.push(Thing(9), Thing(9)));
            let _ = (theirs.sweep(), theirs.discard(&Thing(9)), format!("{theirs:?}"), theirs.try_pop());
        });
        for n in 0..12 {
            let _ = queue.push(Thing(n % 4), Thing(n));
        }
        drop(queue.try_pop());
        drop(queue.pop().now_or_never());
        fmt::write(&mut Paper, format_args!("{queue:?}")).unwrap();
        advance(20 * SECOND).await;
        for n in 0..3 {
            let _ = queue.push(Thing(n), Thing(n));
        }
        drop(queue.sweep());
        drop(queue.discard(&Thing(0)));
        drop(queue.drain());
        queue.close();
        while queue.pop().await.is_some() {}
        let counts = queue.counts();
        let ended = counts.served + counts.expired + counts.refused + counts.dropped + counts.drained;
        assert_eq!((counts.pushed, counts.waiting), (ended, 0), "{counts:?}");
        assert!(TIMES.get() > 20, "called back {} times", TIMES.get());
    });
}

#[test]
fn a_recorder_and_a_subscriber_that_panic_cost_no_slot_no_probe_and_no_call() {
    in_time(|| async {
        let peer = eventful();
        let steady =
            breaker::Settings::default().failures(3).open(Backoff::constant(5 * SECOND)).half_open(1, 1);
        let layer = StackLayer::builder().breaker(steady).build().unwrap();
        let handles = Handles::of(&peer, layer);
        let mut news = handles.layer.breakers().subscribe();
        let recorder = metrics::set_default_local_recorder(&Nosy);
        unwedge::metrics::record();
        calls_back(|| panic!("this recorder is broken"));
        lives(&handles).await;
        drop(recorder);
        assert!(TIMES.get() > 20, "called {} times", TIMES.get());
        assert!(handles.layer.in_flight().is_empty(), "{:?}", handles.layer.in_flight());
        let told: Vec<_> = std::iter::from_fn(|| news.try_recv().ok()).map(|news| news.to).collect();
        assert_eq!(told.first(), Some(&Phase::Open), "what is told is told in spite of it");
        assert_eq!(told.last(), Some(&Phase::Closed), "{told:?}");
        let seen = handles.layer.breakers().snapshot();
        assert!(
            seen.iter().all(|shown| shown.phase == Phase::Closed && shown.probes_in_flight == 0),
            "{seen:?}"
        );

        // An item that is there wakes whoever waits for it.
        let queue = &handles.queue;
        let _recorder = metrics::set_default_local_recorder(&Nosy);
        let taken = tokio::join!(queue.pop(), async { queue.push(1, 7) });
        assert_eq!((taken.0.unwrap().value, taken.1), (7, Ok(1)));
    });
}

#[test]
fn a_subscriber_that_panics_ends_no_supervised_loop() {
    in_time(|| async {
        struct Broken;
        impl Subscriber for Broken {
            fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
                true
            }
            fn new_span(&self, _: &Attributes<'_>) -> Id {
                Id::from_u64(1)
            }
            fn record(&self, _: &Id, _: &Record<'_>) {}
            fn record_follows_from(&self, _: &Id, _: &Id) {}
            fn event(&self, _: &Event<'_>) {
                panic!("the disk of the log is full");
            }
            fn enter(&self, _: &Id) {}
            fn exit(&self, _: &Id) {}
        }
        let mut crew = Supervisor::new();
        let (runs, sweeps) =
            (Arc::new(std::sync::atomic::AtomicU32::new(0)), Arc::new(std::sync::atomic::AtomicU32::new(0)));
        let (ran, swept) = (Arc::clone(&runs), Arc::clone(&sweeps));
        crew.spawn("relay", MINUTE, move |_| {
            ran.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async { sleep(SECOND).await }
        });
        crew.patrol("sweep", SECOND, SECOND / 2, move |_| {
            swept.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async {}
        });
        let _listens = tracing::subscriber::set_default(Broken);
        crew.run_until(sleep(60 * SECOND), SECOND).await.unwrap();
        let times = |of: &std::sync::atomic::AtomicU32| of.load(std::sync::atomic::Ordering::Relaxed);
        assert!(
            times(&runs) >= 5 && times(&sweeps) >= 50,
            "{} runs, {} sweeps",
            times(&runs),
            times(&sweeps)
        );
    });
}
