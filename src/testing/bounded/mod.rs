//! The self-test of a client: does every call end, whatever the server does?

mod drive;
mod hangs;
mod limit;
mod report;
mod runtime;

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use http::{Request, Response};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower_service::Service;

use super::{FaultServer, Peer, Pipe, Reply};
use crate::BoxError;
use crate::duration::human;
use crate::stack::{Bounds, Part, Stack};
use drive::{cannot_listen, drive, reached};
use limit::Within;
use report::{Ended, Row};

pub use report::Report;

/// On a busy machine a timer that fired is polled late. In memory it is not, but for its own resolution.
const GRACE_REAL: Duration = Duration::from_millis(500);
const GRACE: Duration = Duration::from_millis(100);
/// The longest bound that is waited for in real time.
const LONGEST_REAL: Duration = Duration::from_secs(60);

/// A service that knows the worst case of its calls.
pub trait HasBounds {
    /// The longest that a call can take.
    fn bounds(&self) -> Bounds;
}

impl<S> HasBounds for Stack<S> {
    fn bounds(&self) -> Bounds {
        Stack::bounds(self)
    }
}

impl<S> HasBounds for Part<S> {
    fn bounds(&self) -> Bounds {
        Part::bounds(self)
    }
}

/// Proves that every call of a client ends within the bound that the client itself names, whatever the server does.
///
/// For each fault that makes a call hang (a connect that is never answered, silence after the accept, slow and endless
/// headers, 1xx without end, a body that stalls, drips or never ends, servers that refuse, fail, redirect or ask for a
/// day of patience for ever) it takes a fresh client from `make`, over an in-memory [`Pipe`], makes a GET request and
/// reads the body to its end. First a healthy server has to be answered by: a client that always fails proves nothing,
/// nor does one that never reaches the fault.
///
/// Two faults are not the server's:
///
/// - `connect-busy`: the connect always has something ready and spends the whole cooperative budget of its task. tokio
///   then answers "pending" to that task's timers too, so that a `Sleep` that is polled after the work (as in `select!` with
///   `biased`, and in `tower`'s `Timeout`) never fires.
/// - `runtime-end`: the call waits on the handle of a runtime, and that runtime ends: it is the only one that plays in
///   real time, on a runtime of its own, and the call has 2 s to notice. A panic counts as an end.
///
/// On a paused clock, so that a test takes milliseconds however long the bounds are:
///
/// ```
/// use http_body_util::Full;
/// use bytes::Bytes;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower_layer::Layer;
/// use unwedge::{StackLayer, testing::assert_bounded};
///
/// # async fn checked() {
/// // #[tokio::test(start_paused = true)]
/// # #[allow(dead_code)]
/// async fn every_call_of_my_client_ends() {
///     assert_bounded(|connector| {
///         let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
///         StackLayer::default().layer(client)
///     })
///     .await;
/// }
/// # every_call_of_my_client_ends().await
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(checked());
/// ```
///
/// With one that has no bounds, [`assert_bounded_within`] says so by name:
///
/// ```text
/// 18 of 23 faults did not end within 30 s, from the call to the last byte of its body:
///
///   connect-hang      no response head after 30 s                     the connect is never answered
///   connect-busy      no response head after 30 s                     the connect spends the whole cooperative ...
///   accept-silence    no response head after 30 s                     accepts and never reads
///   ...
///   headers-stall     200, and 0 bytes of the body after 30 s         the head, then silence
///   drip              200, and 100 bytes of the body after 30 s       a body that fits into memory, byte by byte
///   ...
///
/// a program that meets one of these waits until somebody restarts it
///
/// these ended:
///
///   refused             ended after 300 ms: client error (Connect): the peer refuses the connection, ...
///   reset-before-head   ended after 300 ms: client error (SendRequest): connection reset by peer
///   status-503          ended after 300 ms: 503, 0 bytes
///   ...
/// asserted at tests/client.rs:12:5
/// ```
///
/// # Panics
/// With this report where a fault did not end in time, was never reached, or the healthy server was not answered by;
/// where the clock is not paused, and where the service names no bound.
#[track_caller]
pub fn assert_bounded<S, B, R>(make: impl FnMut(Pipe) -> S) -> impl Future<Output = Report>
where
    S: HasBounds + Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: Default,
    R: http_body::Body,
    R::Error: Into<BoxError>,
{
    in_memory(make, |service| Within::of(&service.bounds(), GRACE), Location::caller())
}

/// As [`assert_bounded`], for any client over a connector and a bound that you name: from the call to the last byte of
/// its body.
///
/// ```should_panic
/// # use std::time::Duration;
/// # use http_body_util::Empty;
/// # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use unwedge::testing::assert_bounded_within;
///
/// # async fn checked() {
/// // A plain client of hyper-util waits for ever: this panics with the report above.
/// assert_bounded_within(Duration::from_secs(30), |connector| {
///     Client::builder(TokioExecutor::new()).build::<_, Empty<&[u8]>>(connector)
/// })
/// .await;
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(checked());
/// ```
///
/// # Panics
/// As [`assert_bounded`].
#[track_caller]
pub fn assert_bounded_within<S, B, R>(
    limit: Duration,
    make: impl FnMut(Pipe) -> S,
) -> impl Future<Output = Report>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: Default,
    R: http_body::Body,
    R::Error: Into<BoxError>,
{
    in_memory(make, move |_| Within::limit(limit, GRACE), Location::caller())
}

