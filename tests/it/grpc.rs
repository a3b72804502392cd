//! Calls of gRPC, between a client and a server of tonic and the stack between them.

use crate::support::*;
use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming as Received;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::{ServiceBuilder, service_fn};
use tower_layer::Layer;
use unwedge::deadline::{Headers, Incoming, IncomingLayer};
use unwedge::grpc::GrpcLayer;
use unwedge::retry::Idempotent;
use unwedge::stack::StackBuilder;
use unwedge::testing::Pipe;
use unwedge::{Body, Deadline, Limits, StackLayer, breaker, within};

/// Messages are bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Plain;
    type Decoder = Plain;

    fn encoder(&mut self) -> Plain {
        Plain
    }

    fn decoder(&mut self) -> Plain {
        Plain
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// What came in: headers and message.
pub(crate) type Log = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A server of tonic, with one method.
pub(crate) fn tonic_server<H, F>(log: &Log, handler: H) -> Pipe
where
    H: Fn(usize) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Bytes, Status>> + Send + 'static,
{
    let log = Arc::clone(log);
    Pipe::serve(service_fn(move |request: Request<Received>| {
        let (log, handler, headers) = (Arc::clone(&log), handler.clone(), request.headers().clone());
        async move {
            let method = service_fn(move |message: tonic::Request<Bytes>| {
                let count = {
                    let mut log = log.lock().unwrap();
                    log.push((headers.clone(), message.into_inner()));
                    log.len()
                };
                let answered = handler(count);
                async move { answered.await.map(tonic::Response::new) }
            });
            Ok::<_, Infallible>(tonic::server::Grpc::new(Plain).unary(method, request).await)
        }
    }))
}

/// A response of pieces, each `None` a silence without an end.
pub(crate) type Pieces = Vec<Option<Frame<Bytes>>>;

/// A server that answers each call with these pieces behind a good head.
pub(crate) fn server(pieces: impl Fn() -> Pieces + Clone + Send + Sync + 'static) -> Pipe {
    Pipe::serve(service_fn(move |_: Request<Received>| {
        let pieces = pieces();
        let body = futures_util::stream::unfold(pieces.into_iter(), |mut pieces| async move {
            match pieces.next()? {
                Some(piece) => Some((Ok::<_, Infallible>(piece), pieces)),
                None => pending().await,
            }
        });
        let response = Response::builder().header("content-type", "application/grpc");
        std::future::ready(Ok::<_, Infallible>(response.body(StreamBody::new(Box::pin(body))).unwrap()))
    }))
}

pub(crate) fn message(text: &'static str) -> Option<Frame<Bytes>> {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(text.as_bytes());
    Some(Frame::data(framed.into()))
}

pub(crate) fn trailers(status: u32) -> Option<Frame<Bytes>> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.into());
    Some(Frame::trailers(trailers))
}

fn channel(pipe: Pipe) -> Channel {
    Endpoint::from_static("http://jobs.test").connect_with_connector_lazy(pipe)
}

pub(crate) fn layer(stack: StackBuilder) -> StackLayer {
    stack.build().unwrap().origin("http://jobs.test").unwrap()
}

pub(crate) type Client = tonic::client::Grpc<
    unwedge::grpc::GrpcService<unwedge::grpc::WithBody<Channel, fn(Body) -> tonic::body::Body>>,
>;

pub(crate) fn client(pipe: Pipe, stack: &StackLayer) -> Client {
    let body: fn(Body) -> tonic::body::Body = tonic::body::Body::new;
    tonic::client::Grpc::new(GrpcLayer::new(stack.clone(), body).layer(channel(pipe)))
}

pub(crate) async fn send(client: &mut Client, request: tonic::Request<Bytes>) -> Result<Bytes, Status> {
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/jobs.Jobs/Next");
    Ok(client.unary(request, path, Plain).await?.into_inner())
}

pub(crate) fn plain_request() -> tonic::Request<Bytes> {
    tonic::Request::new(Bytes::from_static(b"next"))
}

pub(crate) fn idempotent() -> tonic::Request<Bytes> {
    let mut request = plain_request();
    request.extensions_mut().insert(Idempotent);
    request
}

