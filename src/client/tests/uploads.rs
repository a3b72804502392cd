//! What one call leaves in a connection of HTTP/2: uploads that nobody reads, responses that nobody reads, and streams that
//! go on when the connection takes no more.

use super::hostile::Hostile;
use super::hostile_two::{
    DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, Wire, goaway, ok, settings, streams,
};
use super::http2::{dialled, frame};
use super::*;
use crate::{Collect, within};
use bytes::Bytes;
use http::{HeaderValue, Response as Head};
use http_body_util::BodyExt;
use std::io;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// A body of so many bytes, as one piece or as many.
fn body(bytes: usize, pieces: bool) -> Body {
    let piece = || Ok::<_, io::Error>(Bytes::from(vec![b'x'; 100]));
    match pieces {
        true => Body::from_stream(futures_util::stream::iter((0..bytes / 100).map(move |_| piece()))),
        false => Body::full(vec![b'x'; bytes]),
    }
}

/// One stream at a time, and a connection whose window for uploads is the usual one.
async fn begin(mut io: DuplexStream, room: u32) -> io::Result<Wire> {
    io.write_all(&settings(&[(3, 1), (4, room)])).await?;
    io.read_exact(&mut [0; 24]).await?;
    Ok(Wire { io, acks: true })
}

async fn post(client: &Client, body: Body) {
    let answer = client.post(URL).body(body).send().await.unwrap();
    assert_eq!((answer.attempts().count, answer.text().await.unwrap().as_str()), (1, "ok"));
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_response_is_dropped_is_reset_and_not_sent_to_its_end() {
    let (told, mut resets) = mpsc::channel(1);
    let server = Hostile::new(true, move |_, io| {
        let told = told.clone();
        async move {
            let mut wire = begin(io, 100).await?;
            loop {
                let arrived = wire.next().await?;
                match arrived.kind {
                    HEADERS => wire.say(&frame(HEADERS, END_HEADERS, arrived.stream, &[0x88])).await?,
                    RST_STREAM => told.send(arrived.stream).await.map_err(io::Error::other)?,
                    _ => {}
                }
            }
        }
    });
    let upload = server.client().post(URL).body(body(100_000, false)).collect(Collect::never());
    drop(upload.send().await.unwrap());
    assert_eq!(tokio::time::timeout(SEC, resets.recv()).await, Ok(Some(1)));
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_an_upload_that_is_given_up_is_free_once_it_is_reset() {
    let server = Hostile::new(true, |_, io| async move {
        let mut wire = begin(io, 100).await?;
        loop {
            let arrived = wire.next().await?;
            // What has a body is never answered.
            if arrived.kind == HEADERS && arrived.ends() {
                wire.say(&ok(arrived.stream)).await?;
            }
        }
    });
    let client = server.client();
    for pieces in [false, true] {
        within(500 * MS, client.post(URL).body(body(1000, pieces)).send()).await.unwrap().unwrap_err();
        sleep(MS).await;
        let start = Instant::now();
        client.get(URL).await.unwrap();
        assert_eq!((start.elapsed(), server.dials()), (Duration::ZERO, 1), "{pieces}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_meets_a_call_on_its_way_cuts_no_stream_that_goes_on() {
    let (given, mut taken) = mpsc::channel(1);
    let server = Hostile::new(true, move |number, io| {
        let given = given.clone();
        async move {
            if number == 0 {
                return given.try_send(io).map_err(io::Error::other);
            }
            Wire::begin(io, &streams(100)).await?.serve().await
        }
    });
    let client = server.client();
    let call = || client.get(URL).collect(Collect::never());
    let first = Beside::new(call().send());
    let mut wire = Wire::begin(taken.recv().await.unwrap(), &streams(100)).await.unwrap();
    assert_eq!(wire.request().await.unwrap(), 1);
    wire.say(&frame(HEADERS, END_HEADERS, 1, &[0x88])).await.unwrap();
    let mut body = first.ended().await.unwrap().into_body();
    // Both are there when the connection next has its turn: the request comes back from it, and the connection ends for
    // all but the stream that it carries.
    wire.say(&goaway(1)).await.unwrap();
    let second = call().send().await.unwrap();
    assert_eq!((second.attempts().count, server.dials()), (1, 2));
    drop(second);
    for _ in 0..40 {
        sleep(4 * SEC).await;
        wire.say(&frame(DATA, 0, 1, b".")).await.unwrap();
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(&piece[..], b".");
    }
    wire.say(&frame(DATA, END_STREAM, 1, b"end")).await.unwrap();
    assert_eq!(&body.collect().await.unwrap().to_bytes()[..], b"end");
}

/// Of `/large` 50 MB come, of all else two bytes.
async fn large(io: DuplexStream) {
    let large = Bytes::from(vec![b'x'; 50 << 20]);
    let Ok(mut connection) = h2::server::handshake(io).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let body = if request.uri().path() == "/large" { large.clone() } else { Bytes::from_static(b"ok") };
        let mut head = Head::new(());
        head.headers_mut().insert("content-length", HeaderValue::from(body.len()));
        let Ok(mut stream) = respond.send_response(head, false) else { continue };
        let _ = stream.send_data(body, true);
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_beside_three_responses_of_50_mb_that_nobody_reads_is_answered_at_once() {
    let (client, dials) = dialled(Duration::ZERO, |_, io| large(io));
    let client = client.build().unwrap();
    let mut unread = Vec::new();
    for _ in 0..3 {
        unread.push(client.get("http://api.example/large").send().await.unwrap().into_body());
    }
    for wait in [Duration::ZERO, 2 * SEC] {
        sleep(wait).await;
        let start = Instant::now();
        post(&client, Body::from("job")).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "{wait:?}");
    }
    assert!(dials.load(Ordering::Relaxed) <= 3, "{dials:?}");
    // They are there to their end for whoever comes back to them.
    let mut body = unread.remove(0);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.unwrap().into_data().map_or(0, |data| data.len());
    }
    assert_eq!(bytes, 50 << 20);
    drop(unread);
    post(&client, Body::from("job")).await;
}
