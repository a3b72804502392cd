//! Event streams of a supervised loop at the end of the program.

use crate::event_streams::steady;
use crate::supervise::{DAY, lasts};
use crate::support::{MINUTE, SECOND, built, events, events_then_silence, get, post, stack};
use crate::watch::Log;
use http::Request;
use http_body_util::Full;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use unwedge::sse::Settings;
use unwedge::supervise::Supervisor;
use unwedge::testing::{Peer, Reply};
use unwedge::{Error, StackLayer};

/// Events and last word, with the seconds at which they were read.
type Notes = Arc<Mutex<Vec<(u64, String)>>>;

/// A loop that does nothing but read, and takes its time over each event. It is told to end after ten seconds, with a
/// grace of ten more: what it read, and whether it ended by itself.
async fn read(
    peer: &Peer,
    settings: Settings,
    request: Request<Full<bytes::Bytes>>,
    over_each: Duration,
) -> (Vec<(u64, String)>, bool) {
    let (notes, start) = (Notes::default(), Instant::now());
    let told = Arc::clone(&notes);
    let service = stack(peer, &built(StackLayer::builder()));
    let stream = Mutex::new(Some(settings.connect(service, request).expect("settings that fit")));
    let mut crew = Supervisor::new();
    crew.spawn("feed", DAY, move |_| {
        let (stream, told) = (stream.lock().unwrap().take(), Arc::clone(&told));
        async move {
            let note = |said: String| told.lock().unwrap().push((start.elapsed().as_secs(), said));
            let Some(mut stream) = stream else { return Ok::<(), Error>(()) };
            while let Some(event) = stream.next().await {
                note(event.as_ref().map_or_else(ToString::to_string, |event| event.data.clone()));
                event?;
                sleep(over_each).await;
            }
            note("over".to_owned());
            std::future::pending().await
        }
    });
    let report = lasts(crew, 10 * SECOND).await;
    let notes = notes.lock().unwrap().clone();
    (notes, report.clean)
}

fn cancelled(at: u64) -> (u64, String) {
    (at, "GET http://peer.test/events: cancelled by shutdown".to_owned())
}

fn event(at: u64, data: &str) -> (u64, String) {
    (at, data.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_for_an_event_a_head_or_its_next_try_ends_with_the_program_and_nothing_has_failed()
 {
    for (reply, before) in [
        (events_then_silence("data: a\n\n"), vec![event(0, "a")]),
        (Reply::hang(), vec![]),
        (Reply::refuse(), vec![]),
    ] {
        let (log, _guard) = Log::listen();
        let peer = Peer::new().forever(reply);
        let (read, clean) = read(&peer, steady(), get("/events"), Duration::ZERO).await;
        assert_eq!((read, clean), ([before, vec![cancelled(10)]].concat(), true));
        let said = log
            .with("INFO")
            .into_iter()
            .filter(|line| line.contains("event stream ended"))
            .collect::<Vec<_>>();
        assert_eq!(said, ["INFO event stream ended by the shutdown cluster=\"http://peer.test\""]);
        assert_eq!(log.with("ERROR"), [""; 0]);
        let before = peer.request_count();
        sleep(MINUTE).await;
        assert_eq!(peer.request_count(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_have_arrived_are_read_to_the_end_after_the_signal() {
    let peer = Peer::new().forever(events_then_silence("data: a\n\ndata: b\n\ndata: c\n\ndata: d\n\n"));
    let (read, clean) = read(&peer, steady(), get("/events"), 4 * SECOND).await;
    assert_eq!(read, [event(0, "a"), event(4, "b"), event(8, "c"), event(12, "d"), cancelled(16)]);
    assert!(clean);
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_made_after_the_signal() {
    let peer = Peer::new().forever(events("data: a\n\ndata: b\n\n"));
    let (read, clean) = read(&peer, steady(), get("/events"), 6 * SECOND).await;
    assert_eq!(read, [event(0, "a"), event(6, "b"), cancelled(12)]);
    assert!(clean);
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_once_is_work_under_way_and_has_the_grace_of_the_shutdown() {
    let text = "data: a\n\ndata: b\n\n";
    let peer = Peer::new().forever(events(text).drip(text.len() / 2, 7 * SECOND));
    let (read, _) = read(&peer, steady(), post("/chat"), Duration::ZERO).await;
    assert_eq!(read.last(), Some(&event(14, "over")), "{read:?}");
    let refused = Peer::new().then(Reply::refuse()).then(Reply::refuse()).forever(Reply::hang());
    let again = steady().reconnect(unwedge::retry::Backoff::constant(8 * SECOND)).once();
    let (read, clean) = self::read(&refused, again, post("/chat"), Duration::ZERO).await;
    assert_eq!(
        (read.len(), read[0].0, clean),
        (1, 10, true),
        "the wait between two tries ends at once: {read:?}"
    );
}
