//! Event streams: answers that end them for good, and the caller who knows better.

use crate::event_streams::{data, last_word, over, steady, waits};
use crate::support::{MINUTE, MS, SECOND, built, events, events_then_silence, get, post, stack, times};
use crate::watch::Log;
use http::header::AUTHORIZATION;
use std::future::{Future, pending};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use unwedge::sse::{Phase, Reconnection, Refusal, Settings};
use unwedge::testing::{Peer, Reply};
use unwedge::{Deadline, StackLayer};

fn asking<F, Fut>(hook: F) -> Settings
where
    F: Fn(Refusal) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Option<Reconnection>> + Send + 'static,
{
    Settings::default().reconnect(waits().on_refusal(hook))
}

#[tokio::test(start_paused = true)]
async fn a_hook_renews_the_token_and_says_when_to_come_back() {
    let peer = Peer::new()
        .then(Reply::status(401))
        .then(events("data: a\n\n"))
        .forever(events_then_silence("data: b\n\n"));
    let settings = asking(|refusal| async move {
        assert_eq!((refusal.status().as_u16(), refusal.in_a_row()), (401, 1));
        sleep(SECOND).await;
        Some(Reconnection::after(3 * SECOND).header(AUTHORIZATION, "Bearer new".parse().unwrap()))
    });
    let mut request = get("/events");
    request.headers_mut().insert(AUTHORIZATION, "Bearer old".parse().unwrap());
    let mut stream = settings.connect(stack(&peer, &built(StackLayer::builder())), request).unwrap();
    assert_eq!([data(&mut stream).await, data(&mut stream).await], ["a", "b"]);
    let sent: Vec<_> = peer.requests().iter().map(|r| r.headers["authorization"].clone()).collect();
    assert_eq!(sent, ["Bearer old", "Bearer new", "Bearer new"]);
    assert_eq!(times(&peer)[1], 4 * SECOND);
    let status = stream.status();
    assert_eq!((status.server, status.connected, status.phase), (2, 2, Phase::Connected));
}

