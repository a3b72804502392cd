//! Requests over loopback on kept connections, against a server on a thread of its own: bare hyper-util, the same in one
//! timeout of tokio's (the least that a bounded call can cost: with a timer set, each wait of the runtime is a timed one),
//! the same under the stack, and the crate's own client.

use crate::measure::{Row, median, progress};
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::{Stack, StackLayer};

const ROUNDS: usize = 41;
const REQUESTS: usize = 1500;
const AT_ONCE: usize = 64;

type Bare = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn rows() -> Vec<Row> {
    let uri: Uri = format!("http://{}/", serve()).parse().expect("an address is a URL");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut rows = Vec::new();
        for (at_once, names, wanted) in [
            (
                1,
                [
                    "loopback, hyper-util in a timeout, sequential",
                    "loopback, stack over hyper-util, sequential",
                    "loopback, Client, sequential",
                ],
                "1.02",
            ),
            (
                AT_ONCE,
                [
                    "loopback, hyper-util in a timeout, 64 at once",
                    "loopback, stack over hyper-util, 64 at once",
                    "loopback, Client, 64 at once",
                ],
                "1.03",
            ),
        ] {
            progress(names[0]);
            let bare: Bare = Client::builder(TokioExecutor::new()).build_http();
            let stacked: Stack<Bare> = StackLayer::default().layer(bare.clone());
            let client = unwedge::Client::new().expect("the defaults fit together");
            let timed = Timed(bare.clone());
            let mut rounds = [const { Vec::new() }; 4];
            for _ in 0..ROUNDS {
                rounds[0].push(round(at_once, &bare, &uri).await);
                rounds[1].push(round(at_once, &timed, &uri).await);
                rounds[2].push(round(at_once, &stacked, &uri).await);
                rounds[3].push(round(at_once, &client, &uri).await);
            }
            let [bare, timed, stacked, client] = rounds.map(median);
            for (name, ours, wanted) in
                [(names[0], timed, ""), (names[1], stacked, wanted), (names[2], client, wanted)]
            {
                rows.push(Row { name, bare, ours, allocations: None, wanted });
            }
        }
        rows
    })
}

/// Nanoseconds for a request, with so many callers at once.
async fn round(at_once: usize, client: &(impl Get + Clone + Send + 'static), uri: &Uri) -> f64 {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..at_once {
        let (mut client, uri) = (client.clone(), uri.clone());
        callers.spawn(async move {
            for _ in 0..REQUESTS / at_once {
                client.get(uri.clone()).await;
            }
        });
    }
    callers.join_all().await;
    start.elapsed().as_nanos() as f64 / (REQUESTS / at_once * at_once) as f64
}

/// One request, to the last byte of its answer.
trait Get {
    fn get(&mut self, uri: Uri) -> impl Future<Output = ()> + Send;
}

impl Get for Bare {
    async fn get(&mut self, uri: Uri) {
        whole(self.call(to(uri)).await).await;
    }
}

/// What a careful caller writes around each call.
#[derive(Clone)]
struct Timed(Bare);

impl Get for Timed {
    async fn get(&mut self, uri: Uri) {
        let whole = Get::get(&mut self.0, uri);
        tokio::time::timeout(Duration::from_secs(10), whole).await.expect("in time");
    }
}

impl Get for Stack<Bare> {
    async fn get(&mut self, uri: Uri) {
        whole(self.call(to(uri)).await).await;
    }
}

impl Get for unwedge::Client {
    async fn get(&mut self, uri: Uri) {
        whole(self.call(to(uri)).await).await;
    }
}

fn to<B: Default>(uri: Uri) -> Request<B> {
    let mut request = Request::new(B::default());
    *request.uri_mut() = uri;
    request
}

async fn whole<B: http_body::Body, E: std::fmt::Debug>(answer: Result<Response<B>, E>)
where
    B::Error: std::fmt::Debug,
{
    let answer = answer.expect("the server answers");
    answer.into_body().collect().await.expect("a whole body");
}

/// A server that lives as long as the program.
fn serve() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("a socket of ours");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.expect("a connection");
                socket.set_nodelay(true).expect("a socket");
                let answer = service_fn(|_| async {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{\"jobs\":[]}"))))
                });
                connections.spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer),
                );
            }
        });
    });
    addr
}
