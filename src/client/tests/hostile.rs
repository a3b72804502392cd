//! Servers that keep to no rule: of the same calls, as many succeed as with a plain client of hyper-util over the same
//! connections, and nothing is left of them.

use super::*;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use tokio::io::DuplexStream;
use tokio::time::{sleep, timeout};

pub(super) type Playing = Pin<Box<dyn Future<Output = ()> + Send>>;
type Play = Arc<dyn Fn(u32, DuplexStream) -> Playing + Send + Sync>;

/// A server whose connections are played one by one, and how many of them there are.
#[derive(Clone)]
pub(super) struct Hostile {
    play: Play,
    http2: bool,
    dials: Arc<AtomicU32>,
    open: Arc<AtomicUsize>,
    /// The number of a connect that is refused.
    refused: Arc<AtomicU32>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Hostile {
    pub(super) fn new<T>(
        http2: bool,
        play: impl Fn(u32, DuplexStream) -> T + Send + Sync + 'static,
    ) -> Hostile
    where
        T: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let play: Play = Arc::new(move |number, io| {
            let playing = play(number, io);
            Box::pin(async move { drop(playing.await) })
        });
        let refused = Arc::new(AtomicU32::new(u32::MAX));
        Hostile { play, http2, dials: Arc::default(), open: Arc::default(), refused }
    }

    /// The same server, for another client.
    fn again(&self) -> Hostile {
        Hostile { dials: Arc::default(), open: Arc::default(), ..self.clone() }
    }

    pub(super) fn refuse(&self, number: u32) {
        self.refused.store(number, Ordering::SeqCst);
    }

    #[expect(clippy::disallowed_methods, reason = "its owner is the runtime of the test")]
    fn dial(&self) -> std::io::Result<TokioStream<DuplexStream>> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let number = self.dials.fetch_add(1, Ordering::SeqCst);
        if number == self.refused.load(Ordering::SeqCst) {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
        let playing = (self.play)(number, far);
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&self.open));
        tokio::spawn(async move {
            playing.await;
            drop(open);
        });
        let stream = TokioStream::new(near);
        Ok(if self.http2 { stream.http2() } else { stream })
    }

    pub(super) fn dials(&self) -> u32 {
        self.dials.load(Ordering::SeqCst)
    }

    /// Connections whose server has not seen their end.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn builder(&self) -> ClientBuilder {
        let server = self.clone();
        let dial = tower::service_fn(move |_: http::Uri| ready(server.dial()));
        let network = Network::default();
        let network = if self.http2 { network.http2_only() } else { network };
        Client::builder().network(network).connector(dial)
    }

    pub(super) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    fn plain(&self) -> Caller {
        let server = self.clone();
        let dial = tower::service_fn(move |_: http::Uri| ready(server.dial()));
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        let builder = builder.http2_only(self.http2).pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        let client: legacy::Client<_, Full<Bytes>> = builder.build(dial);
        Arc::new(move |method, body| {
            let request = Request::builder().method(method).uri(URL).body(Full::new(body)).unwrap();
            let calling = client.request(request);
            Box::pin(async move {
                let response = calling.await.map_err(said)?;
                let status = response.status();
                let body = response.into_body().collect().await.map_err(said)?.to_bytes();
                Ok((status, body))
            })
        })
    }

    fn ours(&self) -> Caller {
        let client = self.client();
        Arc::new(move |method, body| {
            let calling = client.request(method, URL).body(body).send();
            Box::pin(async move {
                let response = calling.await.map_err(said)?;
                let status = response.status();
                Ok((status, response.bytes().await.map_err(said)?))
            })
        })
    }
}

type Said = Result<(StatusCode, Bytes), String>;
type Caller = Arc<dyn Fn(Method, Bytes) -> Pin<Box<dyn Future<Output = Said> + Send>> + Send + Sync>;

fn said(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// So many calls at once, again and again, with a pause after each round.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) method: Method,
    pub(super) body: usize,
    pub(super) at_once: u32,
    pub(super) rounds: u32,
    pub(super) pause: Duration,
}

pub(super) fn gets(at_once: u32, rounds: u32, pause: Duration) -> Load {
    Load { method: Method::GET, body: 0, at_once, rounds, pause }
}

pub(super) fn posts(body: usize, at_once: u32, rounds: u32, pause: Duration) -> Load {
    Load { method: Method::POST, body, at_once, rounds, pause }
}

/// How many calls got the answer that was meant for them, and what another one got.
async fn good(caller: Caller, load: &Load) -> (u32, Option<String>) {
    let body = Bytes::from(vec![b'x'; load.body]);
    let mut calls = JoinSet::new();
    for _ in 0..load.rounds {
        for _ in 0..load.at_once {
            calls.spawn(timeout(30 * SEC, caller(load.method.clone(), body.clone())));
        }
        sleep(load.pause).await;
    }
    let (mut good, mut other) = (0, None);
    for ended in calls.join_all().await {
        match ended {
            Ok(Ok((_, body))) if body == "ok" => good += 1,
            ended => other = Some(said(ended)),
        }
    }
    (good, other)
}

/// Of the same calls, at least as many of ours as of a plain client's are answered, and two minutes later nothing is
/// left of the connections. How many of either were.
pub(super) async fn no_worse(server: &Hostile, load: Load) -> (u32, u32) {
    let plain = server.again();
    let (ours, said) = good(server.ours(), &load).await;
    let (theirs, _) = good(plain.plain(), &load).await;
    assert!(ours >= theirs, "{ours} of ours beside {theirs}, of {load:?}: {said:?}");
    sleep(120 * SEC).await;
    assert_eq!(server.open(), 0, "connections are left of {load:?}");
    (ours, theirs)
}
