//! What the stack costs around an inner service: nanoseconds and allocations per call, beside the bare service in the
//! same run. Rounds are interleaved and medians are taken, because wall time on a shared machine is noisy.
//!
//! `cargo bench --bench overhead`

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::StackLayer;
use unwedge::breaker::Breaker;

/// Short rounds, so that most of them are not interrupted.
const ROUNDS: usize = 1001;
const CALLS: u32 = 500;

/// Answers at once, or after it was pending once.
#[derive(Clone)]
struct Inner {
    pending: u32,
}

struct Answer {
    pending: u32,
}

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.pending > 0 {
            self.pending -= 1;
            return Poll::Pending;
        }
        Poll::Ready(Ok(Response::new(Full::new(Bytes::from_static(b"ok")))))
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
        Answer { pending: self.pending }
    }
}

fn request() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from_static(b"")));
    *request.uri_mut() = Uri::from_static("http://api.example.com/jobs");
    request
}

/// One call to its end, polled by hand so that no executor is measured.
fn drive<S: Service<Request<Full<Bytes>>>>(service: &mut S) {
    let mut call = pin!(service.call(request()));
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = call.as_mut().poll(&mut cx) {
            black_box(done.is_ok());
            return;
        }
    }
}

fn nanos(work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..CALLS {
        work();
    }
    start.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn compare(name: &str, bare: &mut dyn FnMut(), ours: &mut dyn FnMut()) {
    let (mut b, mut o) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        b.push(nanos(bare));
        o.push(nanos(ours));
    }
    let allocations = |work: &mut dyn FnMut()| {
        work();
        measure(|| (0..100).for_each(|_| work())).count_total as f64 / 100.0
    };
    let (ab, ao) = (allocations(bare), allocations(ours));
    let (b, o) = (median(b), median(o));
    println!("{name:32} bare {b:7.1} ns  ours {o:7.1} ns  +{:6.1} ns  allocations +{}", o - b, ao - ab);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    for pending in [0, 1] {
        let mut bare = Inner { pending };
        let mut ours = StackLayer::default().layer(Inner { pending });
        let name = if pending == 0 { "stack, ready at once" } else { "stack, pending once" };
        compare(name, &mut || drive(&mut bare), &mut || drive(&mut ours));
    }
    let breaker = Breaker::new("bench", Default::default()).expect("the defaults fit together");
    compare("breaker, admit and record", &mut || {}, &mut || {
        breaker.acquire().expect("closed").success();
    });
    breaker.force_open();
    compare("breaker, refused", &mut || {}, &mut || {
        black_box(breaker.acquire().is_err());
    });
    let layer = StackLayer::default();
    layer.breakers().of(&Uri::from_static("http://api.example.com/")).expect("a URL").force_open();
    let mut refused = layer.layer(Inner { pending: 0 });
    compare("stack, circuit open", &mut || drive(&mut Inner { pending: 0 }), &mut || drive(&mut refused));
}
