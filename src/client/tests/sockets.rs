//! Over real sockets and in real time.

use super::*;
use crate::{ErrorKind, Limits, Phase, retry};

#[tokio::test]
async fn a_call_over_a_real_socket_brings_status_and_body() {
    let peer = Peer::new().forever(Reply::ok("[1, 2]"));
    let url = format!("http://{}/jobs", peer.listen().unwrap());
    let client = Client::new().unwrap();
    let response = client.get(&url).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.attempts().count), (200, 1));
    assert_eq!(response.remote_addr().map(|at| format!("http://{at}/jobs")), Some(url.clone()));
    assert_eq!(response.json::<Vec<u32>>().await.unwrap(), [1, 2]);
    assert_eq!(client.post(&url).json(&[3]).await.unwrap().text().await.unwrap(), "[1, 2]");
    let request = Request::put(&url).body("put").unwrap();
    assert_eq!(client.send(request).await.unwrap().bytes().await.unwrap(), "[1, 2]");
    let seen = peer.requests();
    let sent: Vec<_> = seen.iter().map(|r| (r.method.as_str(), &r.body[..])).collect();
    assert_eq!(sent, [("GET", &b""[..]), ("POST", b"[3]"), ("PUT", b"put")]);
    assert_eq!(peer.connections(), 1);
    assert_eq!(seen[0].header("user-agent"), Some(concat!("unwedge/", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let peer = Peer::new().forever(Reply::refuse());
    let url = format!("http://{}/", peer.listen().unwrap());
    let client = Client::builder().retry(retry::Settings::default().max_retries(0)).build().unwrap();
    let error = client.get(&url).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Connect)), "{error:?}");
    assert!(error.to_string().ends_with("connection refused"), "{error}");
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_told_from_a_connection_that_cannot_be_made() {
    // No label of a name is longer than 63 characters, so that no resolver has to ask anybody.
    let url = format!("http://{}.invalid/", "a".repeat(64));
    let client = Client::builder().retry(retry::Settings::default().max_retries(0)).build().unwrap();
    let error = client.get(&url).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Resolve)), "{error:?}");
}

#[tokio::test]
async fn the_loopback_address_of_ipv6_is_reached_by_its_literal() {
    let peer = Peer::new().forever(Reply::ok("six"));
    let Ok(at) = peer.listen_on("[::1]:0".parse().unwrap()) else { return };
    let text = get(format!("http://{at}/")).await.unwrap().text().await.unwrap();
    assert_eq!(text, "six");
    assert_eq!(peer.requests()[0].header("host"), Some(&*at.to_string()));
}

#[test]
fn a_client_outlives_the_runtime_its_connections_were_made_on() {
    let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let peer = Peer::new().times(2, Reply::ok("ok")).forever(Reply::hang());
    let entered = server.enter();
    let url = format!("http://{}/", peer.listen().unwrap());
    drop(entered);
    let limits = Limits::default().total(400 * MS).attempt(200 * MS);
    let client = Client::builder().limits(limits).build().unwrap();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { assert_eq!(client.get(&url).await.unwrap().text().await.unwrap(), "ok") });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async { client.get(&url).await.unwrap_err() });
    assert!(error.is_timeout(), "{error}");
    assert!(client.in_flight().is_empty());
}
