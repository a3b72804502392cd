//! A request for each method of HTTP, by a client, or by the one that a whole program shares.

use crate::client::request::RequestBuilder;
use crate::client::{Client, IntoUrl};
use crate::sync::made;
use http::Method;
use std::sync::OnceLock;

impl Client {
    /// A GET request.
    pub fn get(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A HEAD request.
    pub fn head(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// A POST request. It is repeated only where it was provably not processed, or is marked as idempotent.
    pub fn post(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// A PUT request.
    pub fn put(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// A PATCH request. It is repeated only where it was provably not processed, or is marked as idempotent.
    pub fn patch(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// A DELETE request.
    pub fn delete(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// A request with this method. What is wrong with the URL comes out of [`RequestBuilder::send`].
    ///
    /// Credentials in the URL (`user:password@host`) are taken out of it and sent as Basic authentication, unless the
    /// request brings an `Authorization` of its own; they are never shown.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, url)
    }
}

/// A GET request by a client that all callers of this function share, with all defaults.
///
/// The client is made at the first call and lives as long as the program; its connections live as long as the runtime
/// that the call opening them was made on.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unwedge::Error> {
/// let text = unwedge::get("https://api.example.com/").send().await?.text().await?;
/// # Ok(()) }
/// ```
pub fn get(url: impl IntoUrl) -> RequestBuilder {
    static SHARED: OnceLock<Client> = OnceLock::new();
    made(&SHARED, Client::default).get(url)
}
