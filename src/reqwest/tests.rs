//! What needs a certificate: redirects that leave https. What needs a clock of its own: a machine that slept.

mod platform;
mod trusting;

use super::chain::RestOfChain;
use super::{ClientBuilder, ResilienceMiddleware};
use crate::suspend::WallClock;
use crate::testing::{Peer, Reply};
use crate::{ErrorKind, StackLayer, tls};
use http::Extensions;
use hyper_util::rt::TokioIo;
use reqwest_middleware::{Extension, Middleware, Next};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tower_layer::Layer;
use tower_service::Service;

/// What answers over TLS on loopback, with a certificate that no platform knows.
struct Front {
    port: u16,
    root: String,
    _server: JoinSet<()>,
}

impl Front {
    async fn new(peer: &Peer, versions: &[&'static rustls::SupportedProtocolVersion]) -> Front {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
        let shown = ServerConfig::builder_with_provider(tls::provider().unwrap())
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind(("localhost", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, mut pipe) = (TlsAcceptor::from(Arc::new(shown)), peer.pipe());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut front) = acceptor.accept(tcp).await else { continue };
                let behind = pipe.call(http::Uri::from_static("http://peer/")).await.expect("a connection");
                let mut behind = TokioIo::into_inner(behind);
                connections
                    .spawn(async move { tokio::io::copy_bidirectional(&mut front, &mut behind).await });
            }
        });
        Front { port, root: signed.cert.pem(), _server: server }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn root(&self) -> ::reqwest::Certificate {
        ::reqwest::Certificate::from_pem(self.root.as_bytes()).unwrap()
    }
}

#[tokio::test]
async fn from_https_to_http_nothing_is_followed() {
    let plain = Peer::new().forever(Reply::ok("read by everybody on the way"));
    let down = format!("http://{}/?token=secret", plain.listen().unwrap());
    let peer = Peer::new().on("/down", Reply::redirect(&down)).on("/here", Reply::redirect("/there"));
    let peer = peer.forever(Reply::ok("there"));
    let front = Front::new(&peer, rustls::ALL_VERSIONS).await;

    let root = front.root();
    let client = super::builder().inner(|inner| inner.no_proxy().tls_certs_only([root])).build().unwrap();
    let error = client.get(front.url("/down")).send().await.unwrap_err();
    let why = super::cause(&error).expect("it failed under the stack");
    assert_eq!((why.kind(), why.is_retriable()), (ErrorKind::Redirect, false));
    let said = format!("{why} {why:?}");
    assert!(said.contains("not followed: it leads from https to http") && !said.contains("secret"), "{said}");
    assert_eq!((peer.request_count(), plain.connections()), (1, 0));

    let answer = client.get(front.url("/here")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "there", "it is the way down alone that is refused");
}

#[tokio::test]
async fn roots_and_versions_of_tls_that_the_inner_client_is_given_are_heeded() {
    let peer = Peer::new().forever(Reply::ok("there"));
    let old = Front::new(&peer, &[&rustls::version::TLS12]).await;
    let client = |min: Option<::reqwest::tls::Version>, roots: Vec<::reqwest::Certificate>| {
        let inner = move |inner: ::reqwest::ClientBuilder| {
            let inner = roots.into_iter().fold(inner.no_proxy(), |inner, root| inner.tls_certs_merge([root]));
            min.into_iter().fold(inner, ::reqwest::ClientBuilder::tls_version_min)
        };
        super::builder().inner(inner).build().unwrap()
    };

    let answer = client(None, vec![old.root()]).get(old.url("/")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "there");
    let strangers = client(None, vec![]).get(old.url("/")).send().await.unwrap_err();
    let stranger = super::cause(&strangers).expect("it failed under the stack").to_string();
    assert!(stranger.contains("ertificate"), "{stranger}");
    let modern = client(Some(::reqwest::tls::Version::TLS_1_3), vec![old.root()]);
    let refused = modern.get(old.url("/")).send().await.unwrap_err();
    let refused = super::cause(&refused).expect("it failed under the stack").to_string();
    assert!(refused.contains("rotocol"), "{refused}");
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test]
async fn a_burst_of_more_than_a_hundred_calls_finds_its_connections_again() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let url = format!("http://{}/", peer.listen().unwrap());
    let client = super::builder().each_inner(::reqwest::ClientBuilder::no_proxy).build().unwrap();
    let mut connections = Vec::new();
    for _ in 0..3 {
        let mut burst = JoinSet::new();
        for _ in 0..140 {
            let call = client.get(&url).send();
            burst.spawn(async move { call.await.unwrap().text().await.unwrap() });
        }
        burst.join_all().await;
        connections.push(peer.connections());
    }
    // Some may not be back yet when the next burst begins.
    assert!(connections[0] > 120 && connections[2] < connections[0] + 40, "{connections:?}");
}

