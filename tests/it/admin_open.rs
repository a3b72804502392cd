//! The admin endpoints against what comes from outside: commands, scrapes, markup, many viewers, and real sockets.

use crate::admin::{ask, get, json_of};
use crate::support::{MINUTE, SECOND, client};
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use unwedge::Client;
use unwedge::admin::{Admin, Scrape, prometheus_builder};
use unwedge::breaker::{Breaker, Phase, Settings};
use unwedge::supervise::Supervisor;
use unwedge::testing::{Peer, Reply};

const TOKEN: &str = "correct-horse-battery";

/// With a stack that called `http://api.example` once.
async fn commanded() -> (Router, Client, Peer) {
    let peer = Peer::new().forever(Reply::ok(""));
    let client = client(&peer).build().unwrap();
    client.get("http://api.example/").send().await.unwrap();
    let crew = Supervisor::new();
    let admin = Admin::new(&crew).breakers(client.breakers()).commands(format!("{TOKEN}\n"));
    (admin.router().unwrap(), client, peer)
}

fn post(command: &str, authorization: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(format!("/admin/breakers/{command}"));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    request.body(body.into()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_circuit_is_forced_open_and_released_by_whoever_has_the_token() {
    let (router, client, _peer) = commanded().await;
    let bearer = format!("bEaReR {TOKEN}");
    let origin = "origin=http%3A%2F%2FAPI.example%3A80%2Fpath";
    let (status, body) = ask(&router, post("open", Some(&bearer), origin)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body, "{\"origin\":\"http://api.example\",\"phase\":\"forced_open\"}\n");
    assert_eq!(client.breakers().snapshot()[0].phase, Phase::ForcedOpen);
    let (status, _) = ask(&router, post("release", Some(&bearer), origin)).await;
    assert_eq!((status.as_u16(), client.breakers().snapshot()[0].phase), (200, Phase::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_command_without_token_origin_or_meaning_changes_nothing() {
    let (router, client, _peer) = commanded().await;
    let bearer = format!("Bearer {TOKEN}");
    let prefix = format!("Bearer {}", &TOKEN[..16]);
    let longer = format!("Bearer {TOKEN}x");
    let basic = format!("Basic {TOKEN}");
    let origin = "origin=http://api.example";
    let huge = vec![b'x'; 5000];
    for (request, wanted) in [
        (post("open", None, origin), 401),
        (post("open", Some("Bearer wrong-wrong-wrong-wrong"), origin), 401),
        (post("open", Some(&prefix), origin), 401),
        (post("open", Some(&longer), origin), 401),
        (post("open", Some(&basic), origin), 401),
        (post("open", Some("Bearer"), origin), 401),
        (post("open", Some(""), origin), 401),
        (post("explode", Some(&bearer), origin), 404),
        (post("open", Some(&bearer), "origin=http://never.called"), 404),
        (post("open", Some(&bearer), "origin=%00%ff<script>"), 404),
        (post("open", Some(&bearer), "nothing=else"), 400),
        (post("open", Some(&bearer), ""), 400),
        (post("open", Some(&bearer), huge), 413),
        (Request::get("/admin/breakers/open").body(Body::empty()).unwrap(), 405),
    ] {
        let shown = format!("{:?} {:?}", request.uri(), request.headers());
        let (status, body) = ask(&router, request).await;
        assert_eq!(status, wanted, "{shown}: {body}");
    }
    let breakers = client.breakers().snapshot();
    assert_eq!((breakers.len(), breakers[0].phase), (1, Phase::Closed), "{breakers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_body_never_comes_is_given_up() {
    let (router, ..) = commanded().await;
    let stalled = Body::new(http_body_util::StreamBody::new(futures_util::stream::pending::<
        Result<http_body::Frame<bytes::Bytes>, std::io::Error>,
    >()));
    let request = post("open", Some(&format!("Bearer {TOKEN}")), stalled);
    let (status, _) = timeout(6 * SECOND, ask(&router, request)).await.expect("within 5 s");
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn commands_are_off_unless_there_is_a_token() {
    let breaker = Breaker::new("agent runs", Settings::default()).unwrap();
    let router = Admin::new(&Supervisor::new()).breakers(breaker.clone()).router().unwrap();
    let (status, body) = ask(&router, post("open", Some("Bearer "), "origin=agent+runs")).await;
    assert_eq!(status, 404);
    assert_eq!(body, "commands are off: Admin::commands(token) turns them on\n");
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_scrape_is_the_text_of_the_recorder_with_the_gauges_set_anew() {
    let recorder = prometheus_builder().build_recorder();
    let handle = recorder.handle();
    let _local = metrics::set_default_local_recorder(Box::leak(Box::new(recorder)));
    unwedge::metrics::record();
    let peer = Peer::new().then(Reply::ok("")).forever(Reply::hang());
    let named = |name: &str| client(&peer).name(name).build().unwrap();
    let (client, other) = (named("jobs"), named("relay"));
    client.get("http://api.example/").send().await.unwrap();
    let scrape = Scrape::from(handle).before(|| metrics::gauge!("queue_depth").set(7.0));
    let crew = Supervisor::new();
    let admin = Admin::new(&crew).calls(client.in_flight()).calls(other.in_flight()).metrics(scrape);
    let router = admin.router().unwrap();
    let waiting = (client.get("http://api.example/").send(), other.get("http://api.example/").send());
    let (mut one, mut two) = (std::pin::pin!(waiting.0), std::pin::pin!(waiting.1));
    let _ = timeout(3 * SECOND, futures_util::future::join(&mut one, &mut two)).await;
    let (status, text) = get(&router, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "unwedge_calls_in_flight{client=\"jobs\"} 1",
        "unwedge_calls_in_flight{client=\"relay\"} 1",
        "unwedge_oldest_in_flight_seconds{client=\"relay\"} 3",
        "queue_depth 7",
        "unwedge_attempts_total{origin=\"http://api.example\",client=\"jobs\",outcome=\"2xx\"} 1",
        "# TYPE http_client_request_duration_seconds histogram",
    ] {
        assert!(text.lines().any(|shown| shown == line), "no {line} in\n{text}");
    }
    assert!(text.contains("le=\"900\"") && !text.contains("quantile"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_scrape_that_panics_answers_500_and_nothing_else_happens() {
    let handle = prometheus_builder().build_recorder().handle();
    let scrape = Scrape::from(handle).before(|| panic!("no figures"));
    let router = Admin::new(&Supervisor::new()).metrics(scrape).router().unwrap();
    for _ in 0..2 {
        assert_eq!(get(&router, "/metrics").await.0, 500);
    }
    assert_eq!(get(&router, "/healthz").await.0, 200);
    let bare = Admin::new(&Supervisor::new()).router().unwrap();
    let (status, text) = get(&bare, "/metrics").await;
    assert_eq!((status.as_u16(), text.lines().count()), (404, 1), "{text}");
}

#[tokio::test(start_paused = true)]
async fn names_and_reasons_from_outside_are_shown_as_text() {
    let evil = "</li><script>alert(1)</script>\"'&\n\ndata: x";
    let mut crew = Supervisor::new();
    crew.spawn(evil, MINUTE, move |heart| async move {
        let _parked = heart.parked(evil);
        std::future::pending::<()>().await;
    });
    crew.spawn("relay", MINUTE, move |_| async move { panic!("{evil}") });
    let breaker = Breaker::new(evil, Settings::default()).unwrap();
    let admin = Admin::new(&crew).breakers(breaker.clone()).check(evil, move || Err(evil.to_owned()));
    let router = admin.router().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(crew.run_until(sleep(MINUTE), SECOND));
    sleep(500 * crate::support::MS).await;
    breaker.force_open();
    sleep(SECOND).await;
    let (_, page) = get(&router, "/admin").await;
    assert!(
        page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;  data: x").count() >= 6,
        "{page}"
    );
    assert_eq!(page.matches("<script>").count(), 1, "{page}");
    // As events, where a line break would end the data.
    let response =
        router.clone().oneshot(Request::get("/admin/events").body(Body::empty()).unwrap()).await.unwrap();
    let events = response.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
    let events = String::from_utf8(events.to_vec()).unwrap();
    assert!(!events.contains("<script"), "{events}");
    for line in events.lines() {
        let known =
            ["", "retry: 1000"].contains(&line) || line.starts_with("event: ") || line.starts_with("data: ");
        assert!(known && line != "data: x", "{line}");
    }
    assert_eq!(events.matches("\nevent: ").count(), 11, "{events}");
}

#[tokio::test(start_paused = true)]
async fn the_page_allows_nothing_but_itself_and_is_complete_without_scripts() {
    let mut crew = Supervisor::new();
    crew.spawn("relay", MINUTE, |_| std::future::pending::<()>());
    let router = Admin::new(&crew).router().unwrap();
    let response = router.clone().oneshot(Request::get("/admin").body(Body::empty()).unwrap()).await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    let page = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains("<span class=\"name\">relay</span>") && page.contains("never seen"), "{page}");
    let (markup, _) = page.split_once("<script>").unwrap();
    for loads in ["src=", "<link", "url(", " style=", " onload=", "<form"] {
        assert!(!markup.contains(loads), "{loads}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_page_is_sent_what_changed_and_there_are_only_so_many() {
    let breaker = Breaker::new("agent runs", Settings::default()).unwrap();
    let router = Admin::new(&Supervisor::new()).breakers(breaker.clone()).router().unwrap();
    let open = || async {
        router.clone().oneshot(Request::get("/admin/events").body(Body::empty()).unwrap()).await.unwrap()
    };
    let mut viewers = Vec::new();
    for _ in 0..8 {
        let response = open().await;
        assert_eq!(response.status(), 200);
        viewers.push(response.into_body());
    }
    assert_eq!(open().await.status(), 503);
    assert_eq!(get(&router, "/admin").await.0, 200, "the page itself is for everybody");
    viewers.pop();
    let mut body = open().await.into_body();
    let mut next = async || {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        String::from_utf8(frame.to_vec()).unwrap()
    };
    assert!(next().await.contains("event: summary\n"));
    let quiet = next().await;
    assert!(!quiet.contains("event: summary\n") && quiet.contains("event: beat\n"), "{quiet}");
    breaker.force_open();
    let news = next().await;
    assert!(news.contains("1 of 1 circuit not closed") && news.contains("forced open"), "{news}");
    assert!(news.contains("event: hour\n"), "{news}");
}

async fn served() -> (unwedge::admin::Serving, Supervisor) {
    let crew = Supervisor::new();
    let serving = Admin::new(&crew).serve("127.0.0.1:0").await.unwrap();
    (serving, crew)
}

/// Sends this, and reads until the server closes.
async fn exchange(addr: std::net::SocketAddr, bytes: &[u8]) -> String {
    let exchanged = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // The server may have hung up before it read all.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(MINUTE, exchanged).await.expect("an end")
}

#[tokio::test]
async fn a_server_outlives_heads_that_are_huge_broken_or_never_end() {
    let (serving, _crew) = served().await;
    let addr = serving.addr();
    assert!(addr.ip().is_loopback() && serving.url() == format!("http://{addr}"));
    let huge =
        format!("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:8081\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:8081\r\n{}\r\n", "x: y\r\n".repeat(100));
    let path = format!("GET /{} HTTP/1.1\r\nhost: 127.0.0.1:8081\r\n\r\n", "p".repeat(64 * 1024));
    for (bytes, wanted) in [
        (huge, "HTTP/1.1 431"),
        (many, "HTTP/1.1 431"),
        (path, "HTTP/1.1 4"),
        ("\0\u{1}garbage\r\n\r\n".into(), "HTTP/1.1 400"),
    ] {
        let answer = exchange(addr, bytes.as_bytes()).await;
        // A reset can overtake the answer, where the server did not read all of it.
        assert!(answer.is_empty() || answer.starts_with(wanted), "{answer}");
    }
    // One that stops in mid-head is closed, and holds nobody up until then.
    let stalled = tokio::spawn(async move { exchange(addr, b"GET /healthz HTTP/1.1\r\nhost: ").await });
    let fine = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:8081\r\nconnection: close\r\n\r\n";
    assert!(exchange(addr, fine).await.starts_with("HTTP/1.1 200"));
    assert!(exchange(addr, b"GET /nothing HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 404"));
    stalled.await.unwrap();
}

#[tokio::test]
async fn on_loopback_a_page_with_a_name_of_its_own_reads_nothing() {
    let (serving, _crew) = served().await;
    for (host, wanted) in [
        ("127.0.0.1", 200),
        ("127.0.0.1:8081", 200),
        ("[::1]:8081", 200),
        ("[::1]", 200),
        ("LocalHost:1", 200),
        ("rebound.example", 421),
        ("rebound.example:8081", 421),
        ("127.0.0.1.rebound.example", 421),
        ("localhost.rebound.example", 421),
        ("\u{e4}", 421),
        ("", 421),
    ] {
        let request = format!("GET /admin/calls HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = exchange(serving.addr(), request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted}")), "{host}: {answer}");
    }
}

#[tokio::test]
async fn connections_that_do_nothing_cannot_keep_a_probe_out() {
    let (serving, _crew) = served().await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(serving.addr()).await.unwrap());
    }
    let fine = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:8081\r\nconnection: close\r\n\r\n";
    assert!(exchange(serving.addr(), fine).await.starts_with("HTTP/1.1 200"));
    // The first ones were let go for those that came after them, at once and not when their time was up.
    for stream in &mut idle[..100] {
        let read = timeout(Duration::from_secs(2), stream.read(&mut [0])).await;
        assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_and_a_handle_that_is_dropped_gives_its_port_back() {
    let (serving, crew) = served().await;
    let addr = serving.addr();
    let error = Admin::new(&crew).serve(addr).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("the admin endpoints cannot listen on {addr}: ")), "{error}");
    drop(serving);
    let began = tokio::time::Instant::now();
    loop {
        match Admin::new(&crew).serve(addr).await {
            Ok(_) => break,
            Err(error) => assert!(began.elapsed() < MINUTE, "{error}"),
        }
        sleep(10 * crate::support::MS).await;
    }
    assert_eq!(
        json_of(&Admin::new(&crew).router().unwrap(), "/admin/breakers").await,
        json!({ "breakers": [] })
    );
}
