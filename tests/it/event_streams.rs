//! Event streams: what is read, what is sent, and what ends them.

use crate::support::{MINUTE, MS, SECOND, built, client, events, events_then_silence, get, stack, with};
use futures_util::StreamExt;
use http_body_util::Full;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use unwedge::retry::{Backoff, Jitter};
use unwedge::sse::{EventStream, Mode, Phase, Reconnect, Settings};
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, Deadline, Error, ErrorKind, Limits, StackLayer, retry, within};

/// Waits of 1, 2, 4, ... 60 s to the millisecond.
pub(crate) fn waits() -> Reconnect {
    let backoff = Backoff::exponential(SECOND).cap(MINUTE).jitter(Jitter::None);
    Reconnect::from(backoff).spread(Duration::ZERO)
}

pub(crate) fn steady() -> Settings {
    Settings::default().reconnect(waits())
}

/// A stream over a stack with default limits and no breaker.
pub(crate) fn over(peer: &Peer, settings: Settings) -> EventStream {
    settings.connect(stack(peer, &built(StackLayer::builder())), get("/events")).expect("settings that fit")
}

/// The data of the next event.
pub(crate) async fn data(stream: &mut EventStream) -> String {
    stream.next().await.expect("more events").expect("an event").data
}

/// The error that is the last word of a stream.
pub(crate) async fn last_word(stream: &mut EventStream) -> Error {
    let error = stream.next().await.expect("a last word").expect_err("an error");
    assert!(stream.next().await.is_none());
    assert_eq!(stream.status().phase, Phase::Ended);
    error
}

/// The `Last-Event-ID` of each request.
pub(crate) fn ids(peer: &Peer) -> Vec<Option<String>> {
    let id = |headers: &http::HeaderMap| Some(headers.get("last-event-id")?.to_str().unwrap().to_owned());
    peer.requests().iter().map(|request| id(&request.headers)).collect()
}

