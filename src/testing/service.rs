//! A service of the user's at the other end of a pipe.

use super::Pipe;
use super::pipe::{End, ServerHalf, refused};
use super::state::MAX_CONNECTIONS;
use crate::error::BoxError;
use crate::sync::{Arc, Mutex, lock};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use tokio::task::JoinSet;
use tower_service::Service;

type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves connections for as long as a pipe leads here.
pub(super) struct Behind {
    connection: Box<dyn Fn(ServerHalf) -> Connection + Send + Sync>,
    tasks: Mutex<JoinSet<()>>,
}

impl Behind {
    pub(super) fn connection(&self, half: ServerHalf) -> io::Result<()> {
        let connection = (self.connection)(half);
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= MAX_CONNECTIONS {
            return Err(refused("the service has too many connections"));
        }
        tasks.spawn(connection);
        Ok(())
    }
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behind").field("connections", &lock(&self.tasks).len()).finish_non_exhaustive()
    }
}

impl Pipe {
    /// An in-memory connector to a service of your own, served by hyper: an axum router, or whatever hyper can serve. Its
    /// handlers run on the same paused clock as the client, which a server on a real socket does not: a paused clock jumps to
    /// the next timer while bytes are on their way through the kernel.
    ///
    /// HTTP/1.1 is spoken, and HTTP/2 with a client that begins so. Every connection gets a clone of the service, on the
    /// runtime that connects. It has no limits, as no server has that a client must be able to bear. Where the service fails,
    /// or panics, its connection ends. Connections end with the last clone of the pipe, and handlers with the client that
    /// leaves.
    ///
    #[cfg_attr(
        all(feature = "admin", feature = "client"),
        doc = r#"
```
use axum::{Router, routing::get};
use std::time::Duration;
use unwedge::{Client, testing::Pipe};

# async fn checked() {
# #[allow(dead_code)]
// #[tokio::test(start_paused = true)]
async fn a_handler_that_sleeps_is_left_after_ten_seconds_four_times() {
    let slow = || tokio::time::sleep(Duration::from_secs(60));
    let pipe = Pipe::serve(Router::new().route("/jobs", get(slow)));
    let client = Client::builder().pipe(pipe).build().unwrap();
    let error = client.get("http://broker.test/jobs").send().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
}
# a_handler_that_sleeps_is_left_after_ten_seconds_four_times().await
# }
# tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(checked());
```
"#
    )]
    #[doc(alias("wiremock", "axum", "mock"))]
    pub fn serve<S, B>(service: S) -> Pipe
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
        let connection = move |half: ServerHalf| -> Connection {
            let service = TowerToHyperService::new(lock(&service).clone());
            Box::pin(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // How a connection ends is for the client to tell.
                let _ = server.serve_connection(TokioIo::new(half.io), service).await;
            })
        };
        let tasks = Mutex::new(JoinSet::new());
        Pipe::to(End::Service(Arc::new(Behind { connection: Box::new(connection), tasks })))
    }
}
