//! What was set of the transport, to be read back.

use crate::target::text::redacted;
use crate::transport::network::{Choice, Network};
use crate::transport::pool::Connections;
use crate::transport::versions::{Http1, Http2};

impl Network {
    /// Whether nothing but HTTP/2 is spoken.
    ///
    /// ```
    /// use unwedge::client::Network;
    ///
    /// let network = Network::default().proxy("http://user:secret@proxy.example:3128");
    /// assert!(!network.get_http2_only() && !network.get_no_proxy());
    /// assert_eq!(network.get_proxy().as_deref(), Some("http://proxy.example:3128"));
    /// ```
    pub fn get_http2_only(&self) -> bool {
        self.http2_only
    }

    /// What HTTP/1.1 lets pass of peers that bend its rules.
    pub fn get_http1(&self) -> &Http1 {
        &self.http1
    }

    /// Windows and frames of HTTP/2.
    pub fn get_http2(&self) -> &Http2 {
        &self.http2
    }

    /// How many connections there are to one origin, and for how long.
    pub fn get_connections(&self) -> &Connections {
        &self.connections
    }

    /// The proxy that everything goes through, without user name and password; `None` where the environment is asked, or
    /// nobody.
    pub fn get_proxy(&self) -> Option<String> {
        match &self.proxy {
            Choice::One(url) => Some(redacted(url)),
            Choice::Environment | Choice::None => None,
        }
    }

    /// Whether it is connected directly, whatever the environment says.
    pub fn get_no_proxy(&self) -> bool {
        matches!(self.proxy, Choice::None)
    }
}

impl Http1 {
    /// Whether names of headers are sent in title case.
    pub fn get_title_case_headers(&self) -> bool {
        self.title_case
    }

    /// Whether headers may go on in the next line.
    pub fn get_folded_headers(&self) -> bool {
        self.folded
    }

    /// Whether lines that are no header are passed over.
    pub fn get_ignore_invalid_headers(&self) -> bool {
        self.ignore_invalid
    }

    /// Whether a blank may stand before the colon of a header.
    pub fn get_spaces_after_header_names(&self) -> bool {
        self.spaces
    }
}

impl Http2 {
    /// How many bytes of a response may come before they are read; `None` for the default of hyper.
    pub fn get_stream_window(&self) -> Option<u32> {
        self.stream
    }

    /// How many bytes of all responses of a connection may come before they are read; `None` for the default of hyper.
    pub fn get_connection_window(&self) -> Option<u32> {
        self.connection
    }

    /// Whether both windows are set by what the link is measured to carry.
    pub fn get_adaptive_window(&self) -> bool {
        self.adaptive
    }

    /// The largest frame that the server may send; `None` for the default of hyper.
    pub fn get_max_frame_size(&self) -> Option<u32> {
        self.frame
    }
}
