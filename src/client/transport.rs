//! The innermost service: one request on a pooled connection, by hyper-util.

use super::connect::Connector;
use crate::body::Body;
use crate::error::{BoxError, Error};
use http::header::{Entry, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connect, Connection};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

/// Shorter than the minute or more that servers and balancers keep an idle connection, so that it is mostly the client
/// that closes and a request seldom meets a connection that is going away.
const IDLE: Duration = Duration::from_secs(50);
const IDLE_PER_ORIGIN: usize = 8;
/// A head larger than this is an error, and no buffer grows beyond it.
const HEAD: usize = 64 * 1024;

/// hyper-util's client over a connector of ours.
///
/// It spawns one task for each connection, one that puts a connection back into the pool when its body is read, one
/// for a connect that lost its race against a connection that came free, and one per pool that closes idle
/// connections. All of them end with the connections.
pub(crate) struct Transport<C> {
    client: Client<Connector<C>, Body>,
    user_agent: HeaderValue,
}

impl<C> Transport<C>
where
    Connector<C>: Connect + Clone,
{
    pub(crate) fn new(connector: Connector<C>, user_agent: HeaderValue) -> Transport<C> {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_ORIGIN)
            .http1_max_buf_size(HEAD)
            .build(connector);
        Transport { client, user_agent }
    }
}

/// A handle to a [`Transport`]; all of them share its connections.
pub(crate) struct Shared<C>(Arc<Transport<C>>);

impl<C> Shared<C> {
    pub(crate) fn new(transport: Transport<C>) -> Shared<C> {
        Shared(Arc::new(transport))
    }
}

impl<C> Clone for Shared<C> {
    fn clone(&self) -> Shared<C> {
        Shared(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl<C, T> Service<Request<Body>> for Shared<C>
where
    C: Service<Uri, Response = TokioIo<T>> + Clone + Send + Sync + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError> + 'static,
    T: AsyncRead + AsyncWrite + Connection + Unpin + Send + 'static,
{
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = Exchange;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Exchange {
        // hyper-util spawns, and a spawn without a runtime is a panic.
        if tokio::runtime::Handle::try_current().is_err() {
            return Exchange(Doing::Failed(Some(Error::config(
                "no tokio runtime: the client's connections need one, run it inside one",
            ))));
        }
        if let Entry::Vacant(vacant) = request.headers_mut().entry(USER_AGENT) {
            vacant.insert(self.0.user_agent.clone());
        }
        Exchange(Doing::Running(self.0.client.request(request)))
    }
}

/// The future of one request and its response head.
pub(crate) struct Exchange(Doing);

enum Doing {
    Failed(Option<Error>),
    Running(ResponseFuture),
}

impl Future for Exchange {
    type Output = Result<Response<Incoming>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Doing::Failed(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => panic!("a request was polled after it had ended"),
            },
            Doing::Running(running) => {
                Poll::Ready(ready!(Pin::new(running).poll(cx)).map_err(|e| Error::from(BoxError::from(e))))
            }
        }
    }
}
