//! Whom the inner client trusts and who it says it is, over real sockets.

use crate::error::Error;
use crate::reqwest::{Tls, builder, cause};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn signed(by: &Authority, name: &str, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, by).unwrap(), key)
}

/// A server that wants to see a certificate of this authority, and says 200.
async fn server(authority: &Authority) -> (SocketAddr, JoinSet<()>) {
    let (certificate, key) = signed(authority, "localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let provider = crate::tls::provider().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                let mut request = [0; 4096];
                let _ = tls.read(&mut request).await;
                let _ = tls
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret")
                    .await;
                let _ = tls.shutdown().await;
            });
        }
    });
    (at, tasks)
}

async fn said(tls: Tls, at: SocketAddr) -> Result<String, String> {
    let client = builder().tls(tls).build().map_err(|error: Error| error.to_string())?;
    match client.get(format!("https://localhost:{}/", at.port())).send().await {
        Ok(response) => response.text().await.map_err(|error| error.to_string()),
        Err(error) => Err(cause(&error).map_or_else(|| error.to_string(), ToString::to_string)),
    }
}

#[tokio::test]
async fn a_private_root_and_an_identity_are_honoured_from_bytes_from_files_and_in_a_whole_config() {
    let authority = authority();
    let (at, _server) = server(&authority).await;
    let (certificate, key) = signed(&authority, "agent", ExtendedKeyUsagePurpose::ClientAuth);
    let (root, certificate, key) = (authority.pem(), certificate.pem(), key.serialize_pem());
    let given = Tls::default().add_root_certificate(&*root).identity(&*certificate, &*key);
    assert_eq!(said(given, at).await.as_deref(), Ok("secret"));

    let folder = std::env::temp_dir().join(format!("unwedge-reqwest-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [roots, chain, keys] = [("root", &root), ("crt", &certificate), ("key", &key)].map(|(name, text)| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    });
    let from_files = Tls::default().roots_file(&roots).identity_files(&chain, &keys);
    assert_eq!(said(from_files, at).await.as_deref(), Ok("secret"));
    let missing = said(Tls::default().roots_file(folder.join("none")), at).await.unwrap_err();
    assert!(missing.contains("root certificate in") && missing.contains("none"), "{missing}");
    std::fs::remove_dir_all(&folder).unwrap();

    let nobody = said(Tls::default().add_root_certificate(&*root), at).await.unwrap_err();
    assert!(nobody.contains("ertificate"), "{nobody}");
    let stranger = said(Tls::default(), at).await.unwrap_err();
    assert!(stranger.contains("certificate"), "{stranger}");

    let mut store = RootCertStore::empty();
    store.add(authority.der().clone()).unwrap();
    let provider = crate::tls::provider().unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    let whole = said(Tls::default().config(Arc::new(config)), at).await.unwrap_err();
    assert!(
        whole.contains("ertificate") && !whole.contains("UnknownIssuer"),
        "its server is trusted: {whole}"
    );
}
