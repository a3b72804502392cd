//! The stack around reqwest: the same client type, with an attempt limit, retries and a circuit breaker.

use std::time::Duration;
use unwedge::testing::{Peer, Reply};
use unwedge::{Limits, StackLayer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Stands for your server: it does not answer the first request.
    let server =
        Peer::new().on("/silent", Reply::hang()).then(Reply::hang()).forever(Reply::ok("build and deploy"));
    let url = format!("http://{}", server.listen()?);

    let limits = Limits::default().total(Duration::from_secs(3)).attempt(Duration::from_millis(300));
    let stack = StackLayer::builder().limits(limits).build()?;
    let client = unwedge::reqwest::builder().stack(stack.clone()).build()?; // a ClientWithMiddleware
    let jobs = client.get(format!("{url}/jobs")).send().await?.text().await?;
    println!("{jobs} after {} requests", server.request_count());

    let report = client.get(format!("{url}/silent")).timeout(Duration::from_millis(300)).send().await;
    match report {
        Ok(response) => println!("{}", response.status()),
        Err(error) => match unwedge::reqwest::cause(&error) {
            Some(why) => println!("{why}"), // phase, limit, and the attempts before
            None => println!("{error}"),
        },
    }
    Ok(())
}
