//! The trace context of OpenTelemetry in the headers of each attempt, so that the server's spans hang under it.
//!
//! The spans of this crate come from `tracing`, without this feature too: a call, and within it a client span for each
//! attempt. What makes spans of OpenTelemetry of them is the layer of tracing-opentelemetry in the program's subscriber. A
//! [`TraceContextLayer`] that stands beneath the stack then writes the identity of the attempt into the request:
//! `traceparent`, and `tracestate` where there is one.
//!
//! In a [`Client`](crate::Client) it is a layer of the attempt, in a chain of reqwest-middleware it comes after the stack, and
//! over any other client it is the layer beneath:
//!
//! ```
//! use unwedge::{Client, otel::TraceContextLayer};
//!
//! let client = Client::builder().attempt_layer(TraceContextLayer::default()).build()?;
//! # Ok::<(), unwedge::Error>(())
//! ```
#![cfg_attr(
    feature = "reqwest",
    doc = r#"
```
use unwedge::otel::TraceContextLayer;

# fn build(inner: reqwest::Client) {
let client = reqwest_middleware::ClientBuilder::new(inner)
    .with(unwedge::reqwest::Unwedge::default())
    .with(TraceContextLayer::default())
    .build();
# }
```
"#
)]
//!
//! ```
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower::ServiceBuilder;
//! use unwedge::{Body, StackLayer, otel::TraceContextLayer};
//!
//! let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
//! let client = ServiceBuilder::new()
//!     .layer(StackLayer::default())
//!     .layer(TraceContextLayer::default())
//!     .service(client);
//! ```
//!
//! [`manual::metrics`](crate::manual::metrics) has the spans with their fields, and how they are turned off.

use http::Request;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags};
use std::fmt;
use std::sync::Arc;
use std::task::{self, Poll};
use tower_layer::Layer;
use tower_service::Service;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

type Propagator = Arc<dyn TextMapPropagator + Send + Sync>;

/// Writes the trace context that is current when a request is sent into its headers.
///
/// That is the context of the attempt, where the subscriber of the program has the layer of tracing-opentelemetry, which
/// makes the context of a span that is entered the current one (its `with_context_activation`, on by default) and is of a
/// version that was built with the same `opentelemetry`. Where attempts have no spans it is that of the caller. Without a
/// valid context the request goes out as it is; with one, what it had before under these names is replaced.
///
/// By default the headers are those of the W3C Trace Context, without that a propagator has to be installed.
/// [`propagator`](TraceContextLayer::propagator) takes any other, and more than one.
///
/// The request of a health check is given the context of its own span.
#[derive(Clone, Default)]
pub struct TraceContextLayer {
    /// None for the trace context of the W3C.
    propagator: Option<Propagator>,
}

impl TraceContextLayer {
    /// Writes what this propagator writes, in place of `traceparent` and `tracestate`: baggage, B3, or the one that was
    /// installed for the whole program.
    ///
    /// ```
    /// use opentelemetry::propagation::TextMapCompositePropagator;
    /// use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
    /// use unwedge::otel::TraceContextLayer;
    ///
    /// let both = TextMapCompositePropagator::new(vec![
    ///     Box::new(TraceContextPropagator::new()),
    ///     Box::new(BaggagePropagator::new()),
    /// ]);
    /// let layer = TraceContextLayer::default().propagator(both);
    /// ```
    #[must_use]
    pub fn propagator(self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> TraceContextLayer {
        TraceContextLayer { propagator: Some(Arc::new(propagator)) }
    }

    /// What is current goes into these headers.
    fn inject(&self, headers: &mut HeaderMap) {
        match &self.propagator {
            None => Context::map_current(|context| write(context.span().span_context(), headers)),
            Some(propagator) => propagator.inject(&mut Headers(headers)),
        }
    }
}

impl fmt::Debug for TraceContextLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceContextLayer").field("propagator", &self.propagator).finish()
    }
}

impl<S> Layer<S> for TraceContextLayer {
    type Service = TraceContext<S>;

    fn layer(&self, inner: S) -> TraceContext<S> {
        TraceContext { inner, layer: self.clone() }
    }
}

/// The service that a [`TraceContextLayer`] makes.
#[derive(Clone, Debug)]
pub struct TraceContext<S> {
    inner: S,
    layer: TraceContextLayer,
}

impl<S, B> Service<Request<B>> for TraceContext<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        self.layer.inject(request.headers_mut());
        self.inner.call(request)
    }
}

/// In a chain it comes after [`Unwedge`](crate::reqwest::Unwedge), so that each attempt has an identity of its own.
#[cfg(feature = "reqwest")]
#[async_trait::async_trait]
impl reqwest_middleware::Middleware for TraceContextLayer {
    async fn handle(
        &self,
        mut request: ::reqwest::Request,
        extensions: &mut http::Extensions,
        next: reqwest_middleware::Next<'_>,
    ) -> reqwest_middleware::Result<::reqwest::Response> {
        self.inject(request.headers_mut());
        next.run(request, extensions).await
    }
}

/// The Trace Context of the W3C, version 00. A map of headers that is full goes without.
fn write(span: &SpanContext, headers: &mut HeaderMap) {
    if !span.is_valid() {
        return;
    }
    let flags = span.trace_flags() & TraceFlags::SAMPLED;
    let parent = format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), flags.to_u8());
    let Ok(parent) = HeaderValue::try_from(parent) else { return };
    if headers.try_insert(TRACEPARENT, parent).is_err() {
        return;
    }
    // That of another parent does not belong to this one.
    match HeaderValue::try_from(span.trace_state().header()) {
        Ok(state) if !state.is_empty() => drop(headers.try_insert(TRACESTATE, state)),
        _ => drop(headers.remove(TRACESTATE)),
    }
}

/// Headers for a propagator. What is no header is left out.
struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, name: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            let _ = self.0.try_insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanId, TraceId, TraceState};

    fn span(flags: u8, state: &str) -> SpanContext {
        let state = state.parse::<TraceState>().expect("a state");
        SpanContext::new(TraceId::from(7), SpanId::from(0xab), TraceFlags::new(flags), true, state)
    }

    #[test]
    fn the_headers_are_those_of_the_trace_context_and_replace_what_was_there() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACESTATE, HeaderValue::from_static("other=1"));
        write(&span(1, ""), &mut headers);
        assert_eq!(headers[TRACEPARENT], "00-00000000000000000000000000000007-00000000000000ab-01");
        assert!(!headers.contains_key(TRACESTATE), "that of another parent");
        write(&span(2, "a=1,b=2"), &mut headers);
        assert_eq!(headers[TRACEPARENT], "00-00000000000000000000000000000007-00000000000000ab-00");
        assert_eq!((headers[TRACESTATE].as_bytes(), headers.len()), (&b"a=1,b=2"[..], 2));
    }

    #[test]
    fn without_a_context_a_request_goes_out_as_it_is() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static("given by the caller"));
        TraceContextLayer::default().inject(&mut headers);
        assert_eq!((headers[TRACEPARENT].as_bytes(), headers.len()), (&b"given by the caller"[..], 1));
    }

    #[test]
    fn what_is_no_header_is_left_out() {
        let mut headers = HeaderMap::new();
        let mut injector = Headers(&mut headers);
        for (name, value) in [("baggage", "a=1"), ("no name", "a"), ("b3", "a\nb")] {
            injector.set(name, value.to_owned());
        }
        assert_eq!(headers.len(), 1);
    }
}
