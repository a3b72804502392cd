//! The proof of bounds: what a stack says of itself, and what is found when it is put to the test.

use crate::support::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::rt::TokioExecutor;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use tokio::time::Instant;
use tower::service_fn;
use tower::timeout::Timeout;
use tower_layer::Layer;
use unwedge::testing::{
    Peer, Pipe, Reply, assert_bounded, assert_bounded_real, assert_bounded_real_within, assert_bounded_within,
};
use unwedge::{Body, Client, Limits, StackLayer, retry};

/// The message of the panic that this ends in.
async fn panics(work: impl Future<Output = impl Sized>) -> String {
    let mut work = pin!(work);
    let caught = poll_fn(|cx| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx).map(|_| ())));
        match polled {
            Ok(poll) => poll.map(|()| None),
            Err(panic) => Poll::Ready(Some(panic)),
        }
    });
    let panic = caught.await.expect("it passes, and should not");
    panic
        .downcast_ref::<String>()
        .cloned()
        .or(panic.downcast_ref::<&str>().map(|s| (*s).into()))
        .expect("text")
}

#[tokio::test(start_paused = true)]
async fn every_call_through_the_stack_ends_within_the_bounds_that_it_names() {
    let real = std::time::SystemTime::now;
    let began = real();
    let report = assert_bounded(|pipe| StackLayer::default().layer(over::<Full<Bytes>>(pipe))).await;
    assert_eq!(report.unbounded().count(), 0);
    let text = report.to_string();
    assert!(text.starts_with("every call ended within 10 m 30 s:"), "{text}");
    assert!(text.contains("connect-hang        ended after 30 s: GET http://fault.test/"), "{text}");
    assert!(text.contains("events-drip         ended after 10 m: "), "{text}");
    assert!(text.contains("redirect-loop       ended after 1 s: 302, 0 bytes"), "{text}");
    let line = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
    assert!(line("connect-busy").contains("ended after 30"), "{text}");
    assert!(line("runtime-end").contains("the tokio runtime has ended"), "{text}");
    assert!(began.elapsed().unwrap() < 20 * SECOND, "on a paused clock a test is quick");
}

