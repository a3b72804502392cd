//! One call from its start to the last byte of its body, or to the end of our patience.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::Buf;
use http::{Request, Response};
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use super::limit::Within;
use super::report::Ended;
use crate::{BoxError, Error};

/// After this many frames in one go others get their turn, our timer among them.
const FRAMES: u32 = 64;

pub(super) async fn drive<S, B, R>(mut service: S, url: &str, within: Within) -> Ended
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: Default,
    R: http_body::Body,
    R::Error: Into<BoxError>,
{
    let start = Instant::now();
    let call = call(&mut service, url);
    let (head, body) = match timeout_at(start + within.head + within.grace, call).await {
        Err(_) => return Ended::NoHead { after: within.head },
        Ok(Err(error)) => return Ended::Failed { after: start.elapsed(), error: words(error.into()) },
        Ok(Ok(response)) => response.into_parts(),
    };
    let status = head.status.as_u16();
    let (mut body, mut bytes) = (Box::pin(body), 0);
    let ends = start + within.all + within.grace;
    let read = async {
        let mut frames: u32 = 0;
        while let Some(more) = more(&mut body).await {
            bytes += more?;
            frames = frames.wrapping_add(1);
            if frames.is_multiple_of(FRAMES) {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    };
    match timeout_at(ends, read).await {
        Ok(Ok(())) => Ended::Read { after: start.elapsed(), status, bytes },
        Ok(Err(error)) => Ended::Failed { after: start.elapsed(), error },
        Err(_) => Ended::NoEnd { after: within.all, status, bytes },
    }
}

/// A GET, up to the response head.
pub(super) async fn call<S, B>(service: &mut S, url: &str) -> Result<S::Response, S::Error>
where
    S: Service<Request<B>>,
    B: Default,
{
    let mut request = Request::new(B::default());
    *request.uri_mut() = match url.parse() {
        Ok(uri) => uri,
        Err(_) => unreachable!("addresses of our own"),
    };
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(request).await
}

/// How many bytes the next frame of a body brings, or what its error says.
async fn more<R>(body: &mut Pin<Box<R>>) -> Option<Result<u64, String>>
where
    R: http_body::Body,
    R::Error: Into<BoxError>,
{
    let bytes = |frame: http_body::Frame<R::Data>| frame.data_ref().map_or(0, |data| data.remaining() as u64);
    let next = |frame: Option<Result<_, R::Error>>| {
        frame.map(|frame| frame.map(bytes).map_err(|error| words(error.into())))
    };
    poll_fn(|cx| body.as_mut().poll_frame(cx).map(next)).await
}

/// A call that ended without ever having met the fault says nothing about it.
pub(super) fn reached(ended: Ended, met: bool) -> Ended {
    match ended {
        Ended::Failed { error, .. } if !met => Ended::NotReached { said: error },
        Ended::Read { status, .. } if !met => Ended::NotReached { said: format!("answered {status}") },
        ended => ended,
    }
}

/// What an error says, and what its cause says where that is not the same.
pub(super) fn words(error: BoxError) -> String {
    let said = error.to_string();
    if error.is::<Error>() {
        return said;
    }
    let mut cause: &dyn std::error::Error = &*error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let root = cause.to_string();
    if said.contains(&root) { said } else { format!("{said}: {root}") }
}

pub(super) fn cannot_listen<T>(error: impl Display) -> T {
    panic!("the faults cannot be played: {error}")
}
