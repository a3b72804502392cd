//! A server of event streams, one a cluster, that sends again from `Last-Event-ID` on what a client has missed.
//!
//! It keeps nothing: what its nth event is, its script says, so that one that is killed and started again goes on as if
//! nothing had been. As many servers do it sends a few more than were missed.

mod script;

pub(crate) use script::{AGENT, CLUSTERS, Script};

use crate::listen::{Answer, Listening, text};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Sent again although the client has them.
const OVERLAP: u64 = 3;
/// A comment whenever there was nothing else for so long.
const HEARTBEAT: Duration = Duration::from_secs(2);
const PREFIX: &str = "/events/";

/// It ends, in the middle of its events, when it is dropped.
pub(crate) struct EventServer(Listening);

impl EventServer {
    pub(crate) async fn start(at: SocketAddr, script: Arc<Script>) -> io::Result<EventServer> {
        let answer = move |request: &Request<Incoming>| answer(&script, request);
        Listening::start(at, answer).await.map(EventServer)
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    /// Where the events of a cluster are.
    pub(crate) fn stream(&self, cluster: &str) -> String {
        format!("{}{PREFIX}{cluster}", self.0.url())
    }
}

fn answer(script: &Arc<Script>, request: &Request<Incoming>) -> Answer {
    let Some(cluster) = request.uri().path().strip_prefix(PREFIX).filter(|name| script.knows(name)) else {
        return text(StatusCode::NOT_FOUND, "no such cluster\n");
    };
    let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let last: u64 = last.unwrap_or_default();
    tracing::debug!(cluster, last, "a client of the event server");
    let state = Sender {
        script: Arc::clone(script),
        cluster: cluster.to_owned(),
        next: 1.max((last + 1).saturating_sub(OVERLAP)),
        last,
    };
    let frames = stream::unfold(state, |mut state| async {
        let piece = state.piece().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), state))
    });
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}

struct Sender {
    script: Arc<Script>,
    cluster: String,
    next: u64,
    /// What the client has, by its own word.
    last: u64,
}

impl Sender {
    /// The next piece of the stream; `None` where the server breaks off.
    async fn piece(&mut self) -> Option<Bytes> {
        let Some(step) = self.script.step(&self.cluster, self.next) else {
            sleep(HEARTBEAT).await;
            return Some(Bytes::from_static(b": nothing more\n\n"));
        };
        if self.script.breaks_off(&self.cluster, self.next) {
            return None;
        }
        if self.next > self.last {
            sleep(step.pause).await;
        }
        let id = self.next;
        self.next += 1;
        Some(format!("id: {id}\ndata: {}\n\n", step.data).into())
    }
}
