//! The client over real sockets, where kernel or TLS are the point; what is exact to the millisecond runs over the pipe.

use super::*;
use crate::testing::{Peer, Reply};

#[tokio::test]
async fn a_call_over_a_real_socket_brings_status_and_body() {
    let peer = Peer::new().forever(Reply::ok("[1, 2]"));
    let url = format!("http://{}/jobs", peer.listen().unwrap());
    let client = Client::new().unwrap();
    let response = client.get(&url).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.attempts().count), (200, 1));
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
