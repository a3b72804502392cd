//! Connectors and resolvers of the user's own.

use super::*;
use crate::{ErrorKind, Limits, Phase, retry};
use hyper_util::client::legacy::connect::dns::Name;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn once() -> retry::Settings {
    retry::Settings::default().max_retries(0)
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_reached_by_a_connector_and_its_connections_are_pooled() {
    use hyper_util::rt::TokioIo;
    use tokio::net::{UnixListener, UnixStream};
    let path = std::env::temp_dir().join(format!("unwedge-connector-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut io, _) = listener.accept().await.unwrap();
        let (mut heads, mut bytes) = (0, [0; 4096]);
        while matches!(io.read(&mut bytes).await, Ok(1..)) {
            heads += 1;
            let _ = io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nunix").await;
        }
        heads
    });
    let at = path.clone();
    let dial = tower::service_fn(move |_: http::Uri| {
        let at = at.clone();
        async move { UnixStream::connect(at).await.map(TokioIo::new) }
    });
    let client = Client::builder().connector(dial).build().unwrap();
    for _ in 0..2 {
        assert_eq!(client.get("http://docker/info").await.unwrap().text().await.unwrap(), "unix");
    }
    drop(client);
    assert_eq!(server.join_next().await.unwrap().unwrap(), 2, "both on one connection");
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connector_gets_the_origin_and_its_connections_say_which_http_they_speak() {
    let (asked, peer) = (Arc::new(std::sync::Mutex::new(Vec::new())), Peer::new().forever(Reply::ok("two")));
    let (asking, pipe) = (Arc::clone(&asked), peer.pipe());
    let dial = tower::service_fn(move |uri: http::Uri| {
        asking.lock().unwrap().push(uri.to_string());
        let mut pipe = pipe.clone();
        async move {
            let io = pipe.call(uri).await?.into_inner();
            Ok::<_, io::Error>(TokioStream::new(io).http2())
        }
    });
    let client = Client::builder().connector(dial).build().unwrap();
    let response = client.get("https://api.example:8443/jobs?secret=x").await.unwrap();
    assert_eq!(response.into_http().version(), http::Version::HTTP_2);
    assert_eq!(*asked.lock().unwrap(), ["https://api.example:8443/"]);
}

/// Never ready.
#[derive(Clone)]
struct Unready(Arc<AtomicU32>);

impl Service<http::Uri> for Unready {
    type Response = TokioStream<tokio::io::DuplexStream>;
    type Error = io::Error;
    type Future = std::future::Pending<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Pending
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_is_never_ready_ends_at_the_connect_limit() {
    let polls = Arc::new(AtomicU32::new(0));
    let client = Client::builder().connector(Unready(Arc::clone(&polls))).retry(once()).build().unwrap();
    let start = tokio::time::Instant::now();
    let error = client.get(URL).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Connect)), "{error:?}");
    assert!(error.is_timeout() && polls.load(Ordering::Relaxed) > 0);
    assert_eq!(start.elapsed(), 5 * SEC);
}

#[tokio::test(start_paused = true)]
async fn what_a_connector_fails_with_is_a_connect_error_that_is_tried_again() {
    let tries = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&tries);
    let dial = tower::service_fn(move |_: http::Uri| {
        counting.fetch_add(1, Ordering::Relaxed);
        async { Err::<TokioStream<tokio::io::DuplexStream>, _>("no vsock device") }
    });
    let settings = retry::Settings::default().max_retries(2);
    let client = Client::builder().connector(dial).retry(settings).build().unwrap();
    let error = client.post(URL).body("job").await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connect, 3), "{error:?}");
    assert!(error.to_string().contains("no vsock device"), "{error}");
    assert_eq!(tries.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_resolver_of_ones_own_is_asked_for_names() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let at = peer.listen().unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let asking = Arc::clone(&asked);
    let fixed = tower::service_fn(move |name: Name| {
        asking.fetch_add(1, Ordering::Relaxed);
        async move {
            match name.as_str() {
                "api.example" => Ok(vec![at]),
                other => Err(format!("{other} is none of ours")),
            }
        }
    });
    let client = Client::builder().network(Network::default().no_proxy()).resolver(fixed).retry(once());
    let client = client.build().unwrap();
    assert_eq!(client.get(format!("http://api.example:{}/", at.port())).await.unwrap().status(), 200);
    assert_eq!(client.get(format!("http://{at}/")).await.unwrap().status(), 200);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "an address is not looked up");
    let error = client.get("http://other.example:1/").await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Resolve)), "{error:?}");
    assert!(error.to_string().contains("other.example is none of ours"), "{error}");
}

#[tokio::test]
async fn a_resolver_of_ones_own_that_hangs_is_bounded_and_no_fault_of_the_server() {
    let hangs = tower::service_fn(|_: Name| std::future::pending::<Result<Vec<SocketAddr>, io::Error>>());
    let client = Client::builder().network(Network::default().no_proxy()).resolver(hangs).retry(once());
    let client = client.limits(Limits::default().connect(100 * MS)).build().unwrap();
    let error = client.get("http://api.example/").await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Resolve)), "{error:?}");
    assert!(error.to_string().ends_with("no connection after 100 ms (resolving the host name)"), "{error}");
    assert_eq!(client.breakers().snapshot()[0].consecutive_failures, 0);
}

#[test]
fn a_resolver_beside_a_connector_is_refused_when_the_client_is_built() {
    let resolver = tower::service_fn(|_: Name| async { Ok::<_, io::Error>(Vec::<SocketAddr>::new()) });
    let error = piped(&Peer::new()).resolver(resolver).build().unwrap_err();
    assert!(error.is_config() && error.to_string().contains("leave one out"), "{error}");
}
