//! Who answers `/metrics`.

use crate::inflight::InFlight;
use axum::response::Response;
use std::future::Future;
use std::pin::Pin;

/// A recorder that can be read. Without one there is nothing to answer.
pub(super) trait Exposition: Send + Sync {
    fn answer(&self, calls: &[InFlight]) -> Response;

    /// What has to run beside it.
    fn upkeep(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}
