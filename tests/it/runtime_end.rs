//! The end of the runtime, in the middle of a wait.

use crate::support::*;
use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tower_layer::Layer;
use unwedge::queue::Queue;
use unwedge::sse::Settings;
use unwedge::supervise::Supervisor;
use unwedge::testing::{Peer, Reply};
use unwedge::{Collect, Error, StackLayer, within};

/// Room for a loaded machine; a wait that spins or hangs never gets here.
const SOON: Duration = Duration::from_secs(20);

/// Each wait is polled once by its caller, and again for a few things that happen at the end of its runtime.
const POLLS: u32 = 10;

/// Waits on the handle of a runtime that is shut down meanwhile, and keeps no core busy after that.
fn waits_on_a_runtime_that_ends<F, Fut, T>(wait: F) -> Result<T, Error>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, Error>>,
    T: Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let (begun, begins) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let waited = handle.block_on(async {
            let mut wait = std::pin::pin!(wait());
            let mut begun = Some(begun);
            let mut polls = 0;
            std::future::poll_fn(|cx| {
                polls += 1;
                assert!(polls <= POLLS, "a wait that spins");
                let polled = wait.as_mut().poll(cx);
                if let Some(begun) = begun.take() {
                    let _ = begun.send(());
                }
                polled
            })
            .await
        });
        let _ = tell.send(waited);
    });
    begins.recv_timeout(SOON).expect("the wait begins");
    runtime.shutdown_background();
    told.recv_timeout(SOON).expect("the wait ends with the runtime, and without a panic")
}

#[test]
fn a_scope_on_a_runtime_that_ends_is_one_configuration_error_and_no_loop() {
    let error =
        waits_on_a_runtime_that_ends(|| within(Duration::from_secs(3600), pending::<()>())).unwrap_err();
    assert!(error.is_config() && error.to_string().contains("runtime has ended"), "{error}");
}

#[test]
fn a_call_on_a_runtime_that_ends_is_one_configuration_error_and_no_loop() {
    let peer = Peer::new().forever(Reply::hang());
    let error = waits_on_a_runtime_that_ends(move || async move {
        let service = StackLayer::default().layer(Silent);
        let _peer = peer;
        call(&service, get("/")).await.map(drop)
    })
    .unwrap_err();
    assert!(error.is_config(), "{error}");
}

/// A service without any resource of the runtime.
#[derive(Clone)]
struct Silent;

impl<B> tower_service::Service<http::Request<B>> for Silent {
    type Response = http::Response<http_body_util::Empty<bytes::Bytes>>;
    type Error = std::convert::Infallible;
    type Future = std::future::Pending<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<B>) -> Self::Future {
        pending()
    }
}

/// A body that says nothing, of a service that needs nothing of the runtime.
struct Quiet;

impl http_body::Body for Quiet {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[test]
fn a_body_that_streams_on_a_runtime_that_ends_is_one_configuration_error_and_no_loop() {
    let error = waits_on_a_runtime_that_ends(|| async {
        let inner = tower::service_fn(|_: http::Request<http_body_util::Full<bytes::Bytes>>| {
            std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(Quiet)))
        });
        let answer = call(&StackLayer::default().layer(inner), with(get("/"), Collect::never())).await?;
        piece(&mut answer.into_body()).await.expect("not the end of the body").map(drop)
    })
    .unwrap_err();
    assert!(error.is_config(), "{error}");
}

#[test]
fn an_event_stream_on_a_runtime_that_ends_has_a_configuration_error_as_its_last_word() {
    let error = waits_on_a_runtime_that_ends(|| async {
        let mut stream = Settings::default().connect(StackLayer::default().layer(Silent), get("/events"))?;
        let ended = stream.next().await.expect("a last word").map(drop);
        assert!(stream.next().await.is_none());
        ended
    })
    .unwrap_err();
    assert!(error.is_config(), "{error}");
}

#[test]
fn a_crew_on_a_runtime_that_ends_is_one_configuration_error_and_no_clean_end() {
    let ended = waits_on_a_runtime_that_ends(|| async {
        let mut crew = Supervisor::new();
        crew.spawn("relay", SECOND, |_| pending::<()>());
        crew.run_until(pending::<()>(), SECOND).await
    });
    let error = ended.map(|report| report.clean).unwrap_err();
    assert!(error.is_config() && error.to_string().contains("runtime has ended"), "{error}");
}

#[test]
fn health_checks_beside_the_calls_on_a_runtime_that_ends_are_one_configuration_error() {
    for reply in [Reply::ok(""), Reply::hang()] {
        let ended = waits_on_a_runtime_that_ends(move || async move {
            let peer = Peer::new().forever(reply);
            let health = unwedge::health::Settings::new("/health").mode(unwedge::health::Mode::Background);
            let layer = StackLayer::builder().health(health).build()?;
            let service = layer.layer(plain(&peer));
            service.keep_health_fresh("http://peer.test/".parse().unwrap()).await
        });
        let error = ended.unwrap_err();
        assert!(error.is_config() && error.to_string().contains("runtime has ended"), "{error}");
    }
}

#[test]
fn the_sweeps_of_a_queue_on_a_runtime_that_ends_are_one_configuration_error() {
    let ended = waits_on_a_runtime_that_ends(|| async {
        let queue = Queue::<u8, u8>::new(unwedge::queue::Settings::default())?;
        queue.keep_swept(SECOND, |_| ()).await
    });
    let error = ended.unwrap_err();
    assert!(error.is_config() && error.to_string().contains("runtime has ended"), "{error}");
}

#[test]
fn the_end_of_a_runtime_reaches_the_panic_hook_at_most_twice() {
    // A process of its own, since the hook is the process's: this test again, with the word to do it.
    const WORD: &str = "UNWEDGE_TEST_COUNTS_PANICS";
    if std::env::var_os(WORD).is_none() {
        let own = std::env::current_exe().unwrap();
        let name = "runtime_end::the_end_of_a_runtime_reaches_the_panic_hook_at_most_twice";
        let status = std::process::Command::new(own).args([name, "--exact"]).env(WORD, "1").status().unwrap();
        assert!(status.success());
        return;
    }
    let panics = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&panics);
    std::panic::set_hook(Box::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    }));
    let ended = waits_on_a_runtime_that_ends(|| within(Duration::from_secs(3600), pending::<()>()));
    drop(std::panic::take_hook());
    assert!(ended.unwrap_err().is_config());
    assert!(panics.load(Ordering::SeqCst) <= 2, "{panics:?}");
}