/// Measures the boxes of a call instead of sending it.
struct Measures(Mutex<Vec<usize>>);

#[async_trait::async_trait]
impl Middleware for Measures {
    async fn handle(
        &self,
        request: ::reqwest::Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<::reqwest::Response> {
        let copy = request.try_clone().expect("it has no body");
        let of_the_middleware = size_of_val(&*next.clone().run(copy, extensions));
        let (request, given) = ResilienceMiddleware::default().prepare(request, extensions)?;
        let send = |request| given.send(next.clone(), request);
        let call = StackLayer::default().layer(RestOfChain(send)).call(request);
        self.0.lock().unwrap().extend([of_the_middleware, size_of_val(&call)]);
        Err(reqwest_middleware::Error::middleware(io::Error::other("measured")))
    }
}

#[tokio::test]
async fn the_two_boxes_of_a_call_have_at_most_1032_bytes() {
    let measures = Arc::new(Measures(Mutex::default()));
    let client = reqwest_middleware::ClientBuilder::new(::reqwest::Client::new())
        .with_arc(measures.clone())
        .with(ResilienceMiddleware::default())
        .build();
    client.get("http://a.example/").send().await.unwrap_err();
    let sizes = measures.0.lock().unwrap().clone();
    assert!(sizes.len() == 2 && sizes.iter().all(|size| *size <= 1032), "{sizes:?}");
}

#[tokio::test]
async fn an_inner_client_alone_is_bounded_by_the_ceilings_of_the_stack() {
    let limits = crate::Limits::default().stream(SEC).long_poll(2 * SEC);
    let stack = StackLayer::builder().limits(limits).build().unwrap();
    let inner = super::builder().stack(stack).inner_client().unwrap();
    let said = format!("{inner:?}");
    // The grace of a long poll is 5 s.
    assert!(said.contains("TotalTimeout: 8s") && said.contains("read_timeout: 7s"), "{said}");
}

const SEC: Duration = Duration::from_secs(1);

/// Settings with a wall clock that can be put ahead of the monotonic one, and how often an inner client was made.
struct Slept {
    ahead: Arc<AtomicU32>,
    made: Arc<AtomicU32>,
}

impl Slept {
    fn new() -> (Slept, ClientBuilder) {
        let slept = Slept { ahead: Arc::default(), made: Arc::default() };
        let (ahead, made, start) = (Arc::clone(&slept.ahead), Arc::clone(&slept.made), Instant::now());
        let mut client = super::builder().each_inner(move |inner| {
            made.fetch_add(1, Ordering::Relaxed);
            inner.no_proxy()
        });
        client.wall = WallClock::new(move || {
            SystemTime::UNIX_EPOCH + 1_000_000 * SEC + start.elapsed() + ahead.load(Ordering::Relaxed) * SEC
        });
        (slept, client)
    }

    /// The machine sleeps for so long, and it is time to look at the clocks. Nothing of a socket is waited for meanwhile.
    async fn sleeps(&self, seconds: u32) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
        tokio::time::pause();
        tokio::time::advance(SEC).await;
        tokio::time::resume();
    }

