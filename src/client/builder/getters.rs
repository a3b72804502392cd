//! What was set of a client, to be read back.

use crate::client::Redirects;
use crate::client::builder::ClientBuilder;
use crate::stack::StackBuilder;
use crate::transport::connect::tls::Tls;
use crate::transport::network::Network;
use http::HeaderMap;

impl ClientBuilder {
    /// The settings of the stack, from limits to name, however they were given.
    ///
    /// ```
    /// use unwedge::client::{Client, Redirects};
    ///
    /// let builder = Client::builder().name("scheduler").redirects(Redirects::none());
    /// assert_eq!(builder.get_stack().get_name(), Some("scheduler"));
    /// assert_eq!((builder.get_redirects(), builder.get_gzip()), (&Redirects::none(), true));
    /// ```
    pub fn get_stack(&self) -> &StackBuilder {
        self.stack.get()
    }

    /// Root certificates and identity.
    pub fn get_tls(&self) -> &Tls {
        &self.transport.tls
    }

    /// The version of HTTP, and proxies.
    pub fn get_network(&self) -> &Network {
        &self.transport.network
    }

    /// The `User-Agent` of requests that bring none, where it is not the default.
    pub fn get_user_agent(&self) -> Option<&str> {
        self.transport.user_agent.as_deref()
    }

    /// Headers of every request that brings none by that name.
    pub fn get_default_headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Which redirects are followed.
    pub fn get_redirects(&self) -> &Redirects {
        &self.redirects
    }

    /// Whether bodies in gzip are asked for and decoded.
    pub fn get_gzip(&self) -> bool {
        !self.transport.no_gzip
    }
}
