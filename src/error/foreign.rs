//! What an error of another crate says, read from its whole chain of causes.

#[cfg(feature = "reqwest")]
mod reqwest;

use super::fault::{Fault, Said};
use super::{BoxError, Error, ErrorKind, Inner, Phase};
use crate::reuse::{Lost, Meter};
use std::error::Error as StdError;
use std::io;

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
    let mut said = None;
    let mut unsent = false;
    let mut unusable = None;
    let mut next: Option<&(dyn StdError + 'static)> = Some(&*error);
    while let Some(e) = next {
        if let Some(e) = e.downcast_ref::<Error>() {
            own = Some(e);
            break;
        }
        if let Some(lost) = e.downcast_ref::<Lost>() {
            fault.metered = true;
            fault.reused |= lost.meter.was_reused();
            fault.idle |= !lost.meter.is_shared();
            unsent = lost.unsent;
        } else if let Some(e) = e.downcast_ref::<hyper_util::client::legacy::Error>() {
            connect |= e.is_connect();
            canceled |= e.is_connect() && e.source().is_some_and(says_the_pool_gave_up);
            if let Some(meter) = e.connect_info().and_then(Meter::of) {
                fault.metered = true;
                fault.reused |= meter.was_reused();
                fault.idle |= !meter.is_shared();
            }
        } else if let Some(e) = e.downcast_ref::<hyper::Error>() {
            canceled |= e.is_canceled();
            fault.timed_out |= e.is_timeout();
            fault.connection_timed_out |= e.is_timeout();
            // "dispatch task is gone" counts as a user error there; here it is a connection whose runtime ended.
            let text = e.to_string();
            let gone = text.starts_with("dispatch task is gone");
            fault.reused |= gone;
            fault.ended |= e.is_incomplete_message() || e.is_closed() || e.is_canceled();
            fault.caller |= e.is_user() && !gone;
            told |= e.is_timeout();
            head_too_large |= e.is_parse() && text.contains("message head is too large");
        } else if let Some(e) = e.downcast_ref::<h2::Error>() {
            told |= !e.is_io();
            let refused = e.reason() == Some(h2::Reason::REFUSED_STREAM);
            fault.unprocessed |= e.is_remote() && (e.is_go_away() || refused);
            let graceful = e.is_go_away() && e.reason() == Some(h2::Reason::NO_ERROR);
            fault.unseen |= e.is_remote() && (graceful || refused);
        } else if e.is::<tokio::time::error::Elapsed>() {
            fault.timed_out = true;
        } else if let Some((kind, timed_out)) = CLIENTS.iter().find_map(|says| says(e)) {
            said = said.or(kind);
            fault.timed_out |= timed_out;
        } else if let Some(e) = e.downcast_ref::<io::Error>() {
            root = true;
            // A body of the caller's may be read from a file.
            connect |= e.kind() == io::ErrorKind::ConnectionRefused || !fault.caller && is_of_a_connect(e);
            fault.timed_out |= e.kind() == io::ErrorKind::TimedOut;
            fault.connection_timed_out |= e.kind() == io::ErrorKind::TimedOut;
            fault.local |= of_this_machine(e).is_some();
            fault.ended |= is_an_end(e.kind());
            fault.certificate |= e.kind() == io::ErrorKind::InvalidData && speaks_of_certificate(e);
            // io::Error shows a wrapped error's source, not the wrapped error itself.
            if let Some(inner) = e.get_ref() {
                next = Some(inner);
                continue;
            }
        } else if connect && e.source().is_none() {
            unusable = says_the_url_is_unusable(e);
        }
        next = e.source();
    }
    fault.reused &= !told;
    fault.unprocessed |= unsent;
    fault.idle &= fault.reused;
    fault.ended &= !told && !fault.caller && !fault.timed_out && !head_too_large;
    if let Some(own) = own {
        let mut flat = again(own);
        // What stood above it is about the connection, or about whose body it came from.
        flat.0.fault.reused |= fault.reused;
        flat.0.fault.caller |= fault.caller;
        flat.0.fault.metered |= fault.metered;
        flat.0.fault.idle |= fault.idle;
        flat.0.source = Some(error);
        return flat;
    }
    // hyper-util reports a dropped connect leader as a connect error with nothing but a cancellation below it.
    fault.pool = connect && canceled && !root;
    let kind = if unusable.is_some() {
        ErrorKind::Config
    } else if connect {
        ErrorKind::Connect
    } else if let Some(kind) = said {
        kind
    } else if head_too_large {
        ErrorKind::TooLarge
    } else {
        ErrorKind::Transport
    };
    let mut read = Error::new(kind, unusable.unwrap_or_default());
    read.0.phase = (kind == ErrorKind::Connect).then_some(Phase::Connect);
    read.0.fault = fault;
    read.0.source = Some(error);
    read
}

