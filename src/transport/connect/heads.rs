//! Informational responses (1xx) on HTTP/1: how many a server may send before the response.
//!
//! hyper passes them over without end. They are counted where they are read, so that no request has to carry a counter.

use crate::error::{Error, ErrorKind};

/// More of them to one request are an error: nothing else would end a server that sends only them. One that is well sends
/// a few.
const INFORMATIONAL: u32 = 100;

/// How each of them begins, but for the last digit of the version.
const BEGINS: &[u8] = b"HTTP/1.? 1";
const DIGIT: usize = 7;

/// Follows what is read from one connection.
#[derive(Debug, Default)]
pub(super) struct Heads {
    at: At,
    seen: u32,
    /// The request whose response is read, from 1.
    request: u32,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// So much of the beginning of a head was read.
    Beginning(usize),
    /// In the last digits of a 1xx: 101 is the response itself.
    Status(u8),
    /// In an informational head; whether its last byte began a line.
    Inside { line: bool },
    /// The response is there: nothing to look for until the next request.
    Passed,
}

impl Default for At {
    fn default() -> At {
        At::Beginning(0)
    }
}

impl Heads {
    /// Fails when this was one too many. `request` is the number of the last one that was handed over.
    #[inline]
    pub(super) fn read(&mut self, bytes: &[u8], request: u32) -> Result<(), Error> {
        if self.request != request {
            (self.request, self.at, self.seen) = (request, At::default(), 0);
        }
        match self.at {
            At::Passed => Ok(()),
            // Nearly every response comes so.
            At::Beginning(0) if bytes.len() > 9 && bytes[0] == b'H' && bytes[9] != b'1' => {
                self.at = At::Passed;
                Ok(())
            }
            _ => self.follow(bytes),
        }
    }

    #[cold]
    fn follow(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for &byte in bytes {
            self.at = match self.at {
                At::Passed => return Ok(()),
                // Blank lines before a head are passed over.
                At::Beginning(0) if matches!(byte, b'\r' | b'\n') => At::Beginning(0),
                At::Beginning(n) if n != DIGIT && byte != BEGINS[n] => At::Passed,
                At::Beginning(n) if n + 1 < BEGINS.len() => At::Beginning(n + 1),
                At::Beginning(_) => At::Status(1),
                At::Status(1) if byte == b'0' => At::Status(2),
                At::Status(2) if byte == b'1' => At::Passed,
                At::Status(_) => {
                    self.seen += 1;
                    if self.seen > INFORMATIONAL {
                        return Err(too_many());
                    }
                    At::Inside { line: false }
                }
                At::Inside { line: true } if byte == b'\n' => At::Beginning(0),
                At::Inside { line } => At::Inside { line: byte == b'\n' || (line && byte == b'\r') },
            };
        }
        Ok(())
    }
}

fn too_many() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("more than {INFORMATIONAL} informational responses (1xx) came before the response"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(pieces: &[&[u8]]) -> bool {
        let mut heads = Heads::default();
        pieces.iter().any(|piece| heads.read(piece, 1).is_err())
    }

    #[test]
    fn a_hundred_are_borne_however_they_are_cut_and_one_more_is_not() {
        let informational = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(101);
        let borne = &informational[..informational.len() / 101 * 100];
        for size in [1, 2, 7, 64, 100_000] {
            assert!(!fails(&borne.chunks(size).collect::<Vec<_>>()), "{size}");
            assert!(fails(&informational.chunks(size).collect::<Vec<_>>()), "{size}");
        }
    }

    #[test]
    fn a_body_that_looks_like_heads_is_none_also_while_its_request_is_still_written() {
        let informational = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(200);
        assert!(!fails(&[b"HTTP/1.1 200 OK\r\n\r\n", &informational]));
        assert!(!fails(&[b"HTTP/1.1 101 Switching Protocols\r\n\r\n", &informational]));
        assert!(!fails(&[b"SSH-2.0", &informational]), "what hyper will not take either");
    }

    #[test]
    fn each_request_has_a_hundred_of_its_own() {
        let informational = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
        let mut heads = Heads::default();
        for request in 1..=3 {
            assert!(heads.read(&informational, request).is_ok());
            assert!(heads.read(b"HTTP/1.1 204 No Content\r\n\r\n", request).is_ok());
        }
    }
}
