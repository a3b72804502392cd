//! Threads that come and go.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test]
async fn a_name_for_which_the_machine_gives_no_thread_waits_for_those_that_work() {
    fn the_first_alone(look_ups: Arc<LookUps>) -> io::Result<()> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        match STARTED.fetch_add(1, Ordering::Relaxed) {
            0 => thread(look_ups),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
    let (open, opened) = std::sync::mpsc::sync_channel::<()>(1);
    let opened = Mutex::new(opened);
    let look_up = move |name: &str| {
        if name == "slow" {
            let _ = lock(&opened).recv_timeout(std::time::Duration::from_secs(20));
        }
        Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0))])
    };
    let resolver = Resolver::started(look_up, the_first_alone);
    let asked = ["slow", "other"].map(|name| resolver.ask(name).unwrap());
    drop(open);
    for mut answer in asked {
        let answered = answer.wait_for(Option::is_some);
        let found = tokio::time::timeout(std::time::Duration::from_secs(20), answered).await;
        assert!(found.unwrap().unwrap().as_ref().unwrap().is_ok());
    }
    let alone = Resolver::started(|_| Ok(Vec::new()), |_| Err(io::ErrorKind::WouldBlock.into()));
    let none = alone.ask("any").unwrap_err();
    assert!(none.is_connect() && none.is_of_this_machine(), "{none}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_behind_busy_threads_get_more_after_a_wait_and_all_threads_end_when_no_name_waits() {
    const MS: Duration = Duration::from_millis(1);
    let (open, opened) = std::sync::mpsc::sync_channel::<()>(1);
    let opened = Mutex::new(Some(opened));
    let taken = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&taken);
    let look_up = move |_: &str| {
        counting.fetch_add(1, Ordering::SeqCst);
        // All but the one that has the receiver wait for its end.
        let _ = lock(&opened).as_ref().map(|opened| opened.recv_timeout(20_000 * MS));
        Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0))])
    };
    let resolver = Resolver::new(look_up);
    let mut asked = tokio::task::JoinSet::new();
    let start = Instant::now();
    for n in 0..20 {
        let mut resolver = resolver.clone();
        asked.spawn(async move { resolver.call(format!("h{n}").parse().unwrap()).await.unwrap().count() });
    }
    while taken.load(Ordering::SeqCst) < 20 {
        tokio::time::sleep(MS).await;
        let (taken, took) = (taken.load(Ordering::SeqCst), start.elapsed());
        assert!(taken <= THREADS || took >= PATIENCE, "{taken} after {took:?}");
        assert!(took < 10_000 * MS, "{taken}");
    }
    assert_eq!(lock(&resolver.0.state).threads, 20);
    drop(open);
    while let Some(found) = asked.join_next().await {
        assert_eq!(found.unwrap(), 1);
    }
    while lock(&resolver.0.state).threads > 0 {
        tokio::time::sleep(MS).await;
        assert!(start.elapsed() < 20_000 * MS);
    }
}

/// Holds look-ups until it is dropped.
#[derive(Default)]
struct Gate(Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>);

impl Gate {
    /// What waits for it.
    fn wait(&self) -> impl Fn() + Send + Sync + 'static {
        let gate = Arc::clone(&self.0);
        move || {
            let (open, changed) = &*gate;
            drop(changed.wait_timeout_while(open.lock().unwrap(), Duration::from_secs(20), |open| !*open));
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

fn found() -> io::Result<Vec<SocketAddr>> {
    Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0))])
}

/// How many look-ups of this name there are and how many threads, once those that were begun have a name.
fn under_way(resolver: &Resolver, host: &str) -> (usize, usize) {
    spin_until("a thread does not begin", || lock(&resolver.0.state).coming == 0);
    let state = lock(&resolver.0.state);
    (state.look_ups(host), state.threads)
}

/// Waits for threads while the clock of the test stands.
fn spin_until(or_else: &str, is: impl Fn() -> bool) {
    #[expect(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "threads know nothing of the clock that stands"
    )]
    let started = std::time::Instant::now();
    while !is() {
        assert!(started.elapsed() < Duration::from_secs(20), "{or_else}");
        std::thread::yield_now();
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_hangs_is_looked_up_four_times_at_most_a_second_apart_and_takes_no_place_of_others() {
    let gate = Gate::default();
    let wait = gate.wait();
    let resolver = Resolver::new(move |_| {
        wait();
        found()
    });
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let mut resolver = resolver.clone();
        asked.spawn(async move { resolver.call("hangs".parse().unwrap()).await });
    }
    for (after, look_ups) in [(950, 1), (100, 2), (850, 2), (200, 3), (1000, 4), (60_000, 4)] {
        tokio::time::sleep(Duration::from_millis(after)).await;
        assert_eq!(under_way(&resolver, "hangs"), (look_ups, look_ups), "{after} ms later");
    }
    let mut others = Vec::new();
    for n in 1..THREADS {
        let host = format!("other{n}");
        others.push(resolver.ask(&host).unwrap());
        assert_eq!(under_way(&resolver, &host), (1, 4 + n), "a thread of its own at once");
    }
    others.push(resolver.ask("fifth").unwrap());
    assert_eq!(
        under_way(&resolver, "fifth"),
        (1, 4 + THREADS - 1),
        "as many work as without the second looks"
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_address_of_a_name_serves_all_and_what_a_later_or_an_older_look_up_failed_with_is_not_heard()
 {
    let gate = Gate::default();
    let (wait, begun) = (gate.wait(), Arc::new(AtomicUsize::new(0)));
    let calls = Arc::clone(&begun);
    let resolver = Resolver::new(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => {
            wait();
            Err(io::Error::other("the old name server is dead"))
        }
        1 => Err(io::Error::other("no descriptor for a second one")),
        _ => found(),
    });
    let ask = || {
        let mut resolver = resolver.clone();
        async move { resolver.call("moves".parse().unwrap()).await.map(Iterator::count) }
    };
    let (first, second) = tokio::join!(ask(), async {
        spin_until("the first look-up does not begin", || begun.load(Ordering::SeqCst) == 1);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        ask().await
    });
    assert_eq!((first.unwrap(), second.unwrap()), (1, 1));
    // The first still hangs, and ends while another one is asked for.
    assert_eq!(ask().await.unwrap(), 1);
    let mut answer = resolver.ask("moves").unwrap();
    drop(gate);
    assert!(answer.wait_for(Option::is_some).await.unwrap().as_ref().unwrap().is_ok());
    spin_until("something is left behind", || under_way(&resolver, "moves") == (0, 0));
    assert_eq!(lock(&resolver.0.state).beside, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_before_its_look_up_begins_leaves_nothing_that_others_would_wait_for() {
    let gate = Gate::default();
    let (wait, calls) = (gate.wait(), AtomicUsize::new(0));
    // The first hangs, for a name that then has its answer from the second.
    let resolver = Resolver::new(move |_| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            wait();
        }
        found()
    });
    let ask = |host: &str| {
        let (mut resolver, host) = (resolver.clone(), host.parse().unwrap());
        async move { resolver.call(host).await.map(Iterator::count) }
    };
    assert_eq!(ask("hangs").await.unwrap(), 1);
    // Asked for, and left before a thread has taken it or after.
    for _ in 0..100 {
        drop(resolver.ask("hangs").unwrap());
    }
    assert_eq!(ask("hangs").await.unwrap(), 1);
}
