//! Pay only for what happens: heap allocations of a call, counted. A budget, not a benchmark: one more is a failure.

#[path = "alloc/floods.rs"]
mod floods;

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::breaker::Breaker;
use unwedge::stack::{
    AttemptLayer, CircuitBreakerLayer, DeadlineLayer, HealthCheckLayer, RetryLayer, StallLayer,
};
use unwedge::{Limits, StackLayer, retry};

/// Answers at once, or after it was pending once.
#[derive(Clone)]
struct Inner {
    pending: bool,
    status: u16,
}

const READY: Inner = Inner { pending: false, status: 200 };

struct Answer(Inner);

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::take(&mut self.0.pending) {
            return Poll::Pending;
        }
        let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
        *response.status_mut() = http::StatusCode::from_u16(self.0.status).expect("a status");
        Poll::Ready(Ok(response))
    }
}

impl Service<Request<Full<Bytes>>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Answer {
        Answer(self.clone())
    }
}

fn request() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = Uri::from_static("http://api.example.com/jobs");
    request
}

fn drive<S: Service<Request<Full<Bytes>>>>(service: &mut S) -> bool {
    let mut call = pin!(service.call(request()));
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = call.as_mut().poll(&mut cx) {
            return done.is_ok();
        }
    }
}

/// Allocations of the tenth call, when everything that is made once has been made.
fn allocations<L, S>(layer: &L, inner: S, ok: bool) -> u64
where
    L: Layer<S>,
    L::Service: Service<Request<Full<Bytes>>>,
{
    allocations_of(10, layer, inner, ok)
}

fn allocations_of<L, S>(nth: u32, layer: &L, inner: S, ok: bool) -> u64
where
    L: Layer<S>,
    L::Service: Service<Request<Full<Bytes>>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    let mut service = layer.layer(inner);
    for _ in 1..nth {
        drive(&mut service);
    }
    measure(|| assert_eq!(drive(&mut service), ok)).count_total
}

#[test]
fn the_whole_stack_adds_no_allocation_where_nothing_goes_wrong() {
    let stack = StackLayer::default();
    assert_eq!(allocations(&stack, READY, true), 0, "ready at once");
    assert_eq!(allocations(&stack, Inner { pending: true, ..READY }, true), 0, "pending once, with a timer");
}

/// Thousands of calls wait at a time. What is rare is not in there: spans, and the reason of a long poll.
#[test]
fn the_future_of_a_call_over_a_small_service_has_at_most_1032_bytes() {
    let mut service = StackLayer::default().layer(READY);
    let call = service.call(request());
    println!("{} bytes", size_of_val(&call));
    assert!(size_of_val(&call) <= 1032, "{} bytes", size_of_val(&call));
}

#[test]
fn a_listener_that_has_gone_costs_a_call_nothing() {
    let stack = StackLayer::default();
    drop(stack.subscribe());
    assert_eq!(allocations(&stack, READY, true), 0);
    let mut events = stack.subscribe();
    allocations(&stack, READY, true);
    assert!(events.try_recv().is_ok(), "one that is there is told");
}

/// In the task of a loop that a supervisor runs, the tenth call.
#[test]
fn a_call_of_a_supervised_loop_allocates_no_more_and_a_sign_of_life_nothing() {
    use std::sync::{Arc, Mutex};
    use unwedge::supervise::{OnReturn, Supervisor};
    let second = Duration::from_secs(1);
    let counted = Arc::new(Mutex::new(None));
    let result = Arc::clone(&counted);
    let mut crew = Supervisor::new();
    crew.spawn("scheduler", second, move |heart| {
        let result = Arc::clone(&result);
        async move {
            let mut service = StackLayer::default().layer(Inner { pending: true, ..READY });
            for _ in 0..9 {
                drive(&mut service);
            }
            let calls = measure(|| assert!(drive(&mut service))).count_total;
            let life = measure(|| {
                heart.beat();
                heart.progress();
            });
            *result.lock().expect("no panic") = Some((calls, life.count_total));
        }
    })
    .on_return(OnReturn::Stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(crew.run_until(std::future::pending::<()>(), second));
    assert_eq!(report.expect("a run").restarts, 0);
    assert_eq!(*counted.lock().expect("no panic"), Some((0, 0)));
}

#[test]
fn no_part_adds_an_allocation_where_nothing_goes_wrong() {
    let second = Duration::from_secs(1);
    for inner in [READY, Inner { pending: true, ..READY }] {
        let count = |name: &str, count: u64| assert_eq!(count, 0, "{name}");
        count("deadline", allocations(&DeadlineLayer::new(second).unwrap(), inner.clone(), true));
        count("attempt", allocations(&AttemptLayer::new(second).unwrap(), inner.clone(), true));
        count("retry", allocations(&RetryLayer::new(Default::default()).unwrap(), inner.clone(), true));
        count(
            "breaker",
            allocations(&CircuitBreakerLayer::new(Default::default()).unwrap(), inner.clone(), true),
        );
        count("stall", allocations(&StallLayer::new(Limits::default()).unwrap(), inner.clone(), true));
        count("health", allocations(&HealthCheckLayer::new("/health").unwrap(), inner, true));
    }
}

#[test]
fn a_refusal_costs_one_allocation_the_error_itself() {
    let stack = StackLayer::default();
    stack.breakers().of(&Uri::from_static("http://api.example.com/")).unwrap().force_open();
    // The first refusals in a row: from the tenth on one takes its time, and a timer.
    assert_eq!(allocations_of(9, &stack, READY, false), 1);

    let breaker = Breaker::new("alone", Default::default()).unwrap();
    breaker.force_open();
    assert_eq!(measure(|| drop(breaker.acquire().unwrap_err())).count_total, 1);
}

#[test]
fn a_breaker_admits_and_records_without_an_allocation() {
    let breaker = Breaker::new("alone", Default::default()).unwrap();
    let used = measure(|| {
        breaker.acquire().unwrap().success();
        breaker.acquire().unwrap().failure();
        breaker.acquire().unwrap().neutral();
        drop(breaker.acquire().unwrap());
    });
    assert_eq!(used.count_total, 0);
}

#[test]
fn nothing_is_kept_for_a_retry_that_cannot_be() {
    let none = StackLayer::builder().retry(retry::Settings::default().max_retries(0)).build().unwrap();
    let with_headers = |layer: &StackLayer| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let _entered = runtime.enter();
        let mut service = layer.layer(READY);
        drive(&mut service);
        let mut request = request();
        request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static("1"));
        let used = measure(|| {
            let mut call = pin!(service.call(request));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        });
        used.count_total
    };
    assert_eq!(with_headers(&none), 0);
    assert_eq!(
        with_headers(&StackLayer::default()),
        3,
        "a clone of the header map and its box, for the retry that may follow"
    );
}

