//! The same behaviours over HTTP/2, in memory and on a paused clock.

use http::Version;
use tokio::time::{Instant, timeout};

use super::*;

fn client(peer: &Peer) -> Plain<Pipe> {
    Client::builder(TokioExecutor::new()).http2_only(true).build(peer.pipe())
}

/// The first reply, and that the next request is answered: on how many connections both came.
async fn then_fine(reply: Reply) -> (Result<(StatusCode, Bytes), String>, u64) {
    let peer = Peer::new().then(reply).forever(Reply::ok("fine"));
    let client = client(&peer);
    let first = timeout(YEAR, async { whole(client.request(get("/")).await).await }).await;
    // A connection that ended is noticed when its task has run.
    tokio::time::sleep(MS).await;
    assert_eq!(whole(client.request(get("/")).await).await, ok("fine"));
    (first.unwrap_or_else(|_| Err("waited for ever".to_owned())), peer.connections())
}

#[tokio::test(start_paused = true)]
async fn requests_share_a_connection_and_everything_is_recorded() {
    let peer = Peer::new()
        .on("/slow", Reply::ok("slow").after(2 * SEC))
        .on("/echo", Reply::by(|r| Reply::ok(r.body.clone())))
        .forever(Reply::status(204));
    let client = client(&peer);
    let start = Instant::now();
    let slow = client.request(get("/slow"));
    let echo = async {
        tokio::time::sleep(SEC).await;
        whole(client.request(post("/echo?q", vec![b'x'; 2 << 20])).await).await.unwrap().1.len()
    };
    let (slow, echoed) = tokio::join!(slow, echo);
    assert_eq!((whole(slow).await, start.elapsed(), echoed), (ok("slow"), 2 * SEC, 1 << 20));
    assert_eq!(client.request(get("/")).await.unwrap().status(), 204);
    let seen = peer.requests();
    let seen: Vec<_> = seen.iter().map(|r| (r.path(), r.version, r.header("host"), r.complete)).collect();
    let host = Some("peer.test");
    let as_two = |path| (path, Version::HTTP_2, host, true);
    assert_eq!(seen, ["/slow", "/echo", "/"].map(as_two));
    let echo = &peer.requests()[1];
    assert_eq!((echo.body.len(), echo.body_len, echo.at, echo.query()), (1 << 20, 2 << 20, SEC, Some("q")));
    assert_eq!((peer.connections(), peer.open_connections()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_ends_a_stream_leaves_the_connection_and_says_how() {
    for (reply, said) in [
        (Reply::reset(), "internal error"),
        (Reply::sized(100).reset_after(50), "internal error"),
        (Reply::ok("").cut_head(1, Cut::Reset), "internal error"),
        (Reply::hang(), "waited for ever"),
        (Reply::endless_headers(SEC), "waited for ever"),
        (Reply::endless_informational(3600 * SEC), "waited for ever"),
        (Reply::sized(100).hang_after(50), "waited for ever"),
        (Reply::ok("").cut_head(1, Cut::Hang), "waited for ever"),
    ] {
        let what = format!("{reply:?}");
        let (ended, connections) = then_fine(reply).await;
        assert!(ended.as_ref().is_err_and(|e| e.contains(said)), "{what}: {ended:?}");
        assert_eq!(connections, 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_on_a_connection_that_is_there_is_a_refused_stream() {
    let peer = Peer::new().on("/", Script::new().then(Reply::refuse()).forever(Reply::ok("fine")));
    let client = client(&peer);
    let refused = whole(client.request(get("/")).await).await.unwrap_err();
    assert!(refused.contains("refused stream"), "{refused}");
    assert_eq!(whole(client.request(get("/")).await).await, ok("fine"));
    assert_eq!((peer.connections(), peer.request_count()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_ends_the_connection_brings_what_was_sent_before() {
    for reply in [
        Reply::close(),
        Reply::garbage(),
        Reply::sized(100).truncate_after(50),
        Reply::sized(100).chunked().truncate_after(50),
        Reply::sized(10).declare(1 << 40),
        Reply::ok("").cut_head(1, Cut::Close),
    ] {
        let what = format!("{reply:?}");
        let (ended, connections) = then_fine(reply).await;
        assert!(ended.as_ref().is_err_and(|e| !e.contains("for ever")), "{what}: {ended:?}");
        assert_eq!(connections, 2, "{what}");
    }
    for reply in [Reply::ok("whole").closing(), Reply::ok("whole").stale()] {
        let what = format!("{reply:?}");
        assert_eq!(then_fine(reply).await, (ok("whole"), 2), "{what}");
    }
    let peer = Peer::new().then(Reply::sized(100).truncate_after(50)).forever(Reply::ok(""));
    let mut body = client(&peer).request(get("/")).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.len(), 50);
    assert!(body.frame().await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stale_connection_closes_under_its_second_request() {
    let peer = Peer::new().then(Reply::ok("once").stale_on_next()).forever(Reply::ok("fine"));
    let client = client(&peer);
    assert_eq!(whole(client.request(get("/")).await).await, ok("once"));
    assert!(client.request(get("/late")).await.is_err());
    assert_eq!(whole(client.request(get("/")).await).await, ok("fine"));
    assert_eq!((peer.connections(), peer.requests()[1].path()), (2, "/late"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_reads_nothing_any_more() {
    let peer = Peer::new().then(Reply::silent()).forever(Reply::ok("never"));
    let client = client(&peer);
    assert!(timeout(YEAR, client.request(get("/"))).await.is_err());
    assert!(timeout(YEAR, client.request(get("/"))).await.is_err(), "the others wait as well");
    assert_eq!((peer.connections(), peer.request_count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn bodies_have_their_pace_their_length_and_their_trailers() {
    let peer = Peer::new()
        .then(Reply::ok("ten bytes.").drip(1, SEC))
        .then(Reply::ok("x").slow_head(SEC))
        .then(Reply::ok("body").trailer("x-sum", "4").informational(3))
        .then(Reply::sized(3 << 20).head_size(10_000).header("connection", "close"))
        .forever(Reply::endless());
    let client = client(&peer);
    let start = Instant::now();
    assert_eq!(whole(client.request(get("/")).await).await, ok("ten bytes."));
    assert_eq!(start.elapsed(), 10 * SEC);
    let head = client.request(get("/")).await.unwrap();
    assert!(start.elapsed() > 40 * SEC, "a second for each byte of it");
    assert_eq!(header(head.headers(), "content-length"), Some("1"));
    let chunked = client.request(get("/")).await.unwrap();
    assert_eq!(header(chunked.headers(), "content-length"), None);
    let collected = chunked.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().and_then(|t| header(t, "x-sum")), Some("4"));
    let large = client.request(get("/")).await.unwrap();
    assert!(large.headers().get("connection").is_none() && large.headers().len() >= 4);
    assert_eq!(large.into_body().collect().await.unwrap().to_bytes().len(), 3 << 20);
    let mut endless = client.request(get("/")).await.unwrap().into_body();
    let mut bytes = 0;
    while bytes < 4 << 20 {
        bytes += endless.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    let mut head = get("/");
    *head.method_mut() = http::Method::HEAD;
    assert_eq!(whole(client.request(head).await).await, ok(""));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_reading_the_body_is_whole() {
    let peer = Peer::new().then(Reply::status(413).early()).forever(Reply::ok("fine"));
    let client = client(&peer);
    let early = client.request(post("/", vec![b'x'; 1 << 20])).await.unwrap();
    assert_eq!(early.status(), 413);
    assert_eq!(whole(client.request(get("/")).await).await, ok("fine"));
    assert!(!peer.requests()[0].complete);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_away_ends_its_connections_and_refuses() {
    let peer =
        Peer::new().until(SEC, Reply::ok("up")).until(3 * SEC, Reply::refuse()).forever(Reply::ok("back"));
    let client = client(&peer);
    assert_eq!(whole(client.request(get("/")).await).await, ok("up"));
    tokio::time::sleep(2 * SEC).await;
    assert_eq!(peer.open_connections(), 0);
    assert!(client.request(get("/")).await.is_err());
    tokio::time::sleep(2 * SEC).await;
    assert_eq!(whole(client.request(get("/")).await).await, ok("back"));
}
