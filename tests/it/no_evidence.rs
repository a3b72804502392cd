//! What is nobody's fault: repeated at once and free, once in a call, and recorded as nothing.

use crate::support::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use unwedge::client::Network;
use unwedge::testing::{Peer, Reply, Script};
use unwedge::{Client, StackLayer};

/// A client that speaks HTTP/2 to this peer and waits a second before each repetition that is not free.
fn over_http2(peer: &Peer) -> Client {
    let client = client(peer).network(Network::default().http2_only());
    client.retry(every(SECOND)).build().expect("settings that fit together")
}

/// Calls and failures as the only breaker counted them.
fn counted(breakers: &unwedge::stack::Breakers) -> (u64, u64) {
    let seen = breakers.snapshot().remove(0);
    (seen.calls, seen.failures)
}

#[tokio::test(start_paused = true)]
async fn a_post_on_a_refused_stream_goes_out_at_once_on_another_connection_and_nothing_is_recorded() {
    let peer = Peer::new().on("/jobs", Script::new().then(Reply::refuse()).forever(Reply::ok("x")));
    let client = over_http2(&peer);
    let start = Instant::now();
    let answer = client.post("http://peer.test/jobs").body("job").send().await.unwrap();
    assert_eq!((answer.attempts().count, start.elapsed()), (2, Duration::ZERO));
    assert_eq!((peer.request_count(), peer.connections()), (2, 2));
    assert_eq!(counted(&client.breakers()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_every_stream_is_asked_ever_later_and_fails_from_the_second_time_on() {
    let peer = Peer::new().on("/jobs", Reply::refuse());
    let client = over_http2(&peer);
    let start = Instant::now();
    let error = client.get("http://peer.test/jobs").send().await.unwrap_err();
    assert_eq!((error.attempts(), peer.request_count()), (5, 5), "the free one and three retries");
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_eq!(counted(&client.breakers()), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_misdirected_post_goes_out_once_more_at_once_on_a_fresh_connection() {
    for http2 in [false, true] {
        let peer = Peer::new().then(Reply::status(421)).forever(Reply::ok("x"));
        let client = if http2 { over_http2(&peer) } else { client(&peer).build().unwrap() };
        let start = Instant::now();
        let answer = client.post("http://peer.test/").body("job").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.attempts().count), (200, 2), "{http2}");
        assert_eq!((start.elapsed(), peer.connections()), (Duration::ZERO, 2), "{http2}");
        assert_eq!(counted(&client.breakers()), (1, 0), "{http2}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_two_connections_call_misdirected_is_answered_with_that() {
    let peer = Peer::new().forever(Reply::status(421).body("not here"));
    let layer = exact().build().unwrap();
    let answer = call(&stack(&peer, &layer), get("/")).await;
    assert_eq!(whole(answer).await.unwrap(), (421, "not here".into()));
    assert_eq!((peer.request_count(), counted(&layer.breakers())), (2, (1, 1)));
}

/// The second call on a connection is a POST that gets this: its status, its attempts, and what was counted.
async fn second_post(reply: Reply, first: Reply) -> (u16, u32, (u64, u64)) {
    let peer = Peer::new().then(first).then(reply).forever(Reply::ok("x"));
    let layer = exact().retry(every(SECOND)).build().unwrap();
    let service = stack(&peer, &layer);
    call(&service, get("/")).await.unwrap();
    let answer = call(&service, post("/")).await.unwrap();
    (answer.status().as_u16(), answer.body().attempts().count, counted(&layer.breakers()))
}

#[tokio::test(start_paused = true)]
async fn a_408_at_the_end_of_an_idle_connection_crossed_the_request_and_is_repeated_whatever_its_method() {
    let kept = || Reply::ok("1");
    let closing = || Reply::status(408).closing();
    assert_eq!(second_post(closing(), kept()).await, (200, 2, (2, 0)));
    assert_eq!(second_post(closing().after(SECOND), kept()).await, (200, 2, (2, 0)));
    let failed = (408, 1, (2, 1));
    assert_eq!(second_post(closing(), kept().closing()).await, failed, "on a fresh connection");
    assert_eq!(second_post(closing().after(SECOND + MS), kept()).await, failed, "it waited for this request");
    assert_eq!(second_post(Reply::status(408), kept()).await, failed, "the connection goes on");
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_went_stale_costs_each_call_one_repetition_and_no_post_is_sent_twice() {
    let peer = Peer::new().forever(Reply::ok("x").after(MS).stale_on_next());
    let client = client(&peer).retry(every(SECOND).max_retries(1)).build().unwrap();
    let calls: Vec<_> = (0..12).map(|_| client.get("http://peer.test/").send()).collect();
    let mut crowd = tokio::task::JoinSet::new();
    calls.into_iter().for_each(|call| drop(crowd.spawn(call)));
    crowd.join_all().await.into_iter().for_each(|answer| assert_eq!(answer.unwrap().status(), 200));
    assert_eq!(peer.connections(), 12);
    for n in 1..=3 {
        let start = Instant::now();
        let answer = client.get("http://peer.test/").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.attempts().count), (200, 2));
        assert_eq!(
            (start.elapsed(), peer.connections()),
            (MS, 12 + n),
            "at once, on a connection of its own"
        );
    }
    let before = peer.request_count();
    let error = client.post("http://peer.test/").body("job").send().await.unwrap_err();
    assert_eq!((error.attempts(), peer.request_count() - before), (1, 1), "it had reached the wire");
    assert_eq!(counted(&client.breakers()), (15, 0));
}

/// Ends as this script says: `true` for an answer, `false` for a reset that nobody knows more of.
fn scripted(script: &'static [bool]) -> (impl Fn(StackLayer) -> Scripted, Arc<AtomicU32>) {
    let turn = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&turn);
    let inner = move |_: Request<Full<Bytes>>| {
        let well = script.get(counting.fetch_add(1, Ordering::Relaxed) as usize).copied().unwrap_or(true);
        std::future::ready(match well {
            true => Ok(Response::new(Full::<Bytes>::default())),
            false => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        })
    };
    let inner: Inner = Arc::new(inner);
    (move |layer: StackLayer| layer.layer(Shared(Arc::clone(&inner))), turn)
}

type Answer = std::future::Ready<io::Result<Response<Full<Bytes>>>>;
type Inner = Arc<dyn Fn(Request<Full<Bytes>>) -> Answer + Send + Sync>;
type Scripted = unwedge::Stack<Shared>;

#[derive(Clone)]
struct Shared(Inner);

impl tower_service::Service<Request<Full<Bytes>>> for Shared {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Answer {
        (self.0)(request)
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_may_be_one_of_a_stale_connection_is_no_evidence_while_the_origin_is_heard() {
    let (over, sent) = scripted(&[true, false, true, false, false, true, false]);
    let layer = exact().retry(every(100 * MS)).build().unwrap();
    let service = over(layer.clone());
    call(&service, get("/")).await.unwrap();

    sleep(900 * MS).await;
    let start = Instant::now();
    let answer = call(&service, get("/")).await.unwrap();
    assert_eq!((answer.body().attempts().count, start.elapsed()), (2, Duration::ZERO));
    assert_eq!(counted(&layer.breakers()), (2, 0));

    let answer = call(&service, get("/")).await.unwrap();
    assert_eq!((answer.body().attempts().count, start.elapsed()), (3, 100 * MS), "only the first attempt");
    assert_eq!(counted(&layer.breakers()), (4, 1));

    sleep(SECOND + 20 * MS).await;
    let answer = call(&service, get("/")).await.unwrap();
    assert_eq!(answer.body().attempts().count, 2);
    assert_eq!(counted(&layer.breakers()), (6, 2), "nobody has heard of the origin for a second");
    assert_eq!(sent.load(Ordering::Relaxed), 8);
}

#[tokio::test(start_paused = true)]
async fn a_post_whose_connection_may_have_been_stale_is_not_repeated_and_no_evidence() {
    let (over, sent) = scripted(&[true, false]);
    let layer = exact().build().unwrap();
    let service = over(layer.clone());
    call(&service, get("/")).await.unwrap();
    call(&service, post("/")).await.unwrap_err();
    assert_eq!((sent.load(Ordering::Relaxed), counted(&layer.breakers())), (2, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_classifier_that_calls_it_a_failure_has_its_will() {
    use unwedge::retry::{Evidence, Outcome, Repeat};
    let peer = Peer::new().forever(Reply::status(421));
    let strict = exact().retry(at_once().classify(|_, outcome| match outcome {
        Outcome::Head(head) if head.status == 421 => {
            let mut class = outcome.class();
            (class.repeat, class.evidence) = (Repeat::Never, Evidence::Failure);
            Some(class)
        }
        _ => None,
    }));
    let layer = strict.build().unwrap();
    assert_eq!(call(&stack(&peer, &layer), get("/")).await.unwrap().status(), 421);
    assert_eq!((peer.request_count(), counted(&layer.breakers())), (1, (1, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_date_of_retry_after_is_a_wait_from_the_date_of_its_response() {
    let far = ["Fri, 31 Dec 1999 23:59:56 GMT", "Fri, 31 Dec 2179 23:59:56 GMT"];
    for (date, after) in
        [(far[0], "Fri, 31 Dec 1999 23:59:59 GMT"), (far[1], "Fri, 31 Dec 2179 23:59:59 GMT")]
    {
        let busy = Reply::status(503).header("date", date).retry_after(after);
        let peer = Peer::new().then(busy).forever(Reply::ok("x"));
        let answer = call(&stack(&peer, &built(exact())), get("/")).await.unwrap();
        let waited = peer.requests()[1].at;
        assert_eq!(answer.status(), 200);
        assert!((3 * SECOND..=3300 * MS + MS).contains(&waited), "{date}: {waited:?}");
    }
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_lack_of_descriptors_is_this_machines_fault_also_where_a_service_says_it_without_its_phase() {
    let lacks: [fn() -> io::Error; 3] = [
        || io::Error::from_raw_os_error(24),
        || io::Error::from_raw_os_error(23),
        || io::ErrorKind::AddrNotAvailable.into(),
    ];
    for lack in lacks {
        let sent = Arc::new(AtomicU32::new(0));
        let inner = tower::service_fn({
            let sent = Arc::clone(&sent);
            move |_: Request<Full<Bytes>>| {
                sent.fetch_add(1, Ordering::Relaxed);
                async move { Err::<Response<Full<Bytes>>, io::Error>(lack()) }
            }
        });
        let layer = StackLayer::builder().retry(every(SECOND)).build().unwrap();
        let error = call(&layer.layer(inner), post("/")).await.unwrap_err();
        assert_eq!((error.kind(), sent.load(Ordering::Relaxed)), (unwedge::ErrorKind::Connect, 4), "{error}");
        let said = error.to_string();
        assert!(said.contains("this machine") || said.contains("this process"), "{said}");
        assert_eq!(counted(&layer.breakers()), (0, 0), "{said}");
    }
}
