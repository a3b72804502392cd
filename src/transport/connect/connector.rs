//! The one type of all connectors: the network, a pipe, and whatever a user connects with.

use crate::error::BoxError;
use crate::transport::connect::io::{Made, Stream};
use http::Uri;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::Connection;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

/// Makes a connection to where a URL leads.
pub(in crate::transport) type AnyConnector = BoxCloneSyncService<Uri, Made, BoxError>;

/// A connector of the user's.
pub(in crate::transport) fn any<C>(connector: C) -> AnyConnector
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Read + Write + Connection + Send + Unpin + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    AnyConnector::new(connector.map_response(|io| Made::from(Stream::foreign(io))).map_err(Into::into))
}
