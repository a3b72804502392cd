//! What a client has for tests: a pipe for its network, and bounds that are held against it.

use super::{HasBounds, Pipe};
use crate::client::{Client, ClientBuilder};
use crate::stack::Bounds;

impl ClientBuilder {
    /// Connects through this pipe in place of the network, whatever the scheme of a URL: for tests on a paused clock. It is
    /// a [`connector`](ClientBuilder::connector) like any other.
    pub fn pipe(self, pipe: Pipe) -> ClientBuilder {
        self.connector(pipe)
    }
}

impl HasBounds for Client {
    fn bounds(&self) -> Bounds {
        Client::bounds(self)
    }
}
