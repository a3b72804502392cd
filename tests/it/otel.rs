//! Spans as OpenTelemetry has them, and the trace context that goes out with each attempt.

use crate::reqwest_support::{settings, url};
use crate::support::*;
use crate::watch::Log;
use opentelemetry::trace::{SpanId, SpanKind, Status, TracerProvider};
use opentelemetry::{Array, Value};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use std::collections::BTreeMap;

use tokio::time::{sleep, timeout};
use tower::ServiceBuilder;
use tracing::Instrument;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use unwedge::otel::TraceContextLayer;
use unwedge::stack::{AttemptLayer, CircuitBreakerLayer, DeadlineLayer, RetryLayer};
use unwedge::testing::{Peer, Reply};
use unwedge::{Label, Limits};

/// What a program with an exporter sees of this thread.
pub(crate) struct Traces {
    exporter: InMemorySpanExporter,
    _provider: SdkTracerProvider,
    _guards: [DefaultGuard; 2],
}

impl Traces {
    pub(crate) fn listen() -> Traces {
        Traces::filtered("info")
    }

    /// By a filter as programs have it.
    fn filtered(filter: &str) -> Traces {
        // With this one alive too, spans are asked for on every thread.
        let (_, others) = Log::listen();
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let spans = spans.with_filter(filter.parse::<Targets>().unwrap());
        let listens = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans));
        Traces { exporter, _provider: provider, _guards: [listens, others] }
    }

    /// Those that have ended, in their order.
    pub(crate) fn ended(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    pub(crate) fn of_kind(&self, kind: SpanKind) -> Vec<SpanData> {
        self.ended().into_iter().filter(|span| span.span_kind == kind).collect()
    }

    pub(crate) fn clients(&self) -> Vec<SpanData> {
        self.of_kind(SpanKind::Client)
    }

    fn client(&self) -> SpanData {
        let [span] = &self.clients()[..] else { panic!("{:?}", self.ended()) };
        span.clone()
    }
}

/// What a span says under this name, as text.
pub(crate) fn said(span: &SpanData, name: &str) -> Option<String> {
    span.attributes.iter().find(|said| said.key.as_str() == name).map(|said| said.value.to_string())
}

/// The same for several, in their order.
pub(crate) fn all(spans: &[SpanData], name: &str) -> Vec<Option<String>> {
    spans.iter().map(|span| said(span, name)).collect()
}

pub(crate) fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

pub(crate) fn is_error(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. })
}

fn traceparents(peer: &Peer) -> Vec<Option<String>> {
    peer.requests().iter().map(|request| request.header("traceparent").map(str::to_owned)).collect()
}