#[tokio::test(start_paused = true)]
async fn every_answer_that_would_end_it_for_good_is_shown_and_one_that_heals_is_not() {
    let page = || Reply::ok("<html>log in</html>").header("content-type", "text/html");
    let coded = || events("compressed").header("content-encoding", "br");
    for (reply, status, words) in [
        (Reply::status(401), 401, "401 Unauthorized"),
        (Reply::status(403), 403, "403 Forbidden"),
        (Reply::status(403).retry_after("30"), 403, "403 Forbidden, the server asks to wait 30 s"),
        (Reply::status(404).body("nobody here"), 404, "404 Not Found"),
        (Reply::status(409), 409, "409 Conflict"),
        (Reply::status(421), 421, "421 Misdirected"),
        (page(), 200, "text/html"),
        (coded(), 200, "coded as br"),
    ] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&seen);
        let peer = Peer::new().forever(reply);
        let settings = asking(move |refusal| {
            assert!(!format!("{refusal:?}").contains("log in"));
            let wait = refusal.retry_after().map(|wait| wait.as_secs());
            shown.lock().unwrap().push((refusal.status().as_u16(), wait, refusal.body().to_vec()));
            async { None }
        });
        let error = last_word(&mut over(&peer, settings)).await;
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.is_retriable(), "it has ended: {error}");
        let seen = seen.lock().unwrap();
        assert_eq!((seen.len(), seen[0].0), (1, status), "{error}");
        assert_eq!(seen[0].1, words.contains("30 s").then_some(30));
        assert_eq!(error.body(), seen[0].2, "{error}");
        assert!(!words.contains("coded") || error.body().is_empty(), "nobody can read it: {error}");
        assert_eq!(peer.request_count(), 1);
    }
    // The standard ends it at a 503; an agent comes back by itself.
    let peer = Peer::new().then(Reply::status(503)).forever(events_then_silence("data: a\n\n"));
    let settings = asking(|refusal| async move { panic!("{refusal:?}") });
    assert_eq!(data(&mut over(&peer, settings)).await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_piece_of_the_body_is_in_the_error_and_in_no_message_and_no_line_of_the_log() {
    let (log, _guard) = Log::listen();
    let excuse = "the token tok-123 is unknown";
    let reply = Reply::status(401).header("x-secret", "s3cret").body(excuse);
    let peer = Peer::new().forever(reply);
    let error = last_word(&mut over(&peer, asking(|_| async { panic!("no token either") }))).await;
    assert_eq!(error.body(), excuse.as_bytes());
    assert!(!error.to_string().contains("tok-123") && !format!("{error:?}").contains("tok-123"), "{error:?}");
    assert!(!log.with("event stream").is_empty());
    assert!(log.with("tok-123").is_empty() && log.with("s3cret").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_without_end_is_read_for_a_piece_and_a_moment() {
    let start = Instant::now();
    let peer = Peer::new().forever(Reply::endless());
    let error = last_word(&mut over(&peer, steady())).await;
    assert_eq!(error.body().len(), 4096);
    assert!(start.elapsed() < SECOND);
    let peer = Peer::new().forever(Reply::status(404).body("some of it").declare(100).hang_after(7));
    let start = Instant::now();
    let error = last_word(&mut over(&peer, steady())).await;
    assert_eq!((error.body(), start.elapsed().as_millis() / 10), (&b"some of"[..], 100));
    sleep(MS).await;
    assert_eq!(peer.open_connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_never_returns_is_bounded_by_the_limit_of_an_attempt() {
    let (log, _guard) = Log::listen();
    let peer = Peer::new().forever(Reply::status(401));
    let start = Instant::now();
    let error = last_word(&mut over(&peer, asking(|_| pending()))).await;
    assert_eq!(error.status().unwrap().as_u16(), 401);
    assert!(start.elapsed() >= 10 * SECOND && start.elapsed() < 11 * SECOND, "{:?}", start.elapsed());
    let told = log.with("the hook for refusals failed");
    assert!(told.len() == 1 && told[0].contains("no answer within 10s"), "{told:?}");
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_ends_the_stream_as_if_there_were_none() {
    let (log, _guard) = Log::listen();
    let now = asking(|refusal| -> std::future::Ready<Option<Reconnection>> {
        panic!("no store for {}", refusal.status())
    });
    let later = asking(|_| async {
        sleep(SECOND).await;
        panic!("no store")
    });
    for settings in [now, later] {
        let peer = Peer::new().forever(Reply::status(401));
        let layer = built(StackLayer::builder());
        let mut stream = settings.connect(stack(&peer, &layer), get("/events")).unwrap();
        assert_eq!(last_word(&mut stream).await.status().unwrap().as_u16(), 401);
        assert!(layer.in_flight().snapshot().is_empty());
        assert_eq!(peer.request_count(), 1);
    }
    let told = log.with("the hook for refusals failed");
    assert!(told.len() == 2 && told.iter().all(|line| line.contains("panicked: no store")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_always_says_now_makes_no_hot_loop() {
    let peer = Peer::new().forever(Reply::status(404));
    let mut stream = over(&peer, asking(|_| async { Some(Reconnection::after(Duration::ZERO)) }));
    assert!(timeout(60 * MINUTE, stream.next()).await.is_err());
    let times = times(&peer);
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(gaps[..7], [0, 2, 4, 8, 16, 32, 60]);
    // And one that names ten thousand years waits, and breaks nothing.
    let peer = Peer::new().forever(Reply::status(404));
    let mut stream = over(&peer, asking(|_| async { Some(Reconnection::after(Duration::MAX)) }));
    assert!(timeout(MINUTE, stream.next()).await.is_err());
    assert_eq!((peer.request_count(), stream.status().phase), (1, Phase::Waiting));
}

#[tokio::test(start_paused = true)]
async fn what_a_hook_does_is_bounded_like_an_attempt_and_outlives_a_wait_that_was_given_up() {
    let peer = Peer::new().then(Reply::status(401)).forever(events_then_silence("data: a\n\n"));
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let settings = asking(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async {
            let left = Deadline::current().expect("a bound").remaining();
            assert_eq!(left.as_secs_f64().round(), 10.0);
            sleep(5 * SECOND).await;
            Some(Reconnection::after(Duration::ZERO))
        }
    });
    let mut stream = over(&peer, settings);
    assert!(unwedge::within(2 * SECOND, stream.next()).await.is_err());
    assert_eq!(data(&mut stream).await, "a");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let second = times(&peer)[1];
    assert!(second >= 5 * SECOND && second <= 5 * SECOND + 5 * MS, "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_post_is_sent_again_where_its_caller_says_so() {
    let peer = Peer::new().then(Reply::status(401)).forever(events("data: a\n\n"));
    let settings = asking(|_| async { Some(Reconnection::after(Duration::ZERO)) });
    let mut stream = settings.connect(stack(&peer, &built(StackLayer::builder())), post("/chat")).unwrap();
    assert_eq!(data(&mut stream).await, "a");
    assert!(stream.next().await.is_none());
    assert_eq!(peer.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_reopened_after_its_last_word_knows_what_it_has_handed_out() {
    let peer = Peer::new()
        .then(events("id: 1\ndata: a\n\nid: 2\ndata: b\n\n"))
        .then(Reply::ok("<html>").header("content-type", "text/html"))
        .forever(events_then_silence("id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n"));
    let mut stream = over(&peer, Settings::default().reconnect(waits().skip_duplicates(10)));
    stream.reopen();
    assert_eq!([data(&mut stream).await, data(&mut stream).await], ["a", "b"]);
    stream.reopen();
    assert_eq!(last_word(&mut stream).await.status().unwrap().as_u16(), 200);
    stream.reopen();
    assert_eq!(stream.status().phase, Phase::Idle);
    assert_eq!(data(&mut stream).await, "c");
    let status = stream.status();
    assert_eq!((status.connected, status.duplicates, peer.request_count()), (2, 2, 3));
    assert_eq!(peer.requests()[2].headers["last-event-id"], "2");
}
