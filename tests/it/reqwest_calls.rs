//! Calls through `unwedge::reqwest`: what goes in and comes out, on real sockets.

use crate::reqwest_support::*;
use crate::support::*;
use bytes::Bytes;
use http_body_util::Full;
use std::time::Duration;
use tower_layer::Layer;
use unwedge::reqwest::{Service, cause};
use unwedge::retry::Idempotent;
use unwedge::testing::{Peer, Reply};
use unwedge::{
    Attempts, Body, CallOptions, Collect, Deadline, Error, ErrorKind, Group, Label, Limits, StackLayer,
    within,
};

/// The error of this crate in what came back.
#[track_caller]
fn why<T: std::fmt::Debug>(answer: Result<T, reqwest_middleware::Error>) -> String {
    let error = answer.expect_err("it cannot go well");
    cause(&error).expect("it failed under the stack").to_string()
}

#[tokio::test]
async fn a_collected_response_has_its_url_version_headers_and_extensions() {
    let peer = Peer::new().forever(Reply::ok("hello").header("x-mine", "yes"));
    let url = url(&peer, "/a/b?c=d#e");
    let response = ready(exact()).get(&url).send().await.unwrap();
    let bare = settings(exact()).inner_client().unwrap().get(&url).send().await.unwrap();
    assert_eq!(response.url(), bare.url());
    assert_eq!(response.version(), http::Version::HTTP_11);
    assert_eq!(response.headers()["x-mine"], "yes");
    assert_eq!(response.content_length(), Some(5));
    let asked = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    assert_eq!(response.remote_addr(), bare.remote_addr());
    assert_eq!(response.remote_addr().expect("an extension of the transport").to_string(), asked);
    assert_eq!(response.extensions().get::<Attempts>().unwrap().count, 1);
    assert_eq!(response.text().await.unwrap(), "hello");
}

#[tokio::test]
async fn a_larger_body_streams_with_its_length_and_its_url() {
    let peer = Peer::new().forever(Reply::sized(100_000));
    let url = url(&peer, "/large");
    let client = ready(exact());
    let mut response = client.get(&url).with_extension(Collect::up_to(1000)).send().await.unwrap();
    assert_eq!((response.url().as_str(), response.content_length()), (url.as_str(), Some(100_000)));
    let first = response.chunk().await.unwrap().unwrap().len();
    assert_eq!(response.content_length(), Some(100_000 - first as u64), "what is still to come");
    assert_eq!(response.bytes().await.unwrap().len() + first, 100_000);
}

#[tokio::test]
async fn a_streamed_body_that_breaks_says_why() {
    let peer = Peer::new().forever(Reply::sized(100_000).truncate_after(50_000));
    let client = ready(exact());
    let response = client.get(url(&peer, "/")).with_extension(Collect::never()).send().await.unwrap();
    let error = response.bytes().await.unwrap_err();
    let why = cause(&error).expect("the body was under guard");
    assert_eq!((why.kind(), why.attempts()), (ErrorKind::Transport, 1));
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_inside_the_attempt_is_read_again() {
    let peer = Peer::new().then(Reply::sized(100).reset_after(10)).forever(Reply::ok("whole"));
    let response = ready(exact()).get(url(&peer, "/")).send().await.unwrap();
    assert_eq!(response.extensions().get::<Attempts>().unwrap().count, 2);
    assert_eq!(response.text().await.unwrap(), "whole");
}

#[tokio::test]
async fn the_request_arrives_whole_on_every_attempt() {
    let peer = Peer::new().times(2, Reply::status(502)).forever(Reply::ok("done"));
    let client = ready(exact());
    let put = client.put(url(&peer, "/job?id=7")).header("x-mine", "yes").body("payload");
    assert_eq!(put.send().await.unwrap().status(), 200);
    let requests = peer.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("PUT", "/job?id=7"));
        assert_eq!((request.header("x-mine"), request.header("content-length")), (Some("yes"), Some("7")));
        assert_eq!(&request.body[..], b"payload");
    }
}

#[tokio::test]
async fn a_post_is_repeated_only_where_it_is_marked() {
    let peer = Peer::new().forever(Reply::status(503));
    let (client, url) = (ready(exact()), url(&peer, "/"));
    assert_eq!(client.post(&url).body("x").send().await.unwrap().status(), 503);
    assert_eq!(peer.request_count(), 1);
    let marked = client.post(&url).body("x").with_extension(Idempotent);
    assert_eq!(marked.send().await.unwrap().status(), 503);
    assert_eq!(peer.request_count(), 1 + 4);
}