fn traceparent(span: &SpanData) -> Option<String> {
    Some(format!("00-{}-{}-01", span.span_context.trace_id(), span.span_context.span_id()))
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_a_client_span_within_that_of_its_call_and_of_what_made_the_call() {
    let traces = Traces::listen();
    let peer = Peer::new().times(2, Reply::status(503)).forever(Reply::ok("ok"));
    let service = stack(&peer, &built(exact()));
    call(&service, get("/jobs?token=s3cret")).instrument(tracing::info_span!("sweep")).await.unwrap();

    let (attempts, others) = (traces.clients(), traces.of_kind(SpanKind::Internal));
    let [the_call, sweep] = &others[..] else { panic!("{others:?}") };
    assert_eq!((&*the_call.name, &*sweep.name), ("call", "sweep"));
    assert_eq!(the_call.parent_span_id, sweep.span_context.span_id());
    assert_eq!(attempts.len(), 3);
    for attempt in &attempts {
        assert_eq!((&*attempt.name, attempt.parent_span_id), ("GET", the_call.span_context.span_id()));
        assert_eq!(attempt.span_context.trace_id(), sweep.span_context.trace_id());
        assert_eq!(said(attempt, "http.request.method"), text("GET"));
        assert_eq!(said(attempt, "server.address"), text("peer.test"));
        assert_eq!(said(attempt, "server.port"), text("80"));
        assert_eq!(said(attempt, "url.full"), text("http://peer.test/jobs"));
        assert_eq!(said(attempt, "network.protocol.version"), text("1.1"));
    }
    assert_eq!(all(&attempts, "http.request.resend_count"), [None, text("1"), text("2")]);
    assert_eq!(all(&attempts, "http.response.status_code"), [text("503"), text("503"), text("200")]);
    assert_eq!(all(&attempts, "error.type"), [text("503"), text("503"), None]);
    assert_eq!(attempts.iter().map(is_error).collect::<Vec<_>>(), [true, true, false]);
    // What came of the call is what its caller got.
    assert_eq!((said(the_call, "http.response.status_code"), is_error(the_call)), (text("200"), false));
}

#[tokio::test(start_paused = true)]
async fn a_span_ends_with_its_attempt_and_not_with_the_wait_for_the_next() {
    let traces = Traces::listen();
    let peer = Peer::new().then(Reply::status(503)).forever(Reply::ok("").after(SECOND));
    let service = stack(&peer, &built(exact().retry(every(5 * SECOND))));
    let calling = call(&service, get("/"));
    let looking = async {
        sleep(SECOND).await;
        assert_eq!(traces.clients().len(), 1, "in the back-off");
        sleep(4 * SECOND + SECOND / 2).await;
        assert_eq!(traces.clients().len(), 1, "while the second is under way");
    };
    tokio::join!(calling, looking).0.unwrap();
    assert_eq!(traces.clients().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_says_what_it_failed_with() {
    let limits = Limits::default().attempt(2 * SECOND).idle(SECOND);
    for (reply, kind, status) in [
        (Reply::refuse(), "connect", None),
        (Reply::reset(), "transport", None),
        (Reply::hang(), "attempt", None),
        (Reply::sized(9).reset_after(3), "transport", text("200")),
        (Reply::headers_then_hang(), "stall", text("200")),
        (Reply::status(404), "404", text("404")),
        (Reply::status(500), "500", text("500")),
    ] {
        let traces = Traces::listen();
        let peer = Peer::new().forever(reply.clone());
        let service = stack(&peer, &once(limits.clone()));
        let _ = whole(call(&service, get("/")).await).await;
        let span = traces.client();
        assert_eq!(said(&span, "error.type"), text(kind), "{reply:?}");
        assert_eq!(said(&span, "http.response.status_code"), status, "{reply:?}");
        let Status::Error { description } = &span.status else { panic!("{reply:?}: {:?}", span.status) };
        assert_eq!(description.is_empty(), kind.parse::<u16>().is_ok(), "{reply:?}: {description}");
        let [the_call] = &traces.of_kind(SpanKind::Internal)[..] else { panic!("{:?}", traces.ended()) };
        assert_eq!((said(the_call, "error.type"), is_error(the_call)), (text(kind), true), "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_below_400_is_no_error() {
    let traces = Traces::listen();
    for status in [204, 302, 304] {
        let peer = Peer::new().forever(Reply::status(status));
        let service = stack(&peer, &built(exact()));
        call(&service, get("/")).await.unwrap();
    }
    for span in traces.ended() {
        assert_eq!((&span.status, said(&span, "error.type")), (&Status::Unset, None));
    }
    assert_eq!(all(&traces.clients(), "http.response.status_code"), ["204", "302", "304"].map(text));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_drops_says_so() {
    let traces = Traces::listen();
    let peer = Peer::new().forever(Reply::hang());
    let service = stack(&peer, &built(exact()));
    timeout(SECOND, call(&service, get("/"))).await.unwrap_err();
    let span = traces.client();
    assert_eq!((said(&span, "error.type"), is_error(&span)), (text("dropped"), true));
    let [the_call] = &traces.of_kind(SpanKind::Internal)[..] else { panic!("{:?}", traces.ended()) };
    assert_eq!((said(the_call, "error.type"), is_error(the_call)), (text("dropped"), true));
    assert_eq!(traces.ended().len(), 2, "none of them stays open");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_has_no_attempt_and_says_what_refused_it() {
    let layer = exact().build().unwrap();
    let peer = Peer::new();
    let service = stack(&peer, &layer);
    layer.breakers().of(&"http://peer.test".parse().unwrap()).unwrap().force_open();
    let traces = Traces::listen();
    for _ in 0..3 {
        call(&service, get("/")).await.unwrap_err();
    }
    let told = traces.ended();
    assert_eq!((told.len(), traces.clients().len()), (3, 0));
    assert!(told.iter().all(|span| said(span, "error.type") == text("open") && is_error(span)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_body_that_streams_ends_with_its_head() {
    let traces = Traces::listen();
    let peer = Peer::new().forever(events_then_silence("data: 1\n\n"));
    let service = stack(&peer, &built(exact()));
    let answer = call(&service, get("/events")).await.unwrap();
    let span = traces.client();
    assert_eq!((said(&span, "http.response.status_code"), &span.status), (text("200"), &Status::Unset));
    drop(answer);
    assert_eq!(traces.clients().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_span_is_named_by_its_method_and_by_what_the_request_calls_itself() {
    for (method, label, name, template) in [
        ("DELETE", None, "DELETE", None),
        ("GET", Some("jobs"), "GET jobs", None),
        ("GET", Some("/jobs/{id}"), "GET /jobs/{id}", text("/jobs/{id}")),
        ("FROB", None, "HTTP", None),
    ] {
        let traces = Traces::listen();
        let peer = Peer::new().forever(Reply::ok(""));
        let service = stack(&peer, &built(exact()));
        let mut request = request(method, "/jobs/7");
        if let Some(label) = label {
            request.extensions_mut().insert(Label::new(label));
        }
        call(&service, request).await.unwrap();
        let span = traces.client();
        assert_eq!((&*span.name, said(&span, "url.template")), (name, template));
        let made_up = method == "FROB";
        assert_eq!(said(&span, "http.request.method"), text(if made_up { "_OTHER" } else { method }));
        assert_eq!(said(&span, "http.request.method_original"), made_up.then(|| method.to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn layers_of_one_part_make_one_client_span_of_an_attempt_between_them() {
    let traces = Traces::listen();
    let peer = Peer::new().then(Reply::status(503)).forever(Reply::ok("ok"));
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer::new(MINUTE).unwrap())
        .layer(RetryLayer::new(at_once()).unwrap())
        .layer(CircuitBreakerLayer::new(no_breaker()).unwrap())
        .layer(AttemptLayer::new(SECOND).unwrap())
        .layer(TraceContextLayer::default())
        .service(plain(&peer));
    call(&service, get("/")).await.unwrap();
    let attempts = traces.clients();
    assert_eq!(all(&attempts, "http.request.resend_count"), [None, text("1")]);
    assert_eq!(traceparents(&peer), attempts.iter().map(traceparent).collect::<Vec<_>>());
    // A layer alone makes them too.
    let alone = Peer::new().forever(Reply::ok("ok"));
    let service = AttemptLayer::new(SECOND).unwrap();
    call(&tower_layer::Layer::layer(&service, plain(&alone)), get("/")).await.unwrap();
    assert_eq!(traces.clients().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_of_a_client_carries_its_own_identity() {
    let traces = Traces::listen();
    let peer = Peer::new().times(2, Reply::status(503)).forever(Reply::ok("ok"));
    let client = client(&peer).retry(at_once()).attempt_layer(TraceContextLayer::default()).build().unwrap();
    client.get("http://peer.test/jobs").header("traceparent", "of somebody else").await.unwrap();
    let sent = traces.clients().iter().map(traceparent).collect::<Vec<_>>();
    assert_eq!((sent.len(), &traceparents(&peer)), (3, &sent));
}

#[tokio::test(start_paused = true)]
async fn each_hop_of_a_redirect_has_a_call_and_an_identity_of_its_own() {
    let traces = Traces::listen();
    let peer = Peer::new().then(moved(302, "/there")).forever(Reply::ok("ok"));
    let client = client(&peer).attempt_layer(TraceContextLayer::default()).build().unwrap();
    client.get("http://peer.test/here").await.unwrap();
    let attempts = traces.clients();
    assert_eq!(traceparents(&peer), attempts.iter().map(traceparent).collect::<Vec<_>>());
    assert_eq!(all(&attempts, "url.full"), ["http://peer.test/here", "http://peer.test/there"].map(text));
}

#[tokio::test(start_paused = true)]
async fn a_health_check_is_a_client_span_of_its_own_within_the_call_that_makes_it() {
    let traces = Traces::listen();
    let peer = Peer::new().forever(Reply::ok("ok"));
    let health = "/health?deep=s3cret";
    let client = client(&peer).health(health).attempt_layer(TraceContextLayer::default()).build().unwrap();
    client.get("http://peer.test/jobs").await.unwrap();
    let [the_call] = &traces.of_kind(SpanKind::Internal)[..] else { panic!("{:?}", traces.ended()) };
    let [check, attempt] = &traces.clients()[..] else { panic!("{:?}", traces.ended()) };
    assert_eq!(traceparents(&peer), [traceparent(check), traceparent(attempt)]);
    for span in [check, attempt] {
        assert_eq!(span.parent_span_id, the_call.span_context.span_id());
        assert_eq!(all(std::slice::from_ref(span), "http.request.resend_count"), [None]);
    }
    assert_eq!((&*check.name, said(check, "url.template")), ("GET /health", text("/health")));
    assert_eq!(said(check, "url.full"), text("http://peer.test/health"));
    assert_eq!(said(check, "http.response.status_code"), text("200"));
    assert_eq!((said(check, "error.type"), is_error(check)), (None, false));
}

#[tokio::test(start_paused = true)]
async fn a_health_check_that_fails_says_what_it_failed_with() {
    for (reply, kind, status) in [
        (Reply::status(503), "503", text("503")),
        (Reply::status(302), "unhealthy", text("302")),
        (Reply::refuse(), "connect", None),
        (Reply::hang(), "unhealthy", None),
    ] {
        let traces = Traces::listen();
        let peer = Peer::new().forever(reply.clone());
        let service =
            stack(&peer, &exact().retry(at_once().max_retries(0)).health("/health").build().unwrap());
        call(&service, get("/")).await.unwrap_err();
        let check = traces.client();
        assert_eq!((&*check.name, said(&check, "error.type")), ("GET /health", text(kind)), "{reply:?}");
        assert_eq!(
            (said(&check, "http.response.status_code"), is_error(&check)),
            (status, true),
            "{reply:?}"
        );
    }
    // Its caller has no time left.
    let traces = Traces::listen();
    let peer = Peer::new().forever(Reply::hang());
    let service = stack(&peer, &built(exact().health("/health")));
    timeout(SECOND, call(&service, get("/"))).await.unwrap_err();
    assert_eq!((said(&traces.client(), "error.type"), is_error(&traces.client())), (text("dropped"), true));
}

#[tokio::test(start_paused = true)]
async fn a_health_check_in_the_background_is_a_trace_of_its_own() {
    let traces = Traces::listen();
    let script = unwedge::testing::Script::new().then(Reply::ok("")).then(Reply::status(503));
    let peer =
        Peer::new().on("/health", script.then(Reply::hang()).forever(Reply::reset())).forever(Reply::ok(""));
    let health = unwedge::health::Settings::new("/health").mode(unwedge::health::Mode::Background);
    let client = client(&peer).health(health).attempt_layer(TraceContextLayer::default()).build().unwrap();
    client.get("http://peer.test/jobs").await.unwrap();
    sleep(MINUTE).await;
    let (checks, others): (Vec<_>, Vec<_>) =
        traces.clients().into_iter().partition(|span| span.name == "GET /health");
    assert_eq!(
        (others.len(), all(&checks[..4], "error.type")),
        (1, [None, text("503"), text("unhealthy"), text("transport")].into())
    );
    // The first one was made by the call.
    assert!(checks[1..].iter().all(|check| check.parent_span_id == SpanId::INVALID), "{checks:?}");
    let sent: Vec<_> = peer
        .requests()
        .iter()
        .filter(|request| request.path() == "/health")
        .map(|request| request.header("traceparent").map(str::to_owned))
        .collect();
    assert_eq!(sent, checks.iter().map(traceparent).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_middleware_of_reqwest_beneath_the_stack_carries_the_identity_of_each_attempt() {
    let traces = Traces::listen();
    let peer = Peer::new().times(2, Reply::status(503)).forever(Reply::ok("ok"));
    let client = settings(exact()).build().unwrap();
    let client =
        reqwest_middleware::ClientBuilder::from_client(client).with(TraceContextLayer::default()).build();
    client.get(url(&peer, "/jobs")).send().await.unwrap();
    let sent = traces.clients().iter().map(traceparent).collect::<Vec<_>>();
    assert_eq!((sent.len(), &traceparents(&peer)), (3, &sent));
}

#[tokio::test(start_paused = true)]
async fn where_attempts_have_no_spans_the_context_of_the_caller_goes_out() {
    let traces = Traces::filtered("info,unwedge::spans=off");
    let peer = Peer::new().forever(Reply::ok("ok"));
    let client = client(&peer).attempt_layer(TraceContextLayer::default()).build().unwrap();
    client.get("http://peer.test/").await.unwrap();
    let calling = async { client.get("http://peer.test/").await.unwrap() };
    calling.instrument(tracing::info_span!("sweep")).await;
    let [sweep] = &traces.ended()[..] else { panic!("the spans are off: {:?}", traces.ended()) };
    assert_eq!(traceparents(&peer), [None, traceparent(sweep)]);
}

/// The attributes that OpenTelemetry has for a span or a metric of HTTP clients: type, and whether it must be there.
fn convention(of: &str) -> BTreeMap<&'static str, (&'static str, bool)> {
    rows(include_str!("../fixtures/otel/http_client.txt"), of)
}

pub(crate) fn rows(table: &'static str, of: &str) -> BTreeMap<&'static str, (&'static str, bool)> {
    let rows = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows = rows.map(|line| line.split(' ').collect::<Vec<_>>()).filter(|row| row[0] == of);
    rows.map(|row| (row[1], (row[2], row.get(3) == Some(&"required")))).collect()
}

pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "boolean",
        Value::I64(_) => "int",
        Value::F64(_) => "double",
        Value::String(_) => "string",
        Value::Array(Array::String(_)) => "string[]",
        _ => "other",
    }
}

#[tokio::test(start_paused = true)]
async fn client_spans_say_what_the_conventions_know_in_their_types() {
    let (traces, known) = (Traces::listen(), convention("span"));
    for reply in [Reply::ok("ok"), Reply::status(404), Reply::reset(), Reply::refuse()] {
        let peer = Peer::new().then(reply).forever(Reply::ok(""));
        let service = stack(&peer, &built(exact()));
        for method in ["GET", "FROB"] {
            let labelled = with(request(method, "/jobs/7"), Label::new("/jobs/{id}"));
            let _ = call(&service, labelled).await;
        }
        let checked = stack(&peer, &built(exact().health("/health")));
        let _ = call(&checked, get("/jobs/7")).await;
    }
    let mut seen = BTreeMap::new();
    for span in traces.clients() {
        assert_ne!(span.parent_span_id, SpanId::INVALID);
        for (name, (_, required)) in &known {
            assert!(!required || said(&span, name).is_some(), "no {name}: {span:?}");
        }
        for said in &span.attributes {
            let name = said.key.as_str().to_owned();
            // What the layer of tracing-opentelemetry adds to every span.
            if !["busy_ns", "idle_ns", "target"].contains(&&*name)
                && !name.starts_with("code.")
                && !name.starts_with("thread.")
            {
                seen.insert(name, type_of(&said.value));
            }
        }
    }
    for (name, seen) in &seen {
        assert_eq!(known.get(&**name).map(|(of_type, _)| *of_type), Some(*seen), "{name}");
    }
    let rare = ["error.type", "http.request.resend_count", "http.request.method_original", "url.template"];
    assert!(rare.iter().all(|name| seen.contains_key(*name)), "{seen:?}");
}

#[test]
fn metrics_with_a_name_of_the_conventions_have_their_attributes() {
    let of_opentelemetry = unwedge::metrics::METRICS.iter().filter(|metric| metric.name.starts_with("http."));
    let mut count = 0;
    for metric in of_opentelemetry {
        let known = convention(metric.name);
        // The name of the client is the one thing of our own.
        let ours = metric.labels.iter().filter(|label| **label != "client");
        assert!(ours.clone().all(|label| known.contains_key(label)), "{metric:?}");
        for (name, (_, required)) in &known {
            assert!(!required || metric.labels.contains(name), "{}: no {name}", metric.name);
        }
        count += 1;
    }
    assert_eq!(count, 2);
}

#[tokio::test(start_paused = true)]
async fn any_propagator_takes_the_place_of_the_trace_context() {
    #[derive(Debug)]
    struct Own;
    impl opentelemetry::propagation::TextMapPropagator for Own {
        fn inject_context(
            &self,
            context: &opentelemetry::Context,
            injector: &mut dyn opentelemetry::propagation::Injector,
        ) {
            use opentelemetry::trace::TraceContextExt;
            injector.set("x-span", context.span().span_context().span_id().to_string());
        }
        fn extract_with_context(
            &self,
            context: &opentelemetry::Context,
            _: &dyn opentelemetry::propagation::Extractor,
        ) -> opentelemetry::Context {
            context.clone()
        }
        fn fields(&self) -> opentelemetry::propagation::text_map_propagator::FieldIter<'_> {
            opentelemetry::propagation::text_map_propagator::FieldIter::new(&[])
        }
    }
    let traces = Traces::listen();
    let peer = Peer::new().forever(Reply::ok("ok"));
    let layer = TraceContextLayer::default().propagator(Own);
    let service = ServiceBuilder::new().layer(built(exact())).layer(layer).service(plain(&peer));
    call(&service, get("/")).await.unwrap();
    let [request] = &peer.requests()[..] else { panic!("one request") };
    let id = traces.client().span_context.span_id().to_string();
    assert_eq!((request.header("x-span"), request.header("traceparent")), (Some(&*id), None));
}
