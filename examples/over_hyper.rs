//! The stack over a client that is there already: hyper-util's, or any other tower service of HTTP.

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, Limits, StackLayer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Stands for your server: the first answer breaks off in the middle of its body.
    let server = Peer::new().then(Reply::ok("complete").truncate_after(4)).forever(Reply::ok("complete"));
    let url = format!("http://{}/report", server.listen()?);

    let limits = Limits::default().total(Duration::from_secs(5)).attempt(Duration::from_secs(2));
    let stack = StackLayer::builder().limits(limits).build()?;
    #[allow(clippy::disallowed_methods, reason = "the stack around it bounds every call")]
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let mut client = stack.layer(client); // clones share circuit breakers, budgets and the table of calls in flight

    let response = client.call(http::Request::get(&url).body(Body::empty())?).await?;
    let (status, body) = (response.status(), response.into_body());
    let attempts = body.attempts().count;
    let text = String::from_utf8(body.bytes(1 << 20).await?.to_vec())?;
    println!("{status}: {text} after {attempts} attempts");
    for circuit in stack.breakers().snapshot() {
        println!("circuit {}, {} failure of {} calls", circuit.phase, circuit.failures, circuit.calls);
    }
    println!("worst case of a call: {}", stack.bounds());
    Ok(())
}
