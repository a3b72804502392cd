//! The stranger behaviours as a plain client sees them, in memory and on a paused clock.

use tokio::time::{Instant, sleep, timeout};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_head_may_come_byte_by_byte() {
    let peer = Peer::new().forever(Reply::status(204).slow_head(SEC));
    let start = Instant::now();
    assert_eq!(client(&peer).request(get("/")).await.unwrap().status(), 204);
    assert_eq!(start.elapsed().as_secs(), "HTTP/1.1 204 No Content\r\n\r\n".len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_head_may_be_too_large_or_without_end() {
    let peer = Peer::new()
        .then(Reply::ok("").head_size(96 * 1024))
        .then(Reply::ok("").head_size(1024 * 1024))
        .then(Reply::endless_headers(Duration::ZERO))
        .then(Reply::endless_headers(SEC));
    let client = client(&peer);
    let large = client.request(get("/")).await.unwrap();
    let size: usize = large.headers().iter().map(|(k, v)| k.as_str().len() + v.len() + 4).sum();
    assert!(size > 96 * 1024 - 64, "{size}");
    for _ in 0..2 {
        let e = client.request(get("/")).await.unwrap_err();
        assert!(chain(&e).contains("message head is too large"), "{}", chain(&e));
    }
    assert!(timeout(60 * SEC, client.request(get("/"))).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn informational_responses_may_come_first_or_without_end() {
    let peer =
        Peer::new().then(Reply::ok("at last").informational(200)).forever(Reply::endless_informational(MS));
    let client = client(&peer);
    assert_eq!(whole(client.request(get("/")).await).await, ok("at last"));
    assert!(timeout(60 * SEC, client.request(get("/"))).await.is_err());
    tokio::task::yield_now().await;
    assert_eq!(peer.open_connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_may_be_large_or_endless_without_costing_memory() {
    let peer = Peer::new()
        .then(Reply::sized(3_000_001))
        .then(Reply::endless())
        .forever(Reply::endless().drip(1, SEC));
    let client = client(&peer);
    assert_eq!(whole(client.request(get("/")).await).await.unwrap().1.len(), 3_000_001);
    let mut body = client.request(get("/")).await.unwrap().into_body();
    let mut read = 0;
    while read < 50_000_000 {
        read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    drop(body);
    let slow = client.request(get("/")).await.unwrap();
    assert!(timeout(3600 * SEC, slow.into_body().collect()).await.is_err());
    tokio::task::yield_now().await;
    assert_eq!(peer.open_connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_http_is_an_error() {
    let peer = Peer::new()
        .then(Reply::garbage())
        .then(Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\n"));
    let client = client(&peer);
    for _ in 0..2 {
        let e = client.request(get("/")).await.unwrap_err();
        assert!(chain(&e).contains("invalid"), "{}", chain(&e));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lie_below_the_real_length_leaves_bytes_nobody_asked_for() {
    let peer = Peer::new().then(Reply::ok("0123456789").declare(4)).forever(Reply::ok("next"));
    let client = client(&peer);
    assert_eq!(whole(client.request(get("/")).await).await, ok("0123"));
    tokio::task::yield_now().await;
    assert_eq!(whole(client.request(get("/")).await).await, ok("next"));
    assert_eq!(peer.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_refuses_and_ends_what_was_open() {
    let peer = Peer::new()
        .until(2 * SEC, Reply::hang())
        .until(4 * SEC, Reply::refuse())
        .until(5 * SEC, Reply::status(502))
        .forever(Reply::ok("back"));
    let client = client(&peer);
    let start = Instant::now();
    let e = client.request(get("/")).await.unwrap_err();
    assert!(chain(&e).contains("closed before message completed"), "{}", chain(&e));
    assert_eq!((start.elapsed(), peer.open_connections()), (2 * SEC, 0));
    sleep(2 * SEC - MS).await;
    assert!(client.request(get("/")).await.unwrap_err().is_connect());
    sleep(MS).await;
    assert_eq!(client.request(get("/")).await.unwrap().status(), 502);
    sleep(SEC).await;
    assert_eq!(whole(client.request(get("/")).await).await, ok("back"));
    assert_eq!((peer.connections(), peer.connects()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_flapping_server_follows_the_clock() {
    let peer = Peer::new().flap((3 * SEC, Reply::ok("up")), (2 * SEC, Reply::status(503)));
    let client = client(&peer);
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen.push(client.request(get("/")).await.unwrap().status().as_u16());
        sleep(SEC).await;
    }
    assert_eq!(seen, [200, 200, 200, 503, 503, 200, 200, 200, 503, 503]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_go_stale_at_once_or_under_the_next_request() {
    let peer =
        Peer::new().then(Reply::ok("1").stale()).then(Reply::ok("2").stale_on_next()).forever(Reply::ok("3"));
    let client = client(&peer);
    assert_eq!(whole(client.request(get("/")).await).await, ok("1"));
    sleep(MS).await;
    assert_eq!(peer.open_connections(), 0);
    assert_eq!(whole(client.request(get("/")).await).await, ok("2"));
    sleep(MS).await;
    assert_eq!(peer.open_connections(), 1);
    let e = client.request(get("/lost")).await.unwrap_err();
    assert!(chain(&e).contains("closed before message completed"), "{}", chain(&e));
    assert_eq!(peer.requests()[2].path(), "/lost");
    assert_eq!(whole(client.request(get("/")).await).await, ok("3"));
    assert_eq!((peer.connections(), peer.request_count()), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn a_close_is_announced_where_it_should_be() {
    let peer = Peer::new()
        .then(Reply::ok("a").closing())
        .then(Reply::ok("b").until_close())
        .then(Reply::ok("c").stale())
        .forever(Reply::ok("d"));
    let client = client(&peer);
    for (body, close) in [("a", Some("close")), ("b", Some("close")), ("c", None), ("d", None)] {
        sleep(MS).await;
        let response = client.request(get("/")).await.unwrap();
        assert_eq!(header(response.headers(), "connection"), close);
        assert_eq!(whole(Ok(response)).await, ok(body));
    }
    assert_eq!(peer.connections(), 4);
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_body_leave_the_connection_in_order() {
    let peer =
        Peer::new().then(Reply::ok("unsent")).then(Reply::status(304).body("unsent")).forever(Reply::ok("x"));
    let client = client(&peer);
    let head = Request::head("http://peer.test/").body(Full::default()).unwrap();
    let response = client.request(head).await.unwrap();
    assert_eq!(header(response.headers(), "content-length"), Some("6"));
    assert_eq!(whole(Ok(response)).await, ok(""));
    assert_eq!(client.request(get("/")).await.unwrap().status(), 304);
    assert_eq!(whole(client.request(get("/")).await).await, ok("x"));
    assert_eq!(peer.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn trailers_follow_a_chunked_body() {
    let peer = Peer::new().forever(Reply::ok("x").trailer("x-sum", "1"));
    let body = client(&peer).request(get("/")).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(header(body.trailers().unwrap(), "x-sum"), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn long_polls_and_redirects_read_as_they_should() {
    let peer = Peer::new().on("/poll", Reply::long_poll(50 * SEC)).forever(Reply::redirect("/poll"));
    let client = client(&peer);
    let start = Instant::now();
    let response = client.request(get("/")).await.unwrap();
    assert_eq!((response.status().as_u16(), header(response.headers(), "location")), (302, Some("/poll")));
    assert_eq!(client.request(get("/poll")).await.unwrap().status(), 202);
    assert_eq!(start.elapsed(), 50 * SEC);
}

#[tokio::test(start_paused = true)]
async fn a_peer_can_be_waited_for_reset_and_dropped() {
    let peer = Peer::new().then(Reply::hang()).forever(Reply::ok("x"));
    let client = client(&peer);
    let resets = async {
        assert!(!peer.arrived(2, SEC).await);
        assert!(peer.arrived(1, Duration::ZERO).await);
        peer.reset();
    };
    assert!(tokio::join!(client.request(get("/")), resets).0.is_err());
    let counts = (peer.connections(), peer.connects(), peer.request_count());
    assert_eq!((counts, peer.open_connections()), ((0, 0, 0), 0));
    let drops = async move {
        assert!(peer.arrived(1, SEC).await);
        assert_eq!(peer.requests()[0].at, Duration::ZERO);
    };
    assert!(tokio::join!(client.request(get("/")), drops).0.is_err());
    let e = client.request(get("/")).await.unwrap_err();
    assert!(e.is_connect() && chain(&e).contains("the peer was dropped"), "{}", chain(&e));
}

#[tokio::test(start_paused = true)]
async fn hosts_can_lead_to_different_peers() {
    let (a, b) = (Peer::new().forever(Reply::ok("a")), Peer::new().forever(Reply::ok("b")));
    let client = over(a.pipe().host("b.test", &b));
    let to_b = Request::get("http://B.test/").body(Full::default()).unwrap();
    assert_eq!(whole(client.request(get("/")).await).await, ok("a"));
    assert_eq!(whole(client.request(to_b).await).await, ok("b"));
}

#[tokio::test(start_paused = true)]
async fn thousands_of_calls_dropped_at_any_moment_leave_nothing_open() {
    let peer = Peer::new().flap((7 * MS, Reply::ok("0123456789").drip(3, MS)), (5 * MS, Reply::hang()));
    let client = over(peer.pipe().connect_takes(MS));
    for i in 0..2_000 {
        let call = async { whole(client.request(post("/", "body")).await).await };
        let _ = timeout(i % 9 * MS, call).await;
    }
    drop(client);
    sleep(SEC).await;
    assert_eq!(peer.open_connections(), 0);
    assert!(peer.request_count() > 1_000 && peer.connections() > 500, "{peer:?}");
}
