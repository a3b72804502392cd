//! The innermost service: one request on a pooled connection, by hyper.

mod builder;
pub(crate) mod connect;
pub(crate) mod decode;

mod getters;
mod incoming;
pub(crate) mod network;
pub(crate) mod pool;
pub(crate) mod versions;

pub(crate) use builder::TransportBuilder;

use crate::body::Body;
use crate::error::{Error, ErrorKind};
use crate::inflight::AskPool;
use crate::transport::connect::proxy::Proxy;
use crate::transport::incoming::Arriving;
use crate::transport::pool::{Answering, HEAD, Lease, Pool};
use http::header::{Entry, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// A pool of connections over our connector. Clones share everything.
///
/// It spawns one task for each connection, from its connect to its end, hyper adds one for the frames of HTTP/2, and one
/// closes idle connections. All of them end with the connections.
#[derive(Clone)]
pub(crate) struct Transport(Arc<Inner>);

struct Inner {
    pool: Pool,
    user_agent: HeaderValue,
}

impl Transport {
    fn new(pool: Pool, user_agent: HeaderValue) -> Transport {
        Transport(Arc::new(Inner { pool, user_agent }))
    }

    /// Tells what connections there are.
    pub(super) fn teller(&self) -> AskPool {
        self.0.pool.teller()
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Arriving>;
    type Error = Error;
    type Future = Exchange;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Exchange {
        // A connection is a task.
        if tokio::runtime::Handle::try_current().is_err() {
            return Exchange::refused(Error::config(
                "no tokio runtime: the client's connections need one, run it inside one",
            ));
        }
        let http2_only = self.0.pool.connector().http2_only();
        match request.version() {
            Version::HTTP_10 | Version::HTTP_11 => {}
            Version::HTTP_2 if http2_only => {}
            version => {
                return Exchange::refused(Error::config(format!(
                    "the request asks for {version:?}: it must be HTTP/1.1 or HTTP/1.0 (the server chooses HTTP/2 by \
                     itself; Network::http2_only() asks for nothing else)"
                )));
            }
        }
        if let Entry::Vacant(vacant) = request.headers_mut().entry(USER_AGENT) {
            vacant.insert(self.0.user_agent.clone());
        }
        let proxy = self.0.pool.connector().forwarder(request.uri());
        if let Some(value) = proxy.as_ref().and_then(Proxy::authorization) {
            request.headers_mut().entry(PROXY_AUTHORIZATION).or_insert_with(|| value.clone());
        }
        match self.0.pool.request(request) {
            Ok(answering) => Exchange(Doing::Running { answering, proxy }),
            Err(error) => Exchange::refused(error),
        }
    }
}

/// The future of one request and its response head.
pub(crate) struct Exchange(Doing);

enum Doing {
    Refused(Option<Error>),
    Running { answering: Answering, proxy: Option<Proxy> },
    Ended,
}

impl Exchange {
    fn refused(error: Error) -> Exchange {
        Exchange(Doing::Refused(Some(error)))
    }
}

impl Future for Exchange {
    type Output = Result<Response<Arriving>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = match &mut self.0 {
            Doing::Refused(error) => match error.take() {
                Some(error) => Err(error),
                None => panic!("a request was polled after it had ended"),
            },
            Doing::Ended => panic!("a request was polled after it had ended"),
            Doing::Running { answering, proxy } => match answering.as_mut().poll(cx) {
                // hyper looks at its cap before it reads again, so that one read can bring a head of nearly twice as much.
                Poll::Ready(Ok((response, _))) if head_size(response.headers()) > HEAD as usize => {
                    Err(Error::new(ErrorKind::TooLarge, too_large()))
                }
                // No origin says this.
                Poll::Ready(Ok((response, lease)))
                    if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED =>
                {
                    match proxy {
                        Some(proxy) => Err(proxy.refused(response.status())),
                        None => Ok(arriving(response, lease)),
                    }
                }
                Poll::Ready(Ok((response, lease))) => Ok(arriving(response, lease)),
                Poll::Ready(Err(error)) => Err(failed(error)),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.0 = Doing::Ended;
        Poll::Ready(ended)
    }
}

fn arriving(response: Response<Incoming>, lease: Option<Lease>) -> Response<Arriving> {
    response.map(|body| Arriving::new(body, lease))
}

fn failed(mut error: Error) -> Error {
    let inner = error.inner_mut();
    // Of all connections of this client it is known whether they had served before.
    inner.fault.metered = true;
    if inner.kind == ErrorKind::TooLarge && inner.detail.is_empty() {
        inner.detail = too_large().into();
    }
    error
}

fn too_large() -> String {
    format!("the response head is above its cap of {} KiB or 100 headers", HEAD / 1024)
}

/// As on the wire, but for the status line: each header has a colon, a space and a line end.
fn head_size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}
