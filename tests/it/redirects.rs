//! Redirects of the client: who is asked, with what, how often, and within which time.

use crate::support::*;
use std::time::Duration;
use tokio::time::Instant;
use unwedge::client::{Redirects, Response};
use unwedge::testing::{Peer, Reply};
use unwedge::{Client, Error, ErrorKind, Label, Limits, LongPoll, breaker, long_poll, retry, within};

const PARKED: LongPoll = long_poll!("the broker parks GetMessage until a job arrives");

async fn get(client: &Client, url: &str) -> Result<Response, Error> {
    client.get(url).send().await
}

async fn refused(reply: Reply) -> (Error, u64) {
    let peer = Peer::new().forever(reply);
    let client = client(&peer).build().unwrap();
    let error = get(&client, "http://a/x").await.expect_err("it cannot be followed");
    assert!(error.is_redirect() && !error.is_retriable(), "{error}");
    (error, peer.request_count())
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_followed_and_the_response_says_where_it_is_from() {
    let peer = Peer::new().on("/old", moved(301, "sub/../new?x=1#top")).on("/new", Reply::ok("here"));
    let client = client(&peer).build().unwrap();
    let response = get(&client, "http://a/old").await.unwrap();
    assert_eq!(response.url(), "http://a/new?x=1");
    assert_eq!(response.bytes().await.unwrap(), "here");
    assert_eq!(asked(&peer), ["GET /old", "GET /new?x=1"]);
    assert_eq!(peer.connections(), 1, "what was read of the redirect freed its connection");
}

#[tokio::test(start_paused = true)]
async fn a_loop_is_eleven_requests_and_one_error_that_is_never_repeated() {
    let peer = Peer::new().forever(moved(302, "/loop"));
    let client = client(&peer).build().unwrap();
    let error = get(&client, "http://a/loop?token=secret").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Redirect);
    assert_eq!((peer.request_count(), error.is_retriable()), (11, false));
    assert_eq!(
        error.to_string(),
        "GET http://a/loop: redirect (302) to \"/loop\" not followed: 10 were followed, and the limit is 10 \
         (after 10 redirects)"
    );
    let breaker = &client.breakers().snapshot()[0];
    assert_eq!(breaker.consecutive_failures, 0, "each answer came in time");
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_the_callers_and_zero_makes_every_redirect_an_error() {
    for (limit, requests) in [(0, 1), (3, 4)] {
        let peer = Peer::new().forever(moved(302, "/loop"));
        let client = client(&peer).redirects(Redirects::follow().limit(limit)).build().unwrap();
        assert!(get(&client, "http://a/loop").await.unwrap_err().is_redirect());
        assert_eq!(peer.request_count(), requests);
    }
}

#[tokio::test(start_paused = true)]
async fn without_redirects_a_3xx_is_returned_as_it_is_with_its_body() {
    let peer = Peer::new().forever(moved(302, "/x").body("moved"));
    let client = client(&peer).redirects(Redirects::none()).build().unwrap();
    let response = get(&client, "http://a/").await.unwrap();
    assert_eq!((response.status().as_u16(), response.url().path()), (302, "/"));
    assert_eq!(response.bytes().await.unwrap(), "moved");
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_without_a_location_and_every_other_3xx_is_an_answer() {
    for reply in [Reply::status(302).body("?"), moved(300, "/x").body("?"), moved(305, "/x").body("?")] {
        let peer = Peer::new().forever(reply);
        let client = client(&peer).build().unwrap();
        let response = get(&client, "http://a/").await.unwrap();
        assert!(response.status().is_redirection());
        assert_eq!(response.bytes().await.unwrap(), "?");
        assert_eq!(peer.request_count(), 1);
    }
    let peer = Peer::new().forever(moved(304, "/x"));
    let client = client(&peer).build().unwrap();
    assert_eq!(get(&client, "http://a/").await.unwrap().status().as_u16(), 304);
}

#[tokio::test(start_paused = true)]
async fn a_broken_location_is_an_error_that_names_value_and_rule() {
    for (location, words) in [
        ("", "to \"\" not followed: it is empty"),
        ("ftp://b/file", "to \"ftp://b/file\" not followed: its scheme is \"ftp\": it must be http or https"),
        ("javascript:alert(1)", "its scheme is \"javascript\""),
        ("http://", "it has no host"),
        ("http://b:99999/", "the port of the URL is \"99999\""),
        ("http://[::1/", "it cannot be read"),
    ] {
        let (error, requests) = refused(moved(302, location)).await;
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().starts_with("GET http://a/x: redirect (302)"), "{error}");
        assert_eq!(requests, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_shows_no_secret_of_the_location_and_nothing_where_there_is_a_label() {
    let (error, _) = refused(moved(302, "ftp://user:secret@b/file?token=secret")).await;
    assert!(!error.to_string().contains("secret"), "{error}");
    let peer = Peer::new().forever(moved(302, "ftp://b/secret"));
    let client = client(&peer).build().unwrap();
    let error = client.get("http://a/secret").label("jobs").send().await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    let labelled = http::Request::get("http://a/secret").extension(Label::new("jobs")).body(()).unwrap();
    assert!(!client.send(labelled).await.unwrap_err().to_string().contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn from_https_to_http_nothing_is_followed_and_the_other_way_it_is() {
    let peer = Peer::new()
        .on("/down", moved(301, "http://a/x"))
        .on("/up", moved(301, "https://a/x"))
        .forever(Reply::ok(""));
    let client = client(&peer).build().unwrap();
    let error = get(&client, "https://a/down").await.unwrap_err();
    assert!(error.is_redirect() && error.to_string().contains("from https to http"), "{error}");
    assert_eq!(get(&client, "http://a/up").await.unwrap().url(), "https://a/x");
    assert_eq!(asked(&peer), ["GET /down", "GET /up", "GET /x"]);
}

#[tokio::test(start_paused = true)]
async fn each_hop_is_judged_by_its_own_origin_and_tried_again_by_itself() {
    let (a, b) = (Peer::new().then(Reply::status(503)).forever(moved(302, "http://b/x")), Peer::new());
    let b = b.forever(Reply::status(503));
    let client = between(&a, &b);
    let response = client.get("http://a/").deadline(MINUTE).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.attempts().count), (503, 4));
    assert_eq!((a.request_count(), b.request_count()), (2, 4));
    let failures: Vec<_> = client
        .breakers()
        .snapshot()
        .into_iter()
        .map(|b| (b.origin.to_string(), b.consecutive_failures))
        .collect();
    assert_eq!(failures, [("http://a".to_owned(), 0), ("http://b".to_owned(), 4)]);
    let open = client.breakers().of(&"http://b/".parse().unwrap()).unwrap();
    open.force_open();
    let error = get(&client, "http://a/").await.unwrap_err();
    assert!(error.is_open() && error.to_string().starts_with("GET http://b/x: circuit open"), "{error}");
    assert!(error.to_string().ends_with("after a redirect)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_is_redirected_too() {
    let peer = Peer::new().times(3, Reply::status(503)).then(moved(307, "/x")).forever(Reply::ok("done"));
    let retry = retry::Settings::default().backoff(Duration::ZERO);
    let client = client(&peer).retry(retry).build().unwrap();
    let response = client.put("http://a/").body("payload").send().await.unwrap();
    assert_eq!((response.status().as_u16(), &peer.requests()[4].body[..]), (200, &b"payload"[..]));
    let none = retry::Settings::default().max_retries(0);
    let peer = Peer::new().then(moved(307, "/x")).forever(Reply::ok("done"));
    let client = Client::builder().pipe(peer.pipe()).retry(none).build().unwrap();
    client.put("http://a/").body("payload").send().await.unwrap();
    assert_eq!(&peer.requests()[1].body[..], b"payload");
}

#[tokio::test(start_paused = true)]
async fn one_deadline_binds_all_hops() {
    let slow = || Peer::new().forever(moved(302, "/again").after(4 * SECOND));
    let patient = Redirects::follow().limit(100);
    let peer = slow();
    let client = client(&peer).redirects(patient).build().unwrap();
    let start = Instant::now();
    let error = get(&client, "http://a/").await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed(), peer.request_count()), (ErrorKind::Deadline, 30 * SECOND, 8));
    assert!(error.to_string().contains("after 7 redirects"), "{error}");

    let start = Instant::now();
    let error = client.get("http://a/").deadline(10 * SECOND).send().await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Deadline, 10 * SECOND));

    let start = Instant::now();
    let ended = within(9 * SECOND, get(&client, "http://a/")).await;
    assert!(ended.map_or_else(|error| error.is_deadline(), |ended| ended.unwrap_err().is_deadline()));
    assert_eq!(start.elapsed(), 9 * SECOND);

    // Made inside a scope, polled outside of it.
    let start = Instant::now();
    let mut made = None;
    within(9 * SECOND, async { made = Some(client.get("http://a/").send()) }).await.unwrap();
    assert!(made.unwrap().await.unwrap_err().is_deadline());
    assert_eq!(start.elapsed(), 9 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_total_does_not_bind_a_body_that_streams_after_a_redirect() {
    let download = Reply::sized(2 << 20).drip(64 << 10, 2 * SECOND);
    let peer = Peer::new().on("/a", moved(302, "/b")).forever(download);
    let client = client(&peer).build().unwrap();
    let response = get(&client, "http://a/a").await.unwrap();
    assert_eq!(response.bytes().await.unwrap().len(), 2 << 20);
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_redirect_delays_the_next_hop_by_a_tenth_of_a_second_at_most() {
    for (reply, delay, connections) in [
        (moved(302, "/b").body("moved"), Duration::ZERO, 1),
        (moved(302, "/b").body(vec![b'x'; 100_000]), Duration::ZERO, 2),
        (moved(302, "/b").body("moved").drip(1, SECOND), 100 * MS, 2),
        (moved(302, "/b").body("moved").hang_after(2), 100 * MS, 2),
    ] {
        let peer = Peer::new().on("/a", reply).forever(Reply::ok(""));
        let client = client(&peer).build().unwrap();
        let start = Instant::now();
        get(&client, "http://a/a").await.unwrap();
        assert_eq!((start.elapsed(), peer.connections()), (delay, connections));
        assert_eq!(client.breakers().snapshot()[0].consecutive_failures, 0);
    }
    // Nor beyond the deadline.
    let peer = Peer::new().forever(moved(302, "/b").body("moved").after(MS * 40).hang_after(2));
    let client = client(&peer).build().unwrap();
    let start = Instant::now();
    let error = client.get("http://a/a").deadline(50 * MS).send().await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed(), peer.request_count()), (ErrorKind::Deadline, 50 * MS, 1));
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_long_poll_is_returned_as_it_is() {
    let peer = Peer::new().forever(moved(307, "/elsewhere"));
    let client = client(&peer).build().unwrap();
    let response = client.get("http://a/message").long_poll(PARKED.up_to(MINUTE)).send().await.unwrap();
    assert_eq!((response.status().as_u16(), peer.request_count()), (307, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_between_two_hops_leaves_nothing_behind() {
    let peer = Peer::new().forever(moved(302, "/b").body("moved").hang_after(2));
    let client =
        client(&peer).breaker(breaker::Settings::default()).limits(Limits::default()).build().unwrap();
    let ended = tokio::time::timeout(150 * MS, get(&client, "http://a/a")).await;
    assert!(ended.is_err());
    assert_eq!(client.in_flight().snapshot().len(), 0);
    tokio::time::sleep(SECOND).await;
    assert_eq!((peer.request_count(), peer.open_connections()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_redirect_is_read_no_longer_than_the_call_has_time() {
    let drips = || moved(302, "/b").body("m".repeat(1000)).drip(1, 5 * MS);
    for (total, took) in [(50 * MS, 50 * MS), (10 * SECOND, 100 * MS)] {
        let peer = Peer::new().on("/a", drips()).forever(Reply::ok("here"));
        let client = client(&peer).limits(Limits::default().total(total)).build().unwrap();
        let start = Instant::now();
        let ended = get(&client, "http://a/a").await;
        let (elapsed, ended) = (start.elapsed(), ended.map(|answer| answer.status().as_u16()));
        // The timer's own resolution.
        assert!(elapsed >= took && elapsed <= took + 2 * MS, "{elapsed:?}: {ended:?}");
        assert_eq!(ended.ok(), (total > took).then_some(200));
        assert_eq!(asked(&peer).len(), if total > took { 2 } else { 1 });
    }
}
