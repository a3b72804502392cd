//! HTTP/2 over an in-memory connection on a paused clock; frame by frame where a server says what no server should.

use super::*;
use crate::testing::Script;
use crate::{ErrorKind, retry, within};
use bytes::Bytes;
use h2::Reason;
use h2::server::{Connection, SendResponse};
use http::{Response as Head, StatusCode};
use http_body_util::BodyExt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

type Served = Connection<DuplexStream, Bytes>;

/// A task of the test's server, which ends with its runtime.
#[expect(clippy::disallowed_methods, reason = "its owner is the runtime of the test")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// Every connection is played by this function, which gets its number, from 0.
pub(super) fn dialled<F, T>(takes: Duration, play: F) -> (ClientBuilder, Arc<AtomicU32>)
where
    F: Fn(u32, DuplexStream) -> T + Send + Sync + Clone + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let dials = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&dials);
    let dial = tower::service_fn(move |_: http::Uri| {
        let (play, number) = (play.clone(), counting.fetch_add(1, Ordering::Relaxed));
        async move {
            sleep(takes).await;
            let (near, far) = tokio::io::duplex(256 * 1024);
            spawn(play(number, far));
            Ok::<_, std::io::Error>(TokioStream::new(near))
        }
    });
    (Client::builder().network(Network::default().http2_only()).connector(dial), dials)
}

/// A client that speaks HTTP/2 to this peer.
pub(super) fn two(peer: &Peer) -> ClientBuilder {
    piped(peer).network(Network::default().http2_only())
}

fn spoken_to(peer: &Peer) -> Client {
    two(peer).build().unwrap()
}

fn answer(mut respond: SendResponse<Bytes>, body: &'static str) {
    let Ok(mut stream) = respond.send_response(Head::new(()), false) else { return };
    let _ = stream.send_data(Bytes::from_static(body.as_bytes()), true);
}

/// Answers all that comes.
pub(super) async fn serve(mut connection: Served) {
    while let Some(Ok((_, respond))) = connection.accept().await {
        answer(respond, "ok");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_calls_at_once_share_one_connection() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let client = spoken_to(&peer);
    let calls: Vec<_> = (0..10).map(|_| Beside::new(client.get(URL).send())).collect();
    for call in calls {
        let response = call.ended().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "ok");
    }
    assert_eq!(peer.connections(), 1);
    let request = Request::get(URL).version(http::Version::HTTP_2).body("").unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.into_http().version(), http::Version::HTTP_2);
}

/// What becomes of a POST whose first stream is ended in this way: its attempts, or its error.
async fn post_after(ended: Reply) -> Result<u32, Error> {
    let peer = Peer::new().on("/jobs", Script::new().then(ended).forever(Reply::ok("ok")));
    let response = spoken_to(&peer).post(URL).body("x").await?;
    Ok(response.attempts().count)
}

