//! What an error of another crate says, read from its whole chain of causes.

use super::{BoxError, Error, ErrorKind, Phase};
use crate::wire::Meter;
use std::error::Error as StdError;
use std::io;

/// What the chain of causes tells beyond the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The server cannot have processed the request (a remote GOAWAY or REFUSED_STREAM).
    pub(crate) unprocessed: bool,
    /// A connection that had served before went away: a race, no evidence against the origin.
    pub(crate) reused: bool,
    /// The connection pool gave up because the caller that led a connect was dropped.
    pub(crate) pool: bool,
    /// The system, or a layer of others, gave up waiting.
    pub(crate) timed_out: bool,
    /// .. on a connection that many calls may share.
    pub(crate) connection_timed_out: bool,
    /// A certificate was refused.
    pub(crate) certificate: bool,
    /// The caller's request or body is at fault.
    pub(crate) caller: bool,
    /// Made by a health check that was sent for this call, not by an older verdict.
    pub(crate) probe: bool,
}

impl From<BoxError> for Error {
    /// Flattens: an [`Error`] anywhere in the chain keeps its kind, phase and journal, so that the order of layers
    /// never changes what a caller sees.
    fn from(error: BoxError) -> Error {
        match error.downcast::<Error>() {
            Ok(own) => *own,
            Err(foreign) => read(foreign),
        }
    }
}

fn read(error: BoxError) -> Error {
    let mut fault = Fault::default();
    let (mut connect, mut canceled, mut root, mut head_too_large) = (false, false, false, false);
    // The server, or the ping that it left unanswered, said what was wrong: no race of keep-alive.
    let mut told = false;
    let mut own = None;
    let mut reqwest = Reqwest::default();
    let mut next: Option<&(dyn StdError + 'static)> = Some(&*error);
    while let Some(e) = next {
        if let Some(e) = e.downcast_ref::<Error>() {
            own = Some(e);
            break;
        }
        if let Some(e) = e.downcast_ref::<hyper_util::client::legacy::Error>() {
            connect |= e.is_connect();
            canceled |= e.is_connect() && e.source().is_some_and(says_the_pool_gave_up);
            fault.reused |= e.connect_info().is_some_and(Meter::was_reused);
        } else if let Some(e) = e.downcast_ref::<hyper::Error>() {
            canceled |= e.is_canceled();
            fault.timed_out |= e.is_timeout();
            fault.connection_timed_out |= e.is_timeout();
            // "dispatch task is gone" counts as a user error there; here it is a connection whose runtime ended.
            let text = e.to_string();
            let gone = text.starts_with("dispatch task is gone");
            fault.reused |= gone;
            fault.caller |= e.is_user() && !gone;
            told |= e.is_timeout();
            head_too_large |= e.is_parse() && text.contains("message head is too large");
        } else if let Some(e) = e.downcast_ref::<h2::Error>() {
            told |= !e.is_io();
            fault.unprocessed |=
                e.is_remote() && (e.is_go_away() || e.reason() == Some(h2::Reason::REFUSED_STREAM));
        } else if e.is::<tokio::time::error::Elapsed>() {
            fault.timed_out = true;
        } else if reqwest.said(e) {
            fault.timed_out |= reqwest.timed_out;
        } else if let Some(e) = e.downcast_ref::<io::Error>() {
            root = true;
            connect |= e.kind() == io::ErrorKind::ConnectionRefused;
            fault.timed_out |= e.kind() == io::ErrorKind::TimedOut;
            fault.connection_timed_out |= e.kind() == io::ErrorKind::TimedOut;
            fault.certificate |= e.kind() == io::ErrorKind::InvalidData && speaks_of_certificate(e);
            // io::Error shows a wrapped error's source, not the wrapped error itself.
            if let Some(inner) = e.get_ref() {
                next = Some(inner);
                continue;
            }
        }
        next = e.source();
    }
    fault.reused &= !told;
    if let Some(own) = own {
        let (kind, phase, limit) = (own.0.kind, own.0.phase, own.0.limit);
        let mut flat = Error::new(kind, own.0.detail.clone());
        flat.0.phase = phase;
        flat.0.limit = limit;
        flat.0.received = own.0.received;
        flat.0.target.clone_from(&own.0.target);
        flat.0.attempt = own.0.attempt;
        flat.0.attempts_allowed = own.0.attempts_allowed;
        flat.0.journal.clone_from(&own.0.journal);
        flat.0.status = own.0.status;
        flat.0.redirects = own.0.redirects;
        flat.0.fault = own.0.fault;
        // What stood above it is about the connection, or about whose body it came from.
        flat.0.fault.reused |= fault.reused;
        flat.0.fault.caller |= fault.caller;
        flat.0.source = Some(error);
        return flat;
    }
    // hyper-util reports a dropped connect leader as a connect error with nothing but a cancellation below it.
    fault.pool = connect && canceled && !root;
    let kind = if connect {
        ErrorKind::Connect
    } else if reqwest.redirect {
        ErrorKind::Redirect
    } else if reqwest.builder {
        ErrorKind::Config
    } else if head_too_large {
        ErrorKind::TooLarge
    } else {
        ErrorKind::Transport
    };
    let mut read = Error::new(kind, "");
    read.0.phase = connect.then_some(Phase::Connect);
    read.0.fault = fault;
    read.0.source = Some(error);
    read
}

/// What an error of reqwest says of itself; its causes are read like all others.
#[derive(Default)]
struct Reqwest {
    redirect: bool,
    builder: bool,
    timed_out: bool,
}

impl Reqwest {
    #[cfg(feature = "reqwest")]
    fn said(&mut self, error: &(dyn StdError + 'static)) -> bool {
        let Some(error) = error.downcast_ref::<::reqwest::Error>() else { return false };
        self.redirect |= error.is_redirect();
        self.builder |= error.is_builder();
        self.timed_out |= error.is_timeout();
        true
    }

    #[cfg(not(feature = "reqwest"))]
    fn said(&mut self, _: &(dyn StdError + 'static)) -> bool {
        false
    }
}

/// By its words, because hyper-util keeps the type to itself.
fn says_the_pool_gave_up(error: &(dyn StdError + 'static)) -> bool {
    let given_up = ["request was canceled", "checked out connection was closed"];
    error.source().is_none() && given_up.contains(&error.to_string().as_str())
}

/// By its words, because the TLS libraries are not dependencies of the core: rustls says "invalid peer certificate",
/// OpenSSL "certificate verify failed", an alert from the other side "BadCertificate" and its like.
fn speaks_of_certificate(error: &io::Error) -> bool {
    error.to_string().to_ascii_lowercase().contains("certificate")
}
