//! The small server in a flood of connections: who does nothing gives way to who asks.

use crate::support::MINUTE;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use unwedge::admin::{Admin, Serving, prometheus_builder};
use unwedge::supervise::Supervisor;

/// So many connections are held at once.
const PLACES: usize = 64;

async fn served() -> (Serving, Supervisor) {
    let crew = Supervisor::new();
    (Admin::new(&crew).serve("127.0.0.1:0").await.unwrap(), crew)
}

async fn connected(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

/// Sends this, and reads the head of the answer and what comes with it.
async fn answer(stream: &mut TcpStream, bytes: &str) -> String {
    let asked = async {
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let n = stream.read(&mut answer).await.unwrap_or(0);
        String::from_utf8_lossy(&answer[..n]).into_owned()
    };
    timeout(MINUTE, asked).await.expect("an answer or an end")
}

const HEAD: &str = "GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:8081\r\n\r\n";

/// Connections that say nothing, until the last of them was surely seen: one behind them is answered.
async fn flood(addr: SocketAddr, n: usize) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..n {
        silent.push(connected(addr).await);
    }
    let last = answer(&mut connected(addr).await, HEAD).await;
    assert!(last.starts_with("HTTP/1.1 200"), "{last}");
    silent
}

#[tokio::test]
async fn a_probe_in_mid_request_outlasts_a_flood_of_connections_that_say_nothing() {
    let (serving, _crew) = served().await;
    let mut probe = connected(serving.addr()).await;
    let (first, rest) = HEAD.split_at(HEAD.len() - 2);
    probe.write_all(first.as_bytes()).await.unwrap();
    // Seen before the flood begins.
    flood(serving.addr(), 0).await;
    let _silent = flood(serving.addr(), 3 * PLACES).await;
    let answered = answer(&mut probe, rest).await;
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered:?}");
}

#[tokio::test]
async fn connections_that_are_over_take_no_place() {
    let (serving, _crew) = served().await;
    let mut first = connected(serving.addr()).await;
    assert!(answer(&mut first, HEAD).await.starts_with("HTTP/1.1 200"));
    let closing = HEAD.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    for _ in 0..3 * PLACES {
        let mut over = connected(serving.addr()).await;
        assert!(answer(&mut over, &closing).await.starts_with("HTTP/1.1 200"));
        // Until the server has closed it too.
        let _ = timeout(MINUTE, over.read_to_end(&mut Vec::new())).await.expect("an end");
    }
    assert!(
        answer(&mut first, HEAD).await.starts_with("HTTP/1.1 200"),
        "the oldest was pushed out by dead ones"
    );
}

#[tokio::test]
async fn a_scrape_whose_answer_is_on_its_way_outlasts_a_flood_and_one_that_has_its_answer_does_not() {
    // More than the buffers of both ends hold.
    const LARGE: usize = 32 << 20;
    let recorder = prometheus_builder().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        metrics::counter!("large", "blob" => "x".repeat(LARGE)).increment(1);
    });
    let crew = Supervisor::new();
    let serving = Admin::new(&crew).metrics(recorder.handle()).serve("127.0.0.1:0").await.unwrap();
    let mut idle = connected(serving.addr()).await;
    assert!(answer(&mut idle, HEAD).await.starts_with("HTTP/1.1 200"));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut scrape = socket.connect(serving.addr()).await.unwrap();
    let wanted = HEAD.replace("/healthz", "/metrics").replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let begun = answer(&mut scrape, &wanted).await;
    assert!(begun.starts_with("HTTP/1.1 200"), "{begun:?}");
    let _silent = flood(serving.addr(), 3 * PLACES).await;
    let mut read = begun.len();
    let mut piece = vec![0; 1 << 20];
    while read < LARGE {
        let n = timeout(MINUTE, scrape.read(&mut piece)).await.expect("more, or an end").unwrap_or(0);
        assert!(n > 0, "cut off after {read} bytes");
        read += n;
    }
    assert_eq!(answer(&mut idle, HEAD).await, "", "it had its answer, and gave way");
}

#[tokio::test]
async fn a_page_that_stays_open_gives_way_in_a_flood() {
    let (serving, _crew) = served().await;
    let mut page = connected(serving.addr()).await;
    let live = HEAD.replace("/healthz", "/admin/events");
    assert!(answer(&mut page, &live).await.starts_with("HTTP/1.1 200"));
    let _silent = flood(serving.addr(), 3 * PLACES).await;
    let ended = async { while page.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {} };
    timeout(MINUTE, ended).await.expect("it is closed");
}
