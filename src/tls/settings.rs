//! Whom a client trusts, and who it says it is.

use rustls::ClientConfig;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whom a client trusts, and who it says it is.
///
/// The root certificates of the platform are trusted (the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
/// They are read at the first https connection of a client: that takes some milliseconds, costs nothing where only http is
/// spoken, and lets a machine without any root use http and certificates of its own.
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
/// A [`Client`](crate::Client) looks at files of [`roots_file`](Tls::roots_file) and
/// [`identity_files`](Tls::identity_files) once a minute while it connects, and at once when a certificate is refused; at
/// the roots of the platform when a certificate is refused, once a minute at most. Where one that was refused is good now,
/// the connection is made again within the same connect limit, so that no call is lost. Connections that are open stay
/// as they are until they end. What is read is read off the threads of the runtime.
///
/// A file that is half written, is gone or does not fit to its other half changes nothing: what was read before stays in
/// use, one warning is logged, and it is looked at again. Whoever replaces files should write them anew and rename them.
///
/// What has to be renewed otherwise takes a [`config`](Tls::config) with a verifier or a `ResolvesClientCert` of its own,
/// which rustls asks at each handshake.
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

    /// Trusts the certificates in this file as well, one or more in PEM, and those that will be in it. More than one file is
    /// a call for each. Default none.
    ///
    /// It has to be a file that can be read when the client is built, of 8 MiB at most.
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

    /// Shows this certificate (with those between it and its root, in PEM) to servers that ask for one, and signs with
    /// this key (PKCS #8, PKCS #1 or SEC 1, in PEM).
    pub fn identity(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Tls {
        self.identity = Some((certificates.into(), key.into()));
        self
    }

    /// The same from files, and from what will be in them; one path twice where both are in one file. Default none.
    ///
    /// With TLS 1.3 a client does not see in the handshake that its certificate was refused: it is the look once a minute
    /// that finds a new one. Certificate and key are taken together or not at all.
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

    /// The certificates that are trusted as well, in PEM, as they were given.
    pub fn get_root_certificates(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// The files whose certificates are trusted as well.
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

    /// The certificates that are shown to servers, in PEM, as they were given. Their key is not handed out.
    pub fn get_identity(&self) -> Option<&[u8]> {
        self.identity.as_ref().map(|(certificates, _)| certificates.as_slice())
    }

    /// The files with the certificates that are shown to servers, and with their key.
    pub fn get_identity_files(&self) -> Option<(&Path, &Path)> {
        self.identity_files.as_ref().map(|(certificates, key)| (certificates.as_path(), key.as_path()))
    }

    /// What is shaken hands by, where it was given whole.
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
