//! What TLS is set up with, whoever speaks it: ring, the root certificates of the platform, and what a program adds.

mod material;
mod platform;
mod settings;
#[cfg(feature = "client")]
mod trust;

pub use settings::Tls;
#[cfg(feature = "client")]
pub(crate) use trust::Trust;

use crate::error::Error;
use material::Material;
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

/// What was given whole, in place of everything else.
fn given(tls: &Tls) -> Result<Option<&Arc<ClientConfig>>, Error> {
    if tls.config.is_some() && tls.has_parts() {
        return Err(Error::config(
            "a TLS config was given beside roots or an identity: it has its own, leave the others out",
        ));
    }
    if tls.identity.is_some() && tls.identity_files.is_some() {
        return Err(Error::config("an identity was given beside files of one: leave one of them out"));
    }
    Ok(tls.config.as_ref())
}

fn built(
    material: &Material,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, Error> {
    let builder = config(provider, roots)?;
    let mut config = match material.identity(provider)? {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(identity),
    };
    config.alpn_protocols = names(alpn);
    Ok(config)
}

fn names(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.to_vec()).collect()
}

/// What these settings come to now, for good; and why there is no root certificate, where there is none.
#[cfg(feature = "reqwest")]
pub(crate) fn for_good(tls: &Tls) -> Result<(ClientConfig, Option<String>), Error> {
    if let Some(given) = given(tls)? {
        let mut config = ClientConfig::clone(given);
        if config.alpn_protocols.is_empty() {
            config.alpn_protocols = names(ALPN);
        }
        return Ok((config, None));
    }
    let material = Material::read(tls)?;
    let mut roots = material.roots()?;
    let none = platform::Roots::read().add_to(&mut roots).err();
    Ok((built(&material, roots, &provider(), ALPN)?, none))
}
