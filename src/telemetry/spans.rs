//! The spans of calls and attempts, with the names that the OpenTelemetry conventions give to HTTP clients.
//!
//! A call is an internal span, each of its attempts a client span within: an attempt is what goes over the wire, and has its
//! own identity there. A health check is a client span too. A call of gRPC is a client span around those of its attempts.
//! What is known only later is declared empty and recorded then.

use crate::error::Error;
use crate::origin::Origin;
use crate::sync::shielded;
use crate::target::Target;
use http::{Extensions, Method, StatusCode, Uri, Version, response};
use std::fmt;
use tracing::field::{Empty, display};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Span};

/// A filter tells spans from lines of the log by this target.
const TARGET: &str = "unwedge::spans";

/// A span, or none and no room for one: most calls are not traced, and thousands of them wait at a time.
pub(crate) type MaybeSpan = Option<Box<Span>>;

/// That of a call under way. Dropped before it was taken, it says that nobody waited for the result.
#[derive(Default)]
pub(crate) struct CallSpan(pub(crate) MaybeSpan);

impl Drop for CallSpan {
    fn drop(&mut self) {
        if let Some(span) = &self.0 {
            left(span);
        }
    }
}

/// In the extensions of a request whose attempt has a span: other layers of this crate beneath make no second one of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traced;

/// Whether somebody takes spans. Where no subscriber takes any, that is one look at its level.
#[inline]
fn are_wanted() -> bool {
    Level::INFO <= LevelFilter::current() && asks()
}

/// Asks the subscriber: one that panics takes none.
fn asks() -> bool {
    let mut wanted = false;
    shielded(|| wanted = tracing::enabled!(target: TARGET, Level::INFO));
    wanted
}

/// The span of a call: from its first poll to its result. None where the request is an attempt of a call that has one.
/// `grpc`: it is one of gRPC.
#[inline]
pub(crate) fn call(
    origin: &Origin,
    target: impl FnOnce() -> Target,
    extensions: &Extensions,
    grpc: bool,
) -> MaybeSpan {
    if !are_wanted() {
        return None;
    }
    made(|| {
        if extensions.get::<Traced>().is_some() {
            return Span::none();
        }
        let target = target();
        if grpc {
            return rpc(origin, &target);
        }
        tracing::info_span!(
            target: TARGET,
            "call",
            http.request.method = %known(&target.method),
            server.address = address(origin),
            server.port = i64::from(origin.port()),
            url.full = target.url(),
            http.response.status_code = Empty,
            "error.type" = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        )
    })
}

/// The span of one attempt, from its first byte to the last of a body that is collected, or to the head of one that
/// streams. The first has no resend count, as OpenTelemetry wants it.
#[inline]
pub(crate) fn attempt(origin: &Origin, target: &Target, number: u32) -> MaybeSpan {
    if !are_wanted() {
        return None;
    }
    made(|| {
        let span = client(origin, target, target.label.as_ref().map(|label| label.as_str()));
        if number > 1 {
            span.record("http.request.resend_count", i64::from(number - 1));
        }
        span
    })
}

/// The span of a health check, from its first byte to its answer. Its path is a setting, and so one of few.
pub(crate) fn check(origin: &Origin, uri: &Uri) -> MaybeSpan {
    if !are_wanted() {
        return None;
    }
    made(|| {
        let target = Target { method: Method::GET, uri: uri.clone(), label: None };
        client(origin, &target, Some(uri.path()))
    })
}

/// A request that goes over the wire. `path` is what stands for its path, where there are few of those.
fn client(origin: &Origin, target: &Target, path: Option<&str>) -> Span {
    let method = known(&target.method);
    let span = tracing::info_span!(
        target: TARGET,
        "attempt",
        otel.kind = "client",
        otel.name = %Name(method, path),
        http.request.method = %method,
        http.request.method_original = Empty,
        http.request.resend_count = Empty,
        server.address = address(origin),
        server.port = i64::from(origin.port()),
        url.full = target.url(),
        url.template = Empty,
        network.protocol.version = Empty,
        http.response.status_code = Empty,
        rpc.response.status_code = Empty,
        "error.type" = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    );
    if method == OTHER {
        span.record("http.request.method_original", target.method.as_str());
    }
    if let Some(template) = template(path) {
        span.record("url.template", template);
    }
    span
}