pub(crate) async fn code(client: &mut Client, request: tonic::Request<Bytes>) -> Code {
    send(client, request).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

pub(crate) fn after_two(
    status: fn() -> Status,
) -> impl Fn(usize) -> std::future::Ready<Result<Bytes, Status>> + Clone {
    move |count| std::future::ready(if count <= 2 { Err(status()) } else { Ok(Bytes::from_static(b"job")) })
}

/// A server that answers its first calls with these pieces each, and all others with a message.
fn server_after(first: Vec<fn() -> Pieces>) -> (Pipe, Arc<std::sync::atomic::AtomicUsize>) {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let pipe = server(move || match first.get(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
        Some(pieces) => pieces(),
        None => vec![message("job"), trailers(0)],
    });
    (pipe, asked)
}

#[tokio::test(start_paused = true)]
async fn a_status_in_trailers_is_the_callers_whether_they_come_with_the_head_or_not() {
    let (pipe, asked) = server_after(vec![|| vec![trailers(14)]]);
    let mut client = client(pipe, &layer(exact()));
    assert_eq!(code(&mut client, idempotent()).await, Code::Unavailable);
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn behind_a_message_trailers_are_the_callers() {
    let (pipe, asked) = server_after(vec![|| vec![message("half"), trailers(14)]]);
    assert_eq!(code(&mut client(pipe, &layer(exact())), idempotent()).await, Code::Unavailable);
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_with_the_head_is_not_waited_for() {
    let pipe = server(|| vec![None]);
    let mut client = client(pipe, &layer(exact()));
    client.ready().await.unwrap();
    let (start, path) = (Instant::now(), http::uri::PathAndQuery::from_static("/jobs.Jobs/Watch"));
    let mut stream = client.server_streaming(idempotent(), path, Plain).await.unwrap().into_inner();
    assert_eq!(start.elapsed(), Duration::ZERO, "the head is there");
    timeout(SECOND, stream.message()).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_be_processed_twice_is_repeated_while_the_server_is_unavailable() {
    let log = Log::default();
    let pipe = tonic_server(&log, after_two(|| Status::unavailable("restarting")));
    let mut client = client(pipe, &layer(exact()));
    assert_eq!(send(&mut client, idempotent()).await.unwrap(), "job");
    let seen = log.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|(_, message)| message == "next"), "the same message each time");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_not_is_repeated_only_where_the_server_names_a_wait_and_then_after_it() {
    let log = Log::default();
    let mut plain = client(tonic_server(&log, after_two(|| Status::unavailable("busy"))), &layer(exact()));
    assert_eq!(code(&mut plain, plain_request()).await, Code::Unavailable);
    assert_eq!(log.lock().unwrap().len(), 1);

    fn asked(wait: &'static str, code: Code) -> Status {
        let mut status = Status::new(code, "busy");
        status.metadata_mut().insert("grpc-retry-pushback-ms", wait.parse().unwrap());
        status
    }
    let start = Instant::now();
    for status in
        [(|| asked("700", Code::Unavailable)) as fn() -> Status, || asked("700", Code::ResourceExhausted)]
    {
        let log = Log::default();
        let mut client = client(tonic_server(&log, after_two(status)), &layer(exact()));
        assert_eq!(code(&mut client, plain_request()).await, Code::Ok);
        assert_eq!(log.lock().unwrap().len(), 3);
    }
    let waits = start.elapsed();
    assert!(waits >= 4 * 700 * MS && waits <= 4 * 780 * MS, "{waits:?}");

    let log = Log::default();
    let never = tonic_server(&log, after_two(|| asked("-1", Code::Unavailable)));
    assert_eq!(code(&mut client(never, &layer(exact())), idempotent()).await, Code::Unavailable);
    assert_eq!(log.lock().unwrap().len(), 1, "the server has its will");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_program_is_neither_repeated_nor_held_against_the_server() {
    for answer in
        [Code::NotFound, Code::InvalidArgument, Code::Aborted, Code::Unimplemented, Code::PermissionDenied]
    {
        let log = Log::default();
        let stack = layer(exact());
        let pipe = tonic_server(&log, move |_| std::future::ready(Err(Status::new(answer, ""))));
        let mut client = client(pipe, &stack);
        for _ in 0..20 {
            assert_eq!(code(&mut client, idempotent()).await, answer);
        }
        assert_eq!(log.lock().unwrap().len(), 20);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_heads_and_in_trailers_open_the_circuit_which_callers_see_as_unavailable() {
    let in_heads =
        |failing| tonic_server(&Log::default(), move |_| std::future::ready(Err(Status::new(failing, ""))));
    let in_trailers = |failing: Code| server(move || vec![trailers(failing as u32)]);
    for failing in [Code::Unavailable, Code::Internal, Code::Unknown, Code::DataLoss] {
        for pipe in [in_heads(failing), in_trailers(failing)] {
            // A short refusal would be waited out.
            let settings = at_once().wait_when_refused(Duration::ZERO);
            let mut client = client(pipe, &layer(exact().retry(settings)));
            for _ in 0..5 {
                assert_eq!(code(&mut client, plain_request()).await, failing);
            }
            let refused = send(&mut client, plain_request()).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable, "{failing:?}: {refused}");
            assert!(refused.message().contains("circuit"), "{refused}");
            let wait: u64 =
                refused.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
            assert!((1..=30_000).contains(&wait), "{wait}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn good_trailers_are_a_success_and_close_the_circuit() {
    let good = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (theirs, stack) = (Arc::clone(&good), layer(exact()));
    let pipe = server(move || match theirs.load(std::sync::atomic::Ordering::Relaxed) {
        true => vec![message("job"), trailers(0)],
        false => vec![trailers(14)],
    });
    let mut client = client(pipe, &stack);
    for _ in 0..5 {
        assert_eq!(code(&mut client, plain_request()).await, Code::Unavailable);
    }
    let phase = || stack.breakers().snapshot()[0].phase;
    assert_eq!(phase(), breaker::Phase::Open);
    good.store(true, std::sync::atomic::Ordering::Relaxed);
    sleep(MINUTE).await;
    for _ in 0..3 {
        assert_eq!(send(&mut client, plain_request()).await.unwrap(), "job");
    }
    assert_eq!(phase(), breaker::Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_runs_out_of_time_is_deadline_exceeded() {
    let silent = || tonic_server(&Log::default(), |_| pending());
    let stack = layer(exact());
    // The limit of the attempt.
    let start = Instant::now();
    assert_eq!(code(&mut client(silent(), &stack), plain_request()).await, Code::DeadlineExceeded);
    assert_eq!(start.elapsed(), 10 * SECOND);
    // The deadline of the caller, which is nobody's failure, before and while the channel looks at it.
    let mut hurried = client(silent(), &layer(exact()));
    for _ in 0..20 {
        let (start, mut request) = (Instant::now(), plain_request());
        request.set_timeout(250 * MS);
        let status = send(&mut hurried, request).await.unwrap_err();
        assert_eq!((status.code(), start.elapsed()), (Code::DeadlineExceeded, 250 * MS), "{status}");
    }
    // A body that says nothing more.
    let stalls = server(|| vec![message("job"), None]);
    let start = Instant::now();
    assert_eq!(code(&mut client(stalls, &stack), plain_request()).await, Code::DeadlineExceeded);
    assert_eq!(start.elapsed(), 10 * SECOND, "the idle limit");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_is_unavailable() {
    let peer = unwedge::testing::Peer::new().forever(unwedge::testing::Reply::refuse());
    let status = send(&mut client(peer.pipe(), &layer(exact())), plain_request()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("connection refused (attempt 4 of 4"), "{status}");
}

#[tokio::test(start_paused = true)]
async fn each_attempt_says_what_is_left_to_the_last_byte() {
    let log = Log::default();
    let pipe = tonic_server(&log, after_two(|| Status::unavailable("")));
    let limits = Limits::default().total(20 * SECOND).stream(40 * SECOND);
    let mut client = client(pipe, &layer(exact().limits(limits).retry(every(SECOND))));
    let mut request = idempotent();
    request.set_timeout(5 * SECOND);
    send(&mut client, request).await.unwrap();
    within(7 * SECOND, send(&mut client, plain_request())).await.unwrap().unwrap();
    send(&mut client, plain_request()).await.unwrap();
    let sent: Vec<_> = log
        .lock()
        .unwrap()
        .iter()
        .map(|(headers, _)| headers["grpc-timeout"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(sent, ["5001m", "4001m", "3001m", "7001m", "60001m"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_gives_a_call_the_time_of_its_caller_and_refuses_what_comes_too_late() {
    let late = Incoming::default().headers(Headers::grpc()).refuse_below(100 * MS);
    let handler = service_fn(|request: Request<Received>| async move {
        let left = Deadline::current().map(|deadline| deadline.remaining());
        let method = service_fn(move |_: tonic::Request<Bytes>| async move {
            Ok::<_, Status>(tonic::Response::new(Bytes::from(format!("{left:?}"))))
        });
        Ok::<_, Infallible>(tonic::server::Grpc::new(Plain).unary(method, request).await)
    });
    let pipe = Pipe::serve(ServiceBuilder::new().layer(IncomingLayer::new(late).unwrap()).service(handler));
    let stack = layer(exact());
    let mut client = client(pipe, &stack);
    let mut asking = async |ms: u32| {
        let mut request = idempotent();
        request.set_timeout(ms * MS);
        send(&mut client, request).await
    };
    assert_eq!(asking(3000).await.unwrap(), "Some(3.001s)");
    for _ in 0..20 {
        let refused = asking(50).await.unwrap_err();
        assert_eq!(refused.code(), Code::DeadlineExceeded);
        assert_eq!(refused.metadata().get("x-request-late").unwrap(), "refused; left-ms=51; least-ms=100");
    }
    assert_eq!(stack.breakers().snapshot()[0].phase, breaker::Phase::Closed, "the callers were late");
    assert!(asking(3000).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_messages_flows_and_its_end_is_what_the_trailers_say() {
    let pipe = server(|| vec![message("one"), message("two"), trailers(14)]);
    let mut client = client(pipe, &layer(exact()));
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/jobs.Jobs/Watch");
    let mut stream = client.server_streaming(idempotent(), path, Plain).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap(), "one");
    assert_eq!(stream.message().await.unwrap().unwrap(), "two");
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_still_made_streams_and_is_sent_once() {
    let log = Log::default();
    let pipe = tonic_server(&log, after_two(|| Status::unavailable("")));
    let mut client = client(pipe, &layer(exact()));
    client.ready().await.unwrap();
    let made = async_once(SECOND, Bytes::from_static(b"late"));
    let path = http::uri::PathAndQuery::from_static("/jobs.Jobs/Put");
    let mut request = tonic::Request::new(made);
    request.extensions_mut().insert(Idempotent);
    let status = client.client_streaming(request, path, Plain).await.unwrap_err();
    assert_eq!((status.code(), log.lock().unwrap().len()), (Code::Unavailable, 1));
    assert_eq!(log.lock().unwrap()[0].1, "late");
}

/// A stream of one message that is there after a while.
fn async_once(after: Duration, message: Bytes) -> impl futures_util::Stream<Item = Bytes> + Send {
    futures_util::stream::once(async move {
        sleep(after).await;
        message
    })
}

#[tokio::test(start_paused = true)]
async fn without_the_layer_trailers_are_no_evidence_as_before() {
    let stack = layer(exact());
    let pipe = server(|| vec![trailers(14)]);
    let mut client = tonic::client::Grpc::new(stack.layer(channel(pipe)));
    for _ in 0..20 {
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/jobs.Jobs/Next");
        let status = client.unary(plain_request(), path, Plain).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
    }
    assert_eq!(stack.breakers().snapshot()[0].phase, breaker::Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_may_be_dropped_at_any_time() {
    let stack = layer(exact());
    let mut client = client(tonic_server(&Log::default(), |_| pending()), &stack);
    timeout(SECOND, send(&mut client, plain_request())).await.unwrap_err();
    assert!(stack.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_in_its_trailers_opens_the_circuit_again() {
    let stack = layer(exact());
    let mut client = client(server(|| vec![trailers(14)]), &stack);
    for _ in 0..5 {
        assert_eq!(code(&mut client, plain_request()).await, Code::Unavailable);
    }
    let phase = || stack.breakers().snapshot()[0].phase;
    for _ in 0..3 {
        assert_eq!(phase(), breaker::Phase::Open);
        sleep(MINUTE).await;
        assert_eq!(code(&mut client, plain_request()).await, Code::Unavailable);
    }
    assert_eq!(phase(), breaker::Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_nothing_to_say_yet_closes_the_circuit_as_a_probe() {
    let good = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (theirs, stack) = (Arc::clone(&good), layer(exact()));
    let pipe = server(move || match theirs.load(std::sync::atomic::Ordering::Relaxed) {
        true => vec![None],
        false => vec![trailers(14)],
    });
    let mut client = client(pipe, &stack);
    for _ in 0..5 {
        assert_eq!(code(&mut client, plain_request()).await, Code::Unavailable);
    }
    good.store(true, std::sync::atomic::Ordering::Relaxed);
    sleep(MINUTE).await;
    let mut watches = Vec::new();
    for _ in 0..3 {
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/jobs.Jobs/Watch");
        let mut watch = client.server_streaming(plain_request(), path, Plain).await.unwrap().into_inner();
        timeout(MS, watch.message()).await.unwrap_err();
        watches.push(watch);
    }
    assert_eq!(stack.breakers().snapshot()[0].phase, breaker::Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_reader_does_not_look_for_long_is_held_against_nobody() {
    let good = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (theirs, stack) = (Arc::clone(&good), layer(exact()));
    let pipe = server(move || match theirs.load(std::sync::atomic::Ordering::Relaxed) {
        true => vec![message("job"), None],
        false => vec![trailers(14)],
    });
    let mut client = client(pipe, &stack);
    for _ in 0..5 {
        assert_eq!(code(&mut client, plain_request()).await, Code::Unavailable);
    }
    good.store(true, std::sync::atomic::Ordering::Relaxed);
    sleep(MINUTE).await;
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/jobs.Jobs/Watch");
    let watch = client.server_streaming(plain_request(), path, Plain).await.unwrap();
    sleep(MINUTE).await;
    assert_eq!(stack.breakers().snapshot()[0].phase, breaker::Phase::HalfOpen);
    assert_eq!(watch.into_inner().message().await.unwrap().unwrap(), "job");
}
