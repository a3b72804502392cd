mod over_http2;
mod over_pipe;
mod over_pipe_more;
mod over_sockets;
mod raw;
mod script;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, Error, connect::Connect};
use hyper_util::rt::TokioExecutor;

use super::*;

const SEC: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

type Plain<C> = Client<C, Full<Bytes>>;

fn client(peer: &Peer) -> Plain<Pipe> {
    over(peer.pipe())
}

fn over<C: Connect + Clone>(connector: C) -> Plain<C> {
    Client::builder(TokioExecutor::new()).build(connector)
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://peer.test{path}")).body(Full::default()).unwrap()
}

fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("http://peer.test{path}")).body(Full::new(body.into())).unwrap()
}

/// Status and whole body; the error of either as text with its sources.
async fn whole<B>(response: Result<Response<B>, Error>) -> Result<(StatusCode, Bytes), String>
where
    B: hyper::body::Body<Data = Bytes, Error = hyper::Error>,
{
    let response = response.map_err(|e| chain(&e))?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|e| chain(&e))?;
    Ok((status, body.to_bytes()))
}

fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(e) = next {
        text = format!("{text}: {e}");
        next = e.source();
    }
    text
}

fn ok(body: &'static str) -> Result<(StatusCode, Bytes), String> {
    Ok((StatusCode::OK, Bytes::from(body)))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
