//! The moment at which a request is handed to its connection: what comes before it is no silence of the server, and who
//! comes late to it has the time of an attempt all the same.

use super::slots::{at, limited};
use super::*;
use crate::health::{self, Mode};
use crate::{Collect, ErrorKind, Limits, LongPoll, Phase, breaker, retry};
use futures_util::StreamExt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::{Instant, sleep, timeout};

const POLL: LongPoll = LongPoll::because("a test parks it");

/// Results that count against the server, or hangs and overdue calls, which a run alone counts.
fn failures(client: &Client) -> u64 {
    let circuit = client.breakers().snapshot().remove(0);
    circuit.failures.max(circuit.consecutive_failures.into())
}

fn at_most(connections: usize) -> Network {
    Network::default().connections(Connections::default().per_origin(connections))
}

/// One connection of one stream, and none that could be opened beside it.
fn one_stream() -> (ClientBuilder, Arc<AtomicU32>) {
    let dials = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&dials);
    let dial = tower::service_fn(move |_: http::Uri| {
        let number = counting.fetch_add(1, Ordering::Relaxed);
        async move {
            sleep(10 * MS).await;
            if number > 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
            }
            let (near, far) = tokio::io::duplex(64 * 1024);
            #[expect(clippy::disallowed_methods, reason = "its owner is the runtime of the test")]
            tokio::task::spawn(limited(far, 1));
            Ok(TokioStream::new(near))
        }
    });
    (Client::builder().network(Network::default().http2_only()).connector(dial), dials)
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_beside_which_no_connection_can_be_opened_ends_with_its_hold() {
    let (client, dials) = one_stream();
    let client = client.retry(retry::Settings::default().max_retries(0)).build().unwrap();
    let parked = Beside::new(client.get(at("/poll")).extension(POLL.up_to(600 * SEC)).send());
    sleep(SEC).await;
    let start = Instant::now();
    let poll = client.get(at("/poll")).extension(POLL.up_to(10 * SEC)).send();
    let error = timeout(120 * SEC, poll).await.expect("its hold, and five seconds").unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Attempt, 15 * SEC), "{error}");
    assert!(dials.load(Ordering::Relaxed) > 5, "it went on to try");
    assert_eq!(failures(&client), 0);
    drop(parked);
}

