//! What a redirected request carries along, and what it leaves behind.

use crate::support::*;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderValue, PROXY_AUTHORIZATION};
use http_body_util::Full;
use unwedge::client::Redirects;
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, Client, ErrorKind};

#[tokio::test(start_paused = true)]
async fn a_post_becomes_a_get_without_its_body_where_the_status_says_so() {
    for (method, status, then, body) in [
        ("POST", 301, "GET", ""),
        ("POST", 302, "GET", ""),
        ("POST", 303, "GET", ""),
        ("PUT", 303, "GET", ""),
        ("PUT", 302, "PUT", "payload"),
        ("POST", 307, "POST", "payload"),
        ("POST", 308, "POST", "payload"),
        ("DELETE", 307, "DELETE", "payload"),
    ] {
        let peer = Peer::new().on("/a", moved(status, "/b")).forever(Reply::ok(""));
        let client = client(&peer).build().unwrap();
        let request =
            client.request(method.parse().unwrap(), "http://a/a").header("content-type", "text/plain");
        request.body("payload").send().await.unwrap();
        let second = &peer.requests()[1];
        assert_eq!((second.method.as_str(), &second.body[..]), (then, body.as_bytes()), "{method} {status}");
        assert_eq!(second.headers.contains_key(CONTENT_TYPE), !body.is_empty(), "{method} {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_stays_a_head() {
    for status in [301, 302, 303, 307, 308] {
        let peer = Peer::new().on("/a", moved(status, "/b")).forever(Reply::sized(5));
        let client = client(&peer).build().unwrap();
        let response = client.head("http://a/a").send().await.unwrap();
        assert_eq!(
            response.bytes().await.unwrap(),
            "",
            "the answer to a HEAD has no body, whatever its length says"
        );
        assert_eq!(asked(&peer), ["HEAD /a", "HEAD /b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_streams_is_not_sent_again_but_left_behind_where_none_is_needed() {
    let streaming = || Body::streaming(Full::new(Bytes::from("payload")));
    for (status, requests) in [(303, 2), (307, 1)] {
        let peer = Peer::new().on("/a", moved(status, "/b")).forever(Reply::ok(""));
        let client = client(&peer).build().unwrap();
        let sent = client.post("http://a/a").header("x-kept", "1").body(streaming()).send().await;
        assert_eq!(peer.request_count(), requests);
        match sent {
            Ok(_) => {
                let second = &peer.requests()[1];
                assert_eq!((second.method.as_str(), second.headers["x-kept"].as_bytes()), ("GET", &b"1"[..]));
            }
            Err(error) => {
                assert!(error.is_redirect() && error.to_string().contains("cannot be sent again"), "{error}")
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn across_origins_secrets_stay_behind_and_within_one_they_go_along() {
    let secret = || {
        let mut value = HeaderValue::from_static("s3cret");
        value.set_sensitive(true);
        value
    };
    for (place, crosses) in
        [("http://b/x", true), ("http://a:8080/x", true), ("https://a/x", true), ("/x", false)]
    {
        let (a, b) = (Peer::new().on("/", moved(302, place)), Peer::new().forever(Reply::ok("")));
        let a = a.forever(Reply::ok(""));
        let client = between(&a, &b);
        let request =
            client.get("http://a/").bearer_auth("token").header(COOKIE, "id=1").header("x-key", secret());
        let request =
            request.header(PROXY_AUTHORIZATION, "Basic x").header("x-open", "1").header(HOST, "a.internal");
        request.send().await.unwrap();
        let second = if b.request_count() > 0 { &b.requests()[0] } else { &a.requests()[1] };
        for name in ["authorization", "cookie", "proxy-authorization", "x-key"] {
            assert_eq!(second.headers.contains_key(name), !crosses, "{place} {name}");
        }
        assert_eq!(second.headers["host"] == "a.internal", !crosses, "{place}");
        assert_eq!(second.headers["x-open"], "1");
        assert_eq!(a.requests()[0].headers[AUTHORIZATION], "Bearer token");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_of_a_url_are_sent_to_its_origin_alone_and_those_of_a_location_to_nobody() {
    let (a, b) = (Peer::new().forever(moved(302, "http://eve:pw@b/x")), Peer::new().forever(Reply::ok("")));
    let response = between(&a, &b).get("http://user:pw@a/").send().await.unwrap();
    assert!(a.requests()[0].headers.contains_key(AUTHORIZATION));
    assert!(!b.requests()[0].headers.contains_key(AUTHORIZATION));
    assert_eq!(response.url(), "http://b/x");
}

#[tokio::test(start_paused = true)]
async fn a_body_is_not_sent_to_another_origin_and_one_that_asks_for_none_goes() {
    let (a, b) = (Peer::new().forever(moved(307, "http://b/x")), Peer::new().forever(Reply::ok("")));
    let client = between(&a, &b);
    let error = client.post("http://a/").body("payload").send().await.unwrap_err();
    assert!(
        error.is_redirect() && error.to_string().contains("body is not sent to another origin"),
        "{error}"
    );
    assert_eq!(b.request_count(), 0);
    client.delete("http://a/").send().await.unwrap();
    assert_eq!(asked(&b), ["DELETE /x"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_same_origin_means_just_that() {
    let (a, b) = (Peer::new().on("/in", moved(302, "/x")).on("/out", moved(302, "//b/x")), Peer::new());
    let a = a.forever(Reply::ok(""));
    let pipe = a.pipe().host("b", &b);
    let client = Client::builder().pipe(pipe).redirects(Redirects::same_origin()).build().unwrap();
    client.get("http://a/in").send().await.unwrap();
    let error = client.get("http://a/out").send().await.unwrap_err();
    assert!(error.to_string().contains("from http://a to http://b, and only the same origin"), "{error}");
    assert_eq!((b.connects(), error.kind()), (0, ErrorKind::Redirect));
}
