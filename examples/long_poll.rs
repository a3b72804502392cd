//! A long poll: one request that may wait, with its reason, beside requests that must not.

use std::time::Duration;
use unwedge::testing::{Peer, Reply, Script};
use unwedge::{Client, Limits, LongPoll, long_poll};

/// Bounds the wait at 2 s and the grace of 5 s; without `up_to` at 10 min.
const PARKED: LongPoll =
    long_poll!("the broker parks the request until a job arrives").up_to(Duration::from_secs(2));

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Stands for your broker: it holds the first poll for 600 ms without a job, the second for 400 ms with one.
    let polls = Script::new()
        .then(Reply::long_poll(Duration::from_millis(600)))
        .forever(Reply::ok("job 7").after(Duration::from_millis(400)));
    let broker =
        Peer::new().on("/message", polls).on("/slow", Reply::ok("").after(Duration::from_millis(600)));
    let url = format!("http://{}", broker.listen()?);

    // 300 ms for every call that has no reason to wait.
    let client = Client::builder().limits(Limits::default().total(Duration::from_millis(300))).build()?;
    loop {
        let answer = client.get(format!("{url}/message")).long_poll(PARKED).send().await?;
        if answer.status() == 202 {
            println!("no job yet");
            continue; // an answer within 100 ms delays the next poll of this path
        }
        println!("{}", answer.text().await?);
        break;
    }
    match client.get(format!("{url}/slow")).send().await {
        Ok(answer) => println!("{}", answer.status()),
        Err(error) => println!("{error}"),
    }
    Ok(())
}
