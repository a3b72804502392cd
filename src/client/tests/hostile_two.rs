//! The same over HTTP/2, frame by frame.

use super::hostile::{Hostile, gets, no_worse, posts};
use super::http2::{SETTINGS, frame};
use super::*;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// Settings by their numbers.
pub(super) fn settings(list: &[(u16, u32)]) -> Vec<u8> {
    let payload = list.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, &payload.collect::<Vec<_>>())
}

pub(super) fn streams(limit: u32) -> Vec<u8> {
    settings(&[(3, limit)])
}

pub(super) fn goaway(last: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
}

/// `200` and two bytes.
pub(super) fn ok(stream: u32) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS, stream, &[0x88]), frame(DATA, END_STREAM, stream, b"ok")].concat()
}

pub(super) fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(8, 0, stream, &more.to_be_bytes())
}

pub(super) fn reset(stream: u32, reason: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &reason.to_be_bytes())
}

/// The other end of a connection: what arrives, and what was answered by itself.
pub(super) struct Wire {
    pub(super) io: DuplexStream,
    /// Whether settings are acknowledged.
    pub(super) acks: bool,
}

/// A frame that arrived.
pub(super) struct Arrived {
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: u32,
}

impl Arrived {
    pub(super) fn ends(&self) -> bool {
        self.kind <= HEADERS && self.flags & END_STREAM != 0
    }
}

impl Wire {
    pub(super) async fn begin(mut io: DuplexStream, first: &[u8]) -> io::Result<Wire> {
        // All connections have a wide window for what is uploaded.
        io.write_all(&[first, &window(0, 1 << 30)].concat()).await?;
        io.read_exact(&mut [0; 24]).await?;
        Ok(Wire { io, acks: true })
    }

