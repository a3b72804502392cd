//! Each behaviour as a plain client sees it, in memory and on a paused clock.

use tokio::time::{Instant, timeout};

use super::*;

#[tokio::test(start_paused = true)]
async fn replies_come_in_the_order_of_the_script_and_everything_is_recorded() {
    let peer = Peer::new().then(Reply::status(502)).times(2, Reply::ok("two")).forever(Reply::ok("rest"));
    let client = client(&peer);
    assert_eq!(client.request(get("/a?b=c")).await.unwrap().status(), 502);
    tokio::time::sleep(SEC).await;
    for body in ["two", "two", "rest", "rest"] {
        assert_eq!(whole(client.request(post("/p", "sent")).await).await, ok(body));
    }
    let seen = peer.requests();
    assert_eq!(seen.len(), 5);
    assert_eq!((seen[0].method.as_str(), seen[0].path(), seen[0].query()), ("GET", "/a", Some("b=c")));
    assert_eq!((seen[0].at, seen[0].connection, seen[0].complete), (Duration::ZERO, 1, true));
    assert_eq!(seen[0].header("host"), Some("peer.test"));
    assert_eq!((seen[1].at, &seen[1].body[..], seen[1].body_len), (SEC, &b"sent"[..], 4));
    assert_eq!((peer.connections(), peer.connects(), peer.open_connections()), (1, 1, 1));
    assert!(!peer.ran_out());
}

#[tokio::test(start_paused = true)]
async fn a_script_that_ran_out_answers_500_and_says_so() {
    let peer = Peer::new().then(Reply::ok("once"));
    let client = client(&peer);
    assert_eq!(whole(client.request(get("/")).await).await, ok("once"));
    assert!(!peer.ran_out());
    let (status, body) = whole(client.request(get("/more")).await).await.unwrap();
    assert_eq!(status, 500);
    assert_eq!(body, "the peer's script has nothing left for GET /more\n");
    assert!(peer.ran_out() && peer.requests()[1].ran_out && !peer.requests()[0].ran_out);
}

