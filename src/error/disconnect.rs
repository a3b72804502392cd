//! Whether a connection, or a stream of one, just went away.

use super::{Error, ErrorKind};
use std::error::Error as StdError;
use std::io;

impl Error {
    /// Whether the other side, or somebody on the way there, closed or reset the connection or the stream. Nothing that
    /// was said in vain (what is no HTTP, a refused certificate), and no silence.
    pub(crate) fn is_disconnect(&self) -> bool {
        let fault = self.inner().fault;
        if self.kind() != ErrorKind::Transport || fault.timed_out || fault.certificate || fault.caller {
            return false;
        }
        let mut next: Option<&(dyn StdError + 'static)> = self.source();
        while let Some(error) = next {
            if went_away(error) {
                return true;
            }
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                // io::Error shows a wrapped error's source, not the wrapped error itself.
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        false
    }
}

fn went_away(error: &(dyn StdError + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_incomplete_message() || error.is_closed();
    }
    let mut io = error.downcast_ref::<io::Error>();
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        if error.is_remote() && (error.is_reset() || error.is_go_away()) {
            return true;
        }
        // It keeps that out of its chain of causes.
        io = error.get_io();
    }
    matches!(
        io.map(io::Error::kind),
        Some(
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::NotConnected
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoxError;

    fn of(error: impl Into<BoxError>) -> Error {
        Error::from(error.into())
    }

    #[test]
    fn what_went_away_is_told_from_what_spoke_or_kept_silent() {
        use io::ErrorKind as Io;
        for kind in [Io::ConnectionReset, Io::ConnectionAborted, Io::BrokenPipe, Io::UnexpectedEof] {
            assert!(of(io::Error::from(kind)).is_disconnect(), "{kind}");
            let wrapped = io::Error::other(of(io::Error::other(io::Error::from(kind))));
            assert!(of(wrapped).is_disconnect(), "{kind} inside of others");
        }
        for kind in [Io::ConnectionRefused, Io::TimedOut, Io::InvalidData, Io::Other] {
            assert!(!of(io::Error::from(kind)).is_disconnect(), "{kind}");
        }
        for reset in [h2::Reason::CANCEL, h2::Reason::INTERNAL_ERROR] {
            assert!(!of(h2::Error::from(reset)).is_disconnect(), "made here: {reset:?}");
        }
        assert!(!Error::new(ErrorKind::Attempt, "").is_disconnect());
        assert!(!Error::new(ErrorKind::Transport, "").is_disconnect());
    }

    #[test]
    fn what_this_program_broke_is_no_disconnect() {
        type Blame = fn(&mut crate::error::Fault);
        for blame in [(|f| f.caller = true) as Blame, |f| f.certificate = true, |f| f.timed_out = true] {
            let mut error = of(io::Error::from(io::ErrorKind::ConnectionReset));
            blame(&mut error.inner_mut().fault);
            assert!(!error.is_disconnect());
        }
    }
}
