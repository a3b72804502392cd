//! Servers of HTTP/2 that flood their client for as long as they are let: what that costs, in time and in memory.

use allocation_counter::measure;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::time::Instant;
use unwedge::client::Network;
use unwedge::{Client, Limits, retry};

const ATTEMPT: Duration = Duration::from_millis(1100);
/// What a busy machine may add.
const GRACE: Duration = Duration::from_secs(5);
/// At most so much is held at any moment, by a client and its connections.
const HELD: u64 = 4 << 20;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW: u8 = 8;
const END_HEADERS: u8 = 0x4;
/// `:status: 200`, from the static table.
const OK: &[u8] = &[0x88];
/// `:status: 103`, written out and not remembered.
const EARLY_HINTS: &[u8] = &[0x08, 0x03, b'1', b'0', b'3'];

/// Plays this to the first connection without end, and answers the next one. Says how the first has ended.
///
/// On threads of their own: what is counted is what the thread of the client takes.
fn server(first: Vec<u8>, flood: Vec<u8>) -> (SocketAddr, Receiver<ErrorKind>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let (ended, when) = sync_channel(1);
    thread::spawn(move || {
        let mut flooded = begun(&listener, &first);
        let flood = flood.repeat(1 + 16 * 1024 / flood.len());
        thread::spawn(move || {
            let error = loop {
                if let Err(error) = flooded.write_all(&flood) {
                    break error.kind();
                }
            };
            let _ = ended.send(error);
        });
        begun(&listener, &[frame(SETTINGS, 1, 0, &[]), frame(HEADERS, END_HEADERS | 1, 1, OK)].concat());
    });
    (at, when)
}

/// A connection whose request has arrived and which was sent this after it. It stays until the client closes it.
fn begun(listener: &TcpListener, then: &[u8]) -> TcpStream {
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.set_write_timeout(Some(GRACE)).expect("a socket that takes it");
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).expect("a socket that takes it");
    let mut bytes = [0; 4096];
    let mut arrived = 0;
    // The preface, settings and window update of the client, and its request.
    while arrived < 100 {
        match stream.read(&mut bytes).expect("a request") {
            0 => panic!("the client left before it asked"),
            n => arrived += n,
        }
    }
    stream.write_all(then).expect("a socket that takes it");
    // What the client answers is read, so that nothing holds the flood back.
    let mut reading = stream.try_clone().expect("a second handle");
    thread::spawn(move || while matches!(reading.read(&mut bytes), Ok(1..)) {});
    stream
}

/// One call into this flood and one after it.
fn survives(what: &str, first: Vec<u8>, flood: Vec<u8>) {
    let (at, when) = server(first, flood);
    let limits = Limits::default().total(2 * ATTEMPT).attempt(ATTEMPT);
    let client = Client::builder().limits(limits).retry(retry::Settings::default().max_retries(0));
    let client = client.network(Network::default().http2_only()).build().expect("settings that fit together");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("settings that fit together");
    let get = || client.get(format!("http://{at}/")).send();
    let begun = Instant::now();
    let mut ended = None;
    let held = measure(|| ended = Some(runtime.block_on(async { get().await?.bytes().await }))).bytes_max;
    let took = begun.elapsed();
    let error = ended.expect("it ended").expect_err(what);
    assert!(took < ATTEMPT + GRACE, "{what}: {took:?}: {error}");
    assert!(held < HELD, "{what}: {held} bytes at a time");
    // The flood ends because the client has closed, not because nobody reads any more.
    let begun = Instant::now();
    let end = loop {
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
        match when.try_recv() {
            Ok(end) => break end,
            Err(_) => assert!(begun.elapsed() < 2 * GRACE, "{what} goes on"),
        }
    };
    assert!(matches!(end, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{what}: {end:?}");
    let next = runtime.block_on(get()).unwrap_or_else(|error| panic!("after {what}: {error}"));
    assert_eq!(next.status(), 200, "after {what}");
}

#[test]
fn a_flood_over_http_2_is_survived_in_bounded_time_and_memory_and_its_connection_is_closed() {
    let nothing = Vec::new;
    survives("a flood of pings", nothing(), frame(PING, 0, 0, &[7; 8]));
    survives("a flood of settings", nothing(), frame(SETTINGS, 0, 0, &[]));
    survives("a flood of windows", nothing(), frame(WINDOW, 0, 0, &[0, 0, 0, 1]));
    survives("a flood of priorities", nothing(), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]));
    survives("a flood of what is unknown", nothing(), frame(0xbe, 0, 0, &[7; 8]));
    survives("a flood of 1xx", nothing(), frame(HEADERS, END_HEADERS, 1, EARLY_HINTS));
    let head = || frame(HEADERS, END_HEADERS, 1, OK);
    survives("a body of nothing", head(), frame(DATA, 0, 1, &[]));
    survives("a flood of resets", head(), frame(RESET, 0, 1, &[0, 0, 0, 2]));
}
