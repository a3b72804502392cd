use super::*;
use http::Method;
use std::fmt;
use std::io;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_error_is_one_pointer_and_can_be_shared() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Error>();
    assert_eq!(size_of::<Error>(), 8);
}

#[test]
fn a_status_is_retriable_where_the_same_request_may_get_another_later() {
    for code in 400..600 {
        let mut error = Error::new(ErrorKind::Transport, "");
        error.inner_mut().status = Some(StatusCode::from_u16(code).unwrap());
        let retriable = matches!(code, 408 | 425 | 429 | 500 | 502..=504 | 507 | 509 | 512..);
        assert_eq!(error.is_retriable(), retriable, "{code}");
    }
}

/// The names of all predicates that hold.
fn holds(error: &Error) -> String {
    let all = [
        ("deadline", error.is_deadline()),
        ("stall", error.is_stall()),
        ("timeout", error.is_timeout()),
        ("connect", error.is_connect()),
        ("open", error.is_open()),
        ("unhealthy", error.is_unhealthy()),
        ("refused", error.is_refused()),
        ("too_large", error.is_too_large()),
        ("redirect", error.is_redirect()),
        ("config", error.is_config()),
        ("cancelled", error.is_cancelled()),
        ("retriable", error.is_retriable()),
    ];
    all.iter().filter(|(_, holds)| *holds).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

fn broken(kind: io::ErrorKind) -> Error {
    Error::from(BoxError::from(io::Error::from(kind)))
}

fn connect(kind: io::ErrorKind) -> Error {
    let mut error = broken(kind);
    error.inner_mut().kind = ErrorKind::Connect;
    error
}

fn unhealthy_now() -> Error {
    let kind = ErrorKind::Unhealthy { since: Duration::ZERO, retry_in: SECOND };
    let mut error = Error::new(kind, "health check failed: 503").at(Phase::HealthCheck);
    error.inner_mut().fault.probe = true;
    error
}

fn faulty(kind: ErrorKind, text: &'static str, fault: impl FnOnce(&mut Fault)) -> Error {
    let mut error = Error::new(kind, "").with_source(BoxError::from(text));
    fault(&mut error.inner_mut().fault);
    error
}

#[test]
fn every_kind_is_told_apart_by_its_predicates_and_says_what_happened() {
    use ErrorKind as K;
    let ten = 10 * SECOND;
    let timed = |kind, phase| Error::new(kind, "").at(phase).limit(ten);
    let table: &[(Error, &str, &str)] = &[
        (
            timed(K::Deadline, Phase::Headers),
            "deadline timeout retriable",
            "no response headers after 10 s (deadline)",
        ),
        (
            timed(K::Deadline, Phase::Body).received(1),
            "deadline timeout retriable",
            "the response body was not complete after 10 s, 1 byte received (deadline)",
        ),
        (
            timed(K::Deadline, Phase::Ready),
            "deadline timeout retriable",
            "the inner service was not ready after 10 s (deadline)",
        ),
        (
            timed(K::Deadline, Phase::HealthCheck),
            "deadline timeout retriable",
            "no answer from the health check after 10 s (deadline)",
        ),
        (
            timed(K::Deadline, Phase::BackOff),
            "deadline timeout retriable",
            "still waiting for the next attempt after 10 s (deadline)",
        ),
        (timed(K::Attempt, Phase::Headers), "timeout retriable", "no response headers after 10 s"),
        (timed(K::Attempt, Phase::Resolve), "timeout retriable", "the host name was not resolved after 10 s"),
        (timed(K::Attempt, Phase::Connect), "timeout retriable", "no connection after 10 s"),
        (timed(K::Attempt, Phase::Tls), "timeout retriable", "the TLS handshake was not complete after 10 s"),
        (timed(K::Attempt, Phase::Send), "timeout retriable", "the request was not sent after 10 s"),
        (
            timed(K::Stall, Phase::Body).received(40),
            "stall timeout retriable",
            "the response body stalled: no byte for 10 s after 40 bytes",
        ),
        (timed(K::Connect, Phase::Connect), "timeout connect retriable", "no connection after 10 s"),
        (
            timed(K::Connect, Phase::Tls),
            "timeout connect retriable",
            "no connection after 10 s (TLS handshake)",
        ),
        (
            timed(K::Connect, Phase::Resolve),
            "timeout connect retriable",
            "no connection after 10 s (resolving the host name)",
        ),
        (connect(io::ErrorKind::ConnectionRefused), "connect retriable", "connection refused"),
        (connect(io::ErrorKind::HostUnreachable), "connect retriable", "host unreachable"),
        (
            connect(io::ErrorKind::NetworkUnreachable),
            "connect retriable",
            "network unreachable: this machine has no route",
        ),
        (connect(io::ErrorKind::TimedOut), "timeout connect retriable", "connection timed out"),
        (Error::new(K::Connect, ""), "connect retriable", "no connection"),
        (
            faulty(K::Connect, "invalid peer certificate: Expired", |f| f.certificate = true),
            "connect",
            "invalid peer certificate: Expired",
        ),
        (
            faulty(K::Connect, "canceled", |f| f.pool = true),
            "connect retriable",
            "the connection this call was waiting for was given up by another caller",
        ),
        (
            Error::new(K::Open { retry_in: 5 * SECOND }, ""),
            "open refused retriable",
            "circuit open, next try in 5 s",
        ),
        (
            Error::new(K::Unhealthy { since: 90 * SECOND, retry_in: SECOND / 2 }, ""),
            "unhealthy refused retriable",
            "unhealthy for 1 m 30 s, next health check in 500 ms",
        ),
        (unhealthy_now(), "unhealthy retriable", "health check failed: 503"),
        (
            Error::new(K::RetryAfter { retry_in: 120 * SECOND }, ""),
            "retriable",
            "the server asks to wait 2 m",
        ),
        (Error::new(K::Redirect, ""), "redirect", "redirect not followed"),
        (Error::new(K::TooLarge, ""), "too_large", "the response head is above its cap"),
        (
            Error::config("the idle limit is 0 s: it must be longer than zero"),
            "config",
            "the idle limit is 0 s: it must be longer than zero",
        ),
        (Error::new(K::Cancelled, ""), "cancelled", "cancelled by shutdown"),
        (broken(io::ErrorKind::ConnectionRefused), "connect retriable", "connection refused"),
        (broken(io::ErrorKind::ConnectionReset), "retriable", "connection reset"),
        (broken(io::ErrorKind::ConnectionAborted), "retriable", "connection aborted"),
        (broken(io::ErrorKind::BrokenPipe), "retriable", "connection closed while sending"),
        (broken(io::ErrorKind::UnexpectedEof), "retriable", "connection closed in mid-message"),
        (
            broken(io::ErrorKind::ConnectionReset).at(Phase::Body).received(10),
            "retriable",
            "connection reset after 10 bytes of the body",
        ),
        (Error::new(K::Transport, ""), "retriable", "the connection broke"),
        (faulty(K::Transport, "bad body", |f| f.caller = true), "", "bad body"),
    ];
    for (error, predicates, message) in table {
        assert_eq!(holds(error), *predicates, "{message}");
        assert_eq!(error.to_string(), *message);
        // What `main() -> Result<(), Error>` prints is the sentence; all fields stand in the long form.
        assert_eq!(format!("{error:?}"), *message);
        let debug = format!("{error:#?}");
        assert!(debug.contains(message) && debug.contains("kind: "), "{debug}");
    }
}

fn attempt(status: Option<u16>, cause: &'static str, took: Duration) -> Attempt {
    Attempt {
        status: status.map(|code| StatusCode::from_u16(code).unwrap()),
        error: status.is_none().then_some(ErrorKind::Connect),
        phase: Phase::Headers,
        took,
        cause: cause.into(),
    }
}

fn told(mut error: Error, attempt: u32, allowed: u32, journal: Vec<Attempt>) -> String {
    let inner = error.inner_mut();
    (inner.attempt, inner.attempts_allowed, inner.journal) = (attempt, allowed, journal);
    let uri = "https://user:secret@broker/session?token=secret#secret".parse().unwrap();
    inner.target = Some(Target { method: Method::GET, uri, label: None });
    error.to_string()
}

#[test]
fn a_connection_that_ends_without_the_close_of_tls_is_said_to_have_been_cut_off() {
    let said = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls";
    let cut = io::Error::new(io::ErrorKind::UnexpectedEof, said);
    let message = Error::from(BoxError::from(cut)).to_string();
    assert!(message.contains("without the close_notify of TLS") && !message.contains("docs.rs"), "{message}");
}

#[test]
fn a_message_tells_target_attempt_and_what_came_before() {
    let silent = || Error::new(ErrorKind::Attempt, "").at(Phase::Headers).limit(10 * SECOND);
    let bad = || attempt(Some(502), "502", Duration::from_millis(12));
    let refused = || attempt(None, "connection refused", SECOND);
    let head = "GET https://broker/session: ";
    for (said, expected) in [
        (told(silent(), 1, 1, vec![]), "no response headers after 10 s"),
        (told(silent(), 1, 4, vec![]), "no response headers after 10 s (attempt 1 of 4)"),
        (
            told(silent(), 3, 4, vec![bad(), refused()]),
            "no response headers after 10 s (attempt 3 of 4; before: 502 after 12 ms, connection refused)",
        ),
        (
            told(silent(), 11, 11, [vec![bad()], vec![refused(); 7], vec![bad(), bad()]].concat()),
            "no response headers after 10 s (attempt 11 of 11; before: 502 after 12 ms, 7 x connection refused, 2 x 502)",
        ),
        (
            told(Error::new(ErrorKind::Deadline, "").at(Phase::BackOff).limit(SECOND), 2, 4, vec![bad()]),
            "still waiting for the next attempt after 1 s (deadline; attempt 2 of 4; before: 502 after 12 ms)",
        ),
        (
            told(Error::new(ErrorKind::Open { retry_in: SECOND }, ""), 2, 4, vec![bad(), refused()]),
            "circuit open, next try in 1 s (after 2 of 4 attempts: 502 after 12 ms, connection refused)",
        ),
        (
            told(Error::new(ErrorKind::Open { retry_in: SECOND }, ""), 0, 4, vec![]),
            "circuit open, next try in 1 s",
        ),
        (
            told(silent(), 0, 0, vec![refused()]),
            "no response headers after 10 s (before: connection refused)",
        ),
    ] {
        assert_eq!(said, format!("{head}{expected}"));
    }
}

/// A layer of somebody else.
#[derive(Debug)]
struct Layer(BoxError);

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a layer failed")
    }
}

