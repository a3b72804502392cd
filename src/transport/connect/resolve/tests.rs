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
