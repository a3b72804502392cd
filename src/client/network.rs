//! How a client reaches its servers.

/// How a client reaches its servers: over which version of HTTP.
///
/// By default a server with TLS is offered HTTP/2 and HTTP/1.1 and chooses (ALPN); without TLS HTTP/1.1 is spoken,
/// because there is no way to ask.
///
/// ```
/// use unwedge::client::{Client, Network};
///
/// // Inside a cluster, where all servers are known to speak it without TLS.
/// let client = Client::builder().network(Network::default().http2_only()).build()?;
/// # Ok::<(), unwedge::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Network {
    pub(super) http2_only: bool,
}

impl Network {
    /// Speaks HTTP/2 and nothing else, also without TLS and without asking (prior knowledge). Default off: a server
    /// that does not speak it answers with garbage, or not at all.
    pub fn http2_only(mut self) -> Network {
        self.http2_only = true;
        self
    }
}
