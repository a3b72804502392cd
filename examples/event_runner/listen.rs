//! A small HTTP server that a slow or idle client cannot keep busy.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// For the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// However a connection is used. Who scrapes or subscribes connects again.
const LIFETIME: Duration = Duration::from_secs(600);
const CONNECTIONS: usize = 64;
/// After an error of the listener, as when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// It ends, with all its connections, when it is dropped.
pub(crate) struct Listening {
    pub(crate) addr: SocketAddr,
    _task: JoinSet<()>,
}

impl Listening {
    pub(crate) async fn start<F>(addr: SocketAddr, answer: F) -> io::Result<Listening>
    where
        F: Fn(&Request<Incoming>) -> Answer + Clone + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let mut task = JoinSet::new();
        task.spawn(accept(listener, answer));
        Ok(Listening { addr, _task: task })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// A plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()).boxed_unsync());
    *answer.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    answer
}

async fn accept<F>(listener: TcpListener, answer: F)
where
    F: Fn(&Request<Incoming>) -> Answer + Clone + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        oldest.retain(|connection| !connection.is_finished());
        if oldest.len() >= CONNECTIONS {
            // An idle one gives way to a probe.
            if let Some(connection) = oldest.pop_front() {
                connection.abort();
            }
        }
        oldest.push_back(connections.spawn(serve(stream, answer.clone())));
    }
}

async fn serve<F>(stream: TcpStream, answer: F)
where
    F: Fn(&Request<Incoming>) -> Answer + Clone + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(16 << 10);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = match *request.method() {
            Method::GET | Method::HEAD => answer(&request),
            _ => text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD alone\n"),
        };
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    // What is wrong with a connection is the other side's business.
    let _ = timeout(LIFETIME, http.serve_connection(TokioIo::new(stream), service)).await;
}
