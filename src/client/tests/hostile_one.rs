//! The same over HTTP/1.

use super::hostile::{Hostile, gets, no_worse, posts};
use super::*;
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep, timeout};

/// Reads a head of HTTP/1, and what its length says of a body; at the end of the connection an error.
async fn request(io: &mut DuplexStream) -> std::io::Result<String> {
    let (head, length) = head(io).await?;
    let mut body = vec![0; length];
    io.read_exact(&mut body).await?;
    Ok(head)
}

/// Reads a head of HTTP/1; how long its body is.
async fn head(io: &mut DuplexStream) -> std::io::Result<(String, usize)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    Ok((head, length.unwrap_or(0)))
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_in_the_middle_of_an_upload_gets_each_post_once() {
    let seen = Arc::new(AtomicU32::new(0));
    let seeing = Arc::clone(&seen);
    let server = Hostile::new(false, move |_, mut io| {
        let seen = Arc::clone(&seeing);
        async move {
            // The first of each connection is answered.
            request(&mut io).await?;
            io.write_all(OK).await?;
            head(&mut io).await?;
            seen.fetch_add(1, Ordering::SeqCst);
            io.read_exact(&mut [0; 1000]).await.map(drop)
        }
    });
    let (ours, _) = no_worse(&server, posts(100_000, 1, 20, SEC)).await;
    assert_eq!(ours, 10);
    // Ten of ours and ten of the plain client's.
    assert_eq!(seen.load(Ordering::SeqCst), 20);
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_upload_was_read_leaves_neither_connection_nor_upload_behind() {
    for keeps_reading in [false, true] {
        let server = Hostile::new(false, move |_, mut io| async move {
            loop {
                let (_, length) = head(&mut io).await?;
                io.write_all(OK).await?;
                if !keeps_reading && length > 0 {
                    until_gone(&mut io).await;
                    return Ok(());
                }
                io.read_exact(&mut vec![0; length]).await?;
            }
        });
        let (ours, _) = no_worse(&server, posts(1_000_000, 1, 5, SEC)).await;
        assert_eq!(ours, 5, "{keeps_reading}");
    }
}

/// Neither reads nor closes, until the other end is gone.
async fn until_gone(io: &mut DuplexStream) {
    while poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, &[])).await.is_ok() {
        sleep(SEC).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_nobody_asked_for_costs_its_own_call_alone() {
    let server = Hostile::new(false, |number, mut io| async move {
        loop {
            request(&mut io).await?;
            let upgrade: &[u8] =
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
            io.write_all(if number == 0 { upgrade } else { OK }).await?;
        }
    });
    assert_eq!(no_worse(&server, gets(1, 5, SEC)).await.0, 4);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_says_unasked_is_nobodys_answer() {
    let storm = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(50);
    let stale = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstale".to_vec();
    for (wait, unasked) in
        [(MS, storm.clone()), (MS, stale.clone()), (Duration::ZERO, storm), (Duration::ZERO, stale)]
    {
        let server = Hostile::new(false, move |_, mut io| {
            let unasked = unasked.clone();
            async move {
                loop {
                    request(&mut io).await?;
                    if wait.is_zero() {
                        io.write_all(&[OK, &unasked].concat()).await?;
                    } else {
                        io.write_all(OK).await?;
                        sleep(wait).await;
                        io.write_all(&unasked).await?;
                    }
                }
            }
        });
        // What comes while a request is under way cannot be told from its answer.
        for pause in [Duration::ZERO, 10 * MS].into_iter().filter(|pause| *pause >= wait) {
            let client = server.client();
            for _ in 0..10 {
                let answer = client.get(URL).await.unwrap();
                assert_eq!(answer.text().await.unwrap(), "ok", "{wait:?}, {pause:?}");
                sleep(pause).await;
            }
        }
        no_worse(&server, gets(1, 10, 10 * MS)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_end_with_an_answer_in_whatever_way_cost_no_further_call() {
    // What is said, and whether the server then closes, or closes for writing alone.
    let close = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok".to_vec();
    let cases = [(OK.to_vec(), "closes"), (OK.to_vec(), "half"), (close.clone(), "stays"), (close, "closes")];
    for (answer, then) in cases {
        let server = Hostile::new(false, move |_, mut io| {
            let answer = answer.clone();
            async move {
                request(&mut io).await?;
                io.write_all(&answer).await?;
                match then {
                    "closes" => return Ok(()),
                    "half" => io.shutdown().await?,
                    _ => {}
                }
                io.read_to_end(&mut Vec::new()).await.map(drop)
            }
        });
        for (pause, at_once) in [(Duration::ZERO, 1), (SEC, 1), (SEC, 20)] {
            let (ours, _) = no_worse(&server, gets(at_once, 10, pause)).await;
            assert_eq!(ours, 10 * at_once, "{then}, {pause:?}");
            no_worse(&server, posts(10, at_once, 10, pause)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_that_was_never_kept_costs_its_own_call_alone() {
    let server = Hostile::new(false, |number, mut io| async move {
        loop {
            request(&mut io).await?;
            if number % 2 == 0 {
                return io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\nok").await;
            }
            io.write_all(OK).await?;
        }
    });
    let (ours, _) = no_worse(&server, gets(1, 10, SEC)).await;
    assert_eq!(ours, 10, "a GET is repeated");
    let start = Instant::now();
    no_worse(&server, posts(10, 4, 10, SEC)).await;
    assert!(start.elapsed() < 300 * SEC);
}

/// A body whose second piece is a panic.
fn breaks() -> Body {
    let pieces = futures_util::stream::iter(0..2);
    Body::from_stream(futures_util::StreamExt::map(pieces, |n| match n {
        0 => Ok::<_, std::io::Error>(Bytes::from_static(b"a piece")),
        _ => panic!("in the middle of an upload"),
    }))
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_panics_is_an_error_of_its_own_call_and_leaves_nothing_behind() {
    for http2 in [false, true] {
        let peer = Peer::new().forever(Reply::ok("ok"));
        let client = if http2 { super::http2::two(&peer) } else { piped(&peer) }.build().unwrap();
        for _ in 0..3 {
            client.get(URL).await.unwrap();
            let error = timeout(15 * SEC, client.post(URL).body(breaks()).send()).await.unwrap().unwrap_err();
            assert_eq!(error.attempts(), 1, "{http2}: {error}");
        }
        assert_eq!(client.get(URL).await.unwrap().attempts().count, 1);
        assert!(client.in_flight().is_empty());
        drop(client);
        sleep(120 * SEC).await;
        assert_eq!(peer.open_connections(), 0, "{http2}");
    }
}

/// Counts how often it is polled.
struct Counted<F>(Pin<Box<F>>, Arc<AtomicU32>);

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.as_mut().poll(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_calls_is_not_woken_for_each_connection_that_comes_or_goes() {
    let server = Hostile::new(false, |_, mut io| async move {
        request(&mut io).await?;
        sleep(MS).await;
        io.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await
    });
    let network = Network::default().connections(Connections::default().per_origin(4));
    let client = server.builder().network(network).build().unwrap();
    let (polls, mut calls) = (Arc::new(AtomicU32::new(0)), JoinSet::new());
    for _ in 0..400 {
        calls.spawn(Counted(Box::pin(client.get(URL).send()), Arc::clone(&polls)));
    }
    for ended in calls.join_all().await {
        assert_eq!(ended.unwrap().attempts().count, 1);
    }
    let polls = polls.load(Ordering::SeqCst) / 400;
    assert!(polls <= 20, "{polls} times each, to wait");
}
