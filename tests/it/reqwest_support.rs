//! What the tests of `unwedge::reqwest` share.

use std::net::SocketAddr;
use unwedge::reqwest::ClientBuilder;
use unwedge::stack::StackBuilder;
use unwedge::testing::Peer;

pub(crate) type Ready = reqwest_middleware::ClientWithMiddleware;

/// With this stack and without the proxies of whoever runs the tests.
pub(crate) fn settings(stack: StackBuilder) -> ClientBuilder {
    let stack = stack.build().expect("settings that fit together");
    unwedge::reqwest::builder().stack(stack).inner(reqwest::ClientBuilder::no_proxy)
}

pub(crate) fn ready(stack: StackBuilder) -> Ready {
    settings(stack).build().expect("settings that fit together")
}

/// A real address of this peer.
pub(crate) fn url(peer: &Peer, path: &str) -> String {
    let addr: SocketAddr = peer.listen().expect("a free port");
    format!("http://{addr}{path}")
}
