//! How HTTP is spoken over a connection: what peers that bend the rules need, and sizes.

use crate::error::Error;

/// HTTP/1.1 with peers that bend its rules: each switch is off by default, because what it lets pass is what attacks are
/// made of.
///
/// ```
/// use unwedge::client::{Client, Http1, Network};
///
/// let lenient = Http1::default().title_case_headers().folded_headers();
/// let client = Client::builder().network(Network::default().http1(lenient)).build()?;
/// # Ok::<(), unwedge::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Http1 {
    pub(super) title_case: bool,
    pub(super) folded: bool,
    pub(super) ignore_invalid: bool,
    pub(super) spaces: bool,
}

impl Http1 {
    /// Sends `Content-Type` in place of `content-type`, for servers that take names of headers by their letters.
    pub fn title_case_headers(mut self) -> Http1 {
        self.title_case = true;
        self
    }

    /// Takes headers of a response that go on in the next line (`obs-fold`, RFC 9112, 5.2), in place of an error.
    pub fn folded_headers(mut self) -> Http1 {
        self.folded = true;
        self
    }

    /// Passes over lines of a response head that are no header, in place of an error.
    pub fn ignore_invalid_headers(mut self) -> Http1 {
        self.ignore_invalid = true;
        self
    }

    /// Takes a blank between the name of a response header and its colon, in place of an error.
    pub fn spaces_after_header_names(mut self) -> Http1 {
        self.spaces = true;
        self
    }
}

/// Sizes of HTTP/2: for links on which much is under way, and peers with little memory.
///
/// ```
/// use unwedge::client::{Client, Http2, Network};
///
/// let far = Http2::default().stream_window(4 << 20).connection_window(16 << 20);
/// let client = Client::builder().network(Network::default().http2(far)).build()?;
/// # Ok::<(), unwedge::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Http2 {
    pub(super) stream: Option<u32>,
    pub(super) connection: Option<u32>,
    pub(super) adaptive: bool,
    pub(super) frame: Option<u32>,
}

/// RFC 9113, 6.5.2.
const LARGEST_WINDOW: u32 = (1 << 31) - 1;
const FRAMES: std::ops::RangeInclusive<u32> = 1 << 14..=(1 << 24) - 1;

impl Http2 {
    /// How many bytes of a response the server may send before they are read. Default 2 MiB, hyper's: at 100 ms of way
    /// and back that is 20 MiB a second.
    pub fn stream_window(mut self, bytes: u32) -> Http2 {
        self.stream = Some(bytes);
        self
    }

    /// How many bytes of all responses of a connection the server may send before they are read. Default 5 MiB, hyper's.
    pub fn connection_window(mut self, bytes: u32) -> Http2 {
        self.connection = Some(bytes);
        self
    }

    /// Sets both windows by what the link is measured to carry. Default off; it goes without sizes of your own.
    pub fn adaptive_window(mut self) -> Http2 {
        self.adaptive = true;
        self
    }

    /// The largest frame that the server may send. Default 16 KiB, which is also the least.
    pub fn max_frame_size(mut self, bytes: u32) -> Http2 {
        self.frame = Some(bytes);
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        for (name, window) in [("stream_window", self.stream), ("connection_window", self.connection)] {
            if window.is_some_and(|bytes| bytes == 0 || bytes > LARGEST_WINDOW) {
                let bytes = window.unwrap_or_default();
                return Err(Error::config(format!(
                    "{name} of HTTP/2 is {bytes} bytes: it must be from 1 to {LARGEST_WINDOW}"
                )));
            }
            if window.is_some() && self.adaptive {
                return Err(Error::config(format!(
                    "{name} of HTTP/2 and adaptive_window were given: one sets the window, leave the other out"
                )));
            }
        }
        match self.frame {
            Some(bytes) if !FRAMES.contains(&bytes) => Err(Error::config(format!(
                "max_frame_size of HTTP/2 is {bytes} bytes: it must be from {} to {}",
                FRAMES.start(),
                FRAMES.end()
            ))),
            _ => Ok(()),
        }
    }
}
