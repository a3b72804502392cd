//! What TLS is set up with, whoever speaks it: the cryptography, the root certificates of the platform, and what a program adds.

mod base;
mod material;
mod platform;
mod settings;
#[cfg(feature = "client")]
mod trust;
mod whole;

#[cfg(test)]
pub(crate) use base::provider;
pub use settings::Tls;
#[cfg(feature = "client")]
pub(crate) use trust::Trust;
#[cfg(feature = "reqwest-rustls")]
pub(crate) use whole::for_good;
