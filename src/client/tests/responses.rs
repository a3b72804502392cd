//! What comes back: reading it, its cap, and the story of one that nobody wanted.

use super::*;
use crate::{Collect, ErrorKind, Phase, retry};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_body_is_read_as_bytes_text_or_json() {
    let peer = Peer::new()
        .then(Reply::ok("{\"n\": 7}").header("x-a", "1"))
        .then(Reply::ok(&b"caf\xe9"[..]))
        .then(Reply::status(201))
        .then(Reply::ok("abc"));
    let client = client(&peer);
    let response = client.get(URL).send().await.unwrap();
    assert_eq!(
        (response.headers()["x-a"].as_bytes(), response.version()),
        (&b"1"[..], http::Version::HTTP_11)
    );
    let json: serde_json::Value = response.json().await.unwrap();
    assert_eq!(json["n"], 7);
    assert_eq!(client.get(URL).await.unwrap().text().await.unwrap(), "caf\u{fffd}");
    assert_eq!(client.get(URL).await.unwrap().bytes().await.unwrap(), "");
    let http = client.get(URL).await.unwrap().into_http();
    assert_eq!((http.status().as_u16(), http.into_body().bytes(3).await.unwrap()), (200, "abc".into()));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_response_has_no_body_is_over_with_its_head_also_where_bodies_are_streamed() {
    let peer = Peer::new().then(Reply::status(204)).then(Reply::ok("")).then(Reply::ok("body"));
    let client = client(&peer);
    for in_flight in [0, 0, 1] {
        let response = client.get(URL).collect(Collect::never()).await.unwrap();
        assert_eq!(client.in_flight().len(), in_flight, "{:?}", response.status());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_json_is_an_error_that_says_where() {
    let peer = Peer::new().forever(Reply::ok("<html>"));
    let error = client(&peer).get(URL).await.unwrap().json::<u32>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(!error.is_retriable());
    let text = error.to_string();
    assert!(
        text.starts_with("GET http://api.example/jobs: the body of the 200 response (6 bytes)"),
        "{text}"
    );
    assert!(text.contains("line 1 column 1"), "{text}");
    // What it is instead, where it says so.
    let peer = Peer::new().forever(Reply::ok("<html>").header("content-type", "text/html; charset=utf-8"));
    let error = client(&peer).get(URL).await.unwrap().json::<u32>().await.unwrap_err();
    assert!(error.to_string().contains("(6 bytes of type \"text/html; charset=utf-8\")"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_coding_that_nobody_has_undone_is_named_by_json_and_text_and_left_to_who_asks_for_bytes() {
    for coding in ["br", "zstd", "gzip, br"] {
        let peer = Peer::new().forever(Reply::ok("[1]").header("content-encoding", coding));
        let client = client(&peer);
        let json = client.get(URL).await.unwrap().json::<Vec<u32>>().await.unwrap_err();
        let text = client.get(URL).await.unwrap().text().await.unwrap_err();
        for error in [json, text] {
            assert_eq!((error.kind(), error.phase()), (ErrorKind::Transport, Some(Phase::Body)));
            assert!(!error.is_retriable());
            let said = format!(
                "GET http://api.example/jobs: the response body is coded as {coding}, which nothing here decodes"
            );
            assert_eq!(error.to_string(), said);
        }
        assert_eq!(client.get(URL).await.unwrap().bytes().await.unwrap(), "[1]");
    }
    let empty = Peer::new().forever(Reply::status(204).header("content-encoding", "br"));
    assert_eq!(client(&empty).get(URL).await.unwrap().text().await.unwrap(), "", "nothing is in no coding");
    let bad = Peer::new().forever(Reply::status(400).body("\u{1}\u{2}").header("content-encoding", "br"));
    let error = client(&bad).get(URL).await.unwrap().error_for_status().await.unwrap_err();
    assert!(error.to_string().ends_with("400 Bad Request"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_body_above_its_cap_is_an_error_that_names_the_cap_and_closes_the_connection() {
    let large = 9 << 20;
    let peer = Peer::new()
        .then(Reply::sized(large))
        .then(Reply::endless())
        .then(Reply::ok("12345"))
        .then(Reply::sized(large))
        .forever(Reply::ok("fine"));
    let client = client(&peer);
    for part in ["of 9437184 bytes is above its cap of 8388608 bytes", "above its cap of 8388608 bytes"] {
        let error = client.get(URL).await.unwrap().bytes().await.unwrap_err();
        assert!(error.is_too_large() && !error.is_retriable(), "{error}");
        assert_eq!(error.phase(), Some(Phase::Body));
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.to_string().starts_with("GET http://api.example/jobs: "), "{error}");
    }
    let error = client.get(URL).await.unwrap().cap(4).text().await.unwrap_err();
    assert!(error.to_string().contains("4 bytes"), "{error}");
    let all = client.get(URL).await.unwrap().cap(large).bytes().await.unwrap();
    assert_eq!(all.len() as u64, large);
    assert_eq!(client.get(URL).await.unwrap().text().await.unwrap(), "fine");
    tokio::time::sleep(MS).await;
    assert_eq!(
        (peer.connections(), peer.open_connections()),
        (3, 1),
        "the first two were closed, not drained"
    );
}

#[tokio::test(start_paused = true)]
async fn the_length_of_a_head_response_is_not_held_against_it() {
    let peer = Peer::new().forever(Reply::sized(100 << 20));
    assert_eq!(client(&peer).head(URL).await.unwrap().bytes().await.unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_streams_is_read_under_guard() {
    let peer = Peer::new().then(Reply::ok("12345").hang_after(2)).forever(Reply::ok("12345").drip(1, SEC));
    let client = client(&peer);
    let wish = Collect::never();
    let start = Instant::now();
    let error = client.get(URL).collect(wish).await.unwrap().bytes().await.unwrap_err();
    assert!(error.is_stall() && error.to_string().contains("after 2 bytes"), "{error}");
    assert_eq!(start.elapsed(), 10 * SEC);
    let mut response = client.get(URL).collect(wish).await.unwrap();
    assert!(!response.body_mut().is_collected());
    assert_eq!(response.into_body().bytes(5).await.unwrap(), "12345");
}

#[tokio::test(start_paused = true)]
async fn a_good_status_is_no_error() {
    let peer = Peer::new().then(Reply::ok("ok")).then(Reply::redirect("/")).then(Reply::status(304));
    let client = piped(&peer).redirects(Redirects::none()).build().unwrap();
    for status in [200, 302, 304] {
        let response = client.get(URL).await.unwrap().error_for_status().await.unwrap();
        assert_eq!(response.status(), status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_status_is_an_error_with_the_beginning_of_the_body() {
    let long = "x".repeat(1025);
    let peer = Peer::new()
        .then(Reply::status(404).body("no such\r\njob \u{1b}[31m"))
        .then(Reply::status(501))
        .then(Reply::status(400).body(long))
        .then(Reply::status(600).body("?"));
    let client = client(&peer);
    let mut told = Vec::new();
    for retriable in [false, false, false, true] {
        let error = client.get(URL).await.unwrap().error_for_status().await.unwrap_err();
        assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Transport, retriable), "{error}");
        assert_eq!((error.attempts(), error.journal().len()), (1, 0));
        told.push((error.status().unwrap().as_u16(), error.to_string()));
    }
    let at = "GET http://api.example/jobs: ";
    assert_eq!(told[0], (404, format!("{at}404 Not Found: no such  job \\u{{1b}}[31m")));
    assert_eq!(told[1], (501, format!("{at}501 Not Implemented")));
    assert_eq!(told[2], (400, format!("{at}400 Bad Request: {}...", "x".repeat(1024))));
    assert_eq!(told[3], (600, format!("{at}600: ?")));
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_bad_status_tells_the_attempts_before() {
    let peer = Peer::new()
        .then(Reply::status(502).after(12 * MS).closing())
        .then(Reply::refuse())
        .forever(Reply::status(503).body("down"));
    let settings = retry::Settings::default().backoff(retry::Backoff::none());
    let client = piped(&peer).retry(settings).build().unwrap();
    let error = client.get(URL).await.unwrap().error_for_status().await.unwrap_err();
    assert!(error.is_retriable());
    assert_eq!((error.attempts(), error.journal().len()), (4, 3));
    assert_eq!(
        error.to_string(),
        "GET http://api.example/jobs: 503 Service Unavailable: down (attempt 4 of 4; before: 502 after 12 ms, \
         connection refused, 503 after 0 s)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_names_a_wait_makes_an_error_that_names_it_too() {
    let peer = Peer::new()
        .then(Reply::status(503).retry_after("3600").body("maintenance"))
        .then(Reply::status(413).retry_after("7"))
        .forever(Reply::status(429).retry_after("86400"));
    let client = client(&peer);
    let error = client.get(URL).await.unwrap().error_for_status().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RetryAfter { retry_in: 3600 * SEC });
    assert!(error.is_retriable());
    let text = error.to_string();
    assert!(text.contains("503 Service Unavailable, the server asks to wait 1 h: maintenance"), "{text}");
    assert!(!text.contains("next try in"), "the same wait is said once: {text}");
    let error = client.get(URL).await.unwrap().error_for_status().await.unwrap_err();
    assert_eq!((error.retry_in(), error.status().unwrap().as_u16()), (Some(7 * SEC), 413));
    let error = client.get(URL).await.unwrap().error_for_status().await.unwrap_err();
    assert_eq!(error.retry_in(), Some(86_400 * SEC));
}

#[tokio::test(start_paused = true)]
async fn an_error_body_that_drips_holds_nobody_up() {
    let peer = Peer::new().forever(Reply::status(503).body("a long story").drip(1, 300 * MS));
    let client = piped(&peer).retry(retry::Settings::default().max_retries(0)).build().unwrap();
    let response = client.get(URL).await.unwrap();
    let start = Instant::now();
    let error = response.error_for_status().await.unwrap_err();
    assert_eq!(start.elapsed(), SEC);
    assert!(error.to_string().ends_with("503 Service Unavailable: a l"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_piece_by_piece_and_its_trailers_after_it() {
    let peer = Peer::new().forever(Reply::ok("abc").chunked().trailer("checksum", "7"));
    let client = client(&peer);
    let mut response = client.get(URL).await.unwrap();
    assert_eq!((response.content_length(), response.remote_addr()), (Some(3), None));
    assert_eq!(response.chunk().await.unwrap().unwrap(), "abc");
    assert_eq!(response.chunk().await.unwrap(), None);
    assert_eq!(response.trailers().await.unwrap().unwrap()["checksum"], "7");
    // One that streams, and whose reader wants nothing but the trailers.
    let mut streamed = client.get(URL).extension(Collect::never()).await.unwrap();
    assert_eq!(streamed.content_length(), None);
    assert_eq!(streamed.trailers().await.unwrap().unwrap()["checksum"], "7");
    let mut capped = client.get(URL).extension(Collect::never()).await.unwrap().cap(2);
    let error = capped.trailers().await.unwrap_err();
    assert!(
        error.is_too_large() && error.to_string().contains("/jobs") && error.to_string().contains("2 bytes"),
        "{error}"
    );
}
