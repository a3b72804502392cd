//! Bodies in gzip: decoded beneath the stack, so that limits count what comes out and a broken stream is a failure.

use crate::support::*;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use tokio::time::Instant;
use unwedge::client::Response;
use unwedge::testing::{Peer, Reply};
use unwedge::{Client, Error, ErrorKind, Limits};

const URL: &str = "http://a/x";
const MIB: usize = 1 << 20;

fn gz(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zipped(body: impl Into<Bytes>) -> Reply {
    Reply::ok(body).header("content-encoding", "gzip")
}

/// Something that does not shrink to nothing.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

async fn ask(peer: &Peer) -> Result<Response, Error> {
    client(peer).build().unwrap().get(URL).send().await
}

#[tokio::test(start_paused = true)]
async fn a_body_is_asked_for_in_gzip_and_arrives_decoded_without_the_headers_of_its_encoding() {
    let text = "a job ".repeat(1000);
    let peer = Peer::new().forever(zipped(gz(text.as_bytes())).header("etag", "\"1\""));
    let response = ask(&peer).await.unwrap();
    for name in ["content-encoding", "content-length"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    assert_eq!(response.headers()["etag"], "\"1\"");
    assert_eq!(response.text().await.unwrap(), text);
    assert_eq!(peer.requests()[0].headers["accept-encoding"], "gzip");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_says_what_it_accepts_is_not_overruled_and_a_range_is_asked_for_as_it_is() {
    let peer = Peer::new().forever(Reply::ok(""));
    let client = client(&peer).build().unwrap();
    client.get(URL).header("accept-encoding", "identity").send().await.unwrap();
    client.get(URL).header("range", "bytes=0-9").send().await.unwrap();
    let requests = peer.requests();
    assert_eq!(requests[0].headers.get_all("accept-encoding").iter().collect::<Vec<_>>(), ["identity"]);
    assert!(!requests[1].headers.contains_key("accept-encoding"));
}

#[tokio::test(start_paused = true)]
async fn switched_off_nothing_is_asked_for_and_nothing_decoded() {
    let peer = Peer::new().forever(zipped(gz(b"text")));
    let response = client(&peer).gzip(false).build().unwrap().get(URL).send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.bytes().await.unwrap(), gz(b"text"));
    assert!(!peer.requests()[0].headers.contains_key("accept-encoding"));
}

#[tokio::test(start_paused = true)]
async fn other_and_combined_encodings_are_left_alone() {
    for encoding in ["br", "gzip, gzip", "identity", "deflate"] {
        let peer = Peer::new().forever(Reply::ok("raw").header("content-encoding", encoding));
        let response = ask(&peer).await.unwrap();
        assert_eq!(response.headers()["content-encoding"], encoding);
        assert_eq!(response.bytes().await.unwrap(), "raw");
    }
    for encoding in ["x-gzip", "GZip"] {
        let peer = Peer::new().forever(Reply::ok(gz(b"text")).header("content-encoding", encoding));
        assert_eq!(ask(&peer).await.unwrap().bytes().await.unwrap(), "text");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_keeps_its_headers_whatever_length_it_claims() {
    let lying =
        |status| Reply::status(status).header("content-encoding", "gzip").header("content-length", "5000");
    let peer = Peer::new().forever(lying(200));
    let client = client(&peer).build().unwrap();
    for _ in 0..2 {
        let response = client.head(URL).send().await.unwrap();
        assert_eq!(
            (&response.headers()["content-encoding"], &response.headers()["content-length"]),
            (&"gzip".parse().unwrap(), &"5000".parse().unwrap())
        );
        assert_eq!(response.bytes().await.unwrap(), "");
    }
    assert_eq!(peer.connections(), 1, "the connection is in order");

    let peer = Peer::new().forever(lying(304));
    let client = Client::builder().pipe(peer.pipe()).build().unwrap();
    for _ in 0..2 {
        let response = client.get(URL).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-length"]),
            (304, &"5000".parse().unwrap())
        );
        assert_eq!(response.bytes().await.unwrap(), "");
    }
    assert_eq!(peer.connections(), 1);

    let peer = Peer::new().forever(Reply::status(204).header("content-encoding", "gzip"));
    let response = ask(&peer).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");

    let peer = Peer::new().forever(zipped(""));
    assert_eq!(ask(&peer).await.unwrap().bytes().await.unwrap(), "", "an empty body is no broken stream");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_or_corrupt_is_a_failed_attempt_and_repeated() {
    let whole = gz(&noise(5000));
    let mut flipped = whole.clone();
    flipped[2500] ^= 0x10;
    let mut checksum = whole.clone();
    *checksum.last_mut().unwrap() ^= 1;
    for (what, bad) in [
        ("cut", whole[..2500].to_vec()),
        ("cut in its trailer", whole[..whole.len() - 3].to_vec()),
        ("cut in its head", whole[..5].to_vec()),
        ("corrupt", flipped),
        ("a wrong length", checksum),
        ("no gzip at all", b"{\"error\": \"plain text\"}".to_vec()),
        ("rubbish behind it", [&whole[..], b"rubbish"].concat()),
    ] {
        let peer = Peer::new().then(zipped(bad.clone())).forever(zipped(whole.clone()));
        let response = ask(&peer).await.unwrap();
        assert_eq!((response.attempts().count, peer.request_count()), (2, 2), "{what}");
        assert_eq!(response.bytes().await.unwrap(), noise(5000), "{what}");

        let peer = Peer::new().forever(zipped(bad));
        let client = client(&peer).build().unwrap();
        let error = client.post(URL).body("x").send().await.unwrap_err();
        assert_eq!((error.kind(), peer.request_count()), (ErrorKind::Transport, 1), "{what}");
        assert!(error.to_string().contains("the gzip stream of the response body is c"), "{error}");
        assert_eq!(client.breakers().snapshot()[0].consecutive_failures, 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_inside_a_stream_says_so_and_not_that_the_stream_is_corrupt() {
    let whole = gz(&noise(5000));
    for reply in [zipped(whole.clone()).reset_after(2000), zipped(whole.clone()).truncate_after(2000)] {
        let peer = Peer::new().then(reply.clone()).forever(zipped(whole.clone()));
        assert_eq!(ask(&peer).await.unwrap().attempts().count, 2);
        let peer = Peer::new().forever(reply);
        let error = client(&peer).build().unwrap().post(URL).body("x").send().await.unwrap_err();
        assert!(error.to_string().contains("connection") && !error.to_string().contains("gzip"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn limits_and_caps_count_decoded_bytes() {
    // 3 MiB that are 3 KiB on the wire: more than is collected.
    let peer = Peer::new().forever(zipped(gz(&vec![0; 3 * MIB])));
    let http = ask(&peer).await.unwrap().into_http();
    assert!(!http.body().is_collected());
    assert_eq!(http.into_body().bytes(u64::MAX).await.unwrap().len(), 3 * MIB);

    let error = ask(&peer).await.unwrap().cap(2 * MIB as u64).bytes().await.unwrap_err();
    assert!(error.is_too_large(), "{error}");

    let peer = Peer::new().forever(zipped(gz(&noise(MIB))));
    let response = ask(&peer).await.unwrap();
    assert_eq!(response.bytes().await.unwrap(), noise(MIB));
}

#[tokio::test(start_paused = true)]
async fn a_bomb_ends_at_the_cap_and_is_not_held_in_memory() {
    // 256 MiB in 256 KiB, and what is read of them in pieces.
    let bomb = gz(&vec![0; 256 * MIB]);
    let peer = Peer::new().forever(zipped(bomb));
    let error = ask(&peer).await.unwrap().bytes().await.unwrap_err();
    assert!(error.is_too_large() && error.to_string().contains("8388608"), "{error}");

    let mut body = ask(&peer).await.unwrap().into_body();
    let mut largest = 0;
    for _ in 0..200 {
        let piece = piece(&mut body).await.unwrap().unwrap();
        largest = largest.max(piece.len());
    }
    assert!(largest <= MIB + 128 * 1024, "{largest}");
    drop(body);
    tokio::time::sleep(SECOND).await;
    assert_eq!(peer.open_connections(), 0, "nobody reads on");
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_nothing_ends_at_the_idle_bound() {
    // A header, then empty blocks without end, as fast as they are read: input without output.
    let mut nothing = gz(b"")[..10].to_vec();
    nothing.extend([0, 0, 0, 0xff, 0xff].repeat(20_000));
    let limits = Limits::default().total(60 * SECOND).attempt(25 * SECOND).idle(5 * SECOND);
    let retry = unwedge::retry::Settings::default().max_retries(0);
    let peer = Peer::new().forever(zipped(nothing).drip(100, 50 * MS));
    let client = client(&peer).limits(limits).retry(retry).build().unwrap();
    let start = Instant::now();
    let error = client.get(URL).send().await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Stall, 5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_trickles_is_decoded_as_it_comes() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(b"data: first\n\n").unwrap();
    encoder.flush().unwrap();
    let first = encoder.get_ref().len();
    encoder.write_all(b"data: second\n\n").unwrap();
    let all = encoder.finish().unwrap();
    let peer =
        Peer::new().forever(zipped(all).header("content-type", "text/event-stream").drip(first, SECOND));
    let mut body = ask(&peer).await.unwrap().into_body();
    let start = Instant::now();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "data: first\n\n");
    assert_eq!(start.elapsed(), SECOND, "it waits for no second piece");
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "data: second\n\n");
    assert!(piece(&mut body).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn two_streams_in_a_row_are_one_body_and_trailers_are_kept() {
    let both = [gz(b"one "), gz(b"two")].concat();
    let peer = Peer::new().forever(zipped(both).trailer("x-sum", "7"));
    let mut body = ask(&peer).await.unwrap().into_body();
    let mut text = Vec::new();
    let mut trailers = None;
    while let Some(frame) =
        std::future::poll_fn(|cx| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), cx)).await
    {
        match frame.unwrap().into_data() {
            Ok(data) => text.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    assert_eq!(text, b"one two");
    assert_eq!(trailers.unwrap()["x-sum"], "7");
}