#[tokio::test(start_paused = true)]
async fn events_are_read_as_they_come_and_the_request_says_what_it_wants() {
    let peer = Peer::new().then(events_then_silence("event: add\nid: 1\ndata: a\n\ndata: b\n\n"));
    let mut stream = over(&peer, steady());
    let event = stream.next().await.unwrap().unwrap();
    assert_eq!((&*event.event, &*event.data, &*event.id), ("add", "a", "1"));
    let event = stream.next().await.unwrap().unwrap();
    assert_eq!((&*event.event, &*event.data, &*event.id), ("message", "b", "1"));
    assert_eq!((stream.last_event_id(), stream.status().phase), ("1", Phase::Connected));
    let headers = &peer.requests()[0].headers;
    let said = ["accept", "cache-control", "accept-encoding"].map(|name| headers[name].to_str().unwrap());
    assert_eq!(said, ["text/event-stream", "no-cache", "identity"]);
    assert_eq!(ids(&peer), [None]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_somebody_asks_for_an_event() {
    let peer = Peer::new().forever(events_then_silence("data: a\n\n"));
    let mut stream = over(&peer, steady());
    sleep(MINUTE).await;
    assert_eq!((peer.request_count(), stream.status().phase), (0, Phase::Idle));
    assert_eq!(data(&mut stream).await, "a");
}

#[tokio::test(start_paused = true)]
async fn headers_of_the_request_are_kept_and_its_id_is_the_one_to_begin_with() {
    let peer = Peer::new().then(events("data: a\n\n")).forever(events_then_silence("id:\ndata: b\n\n"));
    let mut request = get("/events");
    for (name, value) in
        [("accept", "text/event-stream, x/y"), ("authorization", "Bearer t"), ("last-event-id", "41")]
    {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let mut stream = steady().connect(stack(&peer, &built(StackLayer::builder())), request).unwrap();
    assert_eq!([data(&mut stream).await, data(&mut stream).await], ["a", "b"]);
    assert_eq!(ids(&peer), [Some("41".into()), Some("41".into())]);
    for request in peer.requests() {
        assert_eq!(request.headers["accept"], "text/event-stream, x/y");
        assert_eq!(request.headers["authorization"], "Bearer t");
    }
    assert_eq!(stream.last_event_id(), "", "the server took it back");
}

#[tokio::test(start_paused = true)]
async fn an_event_without_its_blank_line_is_dropped_and_its_id_is_not_sent_on_reconnect() {
    let peer = Peer::new()
        .then(events("id: 1\ndata: a\n\nid: 2\ndata: lost\n"))
        .then(events("data: b\n\n"))
        .forever(events_then_silence("id: 2\ndata: c\n\n"));
    let mut stream = over(&peer, steady());
    assert_eq!([data(&mut stream).await, data(&mut stream).await, data(&mut stream).await], ["a", "b", "c"]);
    assert_eq!(ids(&peer), [None, Some("1".into()), Some("1".into())]);
}

#[tokio::test(start_paused = true)]
async fn what_no_chunk_boundary_may_change_survives_one_byte_at_a_time() {
    let text = "\u{feff}id: 1\r\ndata: a\r\n\r\ndata: b\rdata: c\r\rdata: d\n\n";
    let drip = events(text).drip(1, MS).hang_after(text.len() as u64);
    let peer = Peer::new().then(drip);
    let mut stream = over(&peer, steady());
    assert_eq!(
        [data(&mut stream).await, data(&mut stream).await, data(&mut stream).await],
        ["a", "b\nc", "d"]
    );
}

#[tokio::test(start_paused = true)]
async fn no_content_stops_for_good_without_an_error() {
    let peer = Peer::new().then(events("data: a\n\n")).then(Reply::status(204));
    let mut stream = over(&peer, steady());
    let mut states = stream.subscribe();
    assert_eq!(data(&mut stream).await, "a");
    assert!(stream.next().await.is_none());
    assert!(stream.next().await.is_none());
    sleep(60 * MINUTE).await;
    assert_eq!(peer.request_count(), 2);
    let last = states.borrow_and_update().clone();
    assert_eq!((last.phase, last.error), (Phase::Ended, None));
}

#[tokio::test(start_paused = true)]
async fn another_content_type_is_a_permanent_error_that_names_it_and_hands_out_no_event() {
    for mode in [Mode::Agent, Mode::Spec] {
        let reply = Reply::ok("data: a\n\n").header("content-type", "text/html");
        let peer = Peer::new().forever(reply);
        let error = last_word(&mut over(&peer, Settings::default().reconnect(waits().mode(mode)))).await;
        let text = error.to_string();
        assert!(text.contains("http://peer.test/events") && text.contains("text/html"), "{text}");
        assert_eq!((error.status().map(|s| s.as_u16()), error.is_retriable()), (Some(200), false));
        assert_eq!(peer.request_count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn server_errors_end_it_by_the_standard_and_not_for_an_agent() {
    let script = |status| Peer::new().then(Reply::status(status)).forever(events_then_silence("data: a\n\n"));
    for status in [429, 500, 502, 503] {
        let peer = script(status);
        assert_eq!(data(&mut over(&peer, steady())).await, "a");
        assert_eq!(peer.request_count(), 2);
        let peer = script(status);
        let error =
            last_word(&mut over(&peer, Settings::default().reconnect(waits().mode(Mode::Spec)))).await;
        assert_eq!((error.status().unwrap().as_u16(), peer.request_count()), (status, 1));
    }
    let peer = script(404);
    assert_eq!(last_word(&mut over(&peer, steady())).await.status().unwrap().as_u16(), 404);
}

#[tokio::test(start_paused = true)]
async fn each_connect_is_one_attempt_for_the_stack_beneath() {
    let peer = Peer::new().times(2, Reply::status(503)).forever(events_then_silence("data: a\n\n"));
    let layer = built(StackLayer::builder().retry(retry::Settings::default().wait_when_refused(MINUTE)));
    let mut stream = steady().connect(stack(&peer, &layer), get("/events")).unwrap();
    let start = Instant::now();
    assert_eq!(data(&mut stream).await, "a");
    assert_eq!((peer.request_count(), start.elapsed()), (3, 3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn neither_the_stream_limit_nor_the_idle_limit_of_the_stack_ends_it() {
    let beat = ": beat\n";
    let text = beat.repeat(100) + "data: late\n\n";
    let peer = Peer::new().then(events(text).drip(beat.len(), 30 * SECOND));
    let limits = Limits::default().stream(MINUTE).idle(SECOND).min_progress(1000, SECOND);
    let layer = built(StackLayer::builder().limits(limits));
    let mut stream = steady().connect(stack(&peer, &layer), get("/events")).unwrap();
    let start = Instant::now();
    assert_eq!(data(&mut stream).await, "late");
    assert!(start.elapsed() > 50 * MINUTE);
    assert_eq!(peer.request_count(), 1);
    let calls = layer.in_flight().snapshot();
    assert_eq!((calls.len(), calls[0].deadline_in), (1, None));
    drop(stream);
    assert!(layer.in_flight().snapshot().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_enclosing_scope_ends_it_and_one_around_a_single_wait_leaves_the_connection() {
    let peer = Peer::new().forever(events("data: a\n\n: x\ndata: b\n\n").drip(9, 10 * SECOND).hang_after(22));
    let mut stream = over(&peer, steady());
    let whole = within(15 * SECOND, async { while stream.next().await.is_some() {} });
    assert!(whole.await.unwrap_err().is_deadline());
    assert!(within(SECOND, stream.next()).await.unwrap_err().is_deadline());
    sleep(5 * SECOND).await;
    // The connection was made inside a scope that is long over.
    assert_eq!(data(&mut stream).await, "b");
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_request_is_that_of_the_stream() {
    let peer = Peer::new().forever(Reply::status(503));
    let request = with(get("/events"), Deadline::after(10 * SECOND));
    let mut stream = steady().connect(stack(&peer, &built(StackLayer::builder())), request).unwrap();
    let start = Instant::now();
    assert_eq!(last_word(&mut stream).await.kind(), ErrorKind::Deadline);
    assert_eq!((start.elapsed(), peer.request_count()), (10 * SECOND, 4));
}

#[tokio::test(start_paused = true)]
async fn it_works_over_the_client_and_follows_its_redirects() {
    let peer = Peer::new()
        .on("/old", Reply::redirect("/events"))
        .on("/events", events_then_silence("id: 5\ndata: a\n\n"));
    let request = http::Request::get("http://peer.test/old").body(Body::empty()).unwrap();
    let client = client(&peer).build().unwrap();
    let stream = steady().connect(client, request).unwrap();
    let first = stream.take(1).collect::<Vec<_>>().await.remove(0).unwrap();
    assert_eq!((&*first.data, &*first.id), ("a", "5"));
    assert_eq!(peer.requests()[1].headers["accept"], "text/event-stream");
}

/// On a socket, which is what reqwest connects.
#[tokio::test]
async fn it_works_over_reqwest_and_goes_on_behind_the_last_whole_event() {
    use tower_layer::Layer;
    let event = |text| Reply::ok(text).header("content-type", "text/event-stream");
    let peer =
        Peer::new().then(event("id: 1\ndata: a\n\nid: 2\ndata: half")).forever(event("id: 2\ndata: b\n\n"));
    let url = format!("http://{}/events", peer.listen().unwrap());
    let inner = unwedge::reqwest::builder().inner_client().unwrap();
    let service = StackLayer::default().layer(unwedge::reqwest::Service::new(inner));
    let request = http::Request::get(url).body(Body::empty()).unwrap();
    let settings = Settings::default().reconnect(waits().backoff(Backoff::constant(250 * MS)));
    let mut stream = settings.connect(service, request).unwrap();
    assert_eq!((data(&mut stream).await, data(&mut stream).await), ("a".into(), "b".into()));
    drop(stream);
    assert_eq!(ids(&peer), [None, Some("1".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_post_that_connects_again_sends_its_body_with_every_connect_and_one_that_cannot_is_refused() {
    let peer = Peer::new().then(events("data: a\n\n")).forever(events_then_silence("data: b\n\n"));
    let request = http::Request::post("http://peer.test/chat").body(Full::from("prompt")).unwrap();
    let settings = steady().reconnect(true);
    let mut stream = settings.connect(stack(&peer, &built(StackLayer::builder())), request).unwrap();
    assert_eq!([data(&mut stream).await, data(&mut stream).await], ["a", "b"]);
    assert!(peer.requests().iter().all(|request| request.body == "prompt"));
    let body = Body::streaming(Full::<bytes::Bytes>::from("once"));
    let request = http::Request::post("http://peer.test/chat").body(body).unwrap();
    let settings = steady().reconnect(true);
    let error = settings.connect(client(&peer).build().unwrap(), request).unwrap_err();
    assert!(error.is_config() && error.to_string().contains("Body"), "{error}");
    let error = steady().connect(
        stack(&peer, &built(StackLayer::builder())),
        http::Request::new(Full::<bytes::Bytes>::default()),
    );
    assert!(error.unwrap_err().is_config(), "a URL without host");
}

#[tokio::test(start_paused = true)]
async fn dropping_it_closes_the_socket_and_sends_nothing_more() {
    let peer = Peer::new().forever(events_then_silence("data: a\n\n"));
    let mut stream = over(&peer, steady());
    let mut states = stream.subscribe();
    assert_eq!(data(&mut stream).await, "a");
    assert_eq!((peer.open_connections(), states.borrow_and_update().phase), (1, Phase::Connected));
    drop(stream);
    assert!(states.changed().await.is_ok(), "its end is told");
    sleep(60 * MINUTE).await;
    assert_eq!((peer.request_count(), peer.open_connections()), (1, 0));
    assert_eq!(states.borrow().phase, Phase::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_at_any_moment_loses_and_doubles_nothing() {
    let text: String = (0..40).map(|n| format!("id: {n}\ndata: {n}\n\n")).collect();
    let peer = Peer::new()
        .times(2, Reply::status(502).after(70 * MS))
        .then(events(text.clone()).drip(7, 10 * MS))
        .forever(events_then_silence("data: end\n\n"));
    let mut stream = over(&peer, steady());
    let mut read = Vec::new();
    for n in 0.. {
        if let Ok(event) = timeout(Duration::from_millis(n % 23), stream.next()).await {
            read.push(event.unwrap().unwrap().data);
            if read.last().is_some_and(|data| data == "end") {
                break;
            }
        }
    }
    let all: Vec<_> = (0..40).map(|n| n.to_string()).chain(["end".to_owned()]).collect();
    assert_eq!((read, peer.request_count()), (all, 4));
}
