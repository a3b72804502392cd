//! A small server that cannot be kept busy by others.

use super::connection::{Activity, Answering, WatchedStream};
use crate::Error;
use crate::runtime::has;
use crate::sync::shielded;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// From the first byte of a request, or the end of the last one, to the end of its head.
const HEAD_TIME: Duration = Duration::from_secs(5);
const HEAD_BYTES: usize = 16 * 1024;
const FIELDS: usize = 64;
const CONNECTIONS: usize = 64;
/// However it is used: one that reads nothing of its answer would stay for ever. A live page connects again by itself.
const CONNECTION_TIME: Duration = Duration::from_secs(10 * 60);
/// After an error of the listener, as when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// The admin endpoints, as long as it is kept. Dropping it closes the listener and all connections.
#[must_use = "the endpoints are gone when it is dropped"]
#[derive(Debug)]
pub struct Serving {
    addr: SocketAddr,
    _task: JoinSet<()>,
}

impl Serving {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:40123`
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

pub(super) async fn serve(addr: SocketAddr, router: Router) -> Result<Serving, Error> {
    if Handle::try_current().is_err() {
        return Err(Error::config(format!("{addr} can be listened on only inside of a tokio runtime")));
    }
    let cannot = |error| Error::config(format!("the admin endpoints cannot listen on {addr}: {error}"));
    let listener = has(TcpListener::bind(addr)).await?.map_err(cannot)?;
    let addr = listener.local_addr().map_err(cannot)?;
    let mut task = JoinSet::new();
    task.spawn(accept(listener, router));
    Ok(Serving { addr, _task: task })
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    let mut oldest: VecDeque<(AbortHandle, Activity)> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // What the subscriber does must not end this loop.
                shielded(|| tracing::debug!(%error, "the admin endpoints could not accept a connection"));
                sleep(PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        oldest.retain(|(connection, _)| !connection.is_finished());
        if oldest.len() >= CONNECTIONS {
            // The oldest of those that do least: a probe in mid-request outlasts a flood that says nothing.
            let least = oldest.iter().enumerate().min_by_key(|(_, (_, activity))| activity.get());
            if let Some((connection, _)) = least.map(|(at, _)| at).and_then(|at| oldest.remove(at)) {
                connection.abort();
            }
        }
        let activity = Activity::default();
        let served = connections.spawn(connection(stream, router.clone(), activity.clone()));
        oldest.push_back((served, activity));
    }
}

async fn connection(stream: TcpStream, router: Router, activity: Activity) {
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES).max_headers(FIELDS);
    let stream = TokioIo::new(WatchedStream { stream, activity: activity.clone() });
    let served = http.serve_connection(stream, TowerToHyperService::new(Answering { router, activity }));
    // What is wrong with a connection is the other side's business.
    let _ = timeout(CONNECTION_TIME, served).await;
}
