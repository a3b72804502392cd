//! What every config of TLS begins with: the cryptography, the versions of rustls, and what is offered.

use crate::error::Error;
use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::sync::Arc;

/// What is offered to the server, the preferred first.
pub(crate) const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// The provider that the program installed for the whole process, or else the one of this crate's feature. rustls itself is
/// not asked to choose: it panics where a tree has two providers and nobody did.
pub(crate) fn provider() -> Result<Arc<CryptoProvider>, Error> {
    if let Some(installed) = CryptoProvider::get_default() {
        return Ok(Arc::clone(installed));
    }
    chosen().map(Arc::new).ok_or_else(|| {
        Error::config(
            "no cryptography for TLS: take feature \"aws-lc-rs\" (a default) or \"ring\" of unwedge, or install a \
             provider first: rustls::crypto::CryptoProvider::install_default",
        )
    })
}

#[cfg(feature = "aws-lc-rs")]
fn chosen() -> Option<CryptoProvider> {
    Some(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
fn chosen() -> Option<CryptoProvider> {
    Some(rustls::crypto::ring::default_provider())
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
fn chosen() -> Option<CryptoProvider> {
    None
}

pub(crate) fn config(
    provider: &Arc<CryptoProvider>,
    roots: RootCertStore,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::config(format!("TLS cannot be set up: {e}")))?;
    Ok(builder.with_root_certificates(roots))
}

pub(super) fn names(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.to_vec()).collect()
}
