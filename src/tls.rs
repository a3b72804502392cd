//! What TLS is set up with, whoever speaks it: ring, the root certificates of the platform, and what a program adds.

mod base;
mod material;
mod platform;
mod settings;
#[cfg(feature = "client")]
mod trust;
mod whole;

#[cfg(all(test, feature = "reqwest"))]
pub(crate) use base::{config, provider};
pub use settings::Tls;
#[cfg(feature = "client")]
pub(crate) use trust::Trust;
#[cfg(feature = "reqwest")]
pub(crate) use whole::for_good;
