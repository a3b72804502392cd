//! An event stream that loses its connection, connects again, and says where it was.

use std::time::Duration;
use unwedge::retry::Backoff;
use unwedge::testing::{Peer, Reply};
use unwedge::{Body, Client, sse};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Stands for your server: it ends the stream after two events, goes on after the id that it is told, and says at the
    // third connection that there is no more.
    let server = Peer::new().forever(Reply::by(|request| {
        let events = match request.header("last-event-id") {
            None => "id: 1\ndata: build started\n\nid: 2\ndata: build done\n\n",
            Some("2") => "id: 3\ndata: deploy started\n\n",
            Some(_) => return Reply::status(204),
        };
        Reply::ok(events).header("content-type", "text/event-stream").until_close()
    }));
    let url = format!("http://{}/events", server.listen()?);

    // Shorter waits than the defaults (1 s doubling to 60 s, the first one spread over 3 s more).
    let again = sse::Reconnect::default()
        .spread(Duration::ZERO)
        .backoff(Backoff::constant(Duration::from_millis(50)));
    let request = http::Request::get(&url).body(Body::empty())?;
    let settings = sse::Settings::default().name("builds").reconnect(again);
    let mut events = settings.connect(Client::new()?, request)?;
    while let Some(event) = events.next().await {
        let event = event?;
        println!("{}: {}", event.id, event.data);
    }
    println!("over {} connections", server.request_count());
    Ok(())
}
