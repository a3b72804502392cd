//! Bodies that are handed over while they stream: bounded to their last byte.

use crate::support::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use tower_service::Service;
use unwedge::stack::{
    AttemptLayer, CircuitBreakerLayer, DeadlineLayer, HealthCheckLayer, RetryLayer, StallLayer,
};
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, Collect, Deadline, ErrorKind, Limits, Phase, StackLayer, breaker, retry, within};

/// A body without end whose length stands above every limit.
fn huge() -> Reply {
    Reply::sized(1 << 40)
}

/// The streamed body of an answer.
async fn body(peer: &Peer, layer: &StackLayer) -> Body {
    let answer = call(&stack(peer, layer), get("/")).await.unwrap();
    assert!(!answer.body().is_collected());
    answer.into_body()
}

/// Reads to the error: how many bytes came, and what ended it.
async fn ended(mut body: Body) -> (usize, unwedge::Error) {
    let mut bytes = 0;
    loop {
        match piece(&mut body).await.expect("it has no end of its own") {
            Ok(data) => bytes += data.len(),
            Err(error) => {
                assert!(piece(&mut body).await.is_none(), "an error is the last that comes");
                return (bytes, error);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drip_just_above_the_idle_bound_is_ended_by_the_stream_limit_and_not_before() {
    let peer = Peer::new().forever(huge().drip(1, 9999 * MS));
    let layer = StackLayer::default();
    let start = Instant::now();
    let (bytes, error) = ended(body(&peer, &layer).await).await;
    assert_eq!((bytes, start.elapsed()), (60, 10 * MINUTE));
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Deadline, Some(Phase::Body)));
    assert_eq!(
        error.to_string(),
        "GET http://peer.test/: the response body was still streaming after 10 m (stream limit), \
         60 bytes received (attempt 1 of 4)"
    );
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 0, "it flowed to the end");
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_always_has_more_ends_at_the_stream_limit_as_well() {
    let layer = built(exact().limits(Limits::default().stream(30 * SECOND)));
    let peer = Peer::new().forever(huge().drip(16 * 1024, SECOND));
    let mut body = body(&peer, &layer).await;
    let start = Instant::now();
    let error = loop {
        // A consumer that is busy between two pieces: there is always something for it.
        sleep(1500 * MS).await;
        if let Err(error) = piece(&mut body).await.unwrap() {
            break error;
        }
    };
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Deadline, 30 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_stall_and_a_failure_of_the_origin() {
    let peer = Peer::new().forever(huge().drip(100, SECOND).hang_after(300));
    let layer = StackLayer::default();
    let start = Instant::now();
    let (bytes, error) = ended(body(&peer, &layer).await).await;
    assert_eq!((bytes, start.elapsed()), (300, 13 * SECOND));
    assert!(error.is_stall());
    let said =
        "GET http://peer.test/: the response body stalled: no byte for 10 s after 300 bytes (attempt 1 of 4)";
    assert_eq!(error.to_string(), said);
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 1);
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_comes_late_finds_its_bytes_and_no_error() {
    let peer = Peer::new().forever(Reply::sized(2 << 20));
    let layer = StackLayer::default();
    let mut body = body(&peer, &layer).await;
    let mut bytes = 0;
    loop {
        sleep(MINUTE / 2).await;
        match piece(&mut body).await {
            Some(Ok(data)) => bytes += data.len(),
            Some(Err(error)) => panic!("{error}"),
            None => break,
        }
        if bytes > 1 << 20 {
            bytes += piece_by_piece(&mut body).await;
            break;
        }
    }
    assert_eq!(bytes, 2 << 20);
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 0);
}

async fn piece_by_piece(body: &mut Body) -> usize {
    let mut bytes = 0;
    while let Some(data) = piece(body).await {
        bytes += data.unwrap().len();
    }
    bytes
}

#[tokio::test(start_paused = true)]
async fn a_late_consumer_gives_the_body_its_full_idle_bound_again() {
    let peer = Peer::new().forever(huge().hang_after(100));
    let mut body = body(&peer, &StackLayer::default()).await;
    sleep(MINUTE).await;
    assert_eq!(piece(&mut body).await.unwrap().unwrap().len(), 100);
    sleep(MINUTE).await;
    let start = Instant::now();
    assert!(piece(&mut body).await.unwrap().unwrap_err().is_stall());
    assert_eq!(start.elapsed(), 10 * SECOND, "counted from when somebody waits");
}

#[tokio::test(start_paused = true)]
async fn the_total_of_the_call_does_not_bind_a_stream() {
    let peer = Peer::new().forever(Reply::sized(2_000_000).drip(16_384, SECOND));
    let start = Instant::now();
    let read = body(&peer, &StackLayer::default()).await.bytes(u64::MAX).await.unwrap();
    assert_eq!((read.len(), start.elapsed()), (2_000_000, 123 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_request_binds_to_the_last_byte() {
    let peer = Peer::new().forever(huge().drip(1, SECOND / 2));
    let request = with(get("/"), Deadline::after(40 * SECOND));
    let layer = StackLayer::default();
    let start = Instant::now();
    let answer = call(&stack(&peer, &layer), request).await.unwrap();
    let (bytes, error) = ended(answer.into_body()).await;
    assert_eq!((bytes, error.kind(), start.elapsed()), (79, ErrorKind::Deadline, 40 * SECOND));
    assert_eq!(
        error.to_string(),
        "GET http://peer.test/: the response body was not complete after 40 s, 79 bytes received \
         (deadline; attempt 1 of 4)"
    );
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_scope_binds_a_stream_that_was_begun_in_it_also_when_it_is_read_outside() {
    let peer = Peer::new().forever(huge().drip(1, SECOND / 2));
    let layer = StackLayer::default();
    let start = Instant::now();
    let body = within(5 * SECOND, body(&peer, &layer)).await.unwrap();
    let (_, error) = ended(body).await;
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Deadline, 5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_read_inside_another_scope_ends_with_that_scope() {
    let peer = Peer::new().forever(huge().drip(1, SECOND / 2));
    let body = body(&peer, &StackLayer::default()).await;
    let start = Instant::now();
    assert!(within(5 * SECOND, ended(body)).await.unwrap_err().is_deadline());
    assert_eq!(start.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_least_progress_binds_a_stream_too() {
    let limits = Limits::default().min_progress(1000, 6 * SECOND);
    let layer = built(exact().limits(limits));
    let peer = Peer::new().forever(huge().drip(100, SECOND));
    let start = Instant::now();
    let (bytes, error) = ended(body(&peer, &layer).await).await;
    assert!(error.is_stall());
    assert_eq!((bytes, start.elapsed()), (500, 6 * SECOND));
    let said = "the response body is too slow: less than 1000 bytes in 6 s, after 500 bytes";
    assert!(error.to_string().contains(said), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_listed_while_it_runs_and_gone_when_it_ends_or_is_dropped() {
    let layer = StackLayer::default();
    let peer = Peer::new().forever(huge().drip(100, SECOND));
    let mut streamed = body(&peer, &layer).await;
    sleep(3 * SECOND).await;
    piece(&mut streamed).await.unwrap().unwrap();
    let listed = layer.in_flight().snapshot();
    assert_eq!((listed.len(), listed[0].phase, listed[0].age), (1, Phase::Body, 3 * SECOND));
    drop(streamed);
    assert!(layer.in_flight().is_empty());
    assert_eq!(layer.breakers().snapshot()[0].consecutive_failures, 0);

    let peer = Peer::new().forever(Reply::sized(3 << 20));
    let body = body(&peer, &layer).await;
    assert_eq!(layer.in_flight().len(), 1);
    body.bytes(u64::MAX).await.unwrap();
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_download_that_is_never_collected_keeps_its_bounds() {
    let peer = Peer::new().forever(Reply::sized(100).hang_after(10));
    let request = with(get("/"), Collect::never());
    let start = Instant::now();
    let answer = call(&stack(&peer, &built(exact())), request).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let (bytes, error) = ended(answer.into_body()).await;
    assert_eq!((bytes, error.kind(), start.elapsed()), (10, ErrorKind::Stall, 10 * SECOND));
}

/// A stream of 2 h.
fn two_hours() -> Peer {
    Peer::new().on("/health", Reply::ok("")).forever(Reply::sized(3_000_000).drip(1000, 2400 * MS))
}

#[tokio::test(start_paused = true)]
async fn a_part_that_bounds_neither_calls_nor_bodies_lets_a_stream_of_two_hours_pass() {
    async fn passes<S>(service: S)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<Body>, Error = unwedge::Error> + Clone,
    {
        let start = Instant::now();
        let (status, body) = whole(call(&service, get("/")).await).await.unwrap();
        assert_eq!((status, body.len(), start.elapsed()), (200, 3_000_000, 120 * MINUTE));
    }
    let peer = two_hours();
    passes(RetryLayer::new(retry::Settings::default()).unwrap().layer(plain(&peer))).await;
    passes(CircuitBreakerLayer::new(breaker::Settings::default()).unwrap().layer(plain(&peer))).await;
    passes(HealthCheckLayer::new("/health").unwrap().layer(plain(&peer))).await;
    passes(AttemptLayer::new(SECOND).unwrap().layer(plain(&peer))).await;
    let long = Limits::default().stream(121 * MINUTE);
    passes(StallLayer::new(long.clone()).unwrap().layer(plain(&peer))).await;
    passes(DeadlineLayer::with_limits(long).unwrap().layer(plain(&peer))).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_limit_ends_it_there_whatever_stands_above_or_below() {
    async fn ends<S>(service: S)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<Body>, Error = unwedge::Error> + Clone,
    {
        let start = Instant::now();
        let (bytes, error) = ended(call(&service, get("/")).await.unwrap().into_body()).await;
        assert_eq!((bytes, start.elapsed()), (2_249_000, 90 * MINUTE));
        assert!(error.to_string().contains("still streaming after 1 h 30 m (stream limit)"), "{error}");
    }
    let peer = two_hours();
    let limits = Limits::default().stream(90 * MINUTE);
    let stall = StallLayer::new(limits.clone()).unwrap();
    let deadline = DeadlineLayer::with_limits(limits).unwrap();
    let retry = RetryLayer::new(retry::Settings::default()).unwrap();
    let breaker = CircuitBreakerLayer::new(breaker::Settings::default()).unwrap();
    let health = HealthCheckLayer::new("/health").unwrap();
    let attempt = AttemptLayer::new(SECOND).unwrap();
    ends(stall.layer(plain(&peer))).await;
    ends(deadline.layer(plain(&peer))).await;
    ends(retry.layer(breaker.layer(health.layer(attempt.layer(stall.layer(plain(&peer))))))).await;
    ends(deadline.layer(retry.layer(breaker.layer(health.layer(attempt.layer(plain(&peer))))))).await;
    ends(deadline.layer(stall.layer(plain(&peer)))).await;
    let snapshot = &breaker.breakers().snapshot()[0];
    assert_eq!(snapshot.failures, 0, "a limit of ours beneath is no failure of the server");
}

/// A body of which nothing ever comes.
struct Silent;

impl http_body::Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// On the real clock: it is about the moment between two readings of it.
#[test]
fn a_timer_that_fires_a_moment_before_the_clock_was_read_keeps_no_thread() {
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let settings = breaker::Settings::default().failures(u32::MAX).overdue_after(3 * MS);
        let layer = StackLayer::builder().breaker(settings).build().unwrap();
        let inner = tower::service_fn(|_: Request<Full<Bytes>>| {
            std::future::ready(Ok::<_, Infallible>(Response::new(Silent)))
        });
        let service = layer.layer(inner);
        let busy = async move {
            for _ in 0..100 {
                let mut body = call(&service, with(get("/"), Collect::never())).await.unwrap().into_body();
                let until = Instant::now() + 5 * MS;
                let polls = std::future::poll_fn(|cx| {
                    while Instant::now() < until {
                        let mut body = Pin::new(&mut body);
                        assert!(http_body::Body::poll_frame(body.as_mut(), cx).is_pending());
                    }
                    Poll::Ready(())
                });
                tokio::task::unconstrained(polls).await;
            }
        };
        runtime.block_on(async { tokio::spawn(busy).await.unwrap() });
        done.send(()).unwrap();
    });
    finished.recv_timeout(30 * SECOND).expect("a poll that returns");
}
