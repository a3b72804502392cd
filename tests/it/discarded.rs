//! A response that is thrown away: read to its end where that is cheap, otherwise its connection goes with it.

use crate::support::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::Full;
use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::service_fn;
use tower_layer::Layer;
use unwedge::StackLayer;
use unwedge::testing::{Peer, Reply};

/// The requests that a call sends when its first answer is this one: time and connection of the second.
async fn second(first: Reply, wait: Duration) -> (Duration, u64) {
    let peer = Peer::new().then(first).forever(Reply::ok("x"));
    let service = stack(&peer, &built(StackLayer::builder().retry(every(wait))));
    assert_eq!(call(&service, get("/")).await.unwrap().status(), 200);
    let requests = peer.requests();
    assert_eq!((requests.len(), requests[0].connection), (2, 1));
    (requests[1].at, requests[1].connection)
}

fn bad(body: usize) -> Reply {
    Reply::status(503).body("x".repeat(body))
}

#[tokio::test(start_paused = true)]
async fn a_small_one_is_read_and_its_connection_used_again() {
    for reply in [bad(0), bad(10), bad(4096), bad(10).chunked()] {
        assert_eq!(second(reply.clone(), Duration::ZERO).await, (Duration::ZERO, 1), "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_above_four_kilobytes_is_dropped_with_its_connection() {
    for reply in [bad(64 << 10), bad(1 << 20), bad(64 << 10).chunked()] {
        assert_eq!(second(reply, Duration::ZERO).await, (Duration::ZERO, 2));
    }
}

/// A body of frames of one kilobyte without end; counts those that were taken.
struct Endless(Arc<AtomicU32>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; 1024])))))
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_than_four_kilobytes_of_it_are_taken() {
    let taken = Arc::new(AtomicU32::new(0));
    let inner = service_fn({
        let taken = Arc::clone(&taken);
        move |_: Request<Full<Bytes>>| {
            let answer = Response::builder().status(503).body(Endless(Arc::clone(&taken)));
            ready(Ok::<_, Infallible>(answer.unwrap()))
        }
    });
    let retry = every(Duration::ZERO).max_retries(1);
    let service = built(StackLayer::builder().retry(retry)).layer(inner);
    let answer = call(&service, get("/")).await.unwrap();
    assert_eq!(answer.body().attempts().count, 2);
    assert_eq!(taken.load(Ordering::Relaxed), 5, "the fifth goes beyond it; the second answer is untouched");
}

#[tokio::test(start_paused = true)]
async fn one_that_drips_delays_the_next_attempt_by_a_tenth_of_a_second_at_most() {
    let (at, connection) = second(bad(100).drip(1, SECOND), Duration::ZERO).await;
    assert_eq!((at, connection), (100 * MS, 2));
    let (at, connection) = second(bad(4).drip(1, 20 * MS), Duration::ZERO).await;
    assert_eq!((at, connection), (80 * MS, 1), "its end is awaited that long");
    let (at, connection) = second(bad(100).hang_after(10), Duration::ZERO).await;
    assert_eq!((at, connection), (100 * MS, 2));
}

#[tokio::test(start_paused = true)]
async fn a_longer_back_off_is_not_made_longer_by_it() {
    let (at, connection) = second(bad(100).drip(1, SECOND), 2 * SECOND).await;
    assert_eq!((at, connection), (2 * SECOND, 2));
}

#[tokio::test(start_paused = true)]
async fn one_that_breaks_is_no_news() {
    for reply in [bad(100).reset_after(10), bad(100).truncate_after(10)] {
        assert_eq!(second(reply, Duration::ZERO).await, (Duration::ZERO, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn its_connection_is_closed_while_the_back_off_lasts() {
    let peer = Peer::new().then(bad(100).drip(1, SECOND)).forever(Reply::ok("x"));
    let service = stack(&peer, &built(StackLayer::builder().retry(every(5 * SECOND))));
    let mut call = Box::pin(call(&service, get("/")));
    assert!(tokio::time::timeout(200 * MS, &mut call).await.is_err());
    assert_eq!(peer.open_connections(), 0, "nothing is held open that will not be used again");
    assert_eq!(call.await.unwrap().status(), 200);
}
