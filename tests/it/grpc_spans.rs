//! Spans of calls of gRPC, as the conventions of OpenTelemetry have them.

use crate::grpc::{
    Client, Log, after_two, client, code, idempotent, layer, message, plain_request, send, server,
    tonic_server, trailers,
};
use crate::otel::{Traces, all, is_error, rows, said, text, type_of};
use crate::support::*;
use opentelemetry_sdk::trace::SpanData;
use std::future::pending;
use tokio::time::timeout;
use tonic::{Code, Status};
use unwedge::testing::{Peer, Reply};

/// The one of the call, and those of its attempts.
fn ended(traces: &Traces) -> (SpanData, Vec<SpanData>) {
    let (calls, attempts): (Vec<_>, Vec<_>) =
        traces.clients().into_iter().partition(|span| said(span, "rpc.system.name").is_some());
    let [the_call] = &calls[..] else { panic!("{:?}", traces.ended()) };
    (the_call.clone(), attempts)
}

/// Status, what it counts as, and whether that is an error.
fn came_to(span: &SpanData) -> (Option<String>, Option<String>, bool) {
    (said(span, "rpc.response.status_code"), said(span, "error.type"), is_error(span))
}

fn failed(status: &str, kind: &str) -> (Option<String>, Option<String>, bool) {
    (text(status), text(kind), true)
}

#[tokio::test(start_paused = true)]
async fn a_call_is_a_client_span_named_by_its_method_around_those_of_its_attempts() {
    let traces = Traces::listen();
    let pipe = tonic_server(&Log::default(), after_two(|| Status::unavailable("restarting")));
    send(&mut client(pipe, &layer(exact())), idempotent()).await.unwrap();
    let (the_call, attempts) = ended(&traces);
    assert_eq!((&*the_call.name, said(&the_call, "rpc.method")), ("jobs.Jobs/Next", text("jobs.Jobs/Next")));
    assert_eq!(said(&the_call, "rpc.system.name"), text("grpc"));
    assert_eq!(said(&the_call, "server.address"), text("jobs.test"));
    assert_eq!(came_to(&the_call), (text("OK"), None, false));
    assert_eq!(traces.ended().len(), 4, "{:?}", traces.ended());
    assert!(attempts.iter().all(|attempt| attempt.parent_span_id == the_call.span_context.span_id()));
    assert_eq!(all(&attempts, "http.request.resend_count"), [None, text("1"), text("2")]);
    // What is in the head of an attempt is said of it.
    assert_eq!(came_to(&attempts[0]), failed("UNAVAILABLE", "UNAVAILABLE"));
    assert_eq!(came_to(&attempts[2]), (None, None, false));
}

#[tokio::test(start_paused = true)]
async fn the_span_ends_with_the_status_behind_the_last_message() {
    let traces = Traces::listen();
    let mut client = client(server(|| vec![message("one"), message("two"), trailers(15)]), &layer(exact()));
    client.ready().await.unwrap();
    let mut stream = watch(&mut client).await;
    assert_eq!(stream.message().await.unwrap().unwrap(), "one");
    assert_eq!(traces.clients().len(), 1, "the attempt is over, the call is not: {:?}", traces.ended());
    assert_eq!(stream.message().await.unwrap().unwrap(), "two");
    assert_eq!(stream.message().await.unwrap_err().code(), Code::DataLoss);
    assert_eq!(came_to(&ended(&traces).0), failed("DATA_LOSS", "DATA_LOSS"));
}

async fn watch(client: &mut Client) -> tonic::Streaming<bytes::Bytes> {
    let path = http::uri::PathAndQuery::from_static("/jobs.Jobs/Watch");
    client.server_streaming(plain_request(), path, crate::grpc::Plain).await.unwrap().into_inner()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_reader_drops_was_cancelled() {
    let traces = Traces::listen();
    let mut client = client(server(|| vec![message("one"), None]), &layer(exact()));
    client.ready().await.unwrap();
    let mut stream = watch(&mut client).await;
    stream.message().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(came_to(&ended(&traces).0), failed("CANCELLED", "CANCELLED"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_drops_was_cancelled() {
    let traces = Traces::listen();
    let mut client = client(tonic_server(&Log::default(), |_| pending()), &layer(exact()));
    timeout(SECOND, send(&mut client, plain_request())).await.unwrap_err();
    let (the_call, attempts) = ended(&traces);
    assert_eq!(came_to(&the_call), failed("CANCELLED", "CANCELLED"));
    assert_eq!(all(&attempts, "error.type"), [text("dropped")]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_on_this_side_has_the_status_of_its_caller_and_its_own_kind() {
    let silent = || tonic_server(&Log::default(), |_| pending());
    let stalls = || server(|| vec![message("one"), None]);
    let gone = || Peer::new().forever(Reply::refuse()).pipe();
    for (pipe, status, kind) in [
        (silent(), "DEADLINE_EXCEEDED", "attempt"),
        (stalls(), "DEADLINE_EXCEEDED", "stall"),
        (gone(), "UNAVAILABLE", "connect"),
    ] {
        let traces = Traces::listen();
        send(&mut client(pipe, &layer(exact())), plain_request()).await.unwrap_err();
        assert_eq!(came_to(&ended(&traces).0), failed(status, kind), "{kind}");
    }
    let stack = layer(exact());
    stack.breakers().of(&"http://jobs.test".parse().unwrap()).unwrap().force_open();
    for _ in 0..3 {
        let traces = Traces::listen();
        send(&mut client(silent(), &stack), plain_request()).await.unwrap_err();
        assert_eq!(came_to(&ended(&traces).0), failed("UNAVAILABLE", "open"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_without_a_status_has_that_of_its_status_in_http() {
    for (http, status) in [(503, "UNAVAILABLE"), (404, "UNIMPLEMENTED"), (200, "UNKNOWN")] {
        let traces = Traces::listen();
        let answer = move |_: http::Request<hyper::body::Incoming>| async move {
            let response = http::Response::builder().status(http).header("content-type", "application/grpc");
            Ok::<_, std::convert::Infallible>(
                response.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap(),
            )
        };
        let pipe = unwedge::testing::Pipe::serve(tower::service_fn(answer));
        send(&mut client(pipe, &layer(exact())), plain_request()).await.unwrap_err();
        assert_eq!(came_to(&ended(&traces).0), failed(status, status), "{http}");
    }
}

#[tokio::test(start_paused = true)]
async fn spans_of_calls_say_what_the_conventions_know_in_their_types() {
    let known = rows(include_str!("../fixtures/otel/rpc_client.txt"), "span");
    let pieces: [fn() -> crate::grpc::Pieces; 3] =
        [|| vec![message("job"), trailers(0)], || vec![trailers(5)], || vec![message("job"), None]];
    for pieces in pieces {
        let traces = Traces::listen();
        let _ = timeout(MINUTE, code(&mut client(server(pieces), &layer(exact())), plain_request())).await;
        let (the_call, _) = ended(&traces);
        for (name, (_, required)) in &known {
            assert!(!required || said(&the_call, name).is_some(), "no {name}: {the_call:?}");
        }
        for said in &the_call.attributes {
            let name = said.key.as_str();
            // What the layer of tracing-opentelemetry adds to every span.
            let added = ["busy_ns", "idle_ns", "target"].contains(&name)
                || name.starts_with("code.")
                || name.starts_with("thread.");
            let known = known.get(name).map(|(of_type, _)| *of_type);
            assert!(added || known == Some(type_of(&said.value)), "{name}: {:?}", said.value);
        }
    }
}