#[tokio::test(start_paused = true)]
async fn a_post_is_repeated_after_a_refused_stream_and_not_after_an_internal_error() {
    assert_eq!(post_after(Reply::refuse()).await.unwrap(), 2);
    let error = post_after(Reply::reset()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Transport, 1), "{error:?}");
    assert!(error.to_string().contains("internal error"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_get_is_repeated_after_an_internal_error_and_its_breaker_counts_it() {
    // The connection had served before: what the server says of a stream is no race of keep-alive.
    let peer = Peer::new().then(Reply::ok("ok")).forever(Reply::reset());
    let client = two(&peer).retry(retry::Settings::default().max_retries(1)).build().unwrap();
    client.get(URL).await.unwrap();
    let error = client.get(URL).await.unwrap_err();
    assert_eq!((error.attempts(), peer.connections()), (2, 1));
    assert_eq!(client.breakers().snapshot()[0].consecutive_failures, 2);
}

/// A frame of HTTP/2 by hand.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(super) const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

/// Sends its settings, waits until a request has arrived, sends this, and reads on for ever.
pub(super) async fn raw(mut io: DuplexStream, then: Vec<u8>) {
    let _ = io.write_all(&frame(SETTINGS, 0, 0, &[])).await;
    let mut bytes = vec![0; 4096];
    // The preface, settings and window update of the client, and a request.
    let mut arrived = 0;
    while arrived < 100 {
        match io.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(n) => arrived += n,
        }
    }
    let _ = io.write_all(&then).await;
    while matches!(io.read(&mut bytes).await, Ok(1..)) {}
}

fn goaway(last: u32, reason: Reason) -> Vec<u8> {
    let mut payload = last.to_be_bytes().to_vec();
    payload.extend(u32::from(reason).to_be_bytes());
    frame(GOAWAY, 0, 0, &payload)
}

/// As [`post_after`], where the first connection says goodbye: it has processed streams up to `last`.
async fn post_after_goaway(last: u32, reason: Reason) -> Result<u32, Error> {
    let (client, _) = dialled(Duration::ZERO, move |number, io| async move {
        if number == 0 {
            let mut io = io;
            let _ = tokio::time::timeout(SEC, raw_until(&mut io, goaway(last, reason))).await;
        } else if let Ok(connection) = h2::server::handshake(io).await {
            serve(connection).await;
        }
    });
    let response = client.build()?.post(URL).body("x").await?;
    Ok(response.attempts().count)
}

/// As [`raw`], on a connection that ends with its caller.
async fn raw_until(io: &mut DuplexStream, then: Vec<u8>) {
    let (near, mut far) = tokio::io::duplex(256 * 1024);
    let mut raw = std::pin::pin!(raw(near, then));
    tokio::select! {
        () = &mut raw => {}
        _ = tokio::io::copy_bidirectional(io, &mut far) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_is_repeated_after_a_goaway_below_its_stream_and_not_after_one_that_may_have_processed_it() {
    for reason in [Reason::NO_ERROR, Reason::ENHANCE_YOUR_CALM] {
        assert_eq!(post_after_goaway(0, reason).await.unwrap(), 2, "{reason}");
        let error = post_after_goaway(1, reason).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Transport, 1), "{reason}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_a_call_waited_in_vain_is_not_used_again() {
    // The first request is never answered; pings are.
    let peer = Peer::new().then(Reply::hang()).forever(Reply::ok("ok"));
    let response = spoken_to(&peer).get(URL).await.unwrap();
    assert_eq!((response.attempts().count, peer.connections()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_a_body_was_awaited_in_vain_is_not_used_again() {
    // The first body is never whole; pings are answered.
    let peer = Peer::new().then(Reply::headers_then_hang()).forever(Reply::ok("ok"));
    let response = spoken_to(&peer).get(URL).await.unwrap();
    assert_eq!((response.attempts().count, peer.connections()), (2, 2));
    assert_eq!(response.text().await.unwrap(), "ok");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_its_reader_leaves_alone_leaves_its_connection_in_use() {
    // Too large to be collected, and asked for by a call that was to end soon.
    let peer = Peer::new().on("/large", Reply::sized(2 << 20).hang_after(1)).forever(Reply::ok("ok"));
    let client = spoken_to(&peer);
    let large = || client.get("http://api.example/large").send();
    let mut body = large().await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    sleep(5 * SEC).await;
    drop(body);
    client.get(URL).await.unwrap();
    assert_eq!(peer.connections(), 1, "nobody waited for more");
    let mut body = large().await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    within(5 * SEC, body.frame()).await.unwrap_err();
    drop(body);
    client.get(URL).await.unwrap();
    assert_eq!(peer.connections(), 2, "somebody waited for five seconds");
}

/// Says goodbye with the head of its first response, and goes on with the body for a minute.
async fn goes_on_after_its_goodbye(mut connection: Served) {
    let Some(Ok((_, mut respond))) = connection.accept().await else { return };
    let Ok(mut stream) = respond.send_response(Head::new(()), false) else { return };
    connection.graceful_shutdown();
    spawn(async move {
        for _ in 0..12 {
            sleep(5 * SEC).await;
            let _ = stream.send_data(Bytes::from_static(b"."), false);
        }
        let _ = stream.send_data(Bytes::from_static(b"end"), true);
    });
    while connection.accept().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_stream_on_a_connection_that_takes_no_more_calls_is_served_to_its_end() {
    let (client, dials) = dialled(MS, |number, io| async move {
        let Ok(connection) = h2::server::handshake(io).await else { return };
        match number {
            0 => goes_on_after_its_goodbye(connection).await,
            _ => serve(connection).await,
        }
    });
    let client = client.build().unwrap();
    let body = client.get(URL).collect(crate::Collect::never()).send().await.unwrap().into_body();
    sleep(SEC).await;
    client.get(URL).await.unwrap();
    assert_eq!(dials.load(Ordering::Relaxed), 2, "the first takes no more");
    let whole = body.collect().await.unwrap().to_bytes();
    assert_eq!(&whole[..], b"............end");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_soon_leaves_its_connection_in_use() {
    let peer = Peer::new().on("/never", Reply::hang()).forever(Reply::ok("ok"));
    let client = spoken_to(&peer);
    let never = "http://api.example/never";
    within(900 * MS, client.get(never).send()).await.unwrap().unwrap_err();
    client.get(URL).await.unwrap();
    assert_eq!(peer.connections(), 1);
    within(1100 * MS, client.get(never).send()).await.unwrap().unwrap_err();
    client.get(URL).await.unwrap();
    assert_eq!(peer.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_ping_ends_a_connection_after_45_seconds_also_an_idle_one() {
    let silent_since = Arc::new(std::sync::Mutex::new(None));
    let ended = Arc::clone(&silent_since);
    let (client, _) = dialled(Duration::ZERO, move |_, io| {
        let ended = Arc::clone(&ended);
        async move {
            // Answers one request by hand (HEADERS with `:status: 200`, end of stream), then nothing.
            let reply = frame(1, 0x5, 1, &[0x88]);
            raw(io, [frame(SETTINGS, ACK, 0, &[]), reply].concat()).await;
            *ended.lock().unwrap() = Some(Instant::now());
        }
    });
    let client = client.build().unwrap();
    client.get(URL).await.unwrap();
    let start = Instant::now();
    sleep(44 * SEC).await;
    assert_eq!(*silent_since.lock().unwrap(), None);
    sleep(2 * SEC).await;
    let ended = silent_since.lock().unwrap().unwrap();
    assert!((ended - start).abs_diff(45 * SEC) < SEC, "{:?}", ended - start);
}

#[tokio::test(start_paused = true)]
async fn when_the_leader_of_ten_connects_is_dropped_the_nine_others_succeed_and_nothing_is_recorded() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let client = Client::builder().network(Network::default().http2_only());
    let client = client.pipe(peer.pipe().connect_takes(200 * MS)).build().unwrap();
    let leader = Beside::new(client.get(URL).send());
    tokio::task::yield_now().await;
    let others: Vec<_> = (0..9).map(|_| Beside::new(client.get(URL).send())).collect();
    sleep(50 * MS).await;
    drop(leader);
    for other in others {
        assert_eq!(other.ended().await.unwrap().status(), StatusCode::OK);
    }
    let seen = client.breakers().snapshot().remove(0);
    assert_eq!((seen.calls, seen.failures, seen.consecutive_failures), (9, 0, 0));
    assert_eq!((peer.request_count(), peer.connections()), (9, 1));
}