/// The same error once more, but for its source.
fn again(own: &Error) -> Error {
    // All fields by name: one that is new has to be thought of here.
    let Inner {
        kind,
        phase,
        detail,
        limit,
        received,
        target,
        attempt,
        attempts_allowed,
        journal,
        status,
        #[cfg(feature = "sse")]
        body,
        redirects,
        retry_in,
        fault,
        source: _,
    } = &*own.0;
    Error(Box::new(Inner {
        kind: *kind,
        phase: *phase,
        detail: detail.clone(),
        limit: *limit,
        received: *received,
        target: target.clone(),
        attempt: *attempt,
        attempts_allowed: *attempts_allowed,
        journal: journal.clone(),
        status: *status,
        #[cfg(feature = "sse")]
        body: body.clone(),
        redirects: *redirects,
        retry_in: *retry_in,
        fault: *fault,
        source: None,
    }))
}

/// Clients whose errors say more of themselves than their causes do.
const CLIENTS: &[fn(&(dyn StdError + 'static)) -> Option<Said>] = &[
    #[cfg(feature = "reqwest")]
    reqwest::says,
];

fn is_an_end(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Io;
    matches!(
        kind,
        Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof | Io::NotConnected
    )
}

/// A lack that no connection which is there can suffer, so that it is one of a connect also where nobody says so.
fn is_of_a_connect(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code.is_some_and(|code| code == lacks::PER_PROCESS || lacks::PER_MACHINE == Some(code))
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// What this machine lacked for a connection, where the error says that it was this machine's fault.
pub(crate) fn of_this_machine(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::AddrNotAvailable | Io::AddrInUse => {
            return Some("this machine has no free local port or address");
        }
        Io::NetworkUnreachable => return Some("network unreachable: this machine has no route"),
        Io::NetworkDown => return Some("the network of this machine is down"),
        Io::PermissionDenied => return Some("this machine does not permit the connection"),
        Io::OutOfMemory => return Some(NO_MEMORY),
        _ => {}
    }
    match error.raw_os_error() {
        Some(code) if code == lacks::PER_PROCESS => Some("too many open files in this process"),
        Some(code) if lacks::PER_MACHINE == Some(code) => Some("too many open files on this machine"),
        Some(code) if code == lacks::BUFFERS => Some(NO_MEMORY),
        Some(_) => None,
        // The number is lost on the way from the resolver, so that only its words are left: of glibc and macOS, of musl, of
        // FreeBSD.
        None => {
            let words = error.to_string().to_ascii_lowercase();
            let temporary = words.contains("temporary failure in name resolution")
                || words.ends_with("lookup address information: try again")
                || words.contains("name could not be resolved at this time");
            temporary
                .then_some("the host name was not resolved: no name server answered (a temporary failure)")
        }
    }
}

const NO_MEMORY: &str = "this machine has no memory for another connection";

/// EMFILE, ENFILE and ENOBUFS, which have no kind of their own.
mod lacks {
    #[cfg(not(windows))]
    pub(super) const PER_PROCESS: i32 = 24;
    #[cfg(not(windows))]
    pub(super) const PER_MACHINE: Option<i32> = Some(23);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) const BUFFERS: i32 = 105;
    #[cfg(not(any(target_os = "linux", target_os = "android", windows)))]
    pub(super) const BUFFERS: i32 = 55;

    // WSAEMFILE and WSAENOBUFS.
    #[cfg(windows)]
    pub(super) const PER_PROCESS: i32 = 10_024;
    #[cfg(windows)]
    pub(super) const PER_MACHINE: Option<i32> = None;
    #[cfg(windows)]
    pub(super) const BUFFERS: i32 = 10_055;
}

/// By its words, because hyper-util keeps the type to itself.
fn says_the_pool_gave_up(error: &(dyn StdError + 'static)) -> bool {
    let given_up = ["request was canceled", "checked out connection was closed"];
    error.source().is_none() && given_up.contains(&error.to_string().as_str())
}

/// A connector of hyper-util's that was not even asked to connect: no server is there to blame, and no attempt helps. By its
/// words, because hyper-util keeps the type to itself.
fn says_the_url_is_unusable(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    match error.to_string().as_str() {
        "invalid URL, scheme is not http" => Some(
            "the client beneath speaks no TLS: give it an https connector, or its TLS (reqwest: feature \"reqwest-rustls\" \
             of unwedge, or one of its own)",
        ),
        "invalid URL, scheme is missing" => Some("the URL has no scheme: http:// or https://"),
        "invalid URL, host is missing" => Some("the URL has no host"),
        _ => None,
    }
}

/// By its words, because the TLS libraries are not dependencies of the core: rustls says "invalid peer certificate",
/// OpenSSL "certificate verify failed", an alert from the other side "BadCertificate" and its like.
fn speaks_of_certificate(error: &io::Error) -> bool {
    error.to_string().to_ascii_lowercase().contains("certificate")
}
