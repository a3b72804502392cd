//! The parser of event streams beside those of other crates, in one run: `cargo bench --bench sse [-- --json]`.
//!
//! Each round parses the same bytes with every parser, one after the other; what counts is the median over the rounds,
//! and the ratio to the fastest of the others. All of them have to find the same events.

#![allow(clippy::unwrap_used, reason = "a bench fails loudly")]

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

/// Many short rounds: on a shared machine a long one is always interrupted.
const ROUNDS: usize = 801;
const BYTES: usize = 256 << 10;
/// What a read from a socket commonly gives.
const CHUNK: usize = 8 << 10;

/// Number of events, and bytes of their data.
type Found = (usize, usize);

struct Chunks<'a>(std::slice::Iter<'a, Bytes>);

impl Stream for Chunks<'_> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().cloned().map(Ok))
    }
}

/// Drives a stream that is never pending.
fn drive<T>(stream: impl Stream<Item = T>, mut data: impl FnMut(T) -> usize) -> Found {
    let mut stream = pin!(stream);
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut found = (0, 0);
    while let Poll::Ready(Some(event)) = stream.as_mut().poll_next_unpin(&mut context) {
        found.0 += 1;
        found.1 += data(std::hint::black_box(event));
    }
    found
}

fn ours(chunks: &[Bytes]) -> Found {
    unwedge::sse::read_all(chunks)
}

fn sse_stream(chunks: &[Bytes]) -> Found {
    drive(sse_stream::SseByteStream::new(Chunks(chunks.iter())), |event| {
        event.unwrap().data.map_or(0, |data| data.len())
    })
}

fn eventsource_stream(chunks: &[Bytes]) -> Found {
    drive(eventsource_stream::EventStream::new(Chunks(chunks.iter())), |event| event.unwrap().data.len())
}

type Parser = fn(&[Bytes]) -> Found;

const PARSERS: [(&str, Parser); 3] =
    [("unwedge", ours), ("sse-stream", sse_stream), ("eventsource-stream", eventsource_stream)];

/// Events with so many bytes of data each, as servers send them.
fn stream(data: usize, named: bool) -> Vec<Bytes> {
    let mut text = String::new();
    let mut n = 0;
    while text.len() < BYTES {
        n += 1;
        if named {
            text.push_str(&format!("event: update\nid: {n}\n"));
        }
        text.push_str("data: ");
        text.push_str(&"{\"incident\":1, ".repeat(data / 15 + 1)[..data]);
        text.push_str("\n\n");
    }
    let mut rest = Bytes::from(text);
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        chunks.push(rest.split_to(CHUNK.min(rest.len())));
    }
    chunks
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a bench measures real time")]
fn timed(parser: Parser, chunks: &[Bytes]) -> (Duration, Found) {
    let start = std::time::Instant::now();
    let found = parser(chunks);
    (start.elapsed(), found)
}

fn main() {
    let json = std::env::args().any(|arg| arg == "--json");
    for (shape, data, named) in [
        ("tokens, 24 bytes", 24, false),
        ("updates, 300 bytes", 300, true),
        ("documents, 6000 bytes", 6000, true),
    ] {
        let chunks = stream(data, named);
        let bytes: usize = chunks.iter().map(Bytes::len).sum();
        let mut times: [Vec<Duration>; PARSERS.len()] = Default::default();
        let mut before = None;
        for round in 0..ROUNDS {
            // Each comes first, and after each of the others, as often as they do: what ran before leaves its caches.
            for n in 0..PARSERS.len() {
                let n = (n + round) % PARSERS.len();
                let n = if round % 2 == 0 { n } else { PARSERS.len() - 1 - n };
                let (name, parser) = PARSERS[n];
                let (took, found) = timed(parser, &chunks);
                assert_eq!(*before.get_or_insert(found), found, "{name} finds other events");
                times[n].push(took);
            }
        }
        let rates = times.map(|times| bytes as f64 / median(times).as_secs_f64() / f64::from(1 << 20));
        let best = rates[1..].iter().copied().fold(0.0, f64::max);
        for ((name, _), rate) in PARSERS.iter().zip(rates) {
            let ratio = rate / best;
            if json {
                println!(
                    r#"{{"shape":"{shape}","parser":"{name}","mib_per_s":{rate:.0},"ratio":{ratio:.2}}}"#
                );
            } else {
                println!("{shape:<24} {name:<20} {rate:>7.0} MiB/s   {ratio:.2} of the best other");
            }
        }
    }
}