    fn made(&self) -> u32 {
        self.made.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Word(&'static str);

/// Counts the attempts that have the words of the client and of the request with them.
#[derive(Clone, Default)]
struct Counts(Arc<AtomicU32>);

#[async_trait::async_trait]
impl Middleware for Counts {
    async fn handle(
        &self,
        request: ::reqwest::Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<::reqwest::Response> {
        let said = |word| extensions.get::<Word>().is_some_and(|said| said.0 == word);
        self.0.fetch_add(u32::from(said("client") || said("request")), Ordering::Relaxed);
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn no_idle_connection_is_used_again_after_the_machine_slept_and_no_middleware_is_left_out() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let url = format!("http://{}/", peer.listen().unwrap());
    let (slept, client) = Slept::new();
    let counts = Counts::default();
    let client = reqwest_middleware::ClientBuilder::from_client(client.build().unwrap())
        .with(counts.clone())
        .with_init(Extension(Word("client")))
        .build();
    let mut calls = 0;
    // A step of 29 s (a loaded machine may rest between the readings of the two clocks), a sleep of 31 s, nothing new, and
    // a night.
    for (seconds, connections) in [(0, 1), (29, 1), (31, 2), (0, 2), (8 * 3600, 3)] {
        slept.sleeps(seconds).await;
        let first = client.get(&url).send().await.unwrap();
        assert_eq!(first.text().await.unwrap(), "ok");
        let second = client.post(&url).body("x").with_extension(Word("request")).send().await.unwrap();
        assert_eq!((second.text().await.unwrap(), last_body(&peer)), ("ok".into(), "x".into()));
        calls += 2;
        assert_eq!((peer.connections(), u64::from(slept.made())), (connections, connections), "{seconds}");
        assert_eq!((counts.0.load(Ordering::Relaxed), peer.request_count()), (calls, u64::from(calls)));
    }
    assert!(client.get("no url").send().await.unwrap_err().is_builder(), "it says what is wrong with it");
}

/// What the last request brought.
fn last_body(peer: &Peer) -> String {
    let last = peer.requests().pop().unwrap();
    String::from_utf8(last.body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_service_of_the_builder_uses_no_idle_connection_again_after_the_machine_slept() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let url = format!("http://{}/", peer.listen().unwrap());
    let (slept, client) = Slept::new();
    let mut service = StackLayer::default().layer(client.service().unwrap());
    for (seconds, connections) in [(0, 1), (31, 2), (0, 2)] {
        slept.sleeps(seconds).await;
        for mut service in [service.clone(), service.clone()] {
            let request = http::Request::get(&url).body(crate::Body::empty()).unwrap();
            service.call(request).await.unwrap();
        }
        assert_eq!(peer.connections(), connections, "{seconds}");
    }
    let request = http::Request::get(&url).body(crate::Body::empty()).unwrap();
    service.call(request).await.unwrap();
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn what_cannot_be_made_anew_stays_as_it_is_when_the_machine_slept() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let url = format!("http://{}/", peer.listen().unwrap());
    // Settings that were used up.
    let (slept, client) = Slept::new();
    let client = client.inner(|inner| inner.user_agent("once")).build().unwrap();
    // Settings that are refused the second time.
    let (refusing, again) = Slept::new();
    let made = Arc::clone(&refusing.made);
    let again = again.each_inner(move |inner| match made.load(Ordering::Relaxed) {
        1 => inner,
        _ => inner.user_agent("two\nlines"),
    });
    let again = again.build().unwrap();
    for _ in 0..3 {
        client.get(&url).send().await.unwrap();
        again.get(&url).send().await.unwrap();
        slept.sleeps(3600).await;
        refusing.sleeps(3600).await;
    }
    assert_eq!((peer.connections(), slept.made()), (2, 1));
    assert!(refusing.made() > 1, "it was tried");
}
