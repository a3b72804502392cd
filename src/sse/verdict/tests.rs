use super::*;
use crate::error::Fault;

const AGENT: Rules = Rules { mode: Mode::Agent, again: true };
const SPEC: Rules = Rules { mode: Mode::Spec, again: true };
const ONCE: Rules = Rules { mode: Mode::Agent, again: false };
const WAIT: Duration = Duration::from_secs(5);

fn head(status: u16, headers: &[(&str, &str)]) -> response::Parts {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap().into_parts().0
}

fn judged(rules: Rules, status: u16, kind: Option<&str>) -> Verdict {
    let headers: Vec<_> = kind.into_iter().map(|kind| ("content-type", kind)).collect();
    of_head(rules, &head(status, &headers), None)
}

#[test]
fn events_are_read_from_200_and_the_one_type_alone() {
    for kind in ["text/event-stream", "Text/Event-Stream;charset=utf-8", " text/event-stream ; x=y"] {
        for rules in [AGENT, SPEC, ONCE] {
            assert!(matches!(judged(rules, 200, Some(kind)), Verdict::Read), "{kind}");
        }
    }
    for kind in [Some("text/plain"), Some("text/event-streams"), Some(""), None] {
        match judged(AGENT, 200, kind) {
            Verdict::Fatal(error) => {
                assert!(error.to_string().contains("text/event-stream was expected"), "{error}");
                assert!(!error.is_retriable());
            }
            other => panic!("{kind:?}: {other:?}"),
        }
    }
    assert!(matches!(judged(AGENT, 206, Some("text/event-stream")), Verdict::Fatal(_)));
}

#[test]
fn a_coding_that_nobody_here_can_undo_is_named() {
    for (coding, named) in [("br", Some("br")), ("gzip", Some("gzip")), ("identity", None), ("", None)] {
        let head = head(200, &[("content-type", "text/event-stream"), ("content-encoding", coding)]);
        match (of_head(AGENT, &head, None), named) {
            (Verdict::Read, None) => {}
            (Verdict::Fatal(error), Some(named)) => {
                assert!(error.to_string().contains(&format!("coded as {named},")), "{error}");
                assert!(!error.is_retriable());
            }
            (other, _) => panic!("{coding:?}: {other:?}"),
        }
    }
}

/// Whatever the status, and whether or not the server asks to wait.
#[test]
fn what_an_error_says_of_itself_and_what_the_stream_does_never_contradict_each_other() {
    for code in (100..=999).filter(|code| ![200, 204].contains(code)) {
        for asked in [None, Some(WAIT), Some(Duration::ZERO)] {
            match of_head(AGENT, &head(code, &[]), asked) {
                Verdict::Again(error) => {
                    assert!(error.is_retriable(), "{code}: {error}");
                    assert_eq!(error.retry_in(), asked, "{code}");
                }
                Verdict::Fatal(error) => assert!(!error.is_retriable(), "{code}: {error}"),
                other => panic!("{code}: {other:?}"),
            }
            assert!(matches!(of_head(SPEC, &head(code, &[]), asked), Verdict::Fatal(_)), "{code}");
        }
    }
    for code in [401, 403, 404, 409] {
        for asked in [None, Some(WAIT)] {
            assert!(matches!(of_head(AGENT, &head(code, &[]), asked), Verdict::Fatal(_)), "{code}");
        }
    }
    let unhealthy = ErrorKind::Unhealthy { since: WAIT, retry_in: WAIT };
    for kind in [
        ErrorKind::Deadline,
        ErrorKind::Attempt,
        ErrorKind::Stall,
        ErrorKind::Connect,
        ErrorKind::Open { retry_in: WAIT },
        unhealthy,
        ErrorKind::RetryAfter { retry_in: WAIT },
        ErrorKind::Redirect,
        ErrorKind::TooLarge,
        ErrorKind::Config,
        ErrorKind::Cancelled,
        ErrorKind::Transport,
    ] {
        for change in [(|_| ()) as fn(&mut Fault), |f| f.caller = true, |f| f.reused = true] {
            for status in [None, Some(StatusCode::FORBIDDEN), Some(StatusCode::BAD_GATEWAY)] {
                let mut error = Error::new(kind, "");
                change(&mut error.inner_mut().fault);
                error.inner_mut().status = status;
                for rules in [AGENT, SPEC] {
                    let mut same = Error::new(kind, "");
                    change(&mut same.inner_mut().fault);
                    same.inner_mut().status = status;
                    let again = matches!(of_error(rules, same, true), Verdict::Again(_));
                    assert_eq!(again, error.is_retriable(), "{kind} {status:?}");
                }
            }
        }
    }
}