#[tokio::test(start_paused = true)]
async fn a_call_beside_which_no_connection_can_be_opened_has_the_time_of_its_attempt_and_is_no_evidence() {
    let (client, _) = one_stream();
    let limits = Limits::default().total(60 * SEC).attempt(8 * SEC);
    let client = client.limits(limits).retry(retry::Settings::default().max_retries(0)).build().unwrap();
    let own = crate::CallOptions::new().attempt(50 * SEC);
    let parked = Beside::new(client.get(at("/poll")).options(own).send());
    sleep(SEC).await;
    let start = Instant::now();
    let error = client.post(at("/jobs")).body("job").await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Attempt, 8 * SEC), "{error}");
    assert!(error.to_string().contains("no connection had room for the request"), "{error}");
    assert_eq!(failures(&client), 0);
    drop(parked);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_for_its_connection_has_the_whole_time_of_an_attempt_from_the_hand_over_on() {
    let peer = Peer::new().forever(Reply::ok("ok").after(3 * SEC));
    let client = piped(&peer).network(at_most(1)).limits(Limits::default().attempt(4 * SEC)).build().unwrap();
    let start = Instant::now();
    let first = Beside::new(client.get(URL).send());
    sleep(MS).await;
    let second = client.post(URL).body("job").await.unwrap();
    assert_eq!((second.attempts().count, failures(&client)), (1, 0));
    assert!((6 * SEC..6 * SEC + 10 * MS).contains(&start.elapsed()), "{:?}", start.elapsed());
    first.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_polled_again_when_their_attempt_would_be_over_are_sent_and_answered() {
    let peer = Peer::new().forever(Reply::ok("ok").after(200 * MS));
    let client = Client::builder().pipe(peer.pipe().connect_takes(SEC)).build().unwrap();
    client.get(URL).await.unwrap();
    let calls = (0..10).map(|_| client.post(URL).body("job").send());
    let mut answers = futures_util::stream::iter(calls).buffer_unordered(10);
    let mut good = 0;
    while let Some(answer) = answers.next().await {
        assert_eq!(answer.unwrap().attempts().count, 1);
        good += 1;
        // The first is answered on the connection that is there, while the others connect.
        sleep(12 * SEC).await;
    }
    assert_eq!((good, peer.request_count(), failures(&client)), (10, 11, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_polled_late_and_then_not_answered_ends_with_its_attempt() {
    let peer = Peer::new().forever(Reply::hang());
    let client = Client::builder().pipe(peer.pipe().connect_takes(SEC)).build().unwrap();
    let mut call = pin!(client.post(URL).body("job").send().into_future());
    assert!(timeout(MS, &mut call).await.is_err());
    sleep(12 * SEC).await;
    let sent = Instant::now();
    let error = call.await.unwrap_err();
    assert_eq!((error.kind(), sent.elapsed()), (ErrorKind::Attempt, 10 * SEC), "{error}");
    assert_eq!((error.attempts(), failures(&client)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_a_connection_of_their_own_pool_are_not_overdue() {
    let peer = Peer::new().on("/stream", Reply::headers_then_hang()).forever(Reply::ok("ok"));
    let settings = breaker::Settings::default().overdue_after(3 * SEC);
    let client = piped(&peer).network(at_most(1)).breaker(settings).build().unwrap();
    let stream = client.get(at("/stream")).collect(Collect::never()).send().await.unwrap();
    let calls: Vec<_> = (0..6).map(|_| Beside::new(client.get(URL).send())).collect();
    sleep(5 * SEC).await;
    assert!(client.in_flight().snapshot().iter().skip(1).all(|call| call.phase == Phase::Ready));
    assert_eq!((client.breakers().snapshot()[0].phase, failures(&client)), (breaker::Phase::Closed, 0));
    drop(stream);
    for call in calls {
        assert_eq!(call.ended().await.unwrap().attempts().count, 1);
    }
    assert_eq!(failures(&client), 0);
}

/// Sends another POST beside the first, and answers with what the first gets.
#[derive(Clone)]
struct Shadowed<S>(S);

impl<S> Service<Request<Body>> for Shadowed<S>
where
    S: Service<Request<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shadow = Request::post(request.uri()).body(Body::empty()).unwrap();
        let (first, shadow) = (self.0.call(request), self.0.call(shadow));
        Box::pin(async move {
            let (mut first, mut shadow) = (pin!(first), pin!(shadow));
            poll_fn(|cx| {
                let polled = first.as_mut().poll(cx);
                let _ = shadow.as_mut().poll(cx).is_pending();
                polled
            })
            .await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_that_was_sent_is_not_repeated_because_another_beside_it_waits_for_a_connection() {
    let peer = Peer::new().forever(Reply::hang());
    let client = piped(&peer).network(at_most(1)).attempt_layer(tower::layer::layer_fn(Shadowed));
    let client = client.limits(Limits::default().attempt(4 * SEC)).build().unwrap();
    let call = Beside::new(client.post(URL).body("job").send());
    sleep(SEC).await;
    assert_eq!(client.in_flight().snapshot()[0].phase, Phase::Headers);
    let error = call.ended().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Attempt, 1), "{error}");
    assert_eq!((peer.request_count(), failures(&client)), (1, 1));
}

/// A client of one connection that checks; its connection is taken by a download, and its verdict is old.
async fn taken(health: impl Into<health::Settings>, peer: &Peer) -> (Client, Response) {
    let client = piped(peer).network(at_most(1)).health(health).build().unwrap();
    client.get(URL).await.unwrap();
    let download = client.get(at("/download")).collect(Collect::never()).send().await.unwrap();
    sleep(61 * SEC).await;
    (client, download)
}

fn downloads(check: Reply) -> Peer {
    let download = Reply::headers_then_hang();
    Peer::new().on("/health", check).on("/download", download).forever(Reply::ok("ok"))
}

#[tokio::test(start_paused = true)]
async fn a_health_check_that_waits_for_our_own_pool_says_nothing_about_the_origin() {
    let peer = downloads(Reply::ok(""));
    let (client, download) = taken("/health", &peer).await;
    let error = client.get(URL).await.unwrap_err();
    assert!(error.to_string().contains("no connection had room for the check"), "{error}");
    assert_eq!((failures(&client), client.breakers().snapshot()[0].phase), (0, breaker::Phase::Closed));
    drop(download);
    let start = Instant::now();
    assert_eq!(client.get(URL).await.unwrap().attempts().count, 1);
    assert!(start.elapsed() < 10 * MS, "nobody was told that it is down: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn health_checks_that_are_given_up_while_they_wait_for_our_own_pool_are_no_hangs() {
    let peer = downloads(Reply::ok(""));
    let (client, download) = taken("/health", &peer).await;
    for n in 0..6 {
        let wait = 4 * SEC;
        match n % 2 {
            0 => drop(timeout(wait, client.get(URL).send()).await.unwrap_err()),
            _ => drop(crate::within(wait, client.get(URL).send()).await.unwrap().unwrap_err()),
        }
    }
    assert_eq!((failures(&client), client.breakers().snapshot()[0].phase), (0, breaker::Phase::Closed));
    drop(download);
    assert_eq!(client.get(URL).await.unwrap().attempts().count, 1);
}

#[tokio::test(start_paused = true)]
async fn a_health_check_that_waited_for_our_own_pool_has_its_whole_time_from_the_hand_over_on() {
    let peer = downloads(Reply::ok("").after(3 * SEC));
    let (client, download) = taken("/health", &peer).await;
    let call = Beside::new(client.get(URL).send());
    sleep(4 * SEC).await;
    drop(download);
    assert_eq!(call.ended().await.unwrap().attempts().count, 1);
    assert_eq!(failures(&client), 0);
}

#[tokio::test(start_paused = true)]
async fn a_health_check_that_the_server_does_not_answer_still_says_that_it_is_down() {
    let checks = crate::testing::Script::new().then(Reply::ok("")).forever(Reply::hang());
    let peer = Peer::new().on("/health", checks).forever(Reply::ok("ok"));
    let client =
        piped(&peer).health("/health").retry(retry::Settings::default().max_retries(0)).build().unwrap();
    client.get(URL).await.unwrap();
    sleep(31 * SEC).await;
    let error = client.get(URL).await.unwrap_err();
    assert!(error.is_unhealthy() && error.to_string().contains("no answer within 5 s"), "{error}");
    assert_eq!(failures(&client), 1);
}

#[tokio::test(start_paused = true)]
async fn a_check_in_the_background_that_waits_for_our_own_pool_says_nothing_about_the_origin() {
    let peer = downloads(Reply::ok(""));
    let (client, download) = taken(health::Settings::new("/health").mode(Mode::Background), &peer).await;
    sleep(60 * SEC).await;
    assert_eq!((failures(&client), client.breakers().snapshot()[0].phase), (0, breaker::Phase::Closed));
    drop(download);
    let start = Instant::now();
    assert_eq!(client.get(URL).await.unwrap().attempts().count, 1);
    assert!(start.elapsed() < 10 * MS, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_one_of_two_clients_beneath_has_sent_is_not_repeated_since_the_other_connects() {
    let peer = Peer::new().forever(Reply::silent());
    let once = || retry::Settings::default().max_retries(0);
    let sends = piped(&peer).retry(once()).build().unwrap();
    let hangs = tower::service_fn(|_: http::Uri| {
        std::future::pending::<std::io::Result<TokioStream<tokio::io::DuplexStream>>>()
    });
    let hangs = Client::builder().connector(hangs).retry(once()).build().unwrap();
    let both = tower::service_fn(move |request: Request<Body>| {
        let (mut sends, hangs) = (sends.clone(), hangs.clone());
        async move {
            let beside = hangs.get(URL).send();
            futures_util::future::join(sends.call(request), beside).await.0
        }
    });
    let around = crate::StackLayer::builder().limits(Limits::default().attempt(3 * SEC)).build().unwrap();
    let request = Request::post(URL).body(Body::from("job")).unwrap();
    let sent = tower::Layer::layer(&around, both).call(request).await;
    let error = sent.map(drop).unwrap_err();
    assert_eq!((error.attempts(), error.phase()), (1, Some(Phase::Headers)), "{error}");
}
