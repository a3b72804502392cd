//! TLS by rustls with ring.

use crate::error::{BoxError, Error, Phase};
use crate::sync::made;
use crate::tls::{self, ALPN, add_platform_roots, provider};
use crate::transport::connect::io::Stream;
use crate::transport::connect::phase::reporting;
use http::Uri;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What is offered to the server where nothing but HTTP/2 is wanted: a server without it says so in the handshake.
const ALPN_HTTP2: &[&[u8]] = &[b"h2"];

/// Whom a client trusts, and who it says it is.
///
/// The root certificates of the platform are trusted (the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
/// They are read once per client, at its first https connection: that takes some milliseconds, costs nothing where
/// only http is spoken, and lets a machine without any root use http and certificates of its own.
///
/// ```
/// # fn main() -> Result<(), unwedge::Error> {
/// # let pem = "";
/// use unwedge::client::{Client, Tls};
///
/// let client = Client::builder().tls(Tls::default().add_root_certificate(pem)).build();
/// # assert!(client.is_err());
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
#[must_use]
#[doc(alias("certificate", "mtls"))]
pub struct Tls {
    roots: Vec<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    config: Option<Arc<ClientConfig>>,
}

impl Tls {
    /// Trusts these certificates as well: one or more, in PEM.
    pub fn add_root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Tls {
        self.roots.push(pem.into());
        self
    }

    /// Shows this certificate (with those between it and its root, in PEM) to servers that ask for one, and signs with
    /// this key (PKCS #8, PKCS #1 or SEC 1, in PEM).
    pub fn identity(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Tls {
        self.identity = Some((certificates.into(), key.into()));
        self
    }

    /// Shakes hands as this says, in place of roots and identity: verifiers, resolvers of certificates, key logs, versions of
    /// TLS, a crypto provider of your own. The type is that of rustls 0.23.
    ///
    /// `h2` and `http/1.1` are offered (ALPN) where it offers nothing itself, `h2` alone with
    /// [`Network::http2_only`](crate::client::Network::http2_only), and `http/1.1` alone to a proxy.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use unwedge::client::{Client, Tls};
    ///
    /// let provider = Arc::new(rustls::crypto::ring::default_provider());
    /// let config = rustls::ClientConfig::builder_with_provider(provider)
    ///     .with_protocol_versions(&[&rustls::version::TLS13])?
    ///     .with_root_certificates(rustls::RootCertStore::empty())
    ///     .with_no_client_auth();
    /// let client = Client::builder().tls(Tls::default().config(Arc::new(config))).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn config(mut self, config: Arc<ClientConfig>) -> Tls {
        self.config = Some(config);
        self
    }

    /// The certificates that are trusted as well, in PEM, as they were given.
    pub fn get_root_certificates(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// The certificates that are shown to servers, in PEM, as they were given. Their key is not handed out.
    pub fn get_identity(&self) -> Option<&[u8]> {
        self.identity.as_ref().map(|(certificates, _)| certificates.as_slice())
    }

    /// What is shaken hands by, where it was given whole.
    pub fn get_config(&self) -> Option<&Arc<ClientConfig>> {
        self.config.as_ref()
    }

    pub(in crate::transport) fn is_default(&self) -> bool {
        self.roots.is_empty() && self.identity.is_none() && self.config.is_none()
    }

    /// Reads everything that was given. The roots of the platform are left for later.
    pub(in crate::transport) fn prepare(&self, http2_only: bool) -> Result<Prepared, Error> {
        let config = OnceLock::new();
        if let Some(given) = &self.config {
            if !self.roots.is_empty() || self.identity.is_some() {
                return Err(Error::config(
                    "a TLS config was given beside roots or an identity: it has its own, leave the others out",
                ));
            }
            let mut given = (**given).clone();
            if http2_only || given.alpn_protocols.is_empty() {
                given.alpn_protocols = names(alpn(http2_only));
            }
            let _ = config.set(Ok(Arc::new(given)));
        }
        let mut own = RootCertStore::empty();
        for pem in &self.roots {
            for certificate in certificates(pem, "the root certificate")? {
                let refused = |e| Error::config(format!("the root certificate cannot be used: {e}"));
                own.add(certificate).map_err(refused)?;
            }
        }
        let provider = provider();
        let identity = match &self.identity {
            None => None,
            Some((chain, key)) => {
                let chain = certificates(chain, "the client certificate")?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|e| Error::config(format!("the client key is not a PEM private key: {e}")))?;
                let config = tls::config(&provider, RootCertStore::empty())?
                    .with_client_auth_cert(chain, key)
                    .map_err(|e| Error::config(format!("the client certificate cannot be used: {e}")))?;
                Some(config.client_auth_cert_resolver)
            }
        };
        Ok(Prepared(Arc::new(Inner { own, identity, provider, alpn: alpn(http2_only), config })))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("roots", &self.roots.len())
            .field("identity", &self.identity.is_some())
            .field("config", &self.config.is_some())
            .finish()
    }
}

fn alpn(http2_only: bool) -> &'static [&'static [u8]] {
    if http2_only { ALPN_HTTP2 } else { ALPN }
}

fn names(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.to_vec()).collect()
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|e| Error::config(format!("{what} is not PEM: {e}")))?;
    if read.is_empty() {
        return Err(Error::config(format!(
            "{what} has no PEM section \"CERTIFICATE\" in its {} bytes: it must have one or more",
            pem.len()
        )));
    }
    Ok(read)
}

/// [`Tls`] with everything read but the roots of the platform.
#[derive(Clone, Debug)]
pub(in crate::transport) struct Prepared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    own: RootCertStore,
    identity: Option<Arc<dyn ResolvesClientCert>>,
    provider: Arc<CryptoProvider>,
    alpn: &'static [&'static [u8]],
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Prepared {
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let made = made(&self.0.config, || self.make().map_err(|e| e.cause()));
        made.clone().map_err(Error::config)
    }

    /// For a proxy, to which nothing else is spoken.
    pub(super) fn http1(&self) -> Result<Arc<ClientConfig>, Error> {
        let mut config = (*self.config()?).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn make(&self) -> Result<Arc<ClientConfig>, Error> {
        let Inner { own, identity, provider, alpn, .. } = &*self.0;
        let mut roots = own.clone();
        add_platform_roots(&mut roots).map_err(|why| {
            Error::config(format!("{why}: install them, set SSL_CERT_FILE, or use Tls::add_root_certificate"))
        })?;
        let builder = tls::config(provider, roots)?;
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::clone(identity)),
        };
        config.alpn_protocols = names(alpn);
        Ok(Arc::new(config))
    }
}

/// Shakes hands over this connection.
pub(super) async fn handshake(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    below: Stream,
) -> Result<TlsStream<Stream>, Error> {
    let shaken = reporting(Phase::Tls, TlsConnector::from(config).connect(name, below)).await;
    shaken.map_err(|error| Error::from(BoxError::from(error)))
}

/// The name that the certificate has to be for; an address without the brackets of the URL.
pub(super) fn server_name(uri: &Uri) -> Result<ServerName<'static>, Error> {
    let host = uri.host().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned())
        .map_err(|_| Error::config(format!("the host {host:?} is no name that a certificate could be for")))
}