#[test]
fn an_agent_tries_again_where_time_may_heal_and_the_standard_does_not() {
    for status in [500, 502, 503, 504, 507, 520, 524, 529, 530, 598, 599, 408, 425, 429] {
        assert!(matches!(judged(AGENT, status, None), Verdict::Again(_)), "{status}");
        assert!(matches!(judged(SPEC, status, None), Verdict::Fatal(_)), "{status}");
    }
    for status in [301, 304, 400, 401, 403, 404, 410, 501, 505, 506, 508, 510, 511] {
        assert!(matches!(judged(AGENT, status, None), Verdict::Fatal(_)), "{status}");
    }
    for rules in [AGENT, SPEC, ONCE] {
        assert!(matches!(judged(rules, 204, Some("text/event-stream")), Verdict::Stop));
    }
}

#[test]
fn a_certificate_is_waited_for_by_an_agent_and_not_by_the_standard() {
    let error = || {
        let mut error = Error::new(ErrorKind::Connect, "");
        error.inner_mut().fault.certificate = true;
        error
    };
    assert!(matches!(of_error(AGENT, error(), true), Verdict::Again(_)));
    assert!(matches!(of_error(SPEC, error(), true), Verdict::Fatal(_)));
    assert!(matches!(of_error(ONCE, error(), true), Verdict::Fatal(_)));
}

#[test]
fn what_is_sent_once_is_repeated_only_where_it_was_provably_not_processed() {
    for (status, again) in [(425, true), (429, true), (408, false), (500, false), (502, false), (503, false)]
    {
        assert_eq!(matches!(judged(ONCE, status, None), Verdict::Again(_)), again, "{status}");
    }
    let unhealthy = ErrorKind::Unhealthy { since: WAIT, retry_in: WAIT };
    for (kind, change, again) in [
        (ErrorKind::Connect, (|_| ()) as fn(&mut Fault), true),
        (ErrorKind::Connect, |f| f.pool = true, true),
        (ErrorKind::Connect, |f| f.certificate = true, false),
        (ErrorKind::Open { retry_in: WAIT }, |_| (), true),
        (unhealthy, |_| (), true),
        (unhealthy, |f| f.probe = true, true),
        (ErrorKind::RetryAfter { retry_in: WAIT }, |_| (), true),
        (ErrorKind::Transport, |f| f.unprocessed = true, true),
        (ErrorKind::Transport, |_| (), false),
        (ErrorKind::Transport, |f| f.reused = true, false),
        (ErrorKind::Attempt, |_| (), false),
        (ErrorKind::Stall, |_| (), false),
        (ErrorKind::Config, |_| (), false),
        (ErrorKind::Cancelled, |_| (), false),
    ] {
        let error = || {
            let mut error = Error::new(kind, "");
            change(&mut error.inner_mut().fault);
            error
        };
        assert_eq!(matches!(of_error(ONCE, error(), true), Verdict::Again(_)), again, "{kind}");
        assert!(matches!(of_error(ONCE, error(), false), Verdict::Fatal(_)), "the head was there: {kind}");
    }
}

#[test]
fn the_blame_is_the_networks_the_servers_or_that_of_silence() {
    let retry_in = WAIT;
    let of = |kind| cause(&Error::new(kind, ""));
    assert_eq!(of(ErrorKind::Transport), Cause::Network);
    assert_eq!(of(ErrorKind::Connect), Cause::Network);
    assert_eq!(of(ErrorKind::Open { retry_in }), Cause::Server);
    assert_eq!(of(ErrorKind::Attempt), Cause::Timeout);
    assert_eq!(of(ErrorKind::Stall), Cause::Timeout);
    assert_eq!(cause(&status(StatusCode::BAD_GATEWAY, None, String::new())), Cause::Server);
}
