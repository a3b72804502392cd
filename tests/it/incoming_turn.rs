//! A server in an overload: what waited too long is refused when its turn comes, and the rest is done in time.

use crate::support::*;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_layer::Layer;
use tower_service::Service;
use unwedge::deadline::{Incoming, IncomingLayer, turn};
use unwedge::{Deadline, within};

type Answer = Response<Full<Bytes>>;

/// Four places and 10 ms of work: 400 requests a second are all that can be done.
const PLACES: usize = 4;
const WORK: Duration = Duration::from_millis(10);
const CAPACITY: u32 = 400;

fn done(status: StatusCode) -> Answer {
    Response::builder().status(status).body(Full::default()).unwrap()
}

fn waiting(ms: u64) -> Request<()> {
    Request::builder().header("x-request-timeout-ms", ms).body(()).unwrap()
}

/// 600 requests a second for 20 s, each with a caller that waits 2 s; how many were done in time in each 5 s.
async fn overloaded<S>(service: S) -> [u32; 4]
where
    S: Service<Request<()>, Response = Answer, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let served: Arc<[AtomicU32; 4]> = Arc::default();
    let start = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..12_000u32 {
        tokio::time::sleep_until(start + n * SECOND / 600).await;
        let (service, served) = (service.clone(), Arc::clone(&served));
        callers.spawn(async move {
            let answer = tokio::time::timeout(2 * SECOND, service.oneshot(waiting(2000))).await;
            let slot = (start.elapsed().as_secs() / 5) as usize;
            if answer.is_ok_and(|answer| answer.unwrap().status() == 200) && slot < 4 {
                served[slot].fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    callers.join_all().await;
    std::array::from_fn(|n| served[n].load(Ordering::Relaxed))
}

fn is_well_used(served: [u32; 4]) -> bool {
    served.iter().all(|n| n * 100 >= 95 * 5 * CAPACITY)
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_asks_for_its_turn_does_what_it_can_in_an_overload() {
    let serve = |asks: bool| {
        let places = Arc::new(Semaphore::new(PLACES));
        IncomingLayer::default().layer(service_fn(move |_: Request<()>| {
            let places = Arc::clone(&places);
            async move {
                let _place = places.acquire().await.expect("never closed");
                if asks && turn().is_err() {
                    return Ok::<_, Infallible>(done(StatusCode::GATEWAY_TIMEOUT));
                }
                sleep(WORK).await;
                Ok(done(StatusCode::OK))
            }
        }))
    };
    let served = overloaded(serve(true)).await;
    assert!(is_well_used(served), "{served:?}");
    // Beside the same handler that does not ask.
    let served = overloaded(serve(false)).await;
    assert!(!is_well_used(served), "{served:?}");
}

#[tokio::test(start_paused = true)]
async fn a_layer_above_a_service_whose_readiness_is_the_queue_asks_by_itself() {
    let work = service_fn(|_: Request<()>| async {
        sleep(WORK).await;
        Ok::<_, Infallible>(done(StatusCode::OK))
    });
    let limited = ServiceBuilder::new().concurrency_limit(PLACES).service(work);
    let served = overloaded(IncomingLayer::default().layer(limited)).await;
    assert!(is_well_used(served), "{served:?}");
}

#[tokio::test(start_paused = true)]
async fn a_second_layer_behind_a_queue_asks_when_it_is_called() {
    let places = Arc::new(Semaphore::new(PLACES));
    let work = IncomingLayer::default().layer(service_fn(|_: Request<()>| async {
        sleep(WORK).await;
        Ok::<_, Infallible>(done(StatusCode::OK))
    }));
    let queue = service_fn(move |request: Request<()>| {
        let (places, work) = (Arc::clone(&places), work.clone());
        async move {
            let _place = places.acquire().await.expect("never closed");
            work.oneshot(request).await
        }
    });
    let served = overloaded(IncomingLayer::default().layer(queue)).await;
    assert!(is_well_used(served), "{served:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_the_handler_is_marked_so_that_nobody_repeats_it() {
    let layer = IncomingLayer::new(Incoming::default().refuse_below(20 * MS)).unwrap();
    let handler = |answers: StatusCode| {
        service_fn(move |_: Request<()>| async move {
            sleep(990 * MS).await;
            let error = turn().expect_err("10 ms are less than 20");
            assert!(error.is_deadline() && error.to_string().contains("10 ms"), "{error}");
            Ok::<_, Infallible>(done(answers))
        })
    };
    let late = layer.layer(handler(StatusCode::GATEWAY_TIMEOUT)).oneshot(waiting(1000)).await.unwrap();
    assert_eq!(late.headers()["x-request-late"], "refused; left-ms=10; least-ms=20");
    let own = layer.layer(handler(StatusCode::TOO_MANY_REQUESTS)).oneshot(waiting(1000)).await.unwrap();
    assert!(!own.headers().contains_key("x-request-late"), "an answer of the handler's own stays as it is");
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_without_a_queue_refuses_nobody() {
    // A long poll that has only ever answered after 50 s, and now has news after 5.
    let takes = Arc::new(AtomicU32::new(50));
    let slow = Arc::clone(&takes);
    let service = IncomingLayer::default().layer(service_fn(move |_: Request<()>| {
        let takes = slow.load(Ordering::Relaxed);
        async move {
            sleep(takes * SECOND).await;
            Ok::<_, Infallible>(done(StatusCode::OK))
        }
    }));
    assert_eq!(service.clone().oneshot(waiting(60_000)).await.unwrap().status(), 200);
    takes.store(5, Ordering::Relaxed);
    assert_eq!(service.oneshot(waiting(30_000)).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn time_spent_in_front_of_a_layer_is_not_given_back_by_its_header() {
    let inner = IncomingLayer::default().layer(service_fn(|_: Request<()>| async {
        assert_eq!(Deadline::current().map(Deadline::remaining), Some(600 * MS));
        Ok::<_, Infallible>(done(StatusCode::OK))
    }));
    let queue = service_fn(move |request: Request<()>| {
        let inner = inner.clone();
        async move {
            sleep(400 * MS).await;
            // What a worker behind a queue has: the request, and no scope.
            Deadline::detached(inner.oneshot(request)).await
        }
    });
    let answer = IncomingLayer::default().layer(queue).oneshot(waiting(1000)).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_scope_without_a_layer_has_turns_too() {
    assert!(turn().is_ok());
    within(SECOND, async {
        assert!(turn().is_ok());
    })
    .await
    .unwrap();
}
