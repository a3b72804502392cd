//! A service of the user's at the other end of a pipe.

use super::state::MAX_CONNECTIONS;
use crate::error::BoxError;
use crate::sync::{Mutex, lock};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use tokio::io::DuplexStream;
use tokio::task::JoinSet;
use tower_service::Service;

type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves connections for as long as a pipe leads here.
pub(super) struct Behind {
    connection: Box<dyn Fn(DuplexStream) -> Connection + Send + Sync>,
    tasks: Mutex<JoinSet<()>>,
}

impl Behind {
    pub(super) fn new<S, B>(service: S) -> Behind
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        // So that a service need not be Sync. Nobody waits for it but another connect to the same pipe.
        let service = Mutex::new(service);
        let connection = move |io: DuplexStream| -> Connection {
            let service = TowerToHyperService::new(lock(&service).clone());
            Box::pin(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // How a connection ends is for the client to tell.
                let _ = server.serve_connection(TokioIo::new(io), service).await;
            })
        };
        Behind { connection: Box::new(connection), tasks: Mutex::new(JoinSet::new()) }
    }

    /// False where it serves as many as it can.
    pub(super) fn connection(&self, io: DuplexStream) -> bool {
        let connection = (self.connection)(io);
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        let room = tasks.len() < MAX_CONNECTIONS;
        if room {
            tasks.spawn(connection);
        }
        room
    }
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behind").field("connections", &lock(&self.tasks).len()).finish_non_exhaustive()
    }
}
