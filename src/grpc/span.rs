//! The span of a call of gRPC from its head on: it ends with the status, which comes behind the last message.

use super::status::of_http;
use crate::body::Body;
use crate::error::Error;
use crate::retry::grpc::{self, CANCELLED};
use crate::telemetry::spans::{self, Rpc};
use http::{HeaderMap, Response};
use tracing::Span;

/// The span of a call whose head is there and whose status is not. Dropped before it comes, the call was cancelled.
#[derive(Debug)]
pub(super) struct OpenSpan {
    /// None once it has ended.
    span: Option<Span>,
    /// What an end without a status is to callers.
    without: u32,
}

impl OpenSpan {
    /// That of the call which this is the response to, where there is one that goes on.
    pub(super) fn of(response: &mut Response<Body>) -> Option<Box<OpenSpan>> {
        let Rpc(span) = response.extensions_mut().remove()?;
        let without = of_http(response.status());
        let mut open = Box::new(OpenSpan { span: Some(span), without });
        // Nobody reads such a body to its end.
        let over = !response.status().is_success() || http_body::Body::is_end_stream(response.body());
        match grpc::status(response.headers()).or(over.then_some(without)) {
            None => Some(open),
            Some(status) => {
                open.ends_with(status);
                None
            }
        }
    }

    fn ends_with(&mut self, status: u32) {
        if let Some(span) = self.span.take() {
            spans::rpc_status(&span, grpc::name(status));
        }
    }

    /// The end of the body: with trailers, or without.
    pub(super) fn ends(&mut self, trailers: Option<&HeaderMap>) {
        self.ends_with(trailers.and_then(grpc::status).unwrap_or(self.without));
    }

    /// What ended the body is a status to the caller.
    pub(super) fn fails(&mut self, error: &Error) {
        if let Some(span) = self.span.take() {
            spans::rpc_status_made(&span, grpc::name(grpc::of_error(error.kind())));
            spans::failed(&span, error);
        }
    }

    /// Nobody says what becomes of it.
    pub(super) fn forget(&mut self) {
        self.span = None;
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        self.ends_with(CANCELLED);
    }
}
