//! Settings, certificates and keys as one config.

use super::base::{config, names};
use super::material::Material;
use super::settings::Tls;
use crate::error::Error;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// What was given whole, in place of everything else.
pub(super) fn given(tls: &Tls) -> Result<Option<&Arc<ClientConfig>>, Error> {
    if tls.config.is_some() && tls.has_parts() {
        return Err(Error::config(
            "a TLS config and roots or an identity were given: the config has its own, leave the others out",
        ));
    }
    if tls.identity.is_some() && tls.identity_files.is_some() {
        return Err(Error::config("the identity is set twice, as PEM and as files: leave one of them out"));
    }
    Ok(tls.config.as_ref())
}

pub(super) fn built(
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

/// What these settings come to now, for good; and why there is no root certificate, where there is none.
#[cfg(feature = "reqwest-rustls")]
pub(crate) fn for_good(tls: &Tls) -> Result<(ClientConfig, Option<String>), Error> {
    if let Some(given) = given(tls)? {
        let mut config = ClientConfig::clone(given);
        if config.alpn_protocols.is_empty() {
            config.alpn_protocols = names(super::base::ALPN);
        }
        return Ok((config, None));
    }
    let material = Material::read(tls)?;
    let mut roots = material.roots()?;
    let none = super::platform::Roots::read().add_to(&mut roots).err();
    Ok((built(&material, roots, &super::base::provider()?, super::base::ALPN)?, none))
}
