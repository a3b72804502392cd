//! TLS settings of a client: root certificates and client certificate.

use rustls::ClientConfig;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// TLS settings of a client: trusted root certificates, and its own certificate.
///
/// By default the root certificates of the platform are trusted (the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name
/// others). They are read at the first https connection of a client, which takes some milliseconds. So a client that only
/// uses http reads none, and a machine without root certificates can use http and certificates of its own.
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
///
/// # What is read anew
///
/// A [`Client`](crate::Client) checks the files of [`roots_file`](Tls::roots_file) and
/// [`identity_files`](Tls::identity_files) once a minute while it connects, and at once after a refused certificate. The
/// roots of the platform are read again only after a refused certificate, at most once a minute. If the certificate is
/// trusted then, the connection is made again within the same connect limit, so that no call is lost. Open connections
/// do not change. Files are not read on the threads of the runtime.
///
/// If a file is incomplete or missing, or certificate and key do not match, the previous content stays in use, one warning
/// is logged, and the file is checked again. To replace a file, write a new one and rename it.
///
/// For other ways of renewal pass a [`config`](Tls::config) with your own verifier or `ResolvesClientCert`, which rustls
/// calls at each handshake.
#[derive(Clone, Default)]
#[must_use]
#[doc(alias("certificate", "mtls"))]
pub struct Tls {
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) roots_files: Vec<PathBuf>,
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) identity_files: Option<(PathBuf, PathBuf)>,
    pub(super) config: Option<Arc<ClientConfig>>,
}

impl Tls {
    /// Trusts these certificates as well: one or more, in PEM.
    pub fn add_root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Tls {
        self.roots.push(pem.into());
        self
    }

    /// Trusts the certificates in this file as well, one or more in PEM, and reads it again when it changes. Call it once for
    /// each file. Default none.
    ///
    /// The file must be readable when the client is built, and have at most 8 MiB.
    ///
    /// ```
    /// use unwedge::client::{Client, Tls};
    ///
    /// let missing = Tls::default().roots_file("/etc/agent/no-such.pem");
    /// let error = Client::builder().tls(missing).build().unwrap_err();
    /// assert!(error.is_config() && error.to_string().contains("/etc/agent/no-such.pem"));
    /// ```
    pub fn roots_file(mut self, path: impl Into<PathBuf>) -> Tls {
        self.roots_files.push(path.into());
        self
    }

    /// The client certificate (with the chain up to its root, in PEM) for servers that ask for one, and its key (PKCS #8,
    /// PKCS #1 or SEC 1, in PEM).
    pub fn identity(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Tls {
        self.identity = Some((certificates.into(), key.into()));
        self
    }

    /// The same from files, which are read again when they change; pass one path twice if both are in one file. Default none.
    ///
    /// With TLS 1.3 a client does not see in the handshake that its certificate was refused, so only the check once a minute
    /// finds a new one. Certificate and key are replaced together or not at all.
    ///
    /// ```
    /// use unwedge::client::{Client, Tls};
    ///
    /// let missing = Tls::default().identity_files("/run/agent/no-such.crt", "/run/agent/no-such.key");
    /// let error = Client::builder().tls(missing).build().unwrap_err();
    /// assert!(error.is_config() && error.to_string().contains("/run/agent/no-such.crt"));
    /// ```
    pub fn identity_files(mut self, certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Tls {
        self.identity_files = Some((certificates.into(), key.into()));
        self
    }

    /// A whole rustls configuration, in place of roots and identity: for your own verifiers, resolvers of certificates, key
    /// logs, versions of TLS, or crypto provider. The type is that of rustls 0.23.
    ///
    /// If it offers no protocol (ALPN), `h2` and `http/1.1` are offered, `h2` alone with
    /// [`Network::http2_only`](crate::client::Network::http2_only), and `http/1.1` alone to a proxy.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use unwedge::client::{Client, Tls};
    ///
    /// let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
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

    /// The additional root certificates, in PEM.
    pub fn get_root_certificates(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// The files of additional root certificates.
    ///
    /// ```
    /// use std::path::Path;
    /// use unwedge::client::Tls;
    ///
    /// let tls = Tls::default().roots_file("roots.pem").identity_files("agent.crt", "agent.key");
    /// assert_eq!(tls.get_roots_file(), [Path::new("roots.pem")]);
    /// assert_eq!(tls.get_identity_files(), Some((Path::new("agent.crt"), Path::new("agent.key"))));
    /// ```
    pub fn get_roots_file(&self) -> &[PathBuf] {
        &self.roots_files
    }

    /// The client certificate, in PEM. There is no getter for its key.
    pub fn get_identity(&self) -> Option<&[u8]> {
        self.identity.as_ref().map(|(certificates, _)| certificates.as_slice())
    }

    /// The files of the client certificate and its key.
    pub fn get_identity_files(&self) -> Option<(&Path, &Path)> {
        self.identity_files.as_ref().map(|(certificates, key)| (certificates.as_path(), key.as_path()))
    }

    /// The whole rustls configuration, if one is set.
    pub fn get_config(&self) -> Option<&Arc<ClientConfig>> {
        self.config.as_ref()
    }

    #[cfg(feature = "client")]
    pub(crate) fn is_default(&self) -> bool {
        !self.has_parts() && self.config.is_none()
    }

    /// Whether something was given that is no part of a config given whole.
    pub(super) fn has_parts(&self) -> bool {
        let Tls { roots, roots_files, identity, identity_files, config: _ } = self;
        !roots.is_empty() || !roots_files.is_empty() || identity.is_some() || identity_files.is_some()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("roots", &self.roots.len())
            .field("roots_files", &self.roots_files)
            .field("identity", &self.identity.is_some())
            .field("identity_files", &self.identity_files)
            .field("config", &self.config.is_some())
            .finish()
    }
}