#[tokio::test]
async fn a_request_body_that_streams_gets_one_attempt_and_keeps_its_length() {
    let peer = Peer::new().forever(Reply::status(503));
    let body = reqwest::Body::wrap(Full::new(Bytes::from("streamed")));
    let response = ready(exact()).put(url(&peer, "/")).body(body).send().await.unwrap();
    assert_eq!(response.status(), 503);
    let requests = peer.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].header("content-length"), &requests[0].body[..]), (Some("8"), &b"streamed"[..]));
}

#[tokio::test]
async fn a_redirect_is_followed_and_the_url_is_where_it_led() {
    let peer = Peer::new().on("/old", Reply::redirect("/new")).on("/new", Reply::ok("here"));
    let url = url(&peer, "/old");
    let response = ready(exact()).get(&url).send().await.unwrap();
    assert_eq!(response.url().as_str(), url.replace("old", "new"));
    assert_eq!(response.extensions().get::<Attempts>().unwrap().count, 1);
}

#[tokio::test]
async fn a_redirect_loop_is_one_error_that_names_the_rule() {
    let peer = Peer::new().forever(Reply::redirect("/again?token=secret"));
    let error = ready(exact()).get(url(&peer, "/")).send().await.unwrap_err();
    let why = cause(&error).unwrap();
    assert!(why.is_redirect() && !why.is_retriable());
    let said = why.to_string();
    assert!(said.contains("not followed: 10 were followed, and the limit is 10"), "{said}");
    assert!(!format!("{said} {why:?}").contains("secret"), "{why:?}");
    assert_eq!(peer.request_count(), 11);
}

#[tokio::test]
async fn reqwests_own_redirect_limit_is_an_error_of_kind_redirect_too() {
    let peer = Peer::new().forever(Reply::redirect("/again"));
    let own = reqwest::redirect::Policy::limited(3);
    let layer = exact().build().unwrap();
    let client =
        unwedge::reqwest::builder().stack(layer.clone()).inner(|inner| inner.no_proxy().redirect(own));
    let error = client.build().unwrap().get(url(&peer, "/")).send().await.unwrap_err();
    assert!(cause(&error).unwrap().is_redirect());
    assert_eq!(peer.request_count(), 4);
    assert!(layer.in_flight().is_empty());
}

#[tokio::test]
async fn a_scope_and_a_deadline_and_reqwests_timeout_bound_the_whole_call() {
    let peer = Peer::new().forever(Reply::hang());
    let (client, url) = (ready(exact()), url(&peer, "/"));
    let short = 200 * MS;
    // Either of the two may see first that the time is over.
    match within(short, client.get(&url).send()).await {
        Ok(answer) => assert!(cause(&answer.unwrap_err()).unwrap().is_deadline()),
        Err(error) => assert!(error.is_deadline()),
    }
    let error = client.get(&url).with_extension(Deadline::after(short)).send().await.unwrap_err();
    assert!(cause(&error).unwrap().is_deadline(), "{error}");
    let error = client.get(&url).timeout(short).send().await.unwrap_err();
    assert!(cause(&error).unwrap().is_deadline(), "{error}");
    assert_eq!(peer.request_count(), 3);
}

#[tokio::test]
async fn of_a_deadline_and_reqwests_timeout_the_earlier_one_holds() {
    let peer = Peer::new().forever(Reply::hang());
    let (client, url) = (ready(exact()), url(&peer, "/"));
    for (deadline, timeout) in [(200 * MS, MINUTE), (MINUTE, 200 * MS)] {
        let request = client.get(&url).with_extension(Deadline::after(deadline)).timeout(timeout);
        // Room for a busy machine, and less than the total that a call has by itself.
        let answer = tokio::time::timeout(20 * SECOND, request.send()).await.expect("the earlier bound");
        assert!(cause(&answer.unwrap_err()).unwrap().is_deadline());
    }
}

