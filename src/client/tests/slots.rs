//! Streams of HTTP/2: one before the hand-over, of calls that end soon and of calls that park apart, and none lost.

use super::http2::{SETTINGS, dialled, frame, two};
use super::*;
use crate::{Collect, ErrorKind, Limits, LongPoll, Phase, retry, within};
use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderValue, Response as Head};
use http_body_util::BodyExt;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

const POLL: LongPoll = LongPoll::because("a test parks it");

/// A server of so many streams: `/poll` is never answered, `/stream` never ends, `/large` is more than any window.
pub(super) async fn limited(io: DuplexStream, streams: u32) {
    let mut server = h2::server::Builder::new();
    let Ok(mut connection) = server.max_concurrent_streams(streams).handshake(io).await else { return };
    let mut kept: Vec<SendResponse<Bytes>> = Vec::new();
    let mut open = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        let (length, body) = match path.as_str() {
            "/poll" => {
                kept.push(respond);
                continue;
            }
            "/stream" => (None, Bytes::new()),
            "/large" => (Some(8 << 20), Bytes::from(vec![0; 8 << 20])),
            _ => (Some(2), Bytes::from_static(b"ok")),
        };
        let mut head = Head::new(());
        if let Some(length) = length {
            head.headers_mut().insert("content-length", HeaderValue::from(length as u64));
        }
        let Ok(mut stream) = respond.send_response(head, false) else { continue };
        let _ = stream.send_data(body, length.is_some());
        open.push(stream);
    }
}

fn served(streams: u32) -> (Client, std::sync::Arc<std::sync::atomic::AtomicU32>) {
    let (client, dials) = dialled(Duration::ZERO, move |_, io| limited(io, streams));
    (client.build().unwrap(), dials)
}

pub(super) fn at(path: &str) -> String {
    format!("http://api.example{path}")
}

/// Failures that the only breaker counted.
fn failures(client: &Client) -> u64 {
    client.breakers().snapshot().remove(0).failures
}

#[tokio::test(start_paused = true)]
async fn a_post_beside_a_parked_poll_is_answered_at_once_where_there_is_one_stream() {
    let (client, dials) = served(1);
    let poll = Beside::new(client.get(at("/poll")).extension(POLL.up_to(60 * SEC)).send());
    sleep(SEC).await;
    let start = Instant::now();
    for _ in 0..10 {
        let answer = client.post(at("/jobs")).body("job").await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.attempts().count), (200, 1));
    }
    assert_eq!((start.elapsed(), dials.load(Ordering::Relaxed)), (Duration::ZERO, 2));
    drop(poll);
}

#[tokio::test(start_paused = true)]
async fn a_get_beside_more_streams_than_the_server_takes_on_a_connection_is_answered_at_once() {
    let (client, dials) = served(10);
    let mut streams = Vec::new();
    for n in 0..12 {
        // As an event stream asks, and as a download does.
        let stream = client.get(at("/stream"));
        let stream = match n % 2 {
            0 => stream.header("accept", "text/event-stream").collect(Collect::never()),
            _ => stream.collect(Collect::never()),
        };
        streams.push(stream.send().await.unwrap());
    }
    let start = Instant::now();
    assert_eq!(client.get(at("/jobs")).await.unwrap().status(), 200);
    assert_eq!((start.elapsed(), dials.load(Ordering::Relaxed)), (Duration::ZERO, 3), "10, 2, and the GET");
}

#[tokio::test(start_paused = true)]
async fn a_post_beside_large_responses_that_nobody_reads_is_answered_at_once() {
    let (client, dials) = served(100);
    let mut large = Vec::new();
    for _ in 0..3 {
        large.push(client.get(at("/large")).send().await.unwrap().into_body());
    }
    sleep(10 * MS).await;
    let start = Instant::now();
    let answer = client.post(at("/jobs")).body("job").await.unwrap();
    assert_eq!((answer.text().await.unwrap().as_str(), start.elapsed()), ("ok", Duration::ZERO));
    assert_eq!(dials.load(Ordering::Relaxed), 2);
    // A second later one unread body is enough; once it is read its connection is used again.
    let mut one = large.pop().unwrap();
    drop(large);
    sleep(2 * SEC).await;
    client.post(at("/jobs")).body("job").await.unwrap();
    while one.frame().await.is_some_and(|frame| frame.is_ok()) {}
    for _ in 0..3 {
        client.get(at("/jobs")).await.unwrap();
    }
    assert_eq!(dials.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_calls_over_a_limit_of_one_stream_are_all_answered() {
    let (client, dials) = served(1);
    let calls: Vec<_> = (0..200).map(|_| Beside::new(client.get(at("/jobs")).send())).collect();
    for call in calls {
        assert_eq!(call.ended().await.unwrap().attempts().count, 1);
    }
    assert!(failures(&client) == 0 && dials.load(Ordering::Relaxed) <= 200, "{dials:?}");
}

/// Settings with this limit on streams.
fn limit(streams: u8) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, streams])
}

