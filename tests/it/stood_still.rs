//! A process that did not run for a while, since it was stopped, its machine had no time for it, or its threads were
//! blocked: whatever came meanwhile is found before any bound that has passed ends the wait for it.

use crate::support::*;
use std::future::pending;
use tokio::time::{Instant, advance, sleep};
use unwedge::breaker::Phase;
use unwedge::health::{Mode, Settings};
use unwedge::supervise::{Event, Supervisor, Watch};
use unwedge::testing::{Peer, Reply};
use unwedge::{Collect, Stack, StackLayer, breaker as circuit, retry, within};

/// What comes meanwhile is there afterwards, and all bounds have passed.
async fn stands_still() {
    sleep(700 * MS).await;
    advance(20 * SECOND).await;
}

fn phase(service: &Stack<Plain>) -> Phase {
    service.breakers().snapshot()[0].phase
}

/// Opens at the first failure, and repeats nothing.
fn strict() -> StackLayer {
    let stack = StackLayer::builder().retry(retry::Settings::default().max_retries(0));
    stack.breaker(circuit::Settings::default().failures(1)).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_came_meanwhile_is_the_answer_of_its_call() {
    for reply in [Reply::ok("x").after(SECOND), Reply::ok("xyz").drip(1, SECOND)] {
        let peer = Peer::new().forever(reply);
        let service = stack(&peer, &strict());
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let service = service.clone();
                tokio::spawn(
                    async move { whole(call(&service, get("/")).await).await.map(|(status, _)| status) },
                )
            })
            .collect();
        stands_still().await;
        for call in calls {
            assert_eq!(call.await.unwrap().map_err(|error| error.to_string()), Ok(200));
        }
        assert_eq!(peer.request_count(), 20);
        assert_eq!(phase(&service), Phase::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_flowed_meanwhile_has_not_stalled() {
    let peer = Peer::new().forever(Reply::sized(3 << 20).drip(1 << 10, SECOND));
    let service = stack(&peer, &strict());
    let request = with(get("/"), Collect::never());
    let mut body = call(&service, request).await.unwrap().into_body();
    let reader = tokio::spawn(async move {
        for _ in 0..30 {
            piece(&mut body).await.unwrap()?;
        }
        Ok::<_, unwedge::Error>(())
    });
    stands_still().await;
    reader.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_scope_takes_what_its_work_came_to_meanwhile() {
    // As between a socket, the task that reads it, and a call.
    let (send, sent) = tokio::sync::oneshot::channel();
    let (tell, told) = tokio::sync::oneshot::channel();
    let work = tokio::spawn(within(10 * SECOND, told));
    tokio::spawn(async move {
        sleep(SECOND).await;
        send.send(7)
    });
    tokio::spawn(async move { tell.send(sent.await.unwrap()) });
    stands_still().await;
    assert_eq!(work.await.unwrap().unwrap(), Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_check_in_the_background_that_was_answered_meanwhile_has_passed() {
    let peer = Peer::new().on("/health", Reply::ok("").after(SECOND)).forever(Reply::ok("x"));
    let breaker = circuit::Settings::default().failures(1);
    let layer =
        StackLayer::builder().breaker(breaker).health(Settings::new("/health").mode(Mode::Background));
    let service = stack(&peer, &layer.build().unwrap());
    let checks = tokio::spawn(service.keep_health_fresh("http://peer.test/".parse().unwrap()));
    stands_still().await;
    sleep(5 * SECOND).await;
    assert_eq!((peer.request_count(), phase(&service)), (1, Phase::Closed), "one that failed is made again");
    checks.abort();
}

#[tokio::test(start_paused = true)]
async fn silence_is_silence_a_tenth_of_a_second_later() {
    let peer = Peer::new().forever(Reply::hang());
    let service = stack(&peer, &strict());
    let start = Instant::now();
    let waits = {
        let service = service.clone();
        tokio::spawn(async move { call(&service, get("/")).await.map(drop) })
    };
    stands_still().await;
    let error = waits.await.unwrap().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(start.elapsed() <= 20 * SECOND + 800 * MS, "{:?}", start.elapsed());
    assert_eq!(phase(&service), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn loops_that_could_not_beat_are_not_started_again_and_one_that_hangs_is() {
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    for name in ["scheduler", "relay"] {
        crew.spawn(name, SECOND, |heart| async move {
            loop {
                heart.beat();
                sleep(500 * MS).await;
            }
        })
        .watch(Watch::Enforce);
    }
    crew.spawn("hangs", 30 * SECOND, |heart| async move {
        heart.beat();
        pending::<()>().await;
    })
    .watch(Watch::Enforce);
    let ended = async {
        for _ in 0..3 {
            stands_still().await;
            sleep(3 * SECOND).await;
        }
        sleep(10 * SECOND).await;
    };
    let report = crew.run_until(ended, SECOND).await.unwrap();
    let mut stale = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Stale { name, .. } = event {
            stale.push(name.to_string());
        }
    }
    assert_eq!((report.restarts, stale), (1, vec!["hangs".to_owned()]), "{report:?}");
}
