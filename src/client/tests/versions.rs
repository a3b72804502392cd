//! What HTTP lets pass of peers that bend its rules, and the sizes that are told to them.

use super::http2::dialled;
use super::*;
use crate::{ErrorKind, retry};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A client whose server has this one answer, and the requests that it has read.
fn answered(answer: &'static [u8], http1: Http1) -> (Client, Arc<Mutex<Vec<u8>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seeing = Arc::clone(&seen);
    let dial = tower::service_fn(move |_: http::Uri| {
        let seen = Arc::clone(&seeing);
        async move {
            let (near, mut far) = tokio::io::duplex(4096);
            #[expect(clippy::disallowed_methods, reason = "its owner is the runtime of the test")]
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = far.read(&mut bytes).await {
                    seen.lock().unwrap().extend_from_slice(&bytes[..n]);
                    let _ = far.write_all(answer).await;
                }
            });
            Ok::<_, io::Error>(TokioStream::new(near))
        }
    });
    let client = Client::builder().connector(dial).network(Network::default().http1(http1));
    (client.retry(retry::Settings::default().max_retries(0)).build().unwrap(), seen)
}

#[tokio::test(start_paused = true)]
async fn heads_that_bend_the_rules_are_errors_until_they_are_let_pass_one_by_one() {
    let strict = Http1::default();
    for (answer, lenient) in [
        (&b"HTTP/1.1 200 OK\r\nx-a: one\r\n two\r\ncontent-length: 0\r\n\r\n"[..], strict.folded_headers()),
        (b"HTTP/1.1 200 OK\r\nx a: one\r\ncontent-length: 0\r\n\r\n", strict.ignore_invalid_headers()),
        (b"HTTP/1.1 200 OK\r\nx-a : one\r\ncontent-length: 0\r\n\r\n", strict.spaces_after_header_names()),
    ] {
        let text = String::from_utf8_lossy(answer);
        let error = answered(answer, strict).0.get(URL).await.expect_err(&text);
        assert_eq!(error.kind(), ErrorKind::Transport, "{text}: {error}");
        assert_eq!(answered(answer, lenient).0.get(URL).await.expect(&text).status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn names_of_headers_are_sent_in_title_case_where_that_is_asked_for() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    for (http1, name) in
        [(Http1::default(), "\r\nuser-agent: "), (Http1::default().title_case_headers(), "\r\nUser-Agent: ")]
    {
        let (client, seen) = answered(ANSWER, http1);
        client.get(URL).await.unwrap();
        let head = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
        assert!(head.contains(name), "{head}");
    }
}

/// The settings that a client tells its server: identifier and value.
async fn told(http2: Http2) -> Vec<(u16, u32)> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let (client, _) = dialled(Duration::ZERO, move |_, mut io| {
        let told = Arc::clone(&telling);
        async move {
            let mut bytes = vec![0; 24 + 9];
            io.read_exact(&mut bytes).await.unwrap();
            let length = u32::from_be_bytes([0, bytes[24], bytes[25], bytes[26]]);
            assert_eq!(bytes[27], super::http2::SETTINGS);
            let mut settings = vec![0; length as usize];
            io.read_exact(&mut settings).await.unwrap();
            *told.lock().unwrap() = settings;
        }
    });
    let client = client.network(Network::default().http2_only().http2(http2));
    let client = client.retry(retry::Settings::default().max_retries(0)).build().unwrap();
    let _ = client.get(URL).await;
    let told = told.lock().unwrap();
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    told.chunks(6).map(|one| (number(&one[..2]) as u16, number(&one[2..]))).collect()
}

#[tokio::test(start_paused = true)]
async fn windows_and_frames_of_http_2_are_told_to_the_server() {
    const WINDOW: u16 = 4;
    const FRAME: u16 = 5;
    let settings = told(Http2::default().stream_window(1 << 20).max_frame_size(1 << 15)).await;
    assert!(settings.contains(&(WINDOW, 1 << 20)) && settings.contains(&(FRAME, 1 << 15)), "{settings:?}");
    assert!(told(Http2::default()).await.contains(&(WINDOW, 2 << 20)), "hyper's own");
}

#[test]
fn sizes_that_http_2_does_not_have_are_refused_when_the_client_is_built() {
    for (http2, parts) in [
        (Http2::default().stream_window(0), ["stream_window", "0 bytes"]),
        (Http2::default().connection_window(1 << 31), ["connection_window", "2147483648"]),
        (Http2::default().max_frame_size(1000), ["max_frame_size", "from 16384 to 16777215"]),
        (Http2::default().max_frame_size(1 << 24), ["max_frame_size", "16777216"]),
        (Http2::default().stream_window(1).adaptive_window(), ["stream_window", "adaptive_window"]),
    ] {
        let error = Client::builder().network(Network::default().http2(http2)).build().unwrap_err();
        let text = error.to_string();
        assert!(error.is_config() && parts.iter().all(|part| text.contains(part)), "{text}");
    }
}
