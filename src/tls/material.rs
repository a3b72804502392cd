//! Certificates and keys as they were given or stand in files, and what they come to.

use super::base::config;
use super::settings::Tls;
use crate::error::Error;
use rustls::RootCertStore;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// A longer file is an error: the roots of a whole platform have a quarter of a MiB.
const LONGEST: u64 = 8 << 20;

/// What was read, and where.
struct Pem {
    bytes: Vec<u8>,
    /// With its path, where it has one.
    what: String,
}

impl Pem {
    fn given(bytes: &[u8], what: &str) -> Pem {
        Pem { bytes: bytes.to_vec(), what: what.to_owned() }
    }

    fn file(path: &Path, what: &str) -> Result<Pem, Error> {
        let what = format!("{what} in {}", path.display());
        let refused = |why: &dyn std::fmt::Display| Error::config(format!("{what} cannot be read: {why}"));
        // Else to open it could take until somebody writes.
        let is_file = std::fs::metadata(path).map_err(|error| refused(&error))?.is_file();
        if !is_file {
            return Err(refused(&"it must be a file"));
        }
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| refused(&error))?;
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| refused(&error))?;
        if bytes.len() as u64 > LONGEST {
            return Err(refused(&format_args!("it is longer than {LONGEST} bytes")));
        }
        Ok(Pem { bytes, what })
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let Pem { bytes, what } = self;
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
        let read = read.map_err(|e| Error::config(format!("{what} is not PEM: {e}")))?;
        if read.is_empty() {
            return Err(Error::config(format!(
                "{what} has no PEM section \"CERTIFICATE\" in its {} bytes: it must have one or more",
                bytes.len()
            )));
        }
        Ok(read)
    }
}

/// All that was given but the roots of the platform.
pub(super) struct Material {
    roots: Vec<Pem>,
    identity: Option<(Pem, Pem)>,
}

impl Material {
    /// Reads all files.
    pub(super) fn read(tls: &Tls) -> Result<Material, Error> {
        const ROOT: &str = "the root certificate";
        const CERTIFICATE: &str = "the client certificate";
        const KEY: &str = "the client key";
        let mut roots: Vec<Pem> = tls.roots.iter().map(|pem| Pem::given(pem, ROOT)).collect();
        for path in &tls.roots_files {
            roots.push(Pem::file(path, ROOT)?);
        }
        let identity = match (&tls.identity, &tls.identity_files) {
            (Some((chain, key)), _) => Some((Pem::given(chain, CERTIFICATE), Pem::given(key, KEY))),
            (None, Some((chain, key))) => Some((Pem::file(chain, CERTIFICATE)?, Pem::file(key, KEY)?)),
            (None, None) => None,
        };
        Ok(Material { roots, identity })
    }

    /// Another one for other bytes.
    #[cfg_attr(not(feature = "client"), expect(dead_code, reason = "reqwest gets a config for good"))]
    pub(super) fn stamp(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let identity = self.identity.iter().flat_map(|(chain, key)| [chain, key]);
        for pem in self.roots.iter().chain(identity) {
            pem.bytes.hash(&mut hasher);
        }
        hasher.finish()
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, Error> {
        let mut own = RootCertStore::empty();
        for pem in &self.roots {
            for certificate in pem.certificates()? {
                let refused = |e| Error::config(format!("{} cannot be used: {e}", pem.what));
                own.add(certificate).map_err(refused)?;
            }
        }
        Ok(own)
    }

    pub(super) fn identity(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ResolvesClientCert>>, Error> {
        let Some((chain, key)) = &self.identity else { return Ok(None) };
        let certificates = chain.certificates()?;
        let read = PrivateKeyDer::from_pem_slice(&key.bytes)
            .map_err(|e| Error::config(format!("{} is not a PEM private key: {e}", key.what)))?;
        let config = config(provider, RootCertStore::empty())?
            .with_client_auth_cert(certificates, read)
            .map_err(|e| Error::config(format!("{} cannot be used: {e}", chain.what)))?;
        Ok(Some(config.client_auth_cert_resolver))
    }
}
