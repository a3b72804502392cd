//! Settings become a stream.

use super::settings::Settings;
use super::stream::EventStream;
use crate::Body;
use crate::error::Error;
use http::{Request, Response};
use tower_service::Service;

impl Settings {
    /// The stream. Nothing is sent before somebody waits for its first event.
    ///
    /// Any service of this crate will do: a [`Stack`](crate::Stack), a `Client`, or one of the layers over a client of
    /// your own. `Accept`, `Cache-Control` and `Accept-Encoding` are set where the request does not bring them,
    /// `Last-Event-ID` wherever there is one; one that the request brings is the id to begin with. Options among the
    /// extensions of the request hold for every connect.
    ///
    /// # Errors
    /// Kind `Config`: a limit of zero or above ten years, a back-off whose base is below 10 ms or whose parts do not
    /// fit together, a size of zero, an id that no header can carry, a URL without host, a body that cannot be sent
    /// again where the stream connects again.
    pub fn connect<S, B>(mut self, service: S, request: Request<B>) -> Result<EventStream, Error>
    where
        S: Service<Request<B>, Response = Response<Body>, Error = Error> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Send + 'static,
    {
        if let (true, Some(id)) = (self.last_id.is_empty(), request.headers().get("last-event-id")) {
            self.last_id = String::from_utf8_lossy(id.as_bytes()).into_owned();
        }
        self.check()?;
        EventStream::new(self, service, request)
    }
}