/// A call of gRPC, all of its attempts, up to its status: that comes behind the last message.
fn rpc(origin: &Origin, target: &Target) -> Span {
    let method = match &target.label {
        Some(label) => label.as_str(),
        None => target.uri.path().trim_start_matches('/'),
    };
    tracing::info_span!(
        target: TARGET,
        "call",
        otel.kind = "client",
        otel.name = method,
        rpc.system.name = "grpc",
        rpc.method = method,
        server.address = address(origin),
        server.port = i64::from(origin.port()),
        rpc.response.status_code = Empty,
        "error.type" = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// In the extensions of a response to a call of gRPC: its span, for those who see the status.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "grpc"), expect(dead_code, reason = "no call is one of gRPC"))]
pub(crate) struct Rpc(pub(crate) Span);

#[cold]
pub(crate) fn is_rpc(span: &Span) -> bool {
    span.has_field("rpc.method")
}

/// What a call of gRPC came to, by the name of its status. All but one are errors to those who call.
#[cold]
pub(crate) fn rpc_status(span: &Span, status: &'static str) {
    shielded(|| {
        span.record("rpc.response.status_code", status);
        if status != "OK" {
            span.record("error.type", status);
            span.record("otel.status_code", "ERROR");
        }
    });
}

/// The status that a call of gRPC has to its caller which failed on this side, and says so itself.
#[cold]
pub(crate) fn rpc_status_made(span: &Span, status: &'static str) {
    shielded(|| {
        span.record("rpc.response.status_code", status);
    });
}

/// A subscriber that panics costs its span, and no call.
#[cold]
fn made(make: impl FnOnce() -> Span) -> MaybeSpan {
    let mut span = None;
    shielded(|| span = Some(make()).filter(|span| !span.is_disabled()).map(Box::new));
    span
}

/// The head of a response is there.
#[cold]
pub(crate) fn head(span: &Span, head: &response::Parts) {
    shielded(|| {
        status(span, head.status);
        if let Some(version) = version(head.version) {
            span.record("network.protocol.version", version);
        }
    });
}

/// A health check is over: its answer is there, and passed or not, or an error is.
#[cold]
pub(crate) fn checked(span: &Span, answer: Option<&response::Parts>, failure: Option<&Error>) {
    if let Some(answer) = answer {
        head(span, answer);
    }
    let said = answer.is_some_and(|head| is_error(head.status));
    if let Some(error) = failure.filter(|_| !said) {
        failed(span, error);
    }
}

/// What a call came to.
#[cold]
pub(crate) fn ended<T>(span: &Span, result: &Result<http::Response<T>, Error>) {
    match result {
        Ok(response) => shielded(|| status(span, response.status())),
        Err(error) => fails(span, error, error),
    }
}

/// An attempt failed, also behind a head that was good.
#[cold]
pub(crate) fn failed(span: &Span, error: &Error) {
    fails(span, error, &error.cause());
}

fn fails(span: &Span, error: &Error, told: &dyn fmt::Display) {
    shielded(|| {
        span.record("error.type", error.kind().as_str());
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", display(told));
    });
}

#[cold]
fn left(span: &Span) {
    match is_rpc(span) {
        true => rpc_status(span, "CANCELLED"),
        false => dropped(span),
    }
}

/// Its caller waits for it no more.
#[cold]
pub(crate) fn dropped(span: &Span) {
    shielded(|| {
        span.record("error.type", "dropped");
        span.record("otel.status_code", "ERROR");
    });
}

fn status(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if is_error(status) {
        span.record("error.type", status.as_str());
        span.record("otel.status_code", "ERROR");
    }
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// The method, and what stands for the path: few by construction.
struct Name<'a>(&'static str, Option<&'a str>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 == OTHER { "HTTP" } else { self.0 })?;
        match self.1 {
            Some(path) => write!(f, " {path}"),
            None => Ok(()),
        }
    }
}

/// A label that looks like a path is the template of one.
fn template(path: Option<&str>) -> Option<&str> {
    path.filter(|path| path.starts_with('/'))
}

/// What stands for methods that a caller makes up: they are one.
pub(super) const OTHER: &str = "_OTHER";

/// The method, as far as it is one of those that everybody knows.
pub(super) fn known(method: &Method) -> &'static str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::CONNECT,
        Method::TRACE,
    ];
    const NAMES: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.iter().position(|known| known == method).map_or(OTHER, |at| NAMES[at])
}

/// The host: an IPv6 address without the brackets that it has in a URL.
pub(super) fn address(origin: &Origin) -> &str {
    let host = origin.host();
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn version(version: Version) -> Option<&'static str> {
    Some(match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
