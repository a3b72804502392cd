//! A loop of long polls against a server that does not park them.

use crate::support::*;
use std::time::Duration;
use unwedge::retry::{Backoff, Budget};
use unwedge::testing::{Peer, Reply};
use unwedge::{LongPoll, Stack, StackLayer, long_poll, retry};

fn parked() -> LongPoll {
    long_poll!("jobs are parked until there is one")
}

/// So many polls of a path, one after the other.
async fn polls(service: &Stack<Plain>, path: &str, count: u32) {
    for _ in 0..count {
        if let Ok(answer) = call(service, with(get(path), parked())).await {
            let _ = whole(Ok(answer)).await;
        }
    }
}

fn milliseconds(peer: &Peer) -> Vec<u128> {
    times(peer).iter().map(Duration::as_millis).collect()
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_at_once_is_followed_by_a_gap() {
    let declared = Reply::status(200);
    let nothing =
        [Reply::ok("[]"), Reply::ok("{}\n"), Reply::ok("").chunked(), Reply::ok("[]").chunked().drip(1, MS)];
    let named = [Reply::long_poll(Duration::ZERO), Reply::status(204), Reply::status(304), declared];
    for empty in named.into_iter().chain(nothing) {
        let took = if format!("{empty:?}").contains("1ms") { 2 } else { 0 };
        let peer = Peer::new().forever(empty.clone());
        polls(&stack(&peer, &StackLayer::default()), "/message", 5).await;
        let gap = 100 + took;
        assert_eq!(milliseconds(&peer), [0, gap, 2 * gap, 3 * gap, 4 * gap], "{empty:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_at_once_is_empty_whether_its_head_had_come_or_not() {
    for reply in [Reply::sized(5000), Reply::endless(), Reply::hang()] {
        let peer = Peer::new().forever(reply.after(10 * MS));
        let service = stack(&peer, &StackLayer::default());
        for _ in 0..5 {
            let poll = call(&service, with(get("/message"), parked()));
            drop(tokio::time::timeout(20 * MS, poll).await);
        }
        assert!(times(&peer).windows(2).all(|two| two[1] - two[0] >= 100 * MS), "{:?}", milliseconds(&peer));
    }
}

/// What makes a loop of polls turn at once.
fn hasty() -> Vec<Reply> {
    let statuses = [304, 400, 401, 404, 410, 429, 500, 502, 503];
    let mut all: Vec<_> = statuses.into_iter().map(Reply::status).collect();
    all.extend([Reply::status(501).body("not here"), Reply::status(404).body("x").chunked()]);
    all.extend(["", "[]", "{}"].map(Reply::ok));
    all.extend(["", "[]"].map(|body| Reply::ok(body).chunked()));
    all.extend([
        Reply::refuse(),
        Reply::reset(),
        Reply::close(),
        Reply::garbage(),
        Reply::ok("job").reset_after(1),
    ]);
    all
}

/// How many connects there had been at each look, one every 10 ms.
async fn connects(peer: &Peer, length: Duration) -> Vec<u64> {
    let mut looks = tokio::time::interval(10 * MS);
    let mut seen = Vec::new();
    for _ in 0..=length.as_millis() / 10 {
        looks.tick().await;
        seen.push(peer.connects());
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_loop_makes_at_most_ten_requests_and_ten_connects_in_any_second_whatever_the_settings() {
    let impatient = || retry::Settings::default().backoff(Backoff::none());
    for settings in [
        retry::Settings::default(),
        impatient(),
        impatient().max_retries(100),
        impatient().budget(Budget::default().tokens(0)),
    ] {
        for reply in hasty() {
            let peer = Peer::new().forever(reply.clone());
            let service = stack(&peer, &built(StackLayer::builder().retry(settings.clone())));
            let turns = tokio::time::timeout(5 * SECOND, polls(&service, "/message", u32::MAX));
            let (_, connects) = tokio::join!(turns, connects(&peer, 5 * SECOND));
            let at = times(&peer);
            assert!(at.windows(11).all(|eleven| eleven[10] - eleven[0] >= SECOND), "{reply:?}: {at:?}");
            assert!(at.len() <= 51, "{reply:?}: {} in 5 s", at.len());
            // What is refused shows in the connects alone; a second of them begins at any look.
            let most = connects.windows(101).map(|second| second[100] - second[0]).max();
            assert!(most <= Some(10), "{reply:?}: {most:?} connects in a second");
            assert!(at.len() >= 5 || connects.last() >= Some(&5), "{reply:?}: {at:?}, {connects:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_attempts_of_one_poll_keep_the_distance_as_well() {
    let retry = retry::Settings::default().backoff(Backoff::none());
    for broken in [Reply::reset(), Reply::status(503), Reply::status(429).body("x")] {
        let peer = Peer::new().forever(broken);
        polls(&stack(&peer, &built(StackLayer::builder().retry(retry.clone()))), "/message", 1).await;
        assert_eq!(milliseconds(&peer), [0, 100, 200, 300]);
    }
    let peer = Peer::new().forever(Reply::reset());
    let service = stack(&peer, &built(StackLayer::builder().retry(retry)));
    let start = tokio::time::Instant::now();
    let poll = call(&service, with(with(get("/"), parked()), unwedge::Deadline::after(250 * MS)));
    assert!(poll.await.unwrap_err().to_string().contains("connection reset"));
    assert_eq!((start.elapsed(), peer.request_count()), (200 * MS, 3), "what does not fit is not waited for");
}

#[tokio::test(start_paused = true)]
async fn the_gap_is_counted_from_the_answer() {
    let peer = Peer::new().forever(Reply::long_poll(50 * MS));
    polls(&stack(&peer, &StackLayer::default()), "/message", 3).await;
    assert_eq!(milliseconds(&peer), [0, 150, 300]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_parked_and_one_that_brings_something_need_no_gap() {
    let peer = Peer::new().forever(Reply::long_poll(100 * MS));
    polls(&stack(&peer, &StackLayer::default()), "/message", 3).await;
    assert_eq!(milliseconds(&peer), [0, 100, 200]);
    for something in [Reply::ok("job"), Reply::ok("job").chunked(), Reply::status(201).body("[1]")] {
        let peer = Peer::new().forever(something);
        polls(&stack(&peer, &StackLayer::default()), "/message", 30).await;
        assert_eq!(milliseconds(&peer), [0; 30]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_gap_holds_for_its_path_and_origin_and_for_long_polls_alone() {
    let (peer, other) = (Peer::new().forever(Reply::status(204)), Peer::new().forever(Reply::status(204)));
    let layer = StackLayer::default();
    let service = tower_layer::Layer::layer(&layer, over(peer.pipe().host("other.test", &other)));
    polls(&service, "/a?session=1", 1).await;
    polls(&service, "/b", 1).await;
    let elsewhere = http::Request::get("http://other.test/a").extension(parked());
    call(&service, elsewhere.body(Default::default()).unwrap()).await.unwrap();
    call(&service, get("/a")).await.unwrap();
    assert_eq!((milliseconds(&peer), milliseconds(&other)), (vec![0, 0, 0], vec![0]));
    polls(&service, "/a?session=2", 1).await;
    assert_eq!(milliseconds(&peer), [0, 0, 0, 100], "a query makes no other path");
}

#[tokio::test(start_paused = true)]
async fn after_an_error_comes_the_base_back_off_even_with_an_empty_budget() {
    let retry = retry::Settings::default().budget(Budget::default().tokens(0));
    let layer = built(StackLayer::builder().retry(retry));
    for broken in
        [Reply::reset(), Reply::status(503), Reply::status(502).body("sorry"), Reply::status(429).body("x")]
    {
        let peer = Peer::new().forever(broken.clone());
        polls(&stack(&peer, &layer), &format!("/{broken:?}").replace(' ', ""), 3).await;
        assert_eq!(milliseconds(&peer), [0, 500, 1000], "{broken:?}");
    }
    let peer = Peer::new().forever(Reply::refuse());
    let start = tokio::time::Instant::now();
    polls(&stack(&peer, &layer), "/refused", 3).await;
    assert_eq!((peer.connects(), start.elapsed()), (3, SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_longer_base_is_a_longer_gap_up_to_a_second_and_none_leaves_the_least() {
    for (base, gap) in [(700 * MS, 700), (5 * SECOND, 1000), (Duration::ZERO, 100)] {
        let retry = retry::Settings::default().max_retries(0).backoff(Backoff::constant(base));
        let peer = Peer::new().forever(Reply::reset());
        polls(&stack(&peer, &built(StackLayer::builder().retry(retry))), "/", 3).await;
        assert_eq!(milliseconds(&peer), [0, gap, 2 * gap]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_out_its_gap_says_so_and_obeys_its_scope() {
    let retry = retry::Settings::default().max_retries(0).backoff(Backoff::constant(5 * SECOND));
    let layer = built(StackLayer::builder().retry(retry));
    let peer = Peer::new().forever(Reply::reset());
    let service = stack(&peer, &layer);
    polls(&service, "/", 1).await;
    let start = tokio::time::Instant::now();
    let (ended, phase) =
        tokio::join!(unwedge::within(900 * MS, call(&service, with(get("/"), parked()))), async {
            tokio::time::sleep(SECOND / 2).await;
            layer.in_flight().snapshot()[0].phase
        });
    let error = ended.unwrap().unwrap_err();
    assert_eq!((error.phase(), start.elapsed()), (Some(unwedge::Phase::BackOff), 900 * MS));
    assert!(error.is_deadline());
    assert_eq!((phase, peer.request_count()), (unwedge::Phase::BackOff, 1));
}