/// Kind and stream of the next frame.
async fn next(io: &mut DuplexStream) -> std::io::Result<(u8, u32)> {
    let mut head = [0; 9];
    io.read_exact(&mut head).await?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    io.read_exact(&mut payload).await?;
    Ok((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]])))
}

/// Takes no stream at first, and one after a while, and answers what comes then.
async fn opens_after(mut io: DuplexStream, wait: Duration) -> std::io::Result<()> {
    io.write_all(&limit(0)).await?;
    io.read_exact(&mut [0; 24]).await?;
    sleep(wait).await;
    io.write_all(&limit(1)).await?;
    loop {
        if let (1, stream) = next(&mut io).await? {
            io.write_all(&frame(1, 0x5, stream, &[0x88])).await?;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_to_a_server_that_takes_no_stream_at_first_leaves_when_it_may_and_nothing_is_counted() {
    let (client, dials) = dialled(Duration::ZERO, |_, io| async { drop(opens_after(io, 3 * SEC).await) });
    let client = client.build().unwrap();
    let start = Instant::now();
    let post = Beside::new(client.post(at("/jobs")).body("job").send());
    sleep(SEC).await;
    let waiting = client.in_flight().snapshot().remove(0);
    assert_eq!((waiting.phase, waiting.attempt), (Phase::Ready, 1), "{waiting}");
    let answer = post.ended().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.attempts().count), (200, 1));
    assert_eq!((start.elapsed(), dials.load(Ordering::Relaxed), failures(&client)), (3 * SEC, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_post_that_waits_longer_than_an_attempt_for_its_stream_is_repeated_since_it_was_not_sent() {
    let (client, dials) = dialled(Duration::ZERO, |_, io| async { drop(opens_after(io, 15 * SEC).await) });
    let client = client.build().unwrap();
    let start = Instant::now();
    let answer = client.post(at("/jobs")).body("job").await.unwrap();
    assert!((15 * SEC..16 * SEC).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!((answer.status().as_u16(), failures(&client)), (200, 0));
    assert!(dials.load(Ordering::Relaxed) <= 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_takes_a_stream_is_a_clear_error_few_connections_and_no_evidence() {
    let (client, dials) = dialled(Duration::ZERO, |_, io| async { drop(opens_after(io, 3600 * SEC).await) });
    let client = client.build().unwrap();
    let start = Instant::now();
    let calls: Vec<_> = (0..50).map(|_| Beside::new(client.post(at("/jobs")).body("job").send())).collect();
    for call in calls {
        let error = call.ended().await.unwrap_err();
        let said = error.to_string();
        assert!(matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Attempt), "{error:?}");
        assert!(
            said.contains("no connection had room for the request") || said.contains("not ready"),
            "{said}"
        );
    }
    assert_eq!((start.elapsed() <= 30 * SEC, failures(&client)), (true, 0));
    assert!(dials.load(Ordering::Relaxed) <= 3, "{dials:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_while_it_waits_for_a_stream_is_no_hang() {
    let (client, _) = dialled(Duration::ZERO, |_, io| async { drop(opens_after(io, 3600 * SEC).await) });
    let client = client.breaker(crate::breaker::Settings::default().failures(1)).build().unwrap();
    within(5 * SEC, client.get(at("/jobs")).send()).await.unwrap().unwrap_err();
    let _ = tokio::time::timeout(5 * SEC, client.get(at("/jobs")).send()).await.unwrap_err();
    assert_eq!(client.breakers().snapshot()[0].phase, crate::breaker::Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn one_slow_endpoint_takes_no_connection_away_from_the_others() {
    let peer = Peer::new().on("/slow", Reply::hang()).forever(Reply::ok("ok"));
    let once = retry::Settings::default().max_retries(0);
    let limits = Limits::default().attempt(2 * SEC);
    let client = two(&peer).retry(once).limits(limits).build().unwrap();
    for _ in 0..5 {
        let slow = Beside::new(client.get(at("/slow")).send());
        for _ in 0..50 {
            assert_eq!(client.get(URL).await.unwrap().status(), 200);
            sleep(30 * MS).await;
        }
        assert!(slow.ended().await.unwrap_err().is_timeout());
    }
    assert_eq!(peer.connections(), 1);
    // Alone it has heard nothing of the connection.
    client.get(at("/slow")).await.unwrap_err();
    client.get(URL).await.unwrap();
    assert_eq!(peer.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_one_connect_are_told_what_it_died_of() {
    let peer = Peer::new().forever(Reply::refuse());
    let client = two(&peer).retry(retry::Settings::default().max_retries(0)).build().unwrap();
    let calls: Vec<_> = (0..10).map(|_| Beside::new(client.get(URL).send())).collect();
    for call in calls {
        let error = call.ended().await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Connect)));
        assert!(error.to_string().contains("/jobs: connection refused"), "{error}");
    }
    assert_eq!(peer.connects(), 1);
}

/// Answers this stream.
async fn answer(io: &mut DuplexStream, stream: u32) -> std::io::Result<()> {
    io.write_all(&frame(1, 0x5, stream, &[0x88])).await
}

/// The stream of the next request.
async fn request(io: &mut DuplexStream) -> std::io::Result<u32> {
    loop {
        if let (1, stream) = next(io).await? {
            return Ok(stream);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_goodbye_twice_takes_no_further_call_and_none_is_lost() {
    const GOAWAY: u8 = 7;
    let goodbye = |last: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
    let play = move |mut io: DuplexStream| async move {
        io.write_all(&limit(100)).await?;
        io.read_exact(&mut [0; 24]).await?;
        let first = request(&mut io).await?;
        answer(&mut io, first).await?;
        let second = request(&mut io).await?;
        io.write_all(&goodbye((1 << 31) - 1)).await?;
        sleep(SEC).await;
        io.write_all(&goodbye(second)).await?;
        answer(&mut io, second).await?;
        request(&mut io).await
    };
    let (client, dials) = dialled(Duration::ZERO, move |number, io| async move {
        match number {
            0 => drop(play(io).await),
            _ => limited(io, 100).await,
        }
    });
    let client = client.build().unwrap();
    client.post(at("/jobs")).body("job").await.unwrap();
    let second = Beside::new(client.post(at("/jobs")).body("job").send());
    sleep(10 * MS).await;
    for _ in 0..3 {
        let answer = client.post(at("/jobs")).body("job").await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.attempts().count), (200, 1));
    }
    assert_eq!(second.ended().await.unwrap().attempts().count, 1, "it was on its way before");
    assert_eq!((dials.load(Ordering::Relaxed), failures(&client)), (2, 0));
}

/// Takes two streams, then one, and answers late.
async fn takes_fewer(mut io: DuplexStream) -> std::io::Result<()> {
    io.write_all(&limit(2)).await?;
    io.read_exact(&mut [0; 24]).await?;
    let (one, two) = (request(&mut io).await?, request(&mut io).await?);
    io.write_all(&limit(1)).await?;
    sleep(3 * SEC).await;
    answer(&mut io, one).await?;
    answer(&mut io, two).await?;
    loop {
        let more = request(&mut io).await?;
        answer(&mut io, more).await?;
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_falls_below_what_is_in_use_sends_the_next_call_elsewhere() {
    let (client, dials) = dialled(Duration::ZERO, move |number, io| async move {
        match number {
            0 => drop(takes_fewer(io).await),
            _ => limited(io, 100).await,
        }
    });
    let client = client.build().unwrap();
    let calls: Vec<_> = (0..2).map(|_| Beside::new(client.get(at("/jobs")).send())).collect();
    sleep(SEC).await;
    let start = Instant::now();
    client.post(at("/jobs")).body("job").await.unwrap();
    assert_eq!((start.elapsed(), dials.load(Ordering::Relaxed)), (Duration::ZERO, 2));
    for call in calls {
        assert_eq!(call.ended().await.unwrap().attempts().count, 1);
    }
    assert_eq!(failures(&client), 0);
}
