//! The first call: a server that restarts is asked again, and a server that never answers costs 300 ms.

use std::time::Duration;
use unwedge::Client;
use unwedge::testing::{Peer, Reply};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Stands for your server: a 502 while it restarts, then the answer; and a path that never answers.
    let server = Peer::new()
        .on("/silent", Reply::hang())
        .then(Reply::status(502))
        .forever(Reply::ok(r#"["build","deploy"]"#));
    let url = format!("http://{}", server.listen()?);

    let client = Client::new()?; // keep it: clones share connections and circuit breakers
    let response = client.get(format!("{url}/jobs")).send().await?.error_for_status().await?;
    let attempts = response.attempts().count;
    let jobs: Vec<String> = response.json().await?;
    println!("{} after {attempts} attempts", jobs.join(" and "));

    // The error says where the call was, and which limit ended it.
    let silent = client.get(format!("{url}/silent")).deadline(Duration::from_millis(300)).send().await;
    match silent {
        Ok(response) => println!("{}", response.status()),
        Err(error) => {
            println!("{error}; timeout: {}, retriable: {}", error.is_timeout(), error.is_retriable())
        }
    }
    Ok(())
}
