//! One connection of a peer, whatever it runs over.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::time::{timeout, timeout_at};

use super::answer::{Answer, At, Ending};
use super::reply::Act;
use super::request::{self, Broken, Head};
use super::state::{MAX_CONNECTIONS, Open, State};
use super::wire::{REQUEST, Wire, end};
use super::{Cut, Reply, http2};

/// How a connection goes on after a request.
enum Next {
    Again,
    /// Close when the next request has arrived.
    Stale,
    Cut(Cut),
}

impl State {
    /// Serves a connection as long as the peer lives. False when it does not live any more, or is full.
    pub(super) fn serve<W: Wire>(self: &Arc<State>, wire: W, silent: bool) -> bool {
        let mut tasks = self.tasks();
        let Some(tasks) = tasks.as_mut() else {
            return false;
        };
        while tasks.connections.try_join_next().is_some() {}
        if tasks.connections.len() >= MAX_CONNECTIONS {
            return false;
        }
        // Counted here and not in the task, so that whoever connected sees it counted.
        self.open.fetch_add(1, Ordering::AcqRel);
        let number = self.connections.fetch_add(1, Ordering::AcqRel) + 1;
        let open = Open { state: self.clone(), number };
        tasks.connections.spawn(connection(open, wire, silent));
        true
    }
}

/// Serves one connection to its end, or to the moment at which the server goes away by the clock.
async fn connection<W: Wire>(open: Open, wire: W, silent: bool) {
    let served = pin!(serve(&open.state, wire, open.number, silent));
    match open.state.goes_away() {
        Some(at) => {
            let _ = timeout_at(at, served).await;
        }
        None => served.await,
    }
}

async fn serve<W: Wire>(state: &Arc<State>, mut wire: W, number: u64, silent: bool) {
    if silent {
        return wire.gone().await;
    }
    let mut buf = BytesMut::new();
    if request::first_byte(wire.io(), &mut buf).await.is_err() {
        return end(wire, Cut::Close).await;
    }
    match timeout(REQUEST, http2::is_spoken(wire.io(), &mut buf)).await {
        Ok(Ok(false)) => {}
        Ok(Ok(true)) => return http2::connection(state, wire, buf, number).await,
        Ok(Err(_)) | Err(_) => return end(wire, Cut::Close).await,
    }
    let mut stale = false;
    let cut = loop {
        match one(state, &mut wire, &mut buf, number, stale).await {
            Ok(Next::Again) => {}
            Ok(Next::Stale) => stale = true,
            Ok(Next::Cut(how)) => break how,
            Err(_) => return,
        }
    };
    end(wire, cut).await;
}

/// One request and what the script says to it.
async fn one<W: Wire>(
    state: &State,
    wire: &mut W,
    buf: &mut BytesMut,
    connection: u64,
    stale: bool,
) -> io::Result<Next> {
    if request::first_byte(wire.io(), buf).await.is_err() {
        return Ok(Next::Cut(Cut::Close));
    }
    let head = match timeout(REQUEST, request::head(wire.io(), buf)).await {
        Ok(Ok(head)) => head,
        Ok(Err(Broken::Bad)) => return complain(wire, "400 Bad Request").await,
        Ok(Err(Broken::TooLarge)) => {
            return complain(wire, "431 Request Header Fields Too Large").await;
        }
        Ok(Err(Broken::Gone)) | Err(_) => return Ok(Next::Cut(Cut::Close)),
    };
    if stale {
        state.arrived_late(&head, connection);
        return Ok(Next::Cut(Cut::Close));
    }
    let (id, mut received, reply) = state.arrived(&head, connection);
    if !reply.leaves_body() && !head.body.is_empty() {
        if head.expects_continue {
            wire.io().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut body = request::Body::default();
        let read = timeout(REQUEST, request::body(wire.io(), buf, head.body, &mut body)).await;
        received.body = body.kept.freeze();
        received.body_len = body.len;
        received.complete = body.complete;
        state.body(id, &received);
        match read {
            Ok(Ok(())) => {}
            Ok(Err(Broken::Bad | Broken::TooLarge)) => {
                return complain(wire, "400 Bad Request").await;
            }
            Ok(Err(Broken::Gone)) | Err(_) => return Ok(Next::Cut(Cut::Close)),
        }
    }
    play(wire, &head, reply.decide(&received)).await
}

async fn complain<W: Wire>(wire: &mut W, status: &str) -> io::Result<Next> {
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    wire.io().write_all(answer.as_bytes()).await?;
    Ok(Next::Cut(Cut::Close))
}

/// Waits, and fails when the client leaves meanwhile.
async fn wait<W: Wire>(wire: &mut W, d: Duration) -> io::Result<()> {
    if d.is_zero() {
        return Ok(());
    }
    match timeout(d, wire.gone()).await {
        Ok(()) => Err(io::ErrorKind::BrokenPipe.into()),
        Err(_) => Ok(()),
    }
}

async fn play<W: Wire>(wire: &mut W, request: &Head, reply: Reply) -> io::Result<Next> {
    wait(wire, reply.after).await?;
    match reply.act {
        Act::Hang | Act::Silent | Act::ConnectHang => Ok(Next::Cut(Cut::Hang)),
        Act::Close => Ok(Next::Cut(Cut::Close)),
        Act::Reset | Act::Refuse => Ok(Next::Cut(Cut::Reset)),
        Act::Raw(bytes) => {
            wire.io().write_all(&bytes).await?;
            Ok(Next::Cut(Cut::Close))
        }
        Act::EndlessHeaders(every) => {
            wire.io().write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                wait(wire, every).await?;
                wire.io().write_all(b"x-endless: and another header, and another header\r\n").await?;
            }
        }
        Act::EndlessInformational(every) => loop {
            wait(wire, every).await?;
            wire.io().write_all(INFORMATIONAL).await?;
        },
        Act::Answer(answer) => send(wire, request, &answer).await,
        Act::By(_) => complain(wire, "508 Loop Detected").await,
    }
}

const INFORMATIONAL: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";

async fn send<W: Wire>(wire: &mut W, request: &Head, answer: &Answer) -> io::Result<Next> {
    for _ in 0..answer.informational {
        wire.io().write_all(INFORMATIONAL).await?;
    }
    let mut head = answer.head(request);
    let mut cut = None;
    if let Some((At::Head(n), how)) = answer.cut {
        head.truncate(n);
        cut = Some(how);
    }
    match answer.head_pace {
        None => wire.io().write_all(&head).await?,
        Some(every) => {
            for byte in head {
                wait(wire, every).await?;
                wire.io().write_all(&[byte]).await?;
            }
        }
    }
    if let Some(how) = cut {
        return Ok(Next::Cut(how));
    }
    if answer.has_body(request) {
        if let Some(how) = send_body(wire, answer).await? {
            return Ok(Next::Cut(how));
        }
    }
    Ok(match answer.ending {
        _ if answer.ends(request) => Next::Cut(Cut::Close),
        Ending::StaleOnNext => Next::Stale,
        _ => Next::Again,
    })
}

async fn send_body<W: Wire>(wire: &mut W, answer: &Answer) -> io::Result<Option<Cut>> {
    for piece in answer.pieces() {
        wait(wire, answer.pace()).await?;
        wire.io().write_all(&answer.frame(piece)).await?;
    }
    let cut = answer.body_cut();
    if cut.is_none() {
        wire.io().write_all(&answer.tail()).await?;
    }
    Ok(cut)
}
