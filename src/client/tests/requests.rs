//! What leaves, and what does not.

use super::*;
use crate::{Collect, Deadline, LongPoll, retry};
use std::pin::pin;
use std::task::Waker;
use tokio::time::Instant;

/// The message of the error that this request ends with before anything has left.
async fn refused(peer: &Peer, request: RequestBuilder) -> String {
    let error = request.send().await.unwrap_err();
    assert!(error.is_config() && !error.is_retriable(), "{error}");
    assert_eq!((peer.connects(), error.attempts()), (0, 0), "{error}");
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn every_method_header_and_body_arrives_as_it_was_given() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let client = client(&peer);
    client.head(URL).send().await.unwrap();
    client.patch(URL).body("patch").send().await.unwrap();
    client.delete(URL).header("x-a", "1").header("X-A", "2").send().await.unwrap();
    client.put(URL).bearer_auth("t0ken").header("accept", "text/plain").body("put").send().await.unwrap();
    client.request(Method::OPTIONS, URL).send().await.unwrap();
    client.post(URL).idempotency_key("k-1").json(&["a"]).send().await.unwrap();
    let seen = peer.requests();
    let methods: Vec<_> = seen.iter().map(|r| r.method.as_str()).collect();
    assert_eq!(methods, ["HEAD", "PATCH", "DELETE", "PUT", "OPTIONS", "POST"]);
    assert_eq!((&seen[1].body[..], &seen[3].body[..]), (&b"patch"[..], &b"put"[..]));
    assert_eq!(seen[2].headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(seen[3].header("authorization"), Some("Bearer t0ken"));
    assert_eq!(seen[5].header("idempotency-key"), Some("k-1"));
    assert_eq!(seen[5].header("content-type"), Some("application/json"));
    assert_eq!(&seen[5].body[..], b"[\"a\"]");
    assert_eq!(peer.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_names_its_sender_unless_it_does_so_itself() {
    let peer = Peer::new().on("/health", Reply::status(204)).forever(Reply::ok(""));
    let client = piped(&peer).user_agent("agent/7").health("/health").build().unwrap();
    client.get(URL).send().await.unwrap();
    client.get(URL).header("user-agent", "mine").send().await.unwrap();
    let agents: Vec<_> = peer.requests().iter().map(|r| r.header("user-agent").map(str::to_owned)).collect();
    assert_eq!(agents, [Some("agent/7".into()), Some("agent/7".into()), Some("mine".into())]);
    let error = Client::builder().user_agent("a\nb").build().unwrap_err();
    assert!(error.is_config() && error.to_string().contains("a\\nb"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_query_is_added_to_the_one_that_is_there() {
    let peer = Peer::new().forever(Reply::ok(""));
    let client = client(&peer);
    client.get("http://api.example").query(&[("q", "a b&c"), ("n", "1")]).send().await.unwrap();
    client.get("http://api.example/p?x=1").query(&[("y", 2)]).send().await.unwrap();
    client.get("http://api.example/p?x=1").query::<[(&str, &str)]>(&[]).send().await.unwrap();
    let targets: Vec<_> = peer.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(targets, ["/?q=a+b%26c&n=1", "/p?x=1&y=2", "/p?x=1"]);
}

#[tokio::test(start_paused = true)]
async fn credentials_of_a_url_travel_in_a_header_and_are_never_shown() {
    let peer = Peer::new().forever(Reply::status(404));
    let client = client(&peer);
    let url = "http://us%65r:p%40ss:word@api.example/jobs?token=s3cret";
    let request = client.get(url);
    assert!(!format!("{request:?}").contains("p%40ss"), "{request:?}");
    let response = request.send().await.unwrap();
    assert_eq!(response.url(), "http://api.example/jobs?token=s3cret");
    let mut shown = format!("{response:?}");
    shown += &response.error_for_status().await.unwrap_err().to_string();
    assert!(!shown.contains("p%40ss") && !shown.contains("s3cret"), "{shown}");
    let own = client.get(url).header("authorization", "own").send().await.unwrap();
    assert_eq!(own.status(), 404);
    client.send(Request::get("http://alone@api.example/").body("").unwrap()).await.unwrap();
    let mut service = &client;
    service.call(Request::get("http://:pw@api.example/").body(Body::empty()).unwrap()).await.unwrap();
    let seen = peer.requests();
    let sent: Vec<_> = seen.iter().map(|r| r.header("authorization").unwrap()).collect();
    // user:p@ss:word, then alone: and :pw
    assert_eq!(sent, ["Basic dXNlcjpwQHNzOndvcmQ=", "own", "Basic YWxvbmU6", "Basic OnB3"]);
    assert!(seen.iter().all(|r| r.header("host") == Some("api.example")));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_request_comes_out_of_send_before_anything_leaves() {
    let peer = Peer::new().forever(Reply::ok(""));
    let client = client(&peer);
    let get = |url: &str| client.get(url);
    for (request, parts) in [
        (get("ftp://host/x"), &["ftp", "http or https"][..]),
        (get("/relative"), &["/relative", "absolute"]),
        (get("localhost:8080"), &["localhost:8080", "absolute"]),
        (get("http://"), &["URL", "http://"]),
        (get("http:///path"), &["URL", "http:///path"]),
        (get("http://host:99999/"), &["99999", "65535"]),
        // Its value is not shown: behind a colon may as well stand half of a password.
        (get("http://host:0x50/"), &["port", "no number", "65535"]),
        (get(""), &["the URL \"\" cannot be read"]),
        (get("http://u:pw@ho st/?secret"), &["URL", "http://ho st/"]),
        (get(URL).header("x-a", "one\r\nx-b: two"), &[URL, "\"x-a\"", "one line"]),
        (get(URL).header("x a", "v"), &["\"x a\"", "token"]),
        (get(URL).bearer_auth("t\n"), &["authorization", "one line"]),
        (get(URL).idempotency_key("k\n"), &["idempotency-key"]),
        (get(URL).deadline(Duration::ZERO), &["deadline", "0 s", "longer than zero"]),
        (get(URL).deadline(Duration::MAX), &["deadline", "10 years"]),
        (get(URL).long_poll(LongPoll::because(" ")), &["reason", "blank"]),
        (get(URL).json(&std::collections::HashMap::from([((1, 2), 3)])), &["JSON", "key"]),
        (get(URL).query(&3), &["query"]),
    ] {
        let message = refused(&peer, request).await;
        assert!(parts.iter().all(|part| message.contains(part)), "{message}: {parts:?}");
        assert!(!message.contains("pw") && !message.contains("secret"), "{message}");
        assert!(!message.contains("GET /:"), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_mistake_is_the_one_that_is_told() {
    let peer = Peer::new();
    let request = client(&peer).get(URL).deadline(Duration::ZERO).header("x-a", "\n").bearer_auth("\n");
    assert!(refused(&peer, request).await.contains("deadline"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_built_elsewhere_is_checked_as_well() {
    let peer = Peer::new().forever(Reply::ok(""));
    let client = client(&peer);
    for (request, part) in [
        (Request::get("gopher://a/"), "gopher"),
        (Request::get("/only/a/path"), "absolute"),
        (Request::get(URL).version(http::Version::HTTP_2), "HTTP/2"),
        (Request::get(URL).extension(LongPoll::because("")), "blank"),
    ] {
        let error = client.send(request.body(()).unwrap()).await.unwrap_err();
        assert!(error.is_config() && error.to_string().contains(part), "{error}");
        assert_eq!(peer.connects(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_runs_from_send_and_binds_the_last_byte() {
    let peer = Peer::new().forever(Reply::ok("0123456789").drip(1, SEC));
    let client = client(&peer);
    let request = client.get(URL).deadline(3 * SEC);
    tokio::time::sleep(60 * SEC).await;
    let start = Instant::now();
    let error = request.send().await.unwrap_err();
    assert!(error.is_deadline(), "{error}");
    assert_eq!(start.elapsed(), 3 * SEC);
    let start = Instant::now();
    let streamed = client.get(URL).deadline(3 * SEC).collect(Collect::never()).send().await.unwrap();
    let error = streamed.bytes().await.unwrap_err();
    assert!(error.is_deadline(), "{error}");
    assert_eq!(start.elapsed(), 3 * SEC);
    assert!(error.to_string().starts_with("GET http://api.example/jobs: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn wishes_reach_the_stack() {
    let peer = Peer::new().times(2, Reply::status(503)).forever(Reply::ok("done").after(40 * SEC));
    let client =
        piped(&peer).retry(retry::Settings::default().backoff(retry::Backoff::none())).build().unwrap();
    assert_eq!(client.post(URL).send().await.unwrap().status(), 503);
    let poll = LongPoll::because("jobs are parked").up_to(60 * SEC);
    let call = Beside::new(client.post(URL).idempotent().long_poll(poll).label("the queue").send());
    tokio::time::sleep(SEC).await;
    let seen = client.in_flight().snapshot();
    assert_eq!((seen[0].url.as_str(), seen[0].attempt), ("http://api.example [the queue]", 2));
    assert_eq!(seen[0].long_poll.as_deref(), Some("jobs are parked"));
    assert_eq!(call.ended().await.unwrap().text().await.unwrap(), "done");
    let wished = Request::get(URL).extension(Deadline::after(SEC)).body("").unwrap();
    assert!(client.send(wished).await.unwrap_err().is_deadline());
}

#[test]
fn without_a_runtime_a_call_is_a_configuration_error_and_no_panic() {
    let client = Client::new().unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    for url in ["http://127.0.0.1:9/", "https://localhost/"] {
        match pin!(client.get(url).send()).poll(&mut cx) {
            Poll::Ready(Err(error)) => {
                assert!(error.is_config() && error.to_string().contains("runtime"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(client.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_is_a_tower_service_under_any_layer() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let mut client = client(&peer);
    std::future::poll_fn(|cx| Service::poll_ready(&mut client, cx)).await.unwrap();
    let response = Service::call(&mut client, Request::get(URL).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.into_body().bytes(10).await.unwrap(), "ok");
    let error = client.call(Request::get("/").body(Body::empty()).unwrap()).await.unwrap_err();
    assert!(error.is_config(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_builder_can_be_awaited_as_it_is() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    assert_eq!(client(&peer).get(URL).await.unwrap().text().await.unwrap(), "ok");
    assert!(get("nowhere").await.unwrap_err().is_config());
}

#[tokio::test(start_paused = true)]
async fn clones_share_connections_breakers_and_the_table() {
    let peer = Peer::new().forever(Reply::ok("ok").after(SEC));
    let (one, two) = (client(&peer), client(&peer));
    let copy = one.clone();
    let call = Beside::new(one.get(URL).send());
    tokio::time::sleep(500 * MS).await;
    assert_eq!((copy.in_flight().len(), two.in_flight().len()), (1, 0));
    call.ended().await.unwrap();
    copy.get(URL).send().await.unwrap();
    assert_eq!(
        (peer.connections(), copy.breakers().snapshot().len(), two.breakers().snapshot().len()),
        (1, 1, 0)
    );
    assert_eq!(copy.bounds().total, Some(30 * SEC));
}

#[tokio::test(start_paused = true)]
async fn a_form_headers_and_credentials_arrive_as_they_were_given() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let client = client(&peer);
    let mut shared = http::HeaderMap::new();
    shared.insert("x-a", "new".parse().unwrap());
    shared.append("x-b", "1".parse().unwrap());
    shared.append("x-b", "2".parse().unwrap());
    let form = [("grant_type", "client credentials"), ("x", "a&b")];
    let request = client
        .post(URL)
        .header("x-a", "old")
        .headers(shared)
        .basic_auth("agent", Some("s:3cret"))
        .form(&form);
    request.send().await.unwrap();
    client.get(URL).basic_auth("agent", None::<&str>).await.unwrap();
    let seen = peer.requests();
    assert_eq!(&seen[0].body[..], b"grant_type=client+credentials&x=a%26b");
    assert_eq!(seen[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(seen[0].headers.get_all("x-a").iter().collect::<Vec<_>>(), ["new"]);
    assert_eq!(seen[0].headers.get_all("x-b").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(seen[0].header("authorization"), Some("Basic YWdlbnQ6czozY3JldA=="));
    assert_eq!(seen[1].header("authorization"), Some("Basic YWdlbnQ6"));
    let said = refused(&Peer::new(), client.get(URL).basic_auth("a:b", Some("s3cret"))).await;
    assert!(said.contains("colon") && !said.contains("s3cret"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_built_is_the_one_that_is_sent() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let client = client(&peer);
    let request = client.put(URL).query(&[("n", "1")]).deadline(SEC).body("x").build().unwrap();
    assert_eq!((request.uri().query(), request.method()), (Some("n=1"), &Method::PUT));
    assert!(request.extensions().get::<Deadline>().unwrap().remaining() == SEC);
    assert_eq!(client.send(request).await.unwrap().text().await.unwrap(), "ok");
    assert_eq!(peer.requests()[0].target, "/jobs?n=1");
    let error = client.get("http://api.example/").header("a b", "c").build().unwrap_err();
    assert!(error.is_config() && error.to_string().starts_with("GET http://api.example/: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_clone_of_a_builder_sends_the_same_and_one_that_cannot_be_made_is_none() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let client = client(&peer);
    let template = client.post(URL).header("x-a", "1").body("body").deadline(SEC).idempotent();
    template.try_clone().unwrap().await.unwrap();
    template.await.unwrap();
    let seen = peer.requests();
    assert_eq!(
        (seen[0].method.as_str(), &seen[0].body, &seen[0].headers),
        ("POST", &seen[1].body, &seen[1].headers)
    );
    let streams = client.post(URL).body(Body::streaming(http_body_util::Full::new(bytes::Bytes::from("x"))));
    assert!(streams.try_clone().is_none());
    assert!(client.get("no url").try_clone().is_none());
}