#[tokio::test(start_paused = true)]
async fn a_client_is_bounded_with_other_limits_too() {
    for limits in [
        Limits::default().total(2 * SECOND).stream(3 * SECOND),
        Limits::default().total(MINUTE).attempt(MINUTE).idle(MINUTE).collect(0),
        Limits::default().total(50 * MS).stream(MS).idle(MS),
    ] {
        let client = |pipe| Client::builder().limits(limits.clone()).pipe(pipe).build().expect("a client");
        assert_bounded(client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_is_bounded_over_http2_and_a_bare_one_hangs_there_as_well() {
    let http2 = || unwedge::client::Network::default().http2_only();
    assert_bounded(|pipe| Client::builder().network(http2()).pipe(pipe).build().unwrap()).await;
    let bare = |pipe| Hyper::builder(TokioExecutor::new()).http2_only(true).build::<_, Empty<Bytes>>(pipe);
    let said = panics(assert_bounded_within(30 * SECOND, bare)).await;
    assert!(said.contains("faults did not end within 30 s"), "{said}");
    for fault in ["accept-silence", "no-answer", "headers-stall", "drip", "download-drip"] {
        assert!(said.contains(&format!("\n  {fault} ")), "{fault}: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bare_client_hangs_at_every_fault_that_it_is_told_of() {
    let text = panics(assert_bounded_within(30 * SECOND, over::<Empty<Bytes>>)).await;
    assert!(
        text.starts_with("18 of 23 faults did not end within 30 s, from the call to the last byte"),
        "{text}"
    );
    let line = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
    assert!(line("accept-silence").contains("no response head after 30 s  "), "{text}");
    assert!(line("accept-silence").ends_with("accepts and never reads"), "{text}");
    assert!(line("headers-stall").contains("200, and 0 bytes of the body after 30 s"), "{text}");
    assert!(line("body-stall").contains("200, and 50 bytes of the body after 30 s"), "{text}");
    assert!(
        line("refused").contains("ended after 300 ms: client error (Connect): the peer refuses"),
        "{text}"
    );
    assert!(line("status-503").contains("ended after 300 ms: 503, 0 bytes"), "{text}");
    assert!(text.contains("a program that meets one of these waits until somebody restarts it"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("asserted at tests/it/bounded.rs:"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_stops_at_the_head_is_found_out_by_its_bodies() {
    let text = panics(assert_bounded_within(30 * SECOND, |pipe| {
        Timeout::new(over::<Empty<Bytes>>(pipe), 5 * SECOND)
    }))
    .await;
    assert!(text.starts_with("10 of 23 faults"), "{text}");
    for bound in ["accept-silence", "slow-headers", "endless-1xx", "connect-hang"] {
        let line = text.lines().find(|line| line.trim_start().starts_with(bound)).unwrap();
        assert!(line.contains("ended after 5 s"), "{text}");
    }
    // It asks its timer after the work, which has spent the budget of the task.
    let busy = text.lines().find(|line| line.trim_start().starts_with("connect-busy")).unwrap();
    assert!(busy.contains("no response head after 30 s"), "{text}");
    for hung in ["headers-stall", "drip-chunked", "download-stall", "events-drip"] {
        assert!(
            text.lines().any(|line| line.contains(hung) && line.contains("of the body after 30 s")),
            "{text}"
        );
    }
}

/// A client that gives up after 5 s: what its timer says, and what it makes of that.
fn gives_up<F>(
    pipe: Pipe,
    timer: impl Fn() -> F + Clone,
) -> impl tower::Service<
    Request<Empty<Bytes>>,
    Response = Response<Full<Bytes>>,
    Error = String,
    Future: Future<Output = Result<Response<Full<Bytes>>, String>>,
>
where
    F: Future<Output = ()>,
{
    let plain = over::<Empty<Bytes>>(pipe);
    service_fn(move |request| {
        let (plain, timer) = (plain.clone(), timer.clone());
        async move {
            let whole = async {
                let answer = plain.request(request).await.map_err(|error| error.to_string())?;
                let status = answer.status();
                let body = http_body_util::BodyExt::collect(answer.into_body()).await;
                let body = body.map_err(|error| error.to_string())?.to_bytes();
                let mut answer = Response::new(Full::new(body));
                *answer.status_mut() = status;
                Ok(answer)
            };
            tokio::select! {
                biased;
                answer = whole => answer,
                () = timer() => Err("gave up".to_owned()),
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_asked_after_work_without_rest_is_found_out_and_nothing_else_of_that_client() {
    let make = |pipe| gives_up(pipe, || tokio::time::sleep(5 * SECOND));
    let text = panics(assert_bounded_within(30 * SECOND, make)).await;
    assert!(text.starts_with("1 of 23 faults"), "{text}");
    let line = text.lines().find(|line| line.trim_start().starts_with("connect-busy")).unwrap();
    assert!(line.contains("no response head after 30 s"), "{text}");
    let line = text.lines().find(|line| line.trim_start().starts_with("runtime-end")).unwrap();
    assert!(line.contains("ended after") && line.contains("panicked: "), "{text}");
}

/// Makes the best of a timer whose runtime is gone: asks again, and again.
async fn never_minds() {
    let (mut sleep, mut gone) = (Box::pin(tokio::time::sleep(5 * SECOND)), false);
    poll_fn(|cx| {
        if !gone {
            match std::panic::catch_unwind(AssertUnwindSafe(|| sleep.as_mut().poll(cx))) {
                Ok(polled) => return polled,
                Err(_) => gone = true,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_spins_when_its_runtime_has_ended_is_found_out() {
    let text = panics(assert_bounded_within(30 * SECOND, |pipe| gives_up(pipe, never_minds))).await;
    assert!(text.starts_with("2 of 23 faults"), "{text}");
    let line = text.lines().find(|line| line.trim_start().starts_with("runtime-end")).unwrap();
    assert!(line.contains("no response head after 2 s"), "{text}");
    assert!(line.ends_with("the runtime ends while the connect is awaited"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_bound_is_a_bound_and_not_a_little_more() {
    let limits = Limits::default().total(10 * SECOND).stream(SECOND);
    let layer = built(exact().limits(limits));
    let make = |pipe| layer.layer(over::<Full<Bytes>>(pipe));
    assert_bounded_within(11 * SECOND, make).await;
    let text = panics(assert_bounded_within(9 * SECOND, make)).await;
    assert!(text.contains("no response head after 9 s"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_retries_for_ever_is_found_out() {
    // Each attempt is bounded, and there is no end to them.
    let make = |pipe: Pipe| {
        let plain = over::<Empty<Bytes>>(pipe);
        service_fn(move |_: Request<Empty<Bytes>>| {
            let plain = plain.clone();
            async move {
                loop {
                    let attempt = plain.get("http://fault.test/".parse().unwrap());
                    match tokio::time::timeout(SECOND, attempt).await {
                        Ok(Ok(answer)) if answer.status() == 200 => return Ok::<_, Infallible>(answer),
                        _ => continue,
                    }
                }
            }
        })
    };
    let text = panics(assert_bounded_within(30 * SECOND, make)).await;
    for hung in ["status-503", "refused", "reset-before-head", "retry-after-day"] {
        assert!(
            text.lines().any(|l| l.contains(hung) && l.contains("no response head after 30 s")),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_always_fails_or_never_gets_there_proves_nothing() {
    let dead = Peer::new().forever(Reply::refuse());
    let text = panics(assert_bounded_within(SECOND, |_| over::<Empty<Bytes>>(dead.pipe()))).await;
    assert!(text.starts_with("the client fails where nothing is wrong"), "{text}");
    assert!(text.contains("ended after 0 s: client error (Connect)"), "{text}");
    // One breaker for all of them: after the first faults nothing is sent any more.
    let layer = StackLayer::builder().retry(retry::Settings::default().max_retries(0)).build().unwrap();
    let text = panics(assert_bounded(|pipe| layer.layer(over::<Full<Bytes>>(pipe)))).await;
    assert!(text.contains("these faults were never met"), "{text}");
    assert!(text.contains("was never reached: GET http://fault.test/: circuit open"), "{text}");
}

#[tokio::test]
async fn a_real_client_is_bounded_over_real_sockets_all_at_once() {
    let limits = Limits::default().total(400 * MS).stream(600 * MS);
    let client = Client::builder().limits(limits).build().unwrap();
    let start = Instant::now();
    let report = assert_bounded_real(client).await;
    assert_eq!(report.unbounded().count(), 0, "{report}");
    assert!(start.elapsed() < 5 * SECOND, "{report}");
    let text = report.to_string();
    for fault in ["black-hole", "tls-stall", "drip", "endless-body", "endless-1xx", "flapping"] {
        assert!(text.contains(fault), "{text}");
    }
}

#[tokio::test]
async fn reqwest_under_a_stack_is_bounded_over_real_sockets_and_bare_it_is_not() {
    let inner = || {
        let client = unwedge::reqwest::builder().inner(reqwest::ClientBuilder::no_proxy).inner_client();
        unwedge::reqwest::Service::new(client.unwrap())
    };
    let limits = Limits::default().total(400 * MS).stream(600 * MS);
    let layer = StackLayer::builder().limits(limits).build().unwrap();
    let report = assert_bounded_real::<_, Body, _>(layer.layer(inner())).await;
    assert_eq!(report.unbounded().count(), 0, "{report}");
    let text = panics(assert_bounded_real_within::<_, Body, _>(300 * MS, inner())).await;
    for hung in ["black-hole", "slow-headers", "drip", "endless-body"] {
        let line = text.lines().find(|line| line.trim_start().starts_with(hung)).unwrap_or_default();
        assert!(line.contains("after 300 ms"), "{hung}: {text}");
    }
}

#[tokio::test]
async fn a_bare_client_hangs_over_real_sockets_too() {
    let plain = Hyper::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let text = panics(assert_bounded_real_within(300 * MS, plain)).await;
    for hung in ["black-hole", "accept-silence", "slow-headers", "drip", "endless-body"] {
        let line = text.lines().find(|line| line.trim_start().starts_with(hung)).unwrap_or_default();
        assert!(line.contains("after 300 ms"), "{hung}: {text}");
    }
    assert!(text.contains("truncated"), "{text}");
}

/// A body that always has something.
struct Flood;

impl http_body::Body for Flood {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"more")))))
    }
}

#[tokio::test]
async fn a_body_that_is_always_ready_and_an_answer_from_nowhere_are_found_out() {
    let calls = Arc::new(AtomicU32::new(0));
    let made_up = service_fn(move |_: Request<Empty<Bytes>>| {
        let body = match calls.fetch_add(1, Ordering::Relaxed) % 10 {
            1 => Body::streaming(Flood),
            _ => Body::from("from a cache"),
        };
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    let text = panics(assert_bounded_real_within(200 * MS, made_up)).await;
    assert!(text.contains("of the body after 200 ms"), "{text}");
    assert!(text.contains("drip                was never reached: answered 200"), "{text}");
}

#[tokio::test]
async fn the_wrong_clock_and_a_bound_too_long_to_wait_for_are_said_at_once() {
    let text = panics(assert_bounded(|pipe| StackLayer::default().layer(over::<Full<Bytes>>(pipe)))).await;
    assert!(text.contains("start_paused = true"), "{text}");
    let text = panics(async { assert_bounded_real(Client::default()).await }).await;
    assert!(text.contains("a call may take 10 m 30 s"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_real_test_on_a_paused_clock_and_a_service_without_bounds_are_said_at_once() {
    let plain = Hyper::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let text = panics(assert_bounded_real_within(SECOND, plain)).await;
    assert!(text.contains("without start_paused"), "{text}");
    let part = unwedge::stack::AttemptLayer::new(SECOND).unwrap();
    let text = panics(async { assert_bounded(|pipe| part.layer(over::<Full<Bytes>>(pipe))).await }).await;
    assert!(text.contains("no bound of its own") && text.contains("put a DeadlineLayer around it"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_call_through_all_its_attempts_takes_what_the_bounds_add_up_to_at_most() {
    // Health checks that just pass, attempts that hang, and the longest Retry-After: no total cuts them off.
    let hour = Limits::default().total(60 * MINUTE).attempt(10 * SECOND);
    let settings = every(2 * SECOND).max_retries(4).retry_after_cap(5 * SECOND);
    let layer = built(StackLayer::builder().limits(hour).retry(settings).health("/health"));
    let bounds = layer.bounds();
    assert_eq!(bounds.schedule(), Some(5 * 10 * SECOND + 5 * 5100 * MS + 4 * 5500 * MS));
    let busy = || Reply::status(503).retry_after("5").after(9999 * MS);
    let peer = Peer::new()
        .on("/health", Reply::sized(100).hang_after(1).after(4999 * MS))
        .then(busy())
        .then(busy())
        .then(Reply::hang())
        .then(busy())
        .forever(Reply::hang());
    let start = Instant::now();
    assert!(call(&stack(&peer, &layer), get("/")).await.is_err());
    let took = start.elapsed();
    assert!(Some(took) <= bounds.schedule(), "{took:?} {bounds}");
    assert!(took > 5 * 10 * SECOND + 4 * 2 * SECOND + 9 * SECOND, "{took:?} is no worst case");
}