    pub(super) async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.write_all(bytes).await
    }

    /// The next frame that is about a stream. Pings are answered.
    pub(super) async fn next(&mut self) -> io::Result<Arrived> {
        loop {
            let mut head = [0; 9];
            self.io.read_exact(&mut head).await?;
            let bytes = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; bytes];
            self.io.read_exact(&mut payload).await?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match (head[3], head[4] & 1) {
                (SETTINGS, 0) if self.acks => self.say(&frame(SETTINGS, 1, 0, &[])).await?,
                (PING, 0) => self.say(&frame(PING, 1, 0, &payload)).await?,
                _ if stream > 0 => return Ok(Arrived { kind: head[3], flags: head[4], stream }),
                _ => {}
            }
        }
    }

    /// The stream of the next request that is whole.
    pub(super) async fn request(&mut self) -> io::Result<u32> {
        loop {
            let arrived = self.next().await?;
            if arrived.ends() {
                return Ok(arrived.stream);
            }
        }
    }

    /// Answers all that comes.
    pub(super) async fn serve(mut self) -> io::Result<()> {
        loop {
            let stream = self.request().await?;
            self.say(&ok(stream)).await?;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_takes_back_everything_in_mid_flight_costs_no_call() {
    // Of every connection the third request, and all that are under way then.
    let server = Hostile::new(true, |_, io| async move {
        let mut wire = Wire::begin(io, &streams(100)).await?;
        for _ in 0..2 {
            let stream = wire.request().await?;
            wire.say(&ok(stream)).await?;
        }
        let last = wire.request().await?;
        sleep(5 * MS).await;
        wire.say(&goaway(last - 2)).await?;
        wire.io.read_to_end(&mut Vec::new()).await.map(drop)
    });
    assert_eq!(no_worse(&server, posts(10, 1, 20, 100 * MS)).await.0, 20);
    no_worse(&server, gets(5, 20, SEC)).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_streams_that_changes_each_second_costs_no_call() {
    let server = Hostile::new(true, |_, io| async move {
        let mut wire = Wire::begin(io, &streams(100)).await?;
        let mut limits = [1, 0, 100].into_iter().cycle();
        let mut next = Instant::now() + SEC;
        loop {
            match tokio::time::timeout_at(next, wire.request()).await {
                Ok(stream) => wire.say(&ok(stream?)).await?,
                Err(_) => {
                    next += SEC;
                    wire.say(&streams(limits.next().unwrap())).await?;
                }
            }
        }
    });
    assert_eq!(no_worse(&server, posts(10, 5, 200, 50 * MS)).await.0, 1000);
    assert!(server.dials() <= 8, "{}", server.dials());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_reset_without_an_error_after_its_answer_has_been_answered() {
    for whole in [true, false] {
        let server = Hostile::new(true, move |_, io| async move {
            // Where it is to be read as a whole there is room for it.
            let room = if whole { 1 << 20 } else { 1000 };
            let mut wire = Wire::begin(io, &settings(&[(3, 100), (4, room)])).await?;
            loop {
                let arrived = wire.next().await?;
                if if whole { arrived.ends() } else { arrived.kind == HEADERS } {
                    wire.say(&[ok(arrived.stream), reset(arrived.stream, 0)].concat()).await?;
                }
            }
        });
        assert_eq!(no_worse(&server, gets(3, 10, 100 * MS)).await.0, 30, "{whole}");
        assert_eq!(no_worse(&server, posts(200_000, 3, 10, 100 * MS)).await.0, 30, "{whole}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_acknowledges_no_settings_is_a_server_like_others() {
    let server = Hostile::new(true, |_, io| async move {
        let mut wire = Wire::begin(io, &streams(100)).await?;
        wire.acks = false;
        wire.serve().await
    });
    assert_eq!(no_worse(&server, gets(3, 20, 10 * SEC)).await.0, 60);
}

#[tokio::test(start_paused = true)]
async fn a_first_connection_that_never_says_a_word_is_left_for_another_one() {
    let server = Hostile::new(true, |number, mut io| async move {
        if number == 0 {
            return io.read_to_end(&mut Vec::new()).await.map(drop);
        }
        Wire::begin(io, &streams(100)).await?.serve().await
    });
    let client = server.client();
    let begun = Instant::now();
    let calls: Vec<_> = (0..10).map(|_| Beside::new(client.post(URL).body("job").send())).collect();
    for call in calls {
        assert_eq!(call.ended().await.unwrap().attempts().count, 1, "not one byte of it was sent");
    }
    assert!(begun.elapsed() <= 6 * SEC, "{:?}", begun.elapsed());
}

/// Answers at once, and reads nothing that is uploaded beyond a first piece.
fn answers_early(streams: u32) -> Hostile {
    Hostile::new(true, move |_, io| async move {
        let mut wire = Wire::begin(io, &settings(&[(3, streams), (4, 100)])).await?;
        loop {
            let arrived = wire.next().await?;
            if arrived.kind == HEADERS {
                wire.say(&ok(arrived.stream)).await?;
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_upload_was_read_leaves_no_connection_behind_on_http2_either() {
    for streams in [false, true] {
        let server = answers_early(100);
        let client = server.client();
        for _ in 0..5 {
            let piece = || Ok::<_, io::Error>(bytes::Bytes::from(vec![b'x'; 1000]));
            let body = match streams {
                true => Body::from_stream(futures_util::stream::iter((0..100).map(move |_| piece()))),
                false => Body::full(vec![b'x'; 100_000]),
            };
            let start = Instant::now();
            let answer = client.post(URL).body(body).send().await.unwrap();
            assert_eq!((answer.text().await.unwrap().as_str(), start.elapsed()), ("ok", Duration::ZERO));
        }
        client.get(URL).await.unwrap();
        assert_eq!(server.dials(), 1);
        sleep(120 * SEC).await;
        assert_eq!(server.open(), 0, "{streams}: one that is left ends, whatever lies in it");
        client.post(URL).body(vec![b'x'; 100_000]).send().await.unwrap();
        drop(client);
        sleep(20 * SEC).await;
        assert_eq!(server.open(), 0, "{streams}: also where the client has gone");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lowers_its_limit_and_refuses_what_was_on_its_way_loses_no_post() {
    let server = Hostile::new(true, |_, io| async move {
        let mut wire = Wire::begin(io, &streams(100)).await?;
        // One of those that come at once is served, as by a backend that takes one, and the others are handed back.
        loop {
            let served = wire.request().await?;
            wire.say(&streams(1)).await?;
            let until = Instant::now() + 5 * MS;
            while let Ok(refused) = tokio::time::timeout_at(until, wire.request()).await {
                wire.say(&reset(refused?, 7)).await?;
            }
            wire.say(&ok(served)).await?;
        }
    });
    let client = server.client();
    let mut posts = JoinSet::new();
    for _ in 0..20 {
        for _ in 0..10 {
            posts.spawn(client.post(URL).body("job").send());
        }
        sleep(100 * MS).await;
    }
    for ended in posts.join_all().await {
        ended.unwrap();
    }
    assert_eq!(client.breakers().snapshot()[0].phase, crate::breaker::Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_one_kind_of_calls_makes_room_for_the_other_where_there_may_be_no_further_one() {
    let peer = Peer::new().forever(Reply::ok("ok"));
    let network = Network::default().http2_only().connections(Connections::default().per_origin(1));
    let client = piped(&peer).network(network).build().unwrap();
    let start = Instant::now();
    for _ in 0..3 {
        client.post(URL).body("job").await.unwrap();
        client.get(URL).collect(crate::Collect::never()).await.unwrap().bytes().await.unwrap();
    }
    assert_eq!((start.elapsed(), peer.connections()), (Duration::ZERO, 6));
}

#[tokio::test(start_paused = true)]
async fn a_call_behind_a_slow_one_gets_a_connection_of_its_own_a_second_after_a_connect_failed() {
    let server = Hostile::new(true, |number, io| async move {
        let mut wire = Wire::begin(io, &streams(1)).await?;
        loop {
            let stream = wire.request().await?;
            sleep(if number == 0 { 8 * SEC } else { Duration::ZERO }).await;
            wire.say(&ok(stream)).await?;
        }
    });
    // The second connect is refused.
    server.refuse(1);
    let client = server.client();
    let slow = Beside::new(client.get(URL).send());
    sleep(SEC).await;
    let start = Instant::now();
    client.post(URL).body("job").await.unwrap();
    assert_eq!((start.elapsed().as_secs(), server.dials()), (1, 3));
    slow.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_calls_that_are_given_up_gets_another_connection_too() {
    let server = Hostile::new(true, |number, mut io| async move {
        if number == 0 {
            return io.read_to_end(&mut Vec::new()).await.map(drop);
        }
        Wire::begin(io, &streams(100)).await?.serve().await
    });
    let client = server.client();
    let begun = Instant::now();
    let hurried: Vec<_> = (0..10).map(|_| Beside::new(client.post(URL).body("job").send())).collect();
    let patient: Vec<_> = (0..3).map(|_| Beside::new(client.post(URL).body("job").send())).collect();
    sleep(SEC).await;
    drop(hurried);
    for call in patient {
        assert_eq!(call.ended().await.unwrap().attempts().count, 1, "not one byte of it was sent");
    }
    assert!(begun.elapsed() <= 6 * SEC, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_room_of_the_other_kind_gets_it_as_soon_as_that_has_ended() {
    let server = Hostile::new(true, |_, io| async move {
        let mut wire = Wire::begin(io, &streams(100)).await?;
        loop {
            let stream = wire.request().await?;
            sleep(SEC).await;
            wire.say(&ok(stream)).await?;
        }
    });
    let network = Network::default().http2_only().connections(Connections::default().per_origin(1));
    let client = server.builder().network(network).build().unwrap();
    let start = Instant::now();
    let slow = Beside::new(client.get(URL).send());
    sleep(MS).await;
    let stream = client.get(URL).collect(crate::Collect::never()).send().await.unwrap();
    drop(stream);
    assert!(start.elapsed() <= 3 * SEC, "{:?}", start.elapsed());
    slow.ended().await.unwrap();
}
