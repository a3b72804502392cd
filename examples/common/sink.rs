//! Where lines go: a stream that nobody reads any more ends the program, a full disk behind it loses lines and ends
//! nothing.

use std::io::{self, Write};
use std::time::Duration;

/// For how long a stream that takes nothing right now (a pipe in non-blocking mode) is tried again.
const BUSY: (u32, Duration) = (100, Duration::from_millis(10));

/// Nobody reads it any more.
#[derive(Debug)]
pub(crate) struct Closed;

/// What became of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    Line,
    /// There is no room for it.
    Lost,
    /// It was written, and that many before it were not.
    AfterLoss(u64),
}

#[derive(Debug)]
pub(crate) struct Sink<W> {
    to: W,
    /// The last line stands there in part: it is ended before the next one.
    torn: bool,
    lost: u64,
    lost_in_a_row: u64,
}

impl<W: Write> Sink<W> {
    pub(crate) fn new(to: W) -> Sink<W> {
        Sink { to, torn: false, lost: 0, lost_in_a_row: 0 }
    }

    /// How many lines could not be written.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes a line, complete with its line feed; in one write where the system takes it so, so that lines of several
    /// programs do not mix.
    pub(crate) fn line(&mut self, line: &[u8]) -> Result<Wrote, Closed> {
        let ended = if self.torn { self.all(b"\n")? } else { true };
        if ended {
            self.torn = false;
        }
        if !ended || !self.all(line)? {
            self.lost += 1;
            self.lost_in_a_row += 1;
            return Ok(Wrote::Lost);
        }
        Ok(match std::mem::take(&mut self.lost_in_a_row) {
            0 => Wrote::Line,
            lost => Wrote::AfterLoss(lost),
        })
    }

    /// False where it does not fit.
    #[allow(clippy::disallowed_methods, reason = "the thread that writes lines does nothing else")]
    fn all(&mut self, mut bytes: &[u8]) -> Result<bool, Closed> {
        let mut tries = 0;
        while !bytes.is_empty() {
            match self.to.write(bytes) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    bytes = &bytes[n..];
                    self.torn = !bytes.is_empty();
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock if tries < BUSY.0 => {
                        tries += 1;
                        std::thread::sleep(BUSY.1);
                    }
                    _ if is_closed(&error) => return Err(Closed),
                    _ => return Ok(false),
                },
            }
        }
        // What fails only now was lost as well; a file has nothing to flush.
        match self.to.flush() {
            Err(error) if is_closed(&error) => Err(Closed),
            flushed => Ok(flushed.is_ok()),
        }
    }
}

/// EPIPE and EBADF: the reader has gone, or there never was one.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    const EBADF: i32 = 9;
    error.kind() == io::ErrorKind::BrokenPipe || (cfg!(unix) && error.raw_os_error() == Some(EBADF))
}

/// Standard output without the buffer of the standard library, which would keep a line that did not fit and write it
/// in front of a later one.
#[cfg(unix)]
pub(crate) fn stdout() -> io::Result<impl Write> {
    use std::os::fd::AsFd;
    io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from)
}

#[cfg(not(unix))]
pub(crate) fn stdout() -> io::Result<impl Write> {
    Ok(io::stdout())
}

#[cfg(unix)]
pub(crate) fn stderr() -> io::Result<impl Write> {
    use std::os::fd::AsFd;
    io::stderr().as_fd().try_clone_to_owned().map(std::fs::File::from)
}

#[cfg(not(unix))]
pub(crate) fn stderr() -> io::Result<impl Write> {
    Ok(io::stderr())
}
