//! Event streams: silence, sizes, and readers that come late.

use crate::event_streams::{data, over, steady, waits};
use crate::support::{MINUTE, SECOND, built, events, events_then_silence, get, stack, times};
use bytes::Bytes;
use http_body_util::{Full, StreamBody};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use unwedge::sse::{Cause, EventStream, Phase, Settings};
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, Error, Limits, StackLayer};

const BEAT: &str = ": beat\n";

/// So many comments, one each `every`, then silence on an open connection.
fn beats(n: usize, every: Duration) -> Reply {
    let text = BEAT.repeat(n);
    events(text).drip(BEAT.len(), every).hang_after((n * BEAT.len()) as u64)
}

/// When the second request came, after this first answer.
async fn second_request(first: Reply, settings: Settings) -> Duration {
    let peer = Peer::new().then(first).forever(events_then_silence("data: a\n\n"));
    let mut stream = over(&peer, settings);
    assert_eq!(data(&mut stream).await, "a");
    let status = stream.status();
    assert_eq!((status.timeout, status.cause), (1, Some(Cause::Timeout)), "{status:?}");
    times(&peer)[1]
}

#[tokio::test(start_paused = true)]
async fn silence_beyond_the_idle_bound_is_a_reconnect() {
    assert_eq!(second_request(events_then_silence("data:"), steady()).await, 61 * SECOND);
    assert_eq!(second_request(events_then_silence(":"), steady().idle(5 * SECOND)).await, 6 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn comments_count_as_bytes() {
    // One beat teaches nothing: the idle bound runs from it.
    assert_eq!(second_request(beats(1, 50 * SECOND), steady()).await, (50 + 60 + 1) * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_idle_bound_is_three_times_the_heartbeat_once_there_were_two() {
    assert_eq!(second_request(beats(2, 5 * SECOND), steady()).await, (10 + 15 + 1) * SECOND);
    assert_eq!(second_request(beats(9, 50 * SECOND), steady()).await, (450 + 150 + 1) * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_rhythm_that_was_learnt_wrongly_does_not_end_every_connection() {
    let reply = || beats(2, 2 * SECOND);
    let peer = Peer::new().times(6, reply()).forever(events_then_silence("data: a\n\n"));
    let mut stream = over(&peer, steady());
    assert_eq!(data(&mut stream).await, "a");
    let gaps: Vec<_> = times(&peer).windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(gaps, [4 + 6 + 1, 4 + 12 + 1, 4 + 24 + 1, 4 + 48 + 1, 4 + 60 + 1, 4 + 60 + 1]);
}

#[tokio::test(start_paused = true)]
async fn comments_do_not_reset_the_clock_of_events() {
    let settings = || steady().events_within(2 * MINUTE);
    let beating = Peer::new().then(beats(100, 10 * SECOND)).forever(events_then_silence("data: a\n\n"));
    let mut stream = over(&beating, settings());
    assert_eq!(data(&mut stream).await, "a");
    assert_eq!(times(&beating)[1], 2 * MINUTE + SECOND);
    assert!(stream.status().error.unwrap().contains("no event for 2 m"));
    // An event does.
    let text = "data: b\n\n".repeat(3);
    let peer = Peer::new().then(events(text).drip(9, 50 * SECOND).hang_after(27));
    let mut stream = over(&peer, settings().idle(10 * MINUTE));
    for _ in 0..3 {
        data(&mut stream).await;
    }
    assert!(timeout(125 * SECOND, stream.next()).await.is_err());
    assert_eq!(stream.status().timeout, 1);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_ends_by_the_stack_and_by_the_idle_bound_without_one() {
    // The attempt limit of the stack.
    assert_eq!(second_request(Reply::hang(), steady()).await, 11 * SECOND);
    assert_eq!(second_request(Reply::hang(), steady().idle(4 * SECOND)).await, 5 * SECOND);
    let day = 24 * 60 * MINUTE;
    let layer = built(StackLayer::builder().limits(Limits::default().total(day).attempt(day)));
    let peer = Peer::new().then(Reply::hang()).forever(events_then_silence("data: a\n\n"));
    let mut stream = steady().connect(stack(&peer, &layer), get("/events")).unwrap();
    assert_eq!(data(&mut stream).await, "a");
    assert_eq!(times(&peer)[1], 61 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_late_finds_its_events_and_no_stall() {
    let text = "data: a\n\n".repeat(3) + "data: b\n\n";
    let peer = Peer::new().then(events(text).drip(9, SECOND).hang_after(36));
    let mut stream = over(&peer, steady());
    for _ in 0..3 {
        assert_eq!(data(&mut stream).await, "a");
        sleep(10 * MINUTE).await;
    }
    assert_eq!(data(&mut stream).await, "b");
    assert_eq!((peer.request_count(), stream.status().timeout), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_left_in_mid_wait_and_comes_late_finds_its_events_and_no_stall() {
    let peer = Peer::new().then(events(": x\ndata: a\n\n").drip(4, 30 * SECOND));
    let mut stream = over(&peer, steady());
    assert!(timeout(SECOND, stream.next()).await.is_err());
    sleep(10 * MINUTE).await;
    assert_eq!(data(&mut stream).await, "a");
    assert_eq!((peer.request_count(), stream.status().timeout), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_line_without_end_is_an_error_and_then_a_reconnect_in_bounded_memory() {
    let peer = Peer::new()
        .then(Reply::endless().header("content-type", "text/event-stream"))
        .forever(events_then_silence("data: a\n\n"));
    let mut stream = over(&peer, steady().max_size(10_000, 20_000));
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(error.is_too_large(), "{error}");
    let text = error.to_string();
    assert!(text.contains("above 20000 bytes") && text.contains("above 10000"), "{text}");
    assert_eq!(data(&mut stream).await, "a");
    let status = stream.status();
    assert_eq!((status.too_large, status.server, peer.request_count()), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn an_event_above_its_limit_is_an_error_and_the_one_after_it_is_read() {
    let long = format!("id: 1\n{}\nid: 2\ndata: b\n\n", "data: xxxxxxxxx\n".repeat(20));
    let peer = Peer::new().forever(events_then_silence(&long));
    let mut stream = over(&peer, steady().max_size(100, 100));
    assert!(stream.next().await.unwrap().unwrap_err().is_too_large());
    assert_eq!(data(&mut stream).await, "b");
    assert_eq!((peer.request_count(), stream.status().phase), (1, Phase::Connected));
}

#[tokio::test(start_paused = true)]
async fn comments_without_end_leave_room_for_others() {
    let peer = Peer::new().forever(events(BEAT.repeat(3_000_000 / BEAT.len())));
    let mut stream = over(&peer, steady());
    let states = stream.subscribe();
    let mut turns = 0;
    let others = async {
        // On a paused clock whoever is always busy would stop it.
        while states.borrow().phase != Phase::Waiting {
            turns += 1;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = stream.next() => {}
        () = others => {}
    }
    assert!(turns > 3, "{turns}");
}

/// A service whose answers are event streams of this body.
fn of_bodies<B>(
    body: impl Fn(u32) -> B + Send + Sync + 'static,
) -> impl tower_service::Service<
    http::Request<Full<Bytes>>,
    Response = http::Response<Body>,
    Error = Error,
    Future: Send,
> + Clone
+ Send
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<unwedge::BoxError>,
{
    let (body, asked) = (Arc::new(body), Arc::new(AtomicU32::new(0)));
    tower::service_fn(move |_| {
        let body = Body::streaming(body(asked.fetch_add(1, Ordering::Relaxed)));
        let head = http::Response::builder().header("content-type", "text/event-stream");
        async move { Ok(head.body(body).expect("a response")) }
    })
}

/// A body of frames that are always ready.
fn ready(frame: &'static str) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Send {
    let frame = move || Ok(http_body::Frame::data(Bytes::from_static(frame.as_bytes())));
    StreamBody::new(futures_util::stream::repeat_with(frame))
}

/// The clock goes on by 10 ms each time that the stream lets anybody else run: how many turns until this is so.
async fn turns_until(stream: &mut EventStream, so: impl Fn(&unwedge::sse::Status) -> bool) -> u32 {
    let states = stream.subscribe();
    let mut turns = 0;
    let others = async {
        while !so(&states.borrow()) {
            turns += 1;
            assert!(turns < 100_000, "{:?}", states.borrow());
            tokio::time::advance(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        biased;
        _ = async { while stream.next().await.is_some() {} } => {}
        () = others => {}
    }
    turns
}

#[tokio::test(start_paused = true)]
async fn comments_that_come_as_fast_as_they_are_read_are_no_events() {
    let mut stream = steady()
        .events_within(Duration::from_millis(200))
        .connect(of_bodies(|_| ready(BEAT)), get("/events"))
        .unwrap();
    let start = Instant::now();
    turns_until(&mut stream, |status| status.timeout == 1).await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(200) && took <= Duration::from_millis(220), "{took:?}");
    assert!(stream.status().error.unwrap().contains("no event for 200 ms"));
    turns_until(&mut stream, |status| status.connected == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_late_to_endless_comments_waits_a_moment_for_its_event_and_no_longer() {
    let limit = Duration::from_millis(200);
    let mut stream =
        steady().events_within(limit).connect(of_bodies(|_| ready(BEAT)), get("/events")).unwrap();
    turns_until(&mut stream, |status| status.connected == 1).await;
    sleep(MINUTE).await;
    let start = Instant::now();
    turns_until(&mut stream, |status| status.timeout == 1).await;
    assert!(start.elapsed() >= SECOND && start.elapsed() <= SECOND + limit, "{:?}", start.elapsed());
}

/// Whoever has used up its budget is told "pending" by tokio's timers too.
#[tokio::test(start_paused = true)]
async fn a_bound_fires_although_the_budget_of_the_task_is_always_spent() {
    struct Spends;
    impl http_body::Body for Spends {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            loop {
                std::task::ready!(tokio::task::coop::poll_proceed(cx)).made_progress();
            }
        }
    }
    for (settings, bound) in
        [(steady().idle(5 * SECOND), 5), (steady().events_within(2 * SECOND), 2), (steady(), 60)]
    {
        let mut stream = settings.connect(of_bodies(|_| Spends), get("/events")).unwrap();
        let start = Instant::now();
        turns_until(&mut stream, |status| status.timeout == 1).await;
        let took = start.elapsed();
        assert!(took >= bound * SECOND && took <= bound * SECOND + Duration::from_millis(50), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_beside_a_neighbour_that_spends_the_whole_budget_connects_and_is_read() {
    let mut stream = steady().connect(of_bodies(|_| ready("data: a\n\n")), get("/events")).unwrap();
    let (mut polls, mut read) = (0, 0);
    std::future::poll_fn(|cx| {
        while tokio::task::coop::poll_proceed(cx).map(|budget| budget.made_progress()).is_ready() {}
        polls += 1;
        let next = std::pin::pin!(stream.next()).poll(cx);
        read += u32::from(matches!(next, Poll::Ready(Some(Ok(_)))));
        if read == 3 || polls == 100 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert_eq!((read, polls), (3, 6), "each second poll brings an event");
}

#[tokio::test(start_paused = true)]
async fn events_that_lie_ready_leave_room_for_others() {
    const EVENTS: &str = "data: a\n\n";
    let frame: &'static str = Box::leak(EVENTS.repeat(10_000).into_boxed_str());
    let mut stream = steady().connect(of_bodies(move |_| ready(frame)), get("/events")).unwrap();
    let mut read = 0;
    let mut turns = 0;
    let others = async {
        while turns < 100 {
            turns += 1;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = async { while stream.next().await.is_some() { read += 1; assert!(read < 100_000, "nobody else ran") } } => {}
        () = others => {}
    }
    assert!(read > 100, "{read}");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_reconnects_leave_nothing_behind() {
    let peer = Peer::new().forever(events("id: 1\ndata: a\n\n"));
    let layer = built(StackLayer::builder());
    let mut stream = Settings::default()
        .reconnect(waits().skip_duplicates(10))
        .connect(stack(&peer, &layer), get("/events"))
        .unwrap();
    let start = Instant::now();
    assert!(timeout(10_000 * SECOND, async { while stream.next().await.is_some() {} }).await.is_err());
    assert!(stream.status().connected >= 9_990 && start.elapsed() >= 10_000 * SECOND);
    assert!(layer.in_flight().snapshot().len() <= 1 && peer.open_connections() <= 1);
    drop(stream);
    assert!(layer.in_flight().snapshot().is_empty());
}