impl std::error::Error for Layer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[test]
fn an_error_that_went_through_other_layers_comes_out_as_itself() {
    let mut own = unhealthy_now();
    own.inner_mut().journal = vec![attempt(Some(502), "502", SECOND)];
    (own.inner_mut().attempt, own.inner_mut().attempts_allowed) = (2, 4);
    let (said, kind) = (own.to_string(), own.kind());
    let wrapped: BoxError = Layer(Layer(io::Error::other(own).into()).into()).into();
    let flat = Error::from(wrapped);
    assert_eq!((flat.to_string(), flat.kind()), (said, kind));
    assert_eq!(holds(&flat), "unhealthy retriable");
    assert_eq!((flat.attempts(), flat.journal().len(), flat.phase()), (2, 1, Some(Phase::HealthCheck)));
    assert_eq!(flat.retry_in(), Some(SECOND));
    // Boxed and back it is the very same.
    let again = Error::from(BoxError::from(flat));
    assert_eq!(again.to_string(), "health check failed: 503 (attempt 2 of 4; before: 502 after 1 s)");
}

#[test]
fn nothing_that_others_say_brings_credentials_or_queries_into_the_message() {
    #[derive(Debug)]
    struct Leaky(#[expect(dead_code, reason = "for its Debug")] &'static str);
    impl fmt::Display for Leaky {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("error for url (http://user:secret@host/path?token=secret)")
        }
    }
    impl std::error::Error for Leaky {}
    let outer = Layer(Leaky("http://user:secret@host/path?token=secret").into());
    let error = Error::from(BoxError::from(outer));
    assert_eq!(error.to_string(), "error for url (http://host/path)");
    let debug = format!("{error:#?}");
    assert!(!debug.contains("secret") && !format!("{error:?}").contains("secret"), "{debug}");
    assert!(debug.contains("a layer failed: error for url (http://host/path)"), "{debug}");
    assert!(!error.cause().contains("secret"));
}

