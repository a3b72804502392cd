//! What closures of the user's say about requests that they did not build, and what they see of them.

use crate::support::*;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;
use unwedge::retry::{Idempotent, Outcome, Repeat};
use unwedge::stack::RequestOptions;
use unwedge::testing::{Peer, Reply};
use unwedge::{CallOptions, Collect, Deadline, Group, Label, LongPoll, StackLayer};

#[tokio::test(start_paused = true)]
async fn a_post_that_nobody_could_mark_is_repeated_where_the_closure_says_so() {
    let peer = Peer::new().then(Reply::status(503)).then(Reply::status(503)).forever(Reply::ok(""));
    let stack_of = exact().for_requests(|head| match head.uri().path() {
        "/search" => RequestOptions::new().idempotent(),
        _ => RequestOptions::new(),
    });
    let service = stack(&peer, &built(stack_of));
    assert_eq!(call(&service, post("/orders")).await.unwrap().status(), 503);
    assert_eq!(call(&service, post("/search")).await.unwrap().status(), 200);
    assert_eq!(asked(&peer), ["POST /orders", "POST /search", "POST /search"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_an_sdk_built_becomes_a_long_poll_with_its_reason() {
    let peer = Peer::new().forever(Reply::ok("").after(50 * SECOND));
    const WATCH: LongPoll = LongPoll::because("a watch waits for changes").up_to(MINUTE);
    let layer = built(exact().for_requests(|head| {
        let watch = head.uri().query().is_some_and(|query| query.contains("watch=true"));
        if watch { RequestOptions::new().long_poll(WATCH) } else { RequestOptions::new() }
    }));
    let service = stack(&peer, &layer);
    let calling = tokio::spawn({
        let service = service.clone();
        async move { call(&service, get("/pods?watch=true")).await }
    });
    tokio::time::sleep(40 * SECOND).await;
    let shown = service.in_flight().snapshot();
    assert_eq!(shown[0].long_poll.as_deref(), Some("a watch waits for changes"));
    assert!(calling.await.unwrap().is_ok(), "beyond the total of 30 s");
    let plain = Instant::now();
    assert!(call(&service, get("/pods")).await.unwrap_err().is_timeout());
    assert_eq!(plain.elapsed(), 30 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_wish_on_the_request_wins_and_options_are_joined() {
    let peer = Peer::new().forever(Reply::hang());
    let layer = built(exact().for_requests(|_| {
        RequestOptions::new()
            .options(CallOptions::new().total(20 * SECOND).attempt(SECOND).retries(0))
            .group("theirs")
            .label(Label::new("theirs"))
            .collect(Collect::never())
    }));
    let service = stack(&peer, &layer);
    let own = CallOptions::new().attempt(3 * SECOND);
    let request = with(with(get("/secret"), own), Group::new("own"));
    let began = Instant::now();
    let error = call(&service, request).await.unwrap_err();
    assert_eq!((began.elapsed(), peer.requests().len()), (3 * SECOND, 1), "own attempt, their retries");
    assert!(error.to_string().contains("[theirs]"), "{error}");
    let groups: Vec<_> = layer.breakers().snapshot().into_iter().filter_map(|b| b.group).collect();
    assert_eq!(groups, [Group::new("own")]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_was_wished_binds_the_call() {
    let peer = Peer::new().forever(Reply::hang());
    let layer = built(exact().for_requests(|_| RequestOptions::new().deadline(Deadline::after(2 * SECOND))));
    let began = Instant::now();
    let error = call(&stack(&peer, &layer), get("/")).await.unwrap_err();
    assert_eq!((began.elapsed(), error.is_deadline()), (2 * SECOND, true));
}

#[tokio::test(start_paused = true)]
async fn impossible_wishes_are_errors_before_anything_is_sent() {
    let peer = Peer::new().forever(Reply::ok(""));
    for wishes in [
        RequestOptions::new().group(""),
        RequestOptions::new().group("x".repeat(65)),
        RequestOptions::new().options(CallOptions::new().idle(std::time::Duration::ZERO)),
        RequestOptions::new().long_poll(LongPoll::because(" ")),
    ] {
        let shown = format!("{wishes:?}");
        let layer = built(exact().for_requests(move |_| wishes.clone()));
        let error = call(&stack(&peer, &layer), get("/")).await.unwrap_err();
        assert!(error.is_config(), "{shown}: {error}");
    }
    assert_eq!(peer.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn group_by_names_the_group_of_what_names_none() {
    let peer = Peer::new().forever(Reply::ok(""));
    let layer = built(exact().group_by(|head| {
        let segment = head.uri().path().split('/').nth(1)?;
        (!segment.is_empty()).then(|| Group::from(segment.to_owned()))
    }));
    let service = stack(&peer, &layer);
    for request in [get("/"), get("/jobs/1"), get("/jobs/2"), with(get("/jobs/3"), Group::new("own"))] {
        call(&service, request).await.unwrap();
    }
    let mut groups: Vec<_> =
        layer.breakers().snapshot().into_iter().map(|b| b.group.map(|g| g.to_string())).collect();
    groups.sort();
    assert_eq!(groups, [None, Some("jobs".to_owned()), Some("own".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn closures_may_call_every_handle_and_a_panic_in_one_leaves_nothing_taken() {
    let peer = Peer::new().forever(Reply::ok(""));
    let seen: Arc<Mutex<Option<StackLayer>>> = Arc::default();
    let layer = StackLayer::builder()
        .for_requests({
            let seen = Arc::clone(&seen);
            move |head| {
                let layer = seen.lock().unwrap().clone().unwrap();
                layer.breakers().snapshot();
                layer.breakers().of(head.uri()).unwrap().snapshot();
                assert!(layer.in_flight().is_empty());
                if head.uri().path() == "/panics" {
                    panic!("in the closure");
                }
                RequestOptions::new()
            }
        })
        .build()
        .unwrap();
    *seen.lock().unwrap() = Some(layer.clone());
    let service = stack(&peer, &layer);
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| drop(call(&service, get("/")))));
    assert!(caught.is_ok(), "nothing is asked before the call is made");
    let panics = tokio::spawn({
        let service = service.clone();
        async move { call(&service, get("/panics")).await }
    });
    assert!(panics.await.unwrap_err().is_panic());
    assert!(layer.in_flight().is_empty());
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 200);
    *seen.lock().unwrap() = None;
}

#[derive(Clone, PartialEq, Debug)]
struct Eventual;

#[tokio::test(start_paused = true)]
async fn a_classifier_sees_method_url_headers_and_extensions_of_each_attempt() {
    let peer = Peer::new().times(2, Reply::status(404)).forever(Reply::ok(""));
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let layer = built(exact().retry(at_once().classify({
        let told = Arc::clone(&told);
        move |request, outcome| {
            let eventual = request.extensions().get::<Eventual>().is_some();
            let accept = request.headers().get("accept").and_then(|v| v.to_str().ok()).unwrap_or("-");
            let line = format!("{} {} {accept} {eventual}", request.method(), request.uri());
            told.lock().unwrap().push(line);
            match outcome {
                Outcome::Head(head) if head.status == 404 && eventual => {
                    let mut class = outcome.class();
                    class.repeat = Repeat::IfIdempotent;
                    Some(class)
                }
                _ => None,
            }
        }
    })));
    let service = stack(&peer, &layer);
    let mut request = with(get("/jobs/7?x=1"), Eventual);
    request.headers_mut().insert("accept", "text/plain".parse().unwrap());
    assert_eq!(call(&service, request).await.unwrap().status(), 200);
    assert_eq!(
        *told.lock().unwrap(),
        ["GET http://peer.test/jobs/7?x=1 text/plain true"; 3],
        "the same request, three times"
    );
    let other = Peer::new().forever(Reply::status(404));
    assert_eq!(call(&stack(&other, &layer), get("/jobs/7")).await.unwrap().status(), 404);
    assert_eq!(other.requests().len(), 1, "only what is marked is repeated");
}

#[tokio::test(start_paused = true)]
async fn options_and_wishes_go_along_on_a_redirect() {
    let (a, b) = (Peer::new().forever(moved(307, "http://b/")), Peer::new().forever(Reply::hang()));
    let client = between(&a, &b);
    let began = Instant::now();
    let options = CallOptions::new().total(4 * SECOND).attempt(SECOND).retries(1);
    let sent = client.get("http://a/").options(options).extension(Idempotent).send();
    assert!(sent.await.unwrap_err().is_timeout());
    assert!(began.elapsed() <= 4 * SECOND, "{:?}", began.elapsed());
    assert_eq!(b.requests().len(), 2);
}
