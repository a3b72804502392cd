//! What the fuzz targets in `fuzz/` call, and as an ordinary test their corpora. No part of a normal build.
//!
//! Each function takes any bytes and panics where a promise is broken.

#[cfg(feature = "sse")]
mod events;
mod oracle;
#[cfg(test)]
mod tests;

pub use crate::breaker::reference::check as breaker_ops;
#[cfg(feature = "sse")]
pub use events::sse_parser;
#[cfg(feature = "config")]
pub use oracle::settings;
pub use oracle::{deadline_header, duration, retry_after, url_redaction};
