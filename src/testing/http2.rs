//! One HTTP/2 connection of a peer: the same replies, a stream for each request.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, Version};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{Answer, At, Ending};
use super::record::Received;
use super::reply::Act;
use super::request::{self, Head, Length};
use super::state::State;
use super::wire::{self, REQUEST, Wire};
use super::{Cut, Reply};

/// What a client begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Without a pace of their own informational responses would pile up: nothing holds back whoever sends them.
const SLOWEST_PILE: Duration = Duration::from_millis(1);

/// Whether a connection begins as one that speaks HTTP/2. Reads on as long as it may be.
pub(super) async fn is_spoken(
    io: &mut (impl AsyncRead + Unpin),
    first: &mut BytesMut,
) -> Result<bool, request::Broken> {
    loop {
        let n = first.len().min(PREFACE.len());
        match first[..n] == PREFACE[..n] {
            true if n < PREFACE.len() => request::fill(io, first).await?,
            spoken => return Ok(spoken),
        }
    }
}

/// What follows from a request for its connection.
enum After {
    Again,
    /// It closes when the next request has arrived.
    Stale,
    /// It says goodbye and ends with its last stream.
    Goodbye,
    Cut(Cut),
    /// It closes in the middle of a body. Dropping the stream would take back what was sent of it.
    Truncated(#[expect(dead_code, reason = "kept until what was sent has left")] SendStream<Bytes>),
    /// What would answer is kept here too: dropped, it would reset its stream.
    Raw(Bytes, #[expect(dead_code, reason = "kept")] Option<SendResponse<Bytes>>),
    /// Nothing is read or written any more.
    Silent(#[expect(dead_code, reason = "kept")] Option<SendResponse<Bytes>>),
}

type Gone = h2::Error;

pub(super) async fn connection<W: Wire>(state: &Arc<State>, mut wire: W, first: BytesMut, number: u64) {
    let ended = match h2::server::handshake(Begun { first, io: wire.io() }).await {
        Ok(connection) => streams(state, connection, number).await,
        Err(_) => After::Cut(Cut::Close),
    };
    let cut = match ended {
        After::Cut(cut) => cut,
        After::Silent(_) => Cut::Hang,
        After::Raw(bytes, _) => {
            let _ = wire.io().write_all(&bytes).await;
            Cut::Close
        }
        After::Again | After::Stale | After::Goodbye | After::Truncated(_) => Cut::Close,
    };
    wire::end(wire, cut).await;
}

/// Serves all streams at once, to the end of the connection.
async fn streams<T>(state: &Arc<State>, mut connection: Connection<T, Bytes>, number: u64) -> After
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut tasks: JoinSet<After> = JoinSet::new();
    let mut stale = false;
    loop {
        let next = poll_fn(|cx| {
            while let Poll::Ready(Some(done)) = tasks.poll_join_next(cx) {
                match done {
                    Ok(After::Again) | Err(_) => {}
                    Ok(After::Stale) => stale = true,
                    Ok(After::Goodbye) => connection.graceful_shutdown(),
                    Ok(ended) => return Poll::Ready(Err(ended)),
                }
            }
            connection.poll_accept(cx).map(Ok)
        });
        let (request, respond) = match next.await {
            Ok(Some(Ok(accepted))) => accepted,
            Ok(_) => return After::Cut(Cut::Close),
            Err(ended) => {
                // What was sent before has to leave before.
                poll_fn(|cx| Poll::Ready(connection.poll_accept(cx).is_ready())).await;
                return ended;
            }
        };
        let head = head(&request);
        if stale {
            state.arrived_late(&head, number);
            return After::Cut(Cut::Close);
        }
        let (id, received, reply) = state.arrived(&head, number);
        let asked = Asked { id, head, received, body: request.into_body() };
        tasks.spawn(stream(Arc::clone(state), asked, respond, reply));
    }
}

struct Asked {
    id: u64,
    head: Head,
    received: Received,
    body: RecvStream,
}

fn head(request: &Request<RecvStream>) -> Head {
    let mut headers = request.headers().clone();
    let uri = request.uri();
    // As an HTTP/1.1 request has it (RFC 9113, section 8.3.1).
    if let Some(Ok(host)) = uri.authority().map(|authority| authority.as_str().parse()) {
        headers.entry(http::header::HOST).or_insert(host);
    }
    Head {
        method: request.method().clone(),
        version: Version::HTTP_2,
        target: uri.path_and_query().map_or_else(|| uri.to_string(), ToString::to_string),
        headers,
        body: if request.body().is_end_stream() { Length::Known(0) } else { Length::Chunked },
        keep_alive: true,
        expects_continue: false,
    }
}

async fn stream(state: Arc<State>, asked: Asked, mut respond: SendResponse<Bytes>, reply: Reply) -> After {
    let Asked { id, head, mut received, body } = asked;
    // Kept: a request that nobody wants to read is not refused by that.
    let mut body = Some(body);
    if !reply.leaves_body() && !head.body.is_empty() {
        let mut read = request::Body::default();
        let done = timeout(REQUEST, receive(body.take(), &mut read)).await;
        received.body = read.kept.freeze();
        received.body_len = read.len;
        received.complete = read.complete;
        state.body(id, &received);
        if !matches!(done, Ok(Ok(()))) {
            return After::Again;
        }
    }
    // Whoever leaves gets nothing, and the connection goes on.
    match play(&head, reply.decide(&received), &mut respond).await.unwrap_or(After::Again) {
        After::Raw(bytes, _) => After::Raw(bytes, Some(respond)),
        After::Silent(_) => After::Silent(Some(respond)),
        after => after,
    }
}

async fn receive(body: Option<RecvStream>, read: &mut request::Body) -> Result<(), Gone> {
    let Some(mut body) = body else { return Ok(()) };
    while let Some(data) = body.data().await {
        let data = data?;
        read.push(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    read.complete = true;
    Ok(())
}

async fn play(request: &Head, reply: Reply, respond: &mut SendResponse<Bytes>) -> Result<After, Gone> {
    wait(reply.after, |cx| respond.poll_reset(cx)).await?;
    match reply.act {
        Act::Hang | Act::ConnectHang | Act::EndlessHeaders(_) => {
            gone(|cx| respond.poll_reset(cx)).await;
            Ok(After::Again)
        }
        Act::Silent => Ok(After::Silent(None)),
        Act::Close => Ok(After::Cut(Cut::Close)),
        Act::Refuse => {
            respond.send_reset(Reason::REFUSED_STREAM);
            Ok(After::Again)
        }
        Act::Reset => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(After::Again)
        }
        Act::Raw(bytes) => Ok(After::Raw(bytes, None)),
        Act::EndlessInformational(every) => loop {
            wait(every.max(SLOWEST_PILE), |cx| respond.poll_reset(cx)).await?;
            respond.send_informational(informational())?;
        },
        Act::Answer(answer) => send(request, &answer, respond).await,
        Act::By(_) => send(request, &Answer::new(508), respond).await,
    }
}

fn informational() -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::EARLY_HINTS;
    response
}

async fn send(request: &Head, answer: &Answer, respond: &mut SendResponse<Bytes>) -> Result<After, Gone> {
    for _ in 0..answer.informational {
        respond.send_informational(informational())?;
    }
    if let Some(every) = answer.head_pace {
        let bytes = u32::try_from(answer.head(request).len()).unwrap_or(u32::MAX);
        wait(every.saturating_mul(bytes), |cx| respond.poll_reset(cx)).await?;
    }
    if let Some((At::Head(_), how)) = answer.cut {
        return match how {
            Cut::Close => Ok(After::Cut(Cut::Close)),
            Cut::Reset => {
                respond.send_reset(Reason::INTERNAL_ERROR);
                Ok(After::Again)
            }
            Cut::Hang => {
                gone(|cx| respond.poll_reset(cx)).await;
                Ok(After::Again)
            }
        };
    }
    let has_body = answer.has_body(request);
    let mut stream = respond.send_response(answer.response(), !has_body)?;
    if has_body {
        match send_body(answer, &mut stream).await? {
            None => {}
            Some(Cut::Close) => return Ok(After::Truncated(stream)),
            Some(how) => {
                if how == Cut::Reset {
                    stream.send_reset(Reason::INTERNAL_ERROR);
                }
                gone(|cx| stream.poll_reset(cx)).await;
                return Ok(After::Again);
            }
        }
    }
    Ok(match answer.ending {
        Ending::Closing => After::Goodbye,
        Ending::Stale => After::Cut(Cut::Close),
        Ending::StaleOnNext => After::Stale,
        Ending::KeepAlive => After::Again,
    })
}

/// The body to its end, or to where it is cut: then how.
async fn send_body(answer: &Answer, stream: &mut SendStream<Bytes>) -> Result<Option<Cut>, Gone> {
    for piece in answer.pieces() {
        wait(answer.pace(), |cx| stream.poll_reset(cx)).await?;
        send_piece(stream, piece).await?;
    }
    // The end of a body that lies about its length is that of its connection.
    let cut = answer.body_cut().or_else(|| answer.lies().then_some(Cut::Close));
    match cut {
        None if answer.trailers.is_empty() => stream.send_data(Bytes::new(), true)?,
        None => stream.send_trailers(trailers(answer))?,
        Some(_) => {}
    }
    Ok(cut)
}

/// No more than the client takes.
async fn send_piece(stream: &mut SendStream<Bytes>, mut piece: Bytes) -> Result<(), Gone> {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len());
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(room) => stream.send_data(piece.split_to(room?.min(piece.len())), false)?,
            None => return Err(Reason::CANCEL.into()),
        }
    }
    Ok(())
}

fn trailers(answer: &Answer) -> HeaderMap {
    let parsed = answer.trailers.iter().map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
    parsed.flatten().collect::<Vec<(http::HeaderName, http::HeaderValue)>>().into_iter().collect()
}

/// Waits until the client has given the stream up.
async fn gone(mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<Reason, Gone>>) {
    let _ = poll_fn(|cx| poll(cx)).await;
}

/// Waits, and fails when the client leaves meanwhile.
async fn wait(
    d: Duration,
    poll: impl FnMut(&mut Context<'_>) -> Poll<Result<Reason, Gone>>,
) -> Result<(), Gone> {
    if d.is_zero() {
        return Ok(());
    }
    timeout(d, gone(poll)).await.map_or(Ok(()), |()| Err(Reason::CANCEL.into()))
}

/// A connection of which the first bytes were read.
struct Begun<'a, T> {
    first: BytesMut,
    io: &'a mut T,
}

impl<T: AsyncRead + Unpin> AsyncRead for Begun<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut *self.io).poll_read(cx, buf);
        }
        let n = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..n]);
        self.first.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Begun<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }
}
