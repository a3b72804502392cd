//! The innermost service: one request on a pooled connection, by hyper-util.

mod builder;
pub(crate) mod connect;
pub(crate) mod decode;

mod getters;
mod incoming;
pub(crate) mod network;
mod pool;
pub(crate) mod versions;

pub(crate) use builder::TransportBuilder;

use crate::body::Body;
use crate::error::{BoxError, Error, ErrorKind};
use crate::reuse::{Fresh, Meter};
use crate::sync::{Mutex, lock, wake_all};
use crate::transport::connect::end_this_connection;
use crate::transport::connect::proxy::Proxy;
use crate::transport::incoming::Arriving;
use crate::transport::pool::{HEAD, Pool, Retire};
use http::header::{Entry, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::ext::on_informational;
use hyper_util::client::legacy::ResponseFuture;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use tower_service::Service;

/// More responses of 1xx before the response itself are an error: nothing else would end a server that sends only them.
const INFORMATIONAL: u32 = 100;

/// hyper-util's client over our connector. Clones share everything.
///
/// It spawns one task for each connection, one that puts a connection back into the pool when its body is read, one
/// for a connect that lost its race against a connection that came free, and one per pool that closes idle
/// connections. All of them end with the connections.
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
        // hyper-util spawns, and a spawn without a runtime is a panic.
        if tokio::runtime::Handle::try_current().is_err() {
            return Exchange::refused(Error::config(
                "no tokio runtime: the client's connections need one, run it inside one",
            ));
        }
        let http2_only = self.0.pool.connector.http2_only();
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
        let count = Arc::new(Count::default());
        let counting = Arc::clone(&count);
        on_informational(&mut request, move |_| counting.one_more());
        let proxy = self.0.pool.connector.forwarder(request.uri());
        if let Some(value) = proxy.as_ref().and_then(Proxy::authorization) {
            request.headers_mut().entry(PROXY_AUTHORIZATION).or_insert_with(|| value.clone());
        }
        let maybe_http2 = http2_only || request.uri().scheme_str() == Some("https");
        let retire = maybe_http2.then(|| Retire::with(&mut request));
        let fresh = request.extensions_mut().remove::<Fresh>().is_some();
        Exchange(Doing::Running { response: self.0.pool.request(request, fresh), count, proxy, retire })
    }
}

/// The future of one request and its response head.
pub(crate) struct Exchange(Doing);

enum Doing {
    Refused(Option<Error>),
    Running { response: ResponseFuture, count: Arc<Count>, proxy: Option<Proxy>, retire: Option<Retire> },
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
            Doing::Running { response, count, proxy, retire } => match Pin::new(response).poll(cx) {
                // The connection ends with its next read, or with this future.
                Poll::Ready(_) if count.is_full() => Err(too_many()),
                // hyper looks at its cap before it reads again, so that one read can bring a head of nearly twice as much.
                Poll::Ready(Ok(response)) if head_size(response.headers()) > HEAD as usize => {
                    Err(Error::new(ErrorKind::TooLarge, too_large()))
                }
                // No origin says this.
                Poll::Ready(Ok(response))
                    if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED =>
                {
                    match proxy {
                        Some(proxy) => Err(proxy.refused(response.status())),
                        None => Ok(arriving(response, retire)),
                    }
                }
                Poll::Ready(Ok(response)) => {
                    if let Some(meter) = response.extensions().get::<Meter>() {
                        meter.served();
                    }
                    if response.status() == StatusCode::MISDIRECTED_REQUEST {
                        leave(retire);
                    }
                    Ok(arriving(response, retire))
                }
                Poll::Ready(Err(error)) => {
                    let error = failed(error.into());
                    if error.inner().fault.unprocessed {
                        leave(retire);
                    }
                    Err(error)
                }
                Poll::Pending if count.watch(cx) => Err(too_many()),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.0 = Doing::Ended;
        Poll::Ready(ended)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Doing::Running { retire: Some(retire), .. } = &self.0 {
            retire.given_up();
        }
    }
}

/// The next call goes out on another connection: this one leads elsewhere, or takes no more.
fn leave(retire: &Option<Retire>) {
    if let Some(retire) = retire {
        retire.now();
    }
}

fn arriving(response: Response<Incoming>, retire: &mut Option<Retire>) -> Response<Arriving> {
    let retire = retire.take().filter(|_| response.version() == Version::HTTP_2);
    response.map(|body| Arriving::new(body, retire))
}

fn failed(error: BoxError) -> Error {
    let mut error = Error::from(error);
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

fn too_many() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("more than {INFORMATIONAL} informational responses (1xx) came before the response"),
    )
}

/// Counts the informational responses to one request. The task of the connection counts, the call looks.
#[derive(Debug, Default)]
struct Count {
    seen: AtomicU32,
    call: Mutex<Option<Waker>>,
}

impl Count {
    fn one_more(&self) {
        let seen = self.seen.fetch_add(1, Ordering::SeqCst);
        if seen >= INFORMATIONAL {
            end_this_connection();
        }
        if seen == INFORMATIONAL {
            let call = lock(&self.call).take();
            wake_all(call);
        }
    }

    fn is_full(&self) -> bool {
        self.seen.load(Ordering::SeqCst) > INFORMATIONAL
    }

    /// Whether there were too many; else the call is woken when there are.
    fn watch(&self, cx: &Context<'_>) -> bool {
        // Cloned before the lock is taken, and what it replaces dropped after it is given back.
        let waker = cx.waker().clone();
        let before = lock(&self.call).replace(waker);
        drop(before);
        // Looked at only now: one that comes after this finds the waker.
        self.is_full()
    }
}
