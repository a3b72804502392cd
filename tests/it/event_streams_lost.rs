//! Event streams: how they come back.

use crate::event_streams::{data, ids, last_word, over, steady, waits};
use crate::support::{MINUTE, MS, SECOND, events, events_then_silence, get, stack, times};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use unwedge::retry::Backoff;
use unwedge::sse::{Cause, Phase, Settings};
use unwedge::testing::{Peer, Reply};
use unwedge::{StackLayer, breaker, retry};

/// The times between the requests.
fn gaps(peer: &Peer) -> Vec<Duration> {
    times(peer).windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn waits_double_from_one_second_to_sixty_within_a_quarter_and_never_above_sixty() {
    let peer = Peer::new().forever(Reply::status(503));
    let mut stream = over(&peer, Settings::default());
    assert!(timeout(20 * MINUTE, stream.next()).await.is_err());
    let gaps = gaps(&peer);
    assert!(gaps.len() > 15, "{gaps:?}");
    for (n, gap) in gaps.iter().enumerate() {
        let ceiling = MINUTE.min(SECOND * 2u32.pow(n.min(6) as u32));
        assert!(
            *gap >= ceiling.mul_f64(0.75) && *gap <= ceiling.mul_f64(1.25).min(MINUTE) + MS,
            "{n}: {gap:?}"
        );
    }
    assert!(gaps.iter().any(|gap| gap.subsec_millis() != 0), "no jitter: {gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_success_the_first_wait_is_the_base_again() {
    let peer = Peer::new()
        .times(3, Reply::status(500))
        .then(events("data: a\n\n"))
        .then(Reply::status(500))
        .forever(events_then_silence("data: b\n\n"));
    let mut stream = over(&peer, steady());
    assert_eq!([data(&mut stream).await, data(&mut stream).await], ["a", "b"]);
    assert_eq!(gaps(&peer), [1, 2, 4, 1, 2].map(|seconds| seconds * SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_last_event_id_is_sent_on_every_reconnect() {
    let peer = Peer::new()
        .then(events("id: 7\ndata: a\n\n"))
        .then(Reply::status(502))
        .then(Reply::reset())
        .then(events("data: b\n\n"))
        .forever(events_then_silence("id: 8\ndata: c\n\n"));
    let mut stream = over(&peer, steady());
    assert_eq!([data(&mut stream).await, data(&mut stream).await, data(&mut stream).await], ["a", "b", "c"]);
    let seven = || Some("7".to_owned());
    assert_eq!(ids(&peer), [None, seven(), seven(), seven(), seven()]);
}

#[tokio::test(start_paused = true)]
async fn ids_that_no_header_can_carry_are_not_sent_and_others_are_sent_as_they_are() {
    let peer = Peer::new()
        .then(events("id: a\u{1}b\ndata: a\n\n"))
        .then(events("id: \u{e4}\ndata: b\n\n"))
        .forever(events_then_silence("data: c\n\n"));
    let mut stream = over(&peer, steady());
    assert_eq!([data(&mut stream).await, data(&mut stream).await, data(&mut stream).await], ["a", "b", "c"]);
    let sent: Vec<_> = peer.requests().iter().map(|r| r.headers.get("last-event-id").cloned()).collect();
    assert_eq!((&sent[0], &sent[1]), (&None, &None));
    assert_eq!(sent[2].as_ref().unwrap().as_bytes(), "\u{e4}".as_bytes());
}

#[tokio::test(start_paused = true)]
async fn causes_are_counted_as_network_server_or_timeout() {
    let peer = Peer::new()
        .then(Reply::reset())
        .then(Reply::refuse())
        .then(Reply::status(503))
        .then(events("data: a\n\n"))
        .then(Reply::hang())
        .then(events_then_silence(""))
        .then(events("data: b\n\nlost").chunked().reset_after(12))
        .forever(events_then_silence("data: c\n\n"));
    let mut stream = over(&peer, steady());
    let mut states = stream.subscribe();
    let mut causes = Vec::new();
    let read = async { [data(&mut stream).await, data(&mut stream).await, data(&mut stream).await] };
    let watch = async {
        while states.changed().await.is_ok() {
            let status = states.borrow_and_update().clone();
            if status.phase == Phase::Waiting {
                causes.push(status.cause.unwrap().as_str());
            }
            if status.connected == 4 {
                break;
            }
        }
    };
    let (read, ()) = tokio::join!(read, watch);
    assert_eq!(read, ["a", "b", "c"]);
    assert_eq!(causes, ["network", "network", "server", "server", "timeout", "timeout", "network"]);
    let status = stream.status();
    assert_eq!((status.network, status.server, status.timeout, status.connected), (3, 2, 2, 4));
    assert_eq!((status.phase, status.cause, status.attempt), (Phase::Connected, Some(Cause::Network), 1));
    assert!(status.error.unwrap().starts_with("GET http://peer.test/events: "));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_in_a_wait_sends_nothing_more() {
    let peer = Peer::new().forever(Reply::status(500));
    let mut stream = over(&peer, steady());
    assert!(timeout(5 * SECOND, stream.next()).await.is_err());
    assert_eq!((peer.request_count(), stream.status().phase), (3, Phase::Waiting));
    drop(stream);
    sleep(60 * MINUTE).await;
    assert_eq!((peer.request_count(), peer.open_connections()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn the_server_names_the_base_and_can_make_neither_a_hot_loop_nor_an_endless_wait() {
    for (said, waited) in [("03000", 3), ("0", 1), ("1000x", 1), ("99999999999999999999", 60), ("70000", 60)]
    {
        let peer = Peer::new()
            .then(events(format!("retry:{said}\ndata: a\n\n")))
            .forever(events_then_silence("data: b\n\n"));
        let mut stream = over(&peer, steady());
        assert_eq!([data(&mut stream).await, data(&mut stream).await], ["a", "b"]);
        assert_eq!(gaps(&peer), [waited * SECOND], "{said}");
    }
    let peer = Peer::new()
        .then(events("retry: 3000\n"))
        .times(2, Reply::status(500))
        .forever(events_then_silence("data: b\n\n"));
    assert_eq!(data(&mut over(&peer, steady())).await, "b");
    assert_eq!(gaps(&peer), [3, 6, 12].map(|seconds| seconds * SECOND), "it outlives the connection");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_at_once_is_asked_once_a_second() {
    let peer = Peer::new().forever(events("retry: 0\n\n"));
    let mut stream = over(&peer, steady());
    assert!(timeout(MINUTE, stream.next()).await.is_err());
    assert!((59..=61).contains(&peer.request_count()), "{}", peer.request_count());
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_respected_up_to_five_minutes() {
    for (asked, least, most) in
        [("1", 1.0, 1.1), ("20", 20.0, 22.0), ("86400", 300.0, 300.0), ("18446744073709551615", 300.0, 300.0)]
    {
        for status in [429, 503] {
            let peer = Peer::new()
                .then(Reply::status(status).retry_after(asked))
                .forever(events_then_silence("data: a\n\n"));
            let mut stream = over(&peer, steady());
            assert_eq!(data(&mut stream).await, "a");
            let gap = gaps(&peer)[0].as_secs_f64();
            assert!(gap >= least && gap <= most + 0.002, "{status}, {asked} s: {gap}");
            assert_eq!(stream.status().cause, Some(Cause::Server));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_waits_for_the_longer_of_back_off_and_retry_in() {
    let peer = Peer::new().times(2, Reply::status(500)).forever(events_then_silence("data: a\n\n"));
    let breaker = breaker::Settings::default().failures(2).open(Backoff::constant(30 * SECOND));
    let retry = retry::Settings::default().wait_when_refused(MINUTE);
    let layer = StackLayer::builder().breaker(breaker).retry(retry).build().unwrap();
    let mut stream = steady().connect(stack(&peer, &layer), get("/events")).unwrap();
    assert_eq!(data(&mut stream).await, "a");
    // 1 s, then a back-off of 2 s that ends in a refusal, which says how long.
    assert_eq!(gaps(&peer), [SECOND, 30 * SECOND]);
    assert_eq!(stream.status().server, 3);

    let peer = Peer::new().times(2, Reply::status(500)).forever(events_then_silence("data: a\n\n"));
    let breaker = breaker::Settings::default().failures(2).open(Backoff::constant(3 * SECOND));
    let layer = StackLayer::builder().breaker(breaker).build().unwrap();
    let mut stream = steady().connect(stack(&peer, &layer), get("/events")).unwrap();
    assert_eq!(data(&mut stream).await, "a");
    assert_eq!(gaps(&peer), [SECOND, 6 * SECOND], "the back-off of 4 s after the refusal is the longer one");
}

#[tokio::test(start_paused = true)]
async fn duplicates_after_a_resume_are_suppressed_by_id_where_that_is_asked_for() {
    let script = || {
        Peer::new().then(events("id: 1\ndata: a\n\nid: 1\ndata: same id\n\nid: 2\ndata: b\n\n")).forever(
            events_then_silence(
                "id: 1\ndata: a\n\nid: 2\ndata: b\n\ndata: none of its own\n\nid: 3\ndata: c\n\n",
            ),
        )
    };
    let peer = script();
    let mut stream = over(&peer, Settings::default().reconnect(waits().skip_duplicates(100)));
    let mut read = Vec::new();
    while read.last().is_none_or(|last| last != "c") {
        read.push(data(&mut stream).await);
    }
    assert_eq!(read, ["a", "same id", "b", "none of its own", "c"]);
    assert_eq!((stream.status().duplicates, stream.last_event_id()), (2, "3"));
    let peer = script();
    let mut stream = over(&peer, steady());
    let mut read = 0;
    while data(&mut stream).await != "c" {
        read += 1;
    }
    assert_eq!((read, stream.status().duplicates), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_starts_anew_goes_on_where_it_was() {
    let peer = Peer::new().forever(events_then_silence("id: 42\ndata: a\n\n"));
    let mut stream = over(&peer, steady().last_event_id("41"));
    assert_eq!((data(&mut stream).await.as_str(), stream.last_event_id()), ("a", "42"));
    assert_eq!(ids(&peer), [Some("41".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_for_a_day_is_found_within_a_minute_of_its_return() {
    let day = 24 * 60 * MINUTE;
    let peer = Peer::new().until(day, Reply::refuse()).forever(events_then_silence("data: a\n\n"));
    let mut stream = over(&peer, Settings::default());
    let start = Instant::now();
    assert_eq!(data(&mut stream).await, "a");
    assert!(start.elapsed() <= day + MINUTE + SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_error_that_no_wait_heals_is_the_last_word() {
    let peer = Peer::new().forever(Reply::redirect("http://peer.test/events"));
    let request = http::Request::get("http://peer.test/events").body(unwedge::Body::empty()).unwrap();
    let client = crate::support::client(&peer).build().unwrap();
    let error = last_word(&mut steady().connect(client, request).unwrap()).await;
    assert!(error.is_redirect(), "{error}");
}