#[test]
fn an_hour_of_attempts_and_the_end_of_time_can_be_said() {
    let error = Error::new(ErrorKind::Attempt, "").at(Phase::Headers).limit(Duration::MAX).received(u64::MAX);
    assert!(error.to_string().starts_with("no response headers after "));
    let open = Error::new(ErrorKind::Open { retry_in: Duration::MAX }, "");
    assert_eq!(open.retry_in(), Some(Duration::MAX));
    assert!(open.to_string().starts_with("circuit open, next try in "));
}

#[test]
fn an_own_error_inside_another_one_keeps_all_that_it_knows() {
    let mut own = Error::new(ErrorKind::Transport, "502").at(Phase::Headers).received(7);
    let inner = own.inner_mut();
    (inner.attempt, inner.attempts_allowed, inner.redirects) = (2, 4, 1);
    (inner.status, inner.retry_in) = (Some(StatusCode::BAD_GATEWAY), Some(Duration::from_secs(9)));
    #[cfg(feature = "sse")]
    {
        inner.body = bytes::Bytes::from_static(b"quota");
    }
    let flat = Error::from(Box::new(io::Error::other(own)) as BoxError);
    assert_eq!(
        (flat.retry_in(), flat.status()),
        (Some(Duration::from_secs(9)), Some(StatusCode::BAD_GATEWAY))
    );
    assert_eq!((flat.kind(), flat.phase(), flat.attempts()), (ErrorKind::Transport, Some(Phase::Headers), 2));
    assert_eq!((flat.inner().received, flat.inner().redirects, flat.inner().attempts_allowed), (7, 1, 4));
    #[cfg(feature = "sse")]
    assert_eq!(flat.body(), b"quota");
}
