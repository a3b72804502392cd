//! The clients that are offered the same calls: both of ours with their defaults, and both plain ones with theirs.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use reqwest_middleware::ClientWithMiddleware;
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;
use unwedge::client::Network;
use unwedge::within;

/// What a call may take, whoever makes it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Client,
    Family,
    Reqwest,
    HyperUtil,
}

pub(crate) const ALL: [Which; 4] = [Which::Client, Which::Family, Which::Reqwest, Which::HyperUtil];

impl Which {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Which::Client => "unwedge::Client",
            Which::Family => "unwedge::reqwest",
            Which::Reqwest => "reqwest",
            Which::HyperUtil => "hyper-util",
        }
    }

    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Which::Client | Which::Family)
    }
}

#[derive(Clone)]
pub(crate) enum Caller {
    Client(unwedge::Client),
    Family(ClientWithMiddleware),
    Reqwest(reqwest::Client),
    HyperUtil(Box<legacy::Client<HttpConnector, Full<Bytes>>>),
}

impl Caller {
    pub(crate) fn new(which: Which, http2: bool) -> Caller {
        let inner = move |builder: reqwest::ClientBuilder| {
            let builder = builder.no_proxy();
            if http2 { builder.http2_prior_knowledge() } else { builder }
        };
        match which {
            Which::Client => {
                let network = Network::default().no_proxy();
                let network = if http2 { network.http2_only() } else { network };
                Caller::Client(unwedge::Client::builder().network(network).build().expect("defaults"))
            }
            Which::Family => {
                Caller::Family(unwedge::reqwest::builder().inner(inner).build().expect("defaults"))
            }
            Which::Reqwest => {
                let builder = reqwest::Client::builder();
                Caller::Reqwest(inner(builder).build().expect("defaults"))
            }
            Which::HyperUtil => {
                let client = legacy::Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
                Caller::HyperUtil(Box::new(client))
            }
        }
    }

    /// One call with its whole answer, a POST where there is a `body`; in words what became of it, if not a status below
    /// 400 in time.
    pub(crate) async fn call(&self, url: &str, body: Option<Bytes>) -> Result<(), String> {
        let method = if body.is_some() { http::Method::POST } else { http::Method::GET };
        let body = body.unwrap_or_default();
        let status = match self {
            Caller::Client(client) => within(DEADLINE, async {
                let response = client.request(method, url).body(body).send().await?;
                let status = response.status();
                response.bytes().await?;
                Ok::<_, unwedge::Error>(status)
            })
            .await
            .and_then(|ended| ended)
            .map_err(|error| said(&error))?,
            Caller::Family(client) => within(DEADLINE, async {
                let response = client.request(method, url).body(body).send();
                let response = response.await.map_err(|error| said(&error))?;
                let status = response.status();
                response.bytes().await.map_err(|error| said(&error))?;
                Ok::<_, String>(status)
            })
            .await
            .map_err(|error| said(&error))??,
            Caller::Reqwest(client) => {
                plain(async {
                    let response = client.request(method, url).body(body).send();
                    let response = response.await.map_err(|error| said(&error))?;
                    let status = response.status();
                    response.bytes().await.map_err(|error| said(&error))?;
                    Ok(status)
                })
                .await?
            }
            Caller::HyperUtil(client) => {
                plain(async {
                    let request = http::Request::builder().method(method).uri(url);
                    let request = request.body(Full::new(body)).expect("a URL");
                    let response = client.request(request).await.map_err(|error| said(&error))?;
                    let status = response.status();
                    response.into_body().collect().await.map_err(|error| said(&error))?;
                    Ok(status)
                })
                .await?
            }
        };
        if status.as_u16() < 400 { Ok(()) } else { Err(status.as_u16().to_string()) }
    }
}

async fn plain<T>(call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(DEADLINE, call).await.unwrap_or_else(|_| Err("too late".to_owned()))
}

/// The kind of an error of ours and its cause at the bottom, without what differs from call to call.
fn said(error: &(dyn Error + 'static)) -> String {
    let mut kind = String::new();
    let mut cause = error;
    loop {
        if let Some(ours) = cause.downcast_ref::<unwedge::Error>() {
            let text = format!("{:?}", ours.kind());
            kind = format!("{}: ", text.split([' ', '{', '(']).next().unwrap_or_default());
        }
        match cause.source() {
            Some(below) => cause = below,
            None => break,
        }
    }
    let text = cause.to_string();
    // Some errors of ours have their whole story in one line.
    let text = text.rsplit_once("http://").map_or(text.clone(), |(_, rest)| {
        rest.split_once(": ").map_or(rest.to_owned(), |(_, what)| what.to_owned())
    });
    let text = text.split(" (attempt").next().unwrap_or_default();
    let text: String = text.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
    format!("{kind}{text}")
}