#[tokio::test]
async fn a_label_stands_in_place_of_the_path() {
    let peer = Peer::new().forever(Reply::reset());
    let said = why(ready(exact()).get(url(&peer, "/secret")).with_extension(Label::new("jobs")).send().await);
    assert!(said.contains("jobs") && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn options_and_group_are_taken_from_the_extensions_of_a_request() {
    let peer = Peer::new().forever(Reply::status(503));
    let layer = built(exact());
    let client = unwedge::reqwest::builder().stack(layer.clone()).build().unwrap();
    let request = client.get(url(&peer, "/")).with_extension(CallOptions::new().retries(1));
    request.with_extension(Group::new("billing")).send().await.unwrap();
    assert_eq!(peer.request_count(), 2);
    let groups: Vec<_> = layer.breakers().snapshot().into_iter().filter_map(|b| b.group).collect();
    assert_eq!(groups, [Group::new("billing")]);
}

#[tokio::test]
async fn a_health_check_goes_before_the_request() {
    let peer = Peer::new().on("/health", Reply::ok("")).forever(Reply::ok("job"));
    let client = ready(exact().health("/health"));
    let url = url(&peer, "/jobs");
    for _ in 0..2 {
        client.get(&url).send().await.unwrap();
    }
    assert_eq!(asked(&peer), ["GET /health", "GET /jobs", "GET /jobs"]);
}

#[tokio::test]
async fn a_url_that_cannot_be_read_is_reqwests_own_error() {
    let error = ready(exact()).get("no url").send().await.unwrap_err();
    assert!(error.is_builder());
    assert!(cause(&error).is_none());
    let said = why(ready(exact()).get("ftp://127.0.0.1/").send().await);
    assert!(said.contains("ftp"), "{said}");
}

#[tokio::test]
async fn the_shared_client_and_get_are_one_line() {
    let peer = Peer::new().forever(Reply::ok("hello"));
    let url = url(&peer, "/");
    assert_eq!(unwedge::reqwest::get(&url).await.unwrap().text().await.unwrap(), "hello");
    assert_eq!(unwedge::reqwest::client().get(&url).send().await.unwrap().status(), 200);
    assert_eq!(peer.connections(), 1, "they share their connections");
}

#[test]
fn the_shared_client_goes_on_after_the_runtime_that_it_was_used_in() {
    let of_the_peer = tokio::runtime::Runtime::new().unwrap();
    let peer = Peer::new().forever(Reply::ok("hello"));
    let url = of_the_peer.block_on(async { url(&peer, "/") });
    for n in 1..=3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let request = unwedge::reqwest::client().post(&url).body("x");
        let response = runtime.block_on(request.send()).unwrap();
        assert_eq!(response.extensions().get::<Attempts>().unwrap().count, 1, "in runtime {n}");
    }
    assert_eq!(peer.request_count(), 3);
}

#[test]
fn an_inner_client_that_cannot_be_built_is_a_configuration_error_that_says_why() {
    let broken = unwedge::reqwest::builder().inner(|inner| inner.user_agent("two\nlines")).build();
    let error = broken.expect_err("no header value");
    assert!(error.is_config());
    assert!(error.to_string().starts_with("the inner reqwest client cannot be built: "), "{error}");
}

#[test]
fn without_a_runtime_there_is_a_configuration_error_and_no_panic() {
    use std::task::{Context, Poll, Waker};
    let client = ready(exact());
    let mut call = std::pin::pin!(client.get("http://127.0.0.1:9/").send());
    let Poll::Ready(answer) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("nothing could wake it")
    };
    assert!(why(answer).contains("no tokio runtime"));
    let inner = settings(exact()).inner_client().unwrap();
    let mut service = StackLayer::default().layer(Service::new(inner));
    let request = http::Request::get("http://127.0.0.1:9/").body(Body::empty()).unwrap();
    let mut call = std::pin::pin!(tower_service::Service::call(&mut service, request));
    let Poll::Ready(answer) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("nothing could wake it")
    };
    assert!(answer.unwrap_err().is_config());
}

/// A PUT with this type of body through the service under a stack.
async fn served<B: Into<reqwest::Body> + 'static>(peer: &str, body: B) -> Result<(u16, Bytes), Error> {
    let service = exact().build()?.layer(Service::from(settings(exact()).inner_client()?));
    let request = http::Request::put(peer).body(body).unwrap();
    whole(call(&service, request).await).await
}

#[tokio::test]
async fn as_a_tower_service_it_stands_under_the_stack_with_any_body_that_reqwest_takes() {
    for n in 0..4 {
        let peer = Peer::new().then(Reply::status(502)).forever(Reply::ok("done"));
        let url = url(&peer, "/");
        let answer = match n {
            0 => served(&url, Body::full("payload")).await,
            1 => served(&url, reqwest::Body::from("payload")).await,
            2 => served(&url, Bytes::from("payload")).await,
            _ => served(&url, "payload".to_owned()).await,
        };
        assert_eq!(answer.unwrap(), (200, Bytes::from("done")), "{n}");
        let bodies: Vec<_> = peer.requests().into_iter().map(|request| request.body).collect();
        assert!(bodies.len() == 2 && bodies.iter().all(|body| &body[..] == b"payload"), "{n}: {bodies:?}");
    }
}

#[tokio::test]
async fn a_tower_service_of_reqwest_reports_the_kinds_of_this_crate() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/?token=secret", held.local_addr().unwrap());
    drop(held);
    let error = served(&url, Body::empty()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connect, 4));
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    let limits = Limits::default().total(Duration::from_secs(5)).attempt(300 * MS);
    let stack = once(limits).layer(Service::new(settings(exact()).inner_client().unwrap()));
    let peer = Peer::new().forever(Reply::hang());
    let hang = http::Request::get(crate::reqwest_support::url(&peer, "/")).body(Body::empty()).unwrap();
    assert_eq!(call(&stack, hang).await.unwrap_err().kind(), ErrorKind::Attempt);
}