/// Allocations of the thread for a call through the client, its connection and the scripted server behind it.
fn of_a_client(builder: unwedge::client::ClientBuilder, reply: unwedge::testing::Reply) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let peer = unwedge::testing::Peer::new().forever(reply);
    let client = builder.pipe(peer.pipe()).build().expect("settings that fit together");
    let call = || {
        runtime.block_on(async {
            let request =
                client.put("http://api.example.com/jobs").header("accept", "text/plain").body("job");
            request.send().await.expect("an answer")
        })
    };
    for _ in 0..20 {
        call();
    }
    // What peer and runtime grow now and then is not the call's.
    (0..20).map(|_| measure(|| drop(call())).count_total).min().unwrap_or_default()
}

#[test]
fn a_client_that_could_follow_a_redirect_pays_nothing_until_one_comes() {
    use unwedge::client::Redirects;
    use unwedge::testing::Reply;
    let none = of_a_client(unwedge::Client::builder().redirects(Redirects::none()), Reply::ok("ok"));
    let follow = of_a_client(unwedge::Client::builder(), Reply::ok("ok"));
    assert_eq!(follow, none, "the copy that is kept for a retry serves a redirect as well");

    let once = || unwedge::Client::builder().retry(retry::Settings::default().max_retries(0));
    let none = of_a_client(once().redirects(Redirects::none()), Reply::ok("ok"));
    let follow = of_a_client(once(), Reply::ok("ok"));
    assert!(follow <= none + 4, "a clone of the header map where no retry keeps one: {follow}, {none}");
}

/// Answers each request of one connection with the same, on a thread that is not measured.
fn raw_server() -> Uri {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let at = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let Ok((mut io, _)) = listener.accept() else { return };
        let mut bytes = [0; 4096];
        while matches!(io.read(&mut bytes), Ok(1..)) {
            let _ = io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    format!("http://{at}/jobs").parse().expect("an address is a URL")
}

#[test]
fn a_call_of_a_client_over_a_socket_allocates_at_most_16_times() {
    let uri = raw_server();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = unwedge::Client::new().expect("the defaults fit together");
    let call = || {
        runtime.block_on(async {
            let mut request = Request::new(unwedge::Body::empty());
            *request.uri_mut() = uri.clone();
            client.send(request).await.expect("an answer").bytes().await.expect("a body")
        })
    };
    for _ in 0..20 {
        call();
    }
    let least = (0..20).map(|_| measure(|| drop(call())).count_total).min().unwrap_or_default();
    println!("{least} allocations");
    assert!(least <= 16, "{least}");
}

#[test]
fn a_call_of_the_reqwest_family_over_a_socket_allocates_at_most_58_times() {
    let url: reqwest::Url = raw_server().to_string().parse().expect("an address is a URL");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = unwedge::reqwest::builder().build().expect("the defaults fit together");
    let call = || {
        runtime.block_on(async {
            client.get(url.clone()).send().await.expect("an answer").bytes().await.expect("a body")
        })
    };
    for _ in 0..20 {
        call();
    }
    let least = (0..20).map(|_| measure(|| drop(call())).count_total).min().unwrap_or_default();
    println!("{least} allocations");
    assert!(least <= 58, "{least}");
}