#[tokio::test(start_paused = true)]
async fn paths_and_methods_have_scripts_of_their_own() {
    let peer = Peer::new()
        .on("/health", Script::new().then(Reply::status(503)).forever(Reply::status(204)))
        .on("DELETE /jobs/*", Reply::ok("deleted"))
        .on("/jobs/*", Reply::by(|r| Reply::ok(format!("{} {:?}", r.path(), r.body))))
        .forever(Reply::ok("other"));
    let client = client(&peer);
    assert_eq!(client.request(get("/health?x")).await.unwrap().status(), 503);
    assert_eq!(client.request(get("/health")).await.unwrap().status(), 204);
    assert_eq!(whole(client.request(get("/healthy")).await).await, ok("other"));
    let delete = Request::delete("http://peer.test/jobs/7").body(Full::default()).unwrap();
    assert_eq!(whole(client.request(delete).await).await, ok("deleted"));
    assert_eq!(whole(client.request(post("/jobs/7", "b")).await).await, ok("/jobs/7 b\"b\""));
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_exactly_after_its_delay_with_its_headers() {
    let peer = Peer::new().forever(Reply::status(503).retry_after("5").body("later").after(1500 * MS));
    let start = Instant::now();
    let response = client(&peer).request(get("/")).await.unwrap();
    assert_eq!(start.elapsed(), 1500 * MS);
    assert_eq!(header(response.headers(), "retry-after"), Some("5"));
    assert_eq!(header(response.headers(), "content-length"), Some("5"));
    assert_eq!(response.status(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_peer_never_answers_and_forgets_a_client_that_left() {
    let peer = Peer::new().forever(Reply::hang());
    let client = client(&peer);
    assert!(timeout(100 * YEAR, client.request(post("/", "x"))).await.is_err());
    tokio::task::yield_now().await;
    assert_eq!((peer.requests()[0].complete, peer.open_connections()), (true, 0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_accepts_and_reads_nothing() {
    let peer = Peer::new().forever(Reply::silent());
    let client = client(&peer);
    assert!(timeout(YEAR, client.request(get("/"))).await.is_err());
    tokio::task::yield_now().await;
    assert_eq!((peer.connections(), peer.request_count(), peer.open_connections()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn headers_may_come_without_a_body_ever_following() {
    let peer =
        Peer::new().then(Reply::headers_then_hang()).then(Reply::ok("0123456789").chunked().hang_after(4));
    let client = client(&peer);
    for (length, bytes) in [(Some("100"), 0), (None, 4)] {
        let response = client.request(get("/")).await.unwrap();
        assert_eq!(header(response.headers(), "content-length"), length);
        let mut body = response.into_body();
        if bytes > 0 {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), bytes);
        }
        assert!(timeout(YEAR, body.frame()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dripping_body_takes_its_time_piece_by_piece() {
    let reply = || Reply::ok("0123456789").drip(4, SEC);
    let peer = Peer::new().then(reply()).then(reply().chunked()).then(reply().until_close());
    let client = client(&peer);
    for _ in 0..3 {
        let start = Instant::now();
        let mut body = client.request(get("/")).await.unwrap().into_body();
        assert_eq!(start.elapsed(), Duration::ZERO);
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.push((start.elapsed().as_secs(), frame.unwrap().into_data().unwrap()));
        }
        let expected: [(u64, Bytes); 3] = [(1, "0123".into()), (2, "4567".into()), (3, "89".into())];
        assert_eq!(pieces, expected);
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_body_ends_in_good_order_and_is_an_error() {
    let peer = Peer::new()
        .then(Reply::ok("0123456789").truncate_after(4))
        .then(Reply::ok("0123456789").chunked().truncate_after(4))
        .then(Reply::ok("0123456789").declare(11))
        .forever(Reply::ok("fine"));
    let client = client(&peer);
    for _ in 0..3 {
        let e = whole(client.request(get("/")).await).await.unwrap_err();
        assert!(e.contains("end of file before message length") || e.contains("unexpected EOF"), "{e}");
    }
    assert_eq!(whole(client.request(get("/")).await).await, ok("fine"));
    assert_eq!(peer.connections(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_a_reset_before_the_head_and_in_the_body() {
    let peer = Peer::new()
        .then(Reply::reset())
        .then(Reply::ok("0123456789").cut_head(10, Cut::Reset))
        .then(Reply::ok("0123456789").reset_after(0))
        .then(Reply::ok("0123456789").reset_after(4));
    let client = client(&peer);
    for _ in 0..3 {
        let e = whole(client.request(get("/")).await).await.unwrap_err();
        assert!(e.ends_with("connection reset by peer"), "{e}");
    }
    let mut body = client.request(get("/")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "0123");
    assert!(chain(&body.frame().await.unwrap().unwrap_err()).ends_with("connection reset by peer"));
}

#[tokio::test(start_paused = true)]
async fn a_close_before_the_head_is_an_end_of_file() {
    let peer = Peer::new().then(Reply::close()).then(Reply::ok("").cut_head(10, Cut::Close));
    let client = client(&peer);
    for _ in 0..2 {
        let e = whole(client.request(get("/")).await).await.unwrap_err();
        assert!(e.contains("connection closed before message completed"), "{e}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connect_is_refused_or_hangs_or_takes_its_time() {
    let peer = Peer::new().then(Reply::refuse()).then(Reply::connect_hang()).forever(Reply::ok("in"));
    let client = over(peer.pipe().connect_takes(250 * MS));
    let start = Instant::now();
    let e = client.request(get("/")).await.unwrap_err();
    assert!(e.is_connect() && chain(&e).contains("refuses the connection"), "{}", chain(&e));
    assert_eq!(start.elapsed(), 250 * MS);
    assert!(timeout(YEAR, client.request(get("/"))).await.is_err());
    let start = Instant::now();
    assert_eq!(whole(client.request(get("/")).await).await, ok("in"));
    assert_eq!(start.elapsed(), 250 * MS);
    assert_eq!((peer.connects(), peer.connections(), peer.request_count()), (3, 1, 1));
}