async fn in_memory<S, B, R>(
    mut make: impl FnMut(Pipe) -> S,
    within: impl Fn(&S) -> Within,
    asserted: &'static Location<'static>,
) -> Report
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: Default,
    R: http_body::Body,
    R::Error: Into<BoxError>,
{
    assert!(clock_stands(), "this test needs a paused clock: #[tokio::test(start_paused = true)]");
    const URL: &str = "http://fault.test/";
    let well = Peer::new().forever(Reply::ok("well"));
    let service = make(well.pipe());
    let within_all = within(&service);
    let healthy = drive(service, URL, within_all).await;
    answered(&healthy, asserted);
    let pace = hangs::pace(within_all.all);
    let mut rows = Vec::new();
    for hang in hangs::ALL {
        let peer = Peer::from((hang.script)(pace));
        let service = make(hang.over(peer.pipe(), pace));
        let within = within(&service);
        let ended = reached(drive(service, URL, within).await, peer.connects() > 0);
        rows.push(Row { name: hang.name, about: hang.about, ended });
    }
    let ended = runtime::ends_in_mid_wait(&mut make, URL);
    rows.push(Row { name: runtime::NAME, about: runtime::ABOUT, ended });
    judged(Report { limit: within_all.all, rows }, asserted)
}

/// As [`assert_bounded`], in real time over real sockets: for any client, with the connector it ships with.
///
/// All faults of a [`FaultServer`] at once, each with its own clone of the service, so that the test takes about as
/// long as one call at most. Give the client small limits; above a minute the test is not begun. Half a second is
/// granted to a busy machine.
///
/// ```
/// # #[cfg(feature = "client")]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
/// use std::time::Duration;
/// use unwedge::{Client, Limits, testing::assert_bounded_real};
///
/// let limits = Limits::default().total(Duration::from_millis(300)).stream(Duration::from_millis(300));
/// assert_bounded_real(Client::builder().limits(limits).build()?).await;
/// # Ok(()) }
/// # #[cfg(not(feature = "client"))] fn main() {}
/// ```
///
/// # Panics
/// As [`assert_bounded`], and where the clock is paused.
#[track_caller]
pub fn assert_bounded_real<S, B, R>(service: S) -> impl Future<Output = Report>
where
    S: HasBounds + Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: Default + Send + 'static,
    R: http_body::Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    let within = Within::of(&service.bounds(), GRACE_REAL);
    in_real_time(service, within, Location::caller())
}

/// As [`assert_bounded_real`], with a bound that you name: from the call to the last byte of its body.
///
/// # Panics
/// As [`assert_bounded_real`].
#[track_caller]
pub fn assert_bounded_real_within<S, B, R>(limit: Duration, service: S) -> impl Future<Output = Report>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: Default + Send + 'static,
    R: http_body::Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    in_real_time(service, Within::limit(limit, GRACE_REAL), Location::caller())
}

async fn in_real_time<S, B, R>(service: S, within: Within, asserted: &'static Location<'static>) -> Report
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: Default + Send + 'static,
    R: http_body::Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    let all = within.all;
    assert!(
        all <= LONGEST_REAL,
        "a call may take {:#}, and this test waits in real time: give the client limits that add up to a minute at most",
        human(all)
    );
    assert!(!clock_stands(), "this test needs the real clock: #[tokio::test] without start_paused");
    let well = Peer::new().forever(Reply::ok("well"));
    let at = well.listen().unwrap_or_else(cannot_listen);
    answered(&drive(service.clone(), &format!("http://{at}/"), within).await, asserted);
    let faults = FaultServer::start_all().unwrap_or_else(cannot_listen);
    let mut calls = JoinSet::new();
    for (n, (_, url)) in faults.urls().enumerate() {
        let (service, url) = (service.clone(), url.to_owned());
        calls.spawn(async move { (n, drive(service, &url, within).await) });
    }
    let mut ended: Vec<Option<Ended>> = faults.urls().map(|_| None).collect();
    // Each call has its own end.
    while let Some(done) = calls.join_next().await {
        match done {
            Ok((n, end)) => ended[n] = Some(end),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
    let row = |((fault, url), ended): ((&'static super::Fault, &str), Option<Ended>)| {
        // The kernel tells nobody who knocked, and a client without TLS has no business at an https address.
        let silent = faults.peer(fault.name).is_none() || url.starts_with("https:");
        let knocked = faults.peer(fault.name).is_some_and(|peer| peer.connects() > 0);
        let ended = reached(ended?, knocked || silent);
        Some(Row { name: fault.name, about: fault.about, ended })
    };
    let rows = faults.urls().zip(ended).filter_map(row).collect();
    judged(Report { limit: all, rows }, asserted)
}

fn answered(healthy: &Ended, asserted: &Location<'_>) {
    let well = matches!(healthy, Ended::Read { status: 200, .. });
    assert!(
        well,
        "the client fails where nothing is wrong, so that nothing can be said of its bounds: a healthy server answers 200, and the client: {healthy}\nasserted at {asserted}"
    );
}

fn judged(report: Report, asserted: &Location<'_>) -> Report {
    assert!(report.is_bounded(), "{report}\nasserted at {asserted}");
    report
}

/// Whether tokio's clock is paused.
fn clock_stands() -> bool {
    let before = Instant::now();
    #[expect(clippy::disallowed_methods, reason = "two milliseconds of real time, which no timer can tell")]
    std::thread::sleep(Duration::from_millis(2));
    Instant::now() == before
}
