//! What every config of TLS begins with: ring, the versions of rustls, and what is offered.

use crate::error::Error;
use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::sync::Arc;

/// What is offered to the server, the preferred first.
pub(crate) const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The provider is named, because rustls panics when a tree has two and nobody chose.
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
