//! What a request through `unwedge::reqwest` carries along when it is redirected, and what it does not.

use crate::reqwest_support::*;
use crate::support::*;
use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, HeaderValue, PROXY_AUTHORIZATION};
use http_body_util::Full;
use reqwest_middleware::RequestBuilder;
use tower_layer::Layer;
use unwedge::reqwest::{Service, cause};
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, Error};

/// A real address that redirects once, and the peer behind it.
fn from_here(status: u16, to: &str) -> (Peer, String) {
    let peer = Peer::new().on("/old", moved(status, to)).forever(Reply::ok("here"));
    let url = url(&peer, "/old");
    (peer, url)
}

/// Why a redirect of this request was not followed.
async fn refusal(request: RequestBuilder) -> String {
    let error = request.send().await.expect_err("it is not to be followed");
    let why = cause(&error).expect("it failed under the stack");
    assert!(why.is_redirect() && !why.is_retriable(), "{why}");
    why.to_string()
}

fn sensitive() -> HeaderValue {
    let mut value = HeaderValue::from_static("s3cret");
    value.set_sensitive(true);
    value
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let there = Peer::new().forever(Reply::ok("there"));
    let elsewhere = url(&there, "/new");
    for (place, crosses) in [(elsewhere.as_str(), true), ("/new", false)] {
        let (here, url) = from_here(302, place);
        let request = ready(exact()).get(&url).bearer_auth("token").header(COOKIE, "id=1");
        request.header(PROXY_AUTHORIZATION, "Basic x").header("x-open", "1").send().await.unwrap();
        let second = if crosses { &there.requests()[0] } else { &here.requests()[1] };
        for name in ["authorization", "cookie", "proxy-authorization"] {
            assert_eq!(second.headers.contains_key(name), !crosses, "{place} {name}");
        }
        assert_eq!(second.headers["x-open"], "1");
        assert_eq!(here.requests()[0].headers[AUTHORIZATION], "Bearer token");
    }
}

#[tokio::test]
async fn credentials_do_not_come_back_at_the_second_redirect_within_another_origin() {
    let there = Peer::new().on("/new", Reply::redirect("/login")).forever(Reply::ok("there"));
    let (_here, url) = from_here(302, &url(&there, "/new"));
    let client = ready(exact());
    let said = refusal(client.get(&url).bearer_auth("token")).await;
    assert!(said.contains("not followed: the credentials of the request would be sent"), "{said}");
    assert!(there.requests().iter().all(|request| !request.headers.contains_key(AUTHORIZATION)));
    assert_eq!(asked(&there), ["GET /new"]);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200, "without any there is nothing to lose");
    assert_eq!(asked(&there)[1..], ["GET /new", "GET /login"]);

    let alone = reqwest::redirect::Policy::limited(10);
    let alone = settings(exact()).inner(|inner| inner.redirect(alone)).build().unwrap();
    alone.get(&url).bearer_auth("token").send().await.unwrap();
    let leaked = there.requests().iter().any(|request| request.headers.contains_key(AUTHORIZATION));
    assert!(leaked, "reqwest alone keeps them back too: this rule is no longer needed");
}

#[tokio::test]
async fn credentials_go_along_where_a_redirect_leads_back_to_their_origin() {
    let here = Peer::new();
    let back = url(&here, "/end");
    let there = Peer::new().forever(Reply::redirect(&back));
    let here = here.on("/old", Reply::redirect(&url(&there, "/"))).on("/end", Reply::redirect("/last"));
    let here = here.forever(Reply::ok("back"));
    let client = ready(exact());
    client.get(back.replace("end", "old")).bearer_auth("token").send().await.unwrap();
    assert_eq!(asked(&here), ["GET /old", "GET /end", "GET /last"]);
    assert!(!there.requests()[0].headers.contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn a_header_marked_as_sensitive_is_not_sent_to_another_origin() {
    let there = Peer::new().forever(Reply::ok("there"));
    let (here, crossing) = from_here(302, &url(&there, "/"));
    let client = ready(exact());
    let said = refusal(client.get(&crossing).header("x-key", sensitive())).await;
    assert!(said.contains("not followed: a header marked as sensitive is not sent"), "{said}");
    assert_eq!((here.request_count(), there.connections()), (1, 0));
    let (here, within) = from_here(302, "/new");
    client.get(&within).header("x-key", sensitive()).send().await.unwrap();
    assert_eq!(here.requests()[1].headers["x-key"], "s3cret");
}

#[tokio::test]
async fn a_body_is_not_sent_to_another_origin_and_where_none_is_asked_for_the_redirect_is_followed() {
    let there = Peer::new().forever(Reply::ok("there"));
    let (client, elsewhere) = (ready(exact()), url(&there, "/"));
    for (method, status, refused) in [
        ("POST", 307, true),
        ("PUT", 308, true),
        ("PUT", 302, true),
        ("POST", 302, false),
        ("POST", 301, false),
        ("PUT", 303, false),
    ] {
        let (_here, url) = from_here(status, &elsewhere);
        let before = there.request_count();
        let request = client.request(method.parse().unwrap(), &url).body("payload");
        if refused {
            let said = refusal(request).await;
            assert!(said.contains("a request body is not sent to another origin"), "{said}");
            assert_eq!(there.request_count(), before, "{method} {status}");
        } else {
            request.send().await.unwrap();
            let arrived = &there.requests()[there.requests().len() - 1];
            assert_eq!((arrived.method.as_str(), &arrived.body[..]), ("GET", &b""[..]), "{method} {status}");
        }
    }
    let (_here, url) = from_here(307, &elsewhere);
    assert_eq!(client.delete(&url).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_in_memory_is_sent_again_within_its_origin_and_one_that_streams_is_answered_by_the_redirect() {
    let (here, url) = from_here(307, "/new");
    let client = ready(exact());
    client.put(&url).body("payload").send().await.unwrap();
    assert_eq!(&here.requests()[1].body[..], b"payload");
    let streams = reqwest::Body::wrap(Full::new(Bytes::from("payload")));
    assert_eq!(client.put(&url).body(streams).send().await.unwrap().status(), 307);
}

#[tokio::test]
async fn a_tower_service_of_reqwest_holds_back_the_same() {
    let there = Peer::new().forever(Reply::ok("there"));
    let (_here, url) = from_here(307, &url(&there, "/"));
    let service = exact().build().unwrap().layer(Service::from(settings(exact()).inner_client().unwrap()));
    let request = http::Request::put(&url).body(Body::full("payload")).unwrap();
    let error: Error = call(&service, request).await.unwrap_err();
    assert!(error.is_redirect() && error.to_string().contains("a request body is not sent"), "{error}");
    let request = http::Request::get(&url).header("x-key", sensitive()).body(Body::empty()).unwrap();
    assert!(call(&service, request).await.unwrap_err().is_redirect());
    assert_eq!(there.connections(), 0);
}
