//! `Client` and `unwedge::reqwest` against the same faults on real sockets: the same end and the same requests.

use crate::reqwest_support::*;
use crate::support::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use unwedge::client::ClientBuilder;
use unwedge::reqwest::cause;
use unwedge::stack::StackBuilder;
use unwedge::testing::{Fault, FaultServer};
use unwedge::{Client, Error, Limits};

/// How a call ended: a status, or kind and phase of the error; and how many requests had arrived by then.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    said: String,
    requests: u64,
}

/// What is not the same, because it happens inside reqwest: (fault, `Client`, reqwest). It has no cap on the number of
/// 1xx responses and a higher one on heads, and does not tell where in a connect it was.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("endless-1xx", "too_large in headers, 1 requests", "attempt in headers, 2 requests"),
    ("huge-head", "too_large in headers, 1 requests", "200, 1 requests"),
    ("tls-plain", "connect in tls, 0 requests", "connect in connect, 0 requests"),
    ("tls-stall", "connect in tls, 0 requests", "connect in connect, 0 requests"),
];
/// What a race inside the kernel decides: whether a connect is over before the reset arrives.
const RACES: &[&str] = &["reset-on-accept"];

/// One retry, room for both attempts, and short limits. An attempt is long enough for a busy machine.
fn short() -> StackBuilder {
    let limits = Limits::default()
        .total(30 * SECOND)
        .attempt(2500 * MS)
        .connect(1500 * MS)
        .idle(2000 * MS)
        .stream(2500 * MS);
    exact()
        .limits(limits)
        .retry(unwedge::retry::Settings::default().max_retries(1).backoff(std::time::Duration::ZERO))
        .breaker(no_breaker())
}

fn told(error: &Error) -> String {
    format!("{} in {}", error.kind(), error.phase().map_or("?", |phase| phase.as_str()))
}

async fn by_client(client: &Client, url: &str) -> Result<u16, Error> {
    let response = client.get(url).send().await?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    while let Some(piece) = piece(&mut body).await {
        piece?;
    }
    Ok(status)
}

async fn by_reqwest(client: &Ready, url: &str) -> Result<u16, String> {
    let why = |error: &(dyn std::error::Error + 'static)| {
        cause(error).map_or_else(|| format!("an error of nobody's: {error}"), told)
    };
    let mut response = client.get(url).send().await.map_err(|error| why(&error))?;
    let status = response.status().as_u16();
    while response.chunk().await.map_err(|error| why(&error))?.is_some() {}
    Ok(status)
}

/// These faults once each, `few` at a time.
async fn play<F>(
    names: &[&'static str],
    few: usize,
    call: impl Fn(String) -> F,
) -> BTreeMap<&'static str, End>
where
    F: Future<Output = String> + Send + 'static,
{
    let server = FaultServer::start(names).unwrap();
    let few = Arc::new(Semaphore::new(few));
    let mut calls = JoinSet::new();
    for &name in names {
        let (call, few) = (call(server.url(name).unwrap().to_owned()), Arc::clone(&few));
        calls.spawn(async move {
            let _place = few.acquire().await;
            (name, tokio::time::timeout(MINUTE, call).await.expect("it ends"))
        });
    }
    let ends = calls.join_all().await;
    let counts = server.counts();
    let requests = |name| counts.iter().find(|count| count.0 == name).map_or(0, |count| count.1.requests);
    ends.into_iter().map(|(name, said)| (name, End { said, requests: requests(name) })).collect()
}

/// How these faults ended with both clients, where that is not the same.
async fn differences(names: &[&'static str], few: usize) -> Vec<(&'static str, String, String)> {
    let client = ClientBuilder::default().stack(short()).build().unwrap();
    let ready = ready(short());
    let ours = play(names, few, |url| {
        let client = client.clone();
        async move { by_client(&client, &url).await.map_or_else(|error| told(&error), |ok| ok.to_string()) }
    });
    let ours = ours.await;
    let theirs = play(names, few, |url| {
        let ready = ready.clone();
        async move { by_reqwest(&ready, &url).await.map_or_else(|said| said, |ok| ok.to_string()) }
    });
    let theirs = theirs.await;
    let shown = |end: &End| format!("{}, {} requests", end.said, end.requests);
    let differ = ours.iter().filter(|(name, end)| theirs[*name] != **end);
    differ.map(|(name, end)| (*name, shown(end), shown(&theirs[name]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_fault_ends_the_same_way_with_both_clients() {
    let mut names: Vec<_> = Fault::all().iter().map(|fault| fault.name).collect();
    names.retain(|name| *name != "flapping" && !RACES.contains(name));
    let known = |(name, ours, theirs): &(&'static str, String, String)| {
        DIFFERENT.contains(&(*name, ours.as_str(), theirs.as_str()))
    };
    let mut differ = differences(&names, 6).await;
    // A machine that is too busy for the limits makes differences of its own. Those do not come back when the fault
    // is played alone; a true one does, every time.
    for _ in 0..4 {
        let odd: Vec<_> = differ.iter().filter(|one| !known(one)).map(|one| one.0).collect();
        let absent = DIFFERENT.iter().map(|one| one.0).filter(|name| differ.iter().all(|one| one.0 != *name));
        let again: Vec<_> = odd.iter().copied().chain(absent).collect();
        if again.is_empty() {
            return;
        }
        differ.retain(|one| !again.contains(&one.0));
        differ.extend(differences(&again, 1).await);
    }
    differ.sort();
    let differ: Vec<_> = differ.iter().map(|(name, a, b)| (*name, a.as_str(), b.as_str())).collect();
    assert_eq!(differ, DIFFERENT);
}
