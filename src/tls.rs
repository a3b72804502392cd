//! What TLS is set up with, whoever speaks it: ring, and the root certificates of the platform.

use crate::error::Error;
use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::sync::Arc;

/// What is offered to the server, the preferred first.
pub(crate) const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

pub(crate) type WithRoots = ConfigBuilder<ClientConfig, WantsClientCert>;

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The provider is named, because rustls panics when a tree has two and nobody chose.
pub(crate) fn config(provider: &Arc<CryptoProvider>, roots: RootCertStore) -> Result<WithRoots, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::config(format!("TLS cannot be set up: {e}")))?;
    Ok(builder.with_root_certificates(roots))
}

/// Adds the roots of the platform, which takes some milliseconds. Where there is none at all, says why.
pub(crate) fn add_platform_roots(roots: &mut RootCertStore) -> Result<(), String> {
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        let why = native.errors.first().map_or(String::new(), |e| format!(" ({e})"));
        return Err(format!("no root certificate was found on this machine{why}"));
    }
    Ok(())
}
