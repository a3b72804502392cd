//! What this machine lacks for a connection, said by the kernel to whoever connects: no fault of the server, and over with
//! its cause.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tower::{Layer, Service, ServiceExt};
use unwedge::breaker::Phase;
use unwedge::client::{Client, Network};
use unwedge::stack::{Breakers, StackBuilder};
use unwedge::testing::{Peer, Reply};
use unwedge::{ErrorKind, StackLayer, retry};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Now {
    /// The resolver itself finds no descriptor.
    NoDescriptor,
    /// The kernel lets nobody connect to everybody at once, or has no route to there.
    NoRoute,
    Well,
}

/// Where the name leads at the moment.
#[derive(Clone)]
struct Names {
    now: Arc<Mutex<Now>>,
    well: SocketAddr,
}

impl Names {
    fn found(&self) -> io::Result<Vec<SocketAddr>> {
        match *self.now.lock().unwrap() {
            Now::NoDescriptor => Err(io::Error::from_raw_os_error(24)),
            Now::NoRoute => Ok(vec![SocketAddr::from(([255, 255, 255, 255], 1))]),
            Now::Well => Ok(vec![self.well]),
        }
    }
}

impl reqwest::dns::Resolve for Names {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let found = self.found();
        let found = found.map(|all| Box::new(all.into_iter()) as reqwest::dns::Addrs);
        Box::pin(ready(found.map_err(Into::into)))
    }
}

fn stack() -> StackBuilder {
    StackLayer::builder().retry(retry::Settings::default().max_retries(0))
}

/// What an error says.
#[derive(Debug)]
struct Told {
    kind: ErrorKind,
    retriable: bool,
    text: String,
}

impl From<&unwedge::Error> for Told {
    fn from(error: &unwedge::Error) -> Told {
        Told { kind: error.kind(), retriable: error.is_retriable(), text: error.to_string() }
    }
}

impl From<unwedge::Error> for Told {
    fn from(error: unwedge::Error) -> Told {
        Told::from(&error)
    }
}

/// Five calls each while something is lacking, and one when it is there.
async fn checked(who: &str, names: &Names, breakers: Breakers, call: impl AsyncFn() -> Result<u16, Told>) {
    for (lack, words) in
        [(Now::NoDescriptor, "too many open files in this process"), (Now::NoRoute, "this machine")]
    {
        let counted = || {
            let seen = breakers.snapshot().into_iter().next();
            seen.map_or((Phase::Closed, 0, 0), |seen| (seen.phase, seen.calls, seen.consecutive_failures))
        };
        let before = counted();
        *names.now.lock().unwrap() = lack;
        for _ in 0..5 {
            let Told { kind, retriable, text } = call().await.unwrap_err();
            assert_eq!((kind, retriable), (ErrorKind::Connect, true), "{who}: {text}");
            assert!(text.contains(words), "{who}: {text}");
        }
        assert_eq!(counted(), before, "{who}: {lack:?}");
        *names.now.lock().unwrap() = Now::Well;
        assert_eq!(call().await.unwrap(), 200, "{who}: at once");
    }
}

fn peer() -> (Names, String, Peer) {
    let peer = Peer::new().forever(Reply::ok("ok").header("connection", "close"));
    let well = peer.listen().unwrap();
    let names = Names { now: Arc::new(Mutex::new(Now::Well)), well };
    (names, format!("http://api.example:{}/", well.port()), peer)
}

#[tokio::test]
async fn the_client_calls_a_lack_by_its_name_and_goes_on_when_it_is_over() {
    let (names, url, _peer) = peer();
    let found = names.clone();
    let resolver = tower::service_fn(move |_: Name| ready(found.found()));
    let client = Client::builder().stack(stack()).network(Network::default().no_proxy()).resolver(resolver);
    let client = client.build().unwrap();
    checked("Client", &names, client.breakers(), async || {
        let response = client.post(&url).body("job").await?;
        let status = response.status().as_u16();
        response.bytes().await?;
        Ok(status)
    })
    .await;
}

#[tokio::test]
async fn the_stack_over_hyper_util_calls_a_lack_by_its_name_and_goes_on_when_it_is_over() {
    let (names, url, _peer) = peer();
    let found = names.clone();
    let resolver = tower::service_fn(move |_: Name| ready(found.found().map(Vec::into_iter)));
    let connector = HttpConnector::new_with_resolver(resolver);
    let inner: legacy::Client<_, Full<Bytes>> =
        legacy::Client::builder(TokioExecutor::new()).build(connector);
    let layer = stack().build().unwrap();
    let service = layer.layer(inner);
    checked("hyper-util", &names, layer.breakers(), async || {
        let request = Request::post(&url).body(Full::from("job")).unwrap();
        let response = service.clone().ready().await?.call(request).await?;
        let status = response.status().as_u16();
        response.into_body().collect().await?;
        Ok(status)
    })
    .await;
}

#[tokio::test]
async fn the_reqwest_family_calls_a_lack_by_its_name_and_goes_on_when_it_is_over() {
    let (names, url, _peer) = peer();
    let found = Arc::new(names.clone());
    let layer = stack().build().unwrap();
    let client = unwedge::reqwest::builder()
        .stack(layer.clone())
        .each_inner(move |inner| inner.no_proxy().dns_resolver(Arc::clone(&found)))
        .build()
        .unwrap();
    checked("reqwest", &names, layer.breakers(), async || {
        let sent = client.post(&url).body("job").send().await;
        let response =
            sent.map_err(|error| Told::from(unwedge::reqwest::cause(&error).expect("of the stack")))?;
        let status = response.status().as_u16();
        response.bytes().await.unwrap();
        Ok(status)
    })
    .await;
}
