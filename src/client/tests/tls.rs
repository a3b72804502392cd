//! TLS over real sockets: whom the client trusts, who it says it is, and how long a handshake may take.

use super::*;
use crate::testing::Pipe;
use crate::{ErrorKind, Limits, Phase, retry};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A root of its own, and what it signs.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

pub(super) struct Signed {
    pub(super) certificate: rcgen::Certificate,
    pub(super) key: KeyPair,
}

impl Authority {
    pub(super) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn sign(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        Signed { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }

    pub(super) fn server(&self, names: &[&str]) -> Signed {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// A client that trusts this root beside those of the platform, and tries once.
    pub(super) fn trusting(&self) -> ClientBuilder {
        Client::builder().tls(Tls::default().add_root_certificate(self.pem()))
    }
}

impl Signed {
    /// A server that shows this certificate, and asks for one where `clients` says by whom it has to be signed.
    pub(super) fn config(&self, clients: Option<&Authority>) -> ServerConfig {
        let provider = crate::tls::provider().unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(authority.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain: Vec<CertificateDer<'static>> = vec![self.certificate.der().clone()];
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        builder.with_single_cert(chain, key).unwrap()
    }
}

/// TLS in front of a peer; it ends with this value.
pub(super) struct Front {
    pub(super) at: SocketAddr,
    accepted: Arc<AtomicU32>,
    _tasks: JoinSet<()>,
}

impl Front {
    pub(super) async fn new(peer: &Peer, host: &str, config: ServerConfig) -> std::io::Result<Front> {
        let listener = TcpListener::bind((host, 0)).await?;
        let (at, accepted) = (listener.local_addr()?, Arc::new(AtomicU32::new(0)));
        let mut tasks = JoinSet::new();
        let (pipe, counter) = (peer.pipe(), Arc::clone(&accepted));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let (acceptor, pipe) = (TlsAcceptor::from(Arc::new(config.clone())), pipe.clone());
                connections.spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    let mut behind = connect(pipe).await;
                    let _ = tokio::io::copy_bidirectional(&mut tls, &mut behind).await;
                });
            }
        });
        Ok(Front { at, accepted, _tasks: tasks })
    }

    pub(super) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/jobs", self.at.port())
    }

    pub(super) fn accepted(&self) -> u32 {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn connect(mut pipe: Pipe) -> crate::testing::PipeStream {
    let stream = Service::call(&mut pipe, http::Uri::from_static("http://peer/")).await.unwrap();
    TokioIo::into_inner(stream)
}

pub(super) fn peer() -> Peer {
    Peer::new().forever(Reply::ok("secret"))
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_within_the_connect_bound() {
    let peer = Peer::new().forever(Reply::silent());
    let url = format!("https://{}/", peer.listen().unwrap());
    let once = retry::Settings::default().max_retries(0);
    let limits = Limits::default().connect(300 * MS);
    let client = Authority::new().trusting().limits(limits).retry(once).build().unwrap();
    let start = tokio::time::Instant::now();
    let call = Beside::new(client.get(&url).send());
    tokio::time::sleep(150 * MS).await;
    assert_eq!(client.in_flight().snapshot()[0].phase, Phase::Tls);
    let error = call.ended().await.unwrap_err();
    let took = start.elapsed();
    assert!(took >= 300 * MS && took < 400 * MS, "{took:?}");
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Tls)));
    assert!(error.is_timeout() && error.is_retriable());
    assert!(error.to_string().ends_with("no connection after 300 ms (TLS handshake)"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_is_refused_ends_the_call_at_its_first_connection() {
    let (trusted, stranger, peer) = (Authority::new(), Authority::new(), peer());
    let client = trusted.trusting().build().unwrap();
    let unknown = Front::new(&peer, "127.0.0.1", stranger.server(&["localhost"]).config(None)).await.unwrap();
    let misnamed =
        Front::new(&peer, "127.0.0.1", trusted.server(&["other.example"]).config(None)).await.unwrap();
    for front in [unknown, misnamed] {
        let error = client.get(front.url("localhost")).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Tls)), "{error:?}");
        assert!(!error.is_retriable() && !error.is_timeout());
        assert!(error.to_string().contains("certificate"), "{error}");
        assert_eq!((front.accepted(), peer.request_count(), error.attempts()), (1, 0, 1));
    }
}

#[tokio::test]
async fn an_added_root_is_trusted_for_names_and_addresses() {
    let (authority, peer) = (Authority::new(), peer());
    let names = ["localhost", "127.0.0.1", "::1"];
    let front = Front::new(&peer, "127.0.0.1", authority.server(&names).config(None)).await.unwrap();
    let client = authority.trusting().build().unwrap();
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(client.get(front.url(host)).await.unwrap().text().await.unwrap(), "secret", "{host}");
    }
    assert_eq!(peer.requests()[0].header("host"), Some(&*format!("localhost:{}", front.at.port())));
    if let Ok(six) = Front::new(&peer, "::1", authority.server(&names).config(None)).await {
        assert_eq!(client.get(six.url("[::1]")).await.unwrap().text().await.unwrap(), "secret");
    }
}

#[tokio::test]
async fn connections_with_tls_are_kept_and_a_stale_one_is_known_for_what_it_is() {
    let authority = Authority::new();
    let peer = Peer::new().then(Reply::ok("1")).then(Reply::ok("2").stale_on_next()).forever(Reply::ok("3"));
    let front = Front::new(&peer, "127.0.0.1", authority.server(&["localhost"]).config(None)).await.unwrap();
    let client = authority.trusting().build().unwrap();
    let mut attempts = Vec::new();
    for text in ["1", "2", "3"] {
        let response = client.get(front.url("localhost")).await.unwrap();
        attempts.push(response.attempts().count);
        assert_eq!(response.text().await.unwrap(), text);
    }
    assert_eq!((attempts, front.accepted()), (vec![1, 1, 2], 2));
    assert_eq!(client.breakers().snapshot()[0].consecutive_failures, 0);
}

#[tokio::test]
async fn a_server_that_asks_for_an_identity_gets_it() {
    let (authority, peer) = (Authority::new(), peer());
    let config = authority.server(&["localhost"]).config(Some(&authority));
    let front = Front::new(&peer, "127.0.0.1", config).await.unwrap();
    let me = authority.sign(&["agent"], ExtendedKeyUsagePurpose::ClientAuth);
    let (certificate, key) = (me.certificate.pem(), me.key.serialize_pem());
    let tls = Tls::default().add_root_certificate(authority.pem()).identity(certificate, key);
    let client = Client::builder().tls(tls).build().unwrap();
    assert_eq!(client.get(front.url("localhost")).await.unwrap().text().await.unwrap(), "secret");

    let nobody = authority.trusting().build().unwrap();
    let error = nobody.get(front.url("localhost")).await.unwrap_err();
    assert!(!error.is_retriable(), "{error:?}");
    assert!(error.to_string().contains("ertificate"), "{error}");
    assert_eq!((front.accepted(), peer.request_count()), (2, 1));
}

/// A set-up of the user's that trusts this root and offers this.
fn own(authority: &Authority, alpn: &[&[u8]]) -> Tls {
    let provider = crate::tls::provider().unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut config = builder.with_root_certificates(authority.roots()).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Tls::default().config(Arc::new(config))
}

#[tokio::test]
async fn a_config_of_the_users_is_shaken_hands_by_and_offers_what_it_offers_itself() {
    let authority = Authority::new();
    let (at, _tasks) = proxies::target(&authority, &[b"h2", b"http/1.1"]).await;
    for (alpn, http2_only, spoken) in
        [(&[][..], false, "h2"), (&[&b"http/1.1"[..]], false, "http/1.1"), (&[b"http/1.1"], true, "h2")]
    {
        let network = Network::default().no_proxy();
        let network = if http2_only { network.http2_only() } else { network };
        let here = tower::service_fn(move |_| async move { Ok::<_, std::io::Error>([at]) });
        let client = Client::builder().tls(own(&authority, alpn)).network(network).resolver(here);
        let url = format!("https://api.example:{}/", at.port());
        let response = client.build().unwrap().get(url).await.unwrap();
        assert_eq!(response.headers()["spoke"], spoken);
    }
    let stranger = Client::builder().tls(own(&Authority::new(), &[])).build().unwrap();
    let error = stranger.get(format!("https://localhost:{}/", at.port())).await.unwrap_err();
    assert!(!error.is_retriable() && error.to_string().contains("certificate"), "{error}");
    let both = own(&authority, &[]).add_root_certificate(authority.pem());
    let error = Client::builder().tls(both).build().unwrap_err();
    assert!(error.is_config() && error.to_string().contains("leave the others out"), "{error}");
}

#[test]
fn certificates_and_keys_that_cannot_work_are_refused_by_build() {
    let authority = Authority::new();
    let (mine, other) = (authority.server(&["a"]), authority.server(&["b"]));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let with_root = |pem: &str| Tls::default().add_root_certificate(pem);
    let certificate = mine.certificate.pem();
    for (tls, parts) in [
        (with_root(""), &["root certificate", "0 bytes"][..]),
        (with_root("no pem at all"), &["root certificate", "CERTIFICATE"]),
        (with_root(broken), &["root certificate"]),
        (Tls::default().identity("", mine.key.serialize_pem()), &["client certificate"]),
        (Tls::default().identity(certificate.clone(), ""), &["client key"]),
        (Tls::default().identity(certificate.clone(), certificate.clone()), &["client key"]),
        (Tls::default().identity(certificate, other.key.serialize_pem()), &["client certificate", "key"]),
    ] {
        let shown = format!("{tls:?}");
        let error = Client::builder().tls(tls).build().unwrap_err();
        assert!(error.is_config(), "{error}");
        let text = error.to_string().to_lowercase();
        assert!(parts.iter().all(|part| text.contains(&part.to_lowercase())), "{error}: {parts:?}");
        assert!(!shown.contains("BEGIN"), "{shown}");
    }
}

#[tokio::test]
async fn the_provider_of_the_process_is_never_asked_for() {
    let (authority, peer) = (Authority::new(), peer());
    let front = Front::new(&peer, "127.0.0.1", authority.server(&["localhost"]).config(None)).await.unwrap();
    authority.trusting().build().unwrap().get(front.url("localhost")).await.unwrap();
    // Whoever asks rustls for a default installs one, or panics where a tree has two to choose from.
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

/// Runs [`in_a_process_of_its_own`] with these variables.
async fn child(url: &str, expect: &str, variables: &[(&str, &std::path::Path)]) {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "client::tests::tls::in_a_process_of_its_own"])
        .env(CHILD, format!("{url} {expect}"));
    command.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE").kill_on_drop(true);
    for (name, value) in variables {
        command.env(name, value);
    }
    let out = tokio::time::timeout(30 * SEC, command.output()).await.unwrap().unwrap();
    assert!(out.status.success(), "{expect}: {}", String::from_utf8_lossy(&out.stdout));
}

const CHILD: &str = "UNWEDGE_TEST_CHILD";

/// The variables of a process are read once, and not to be changed while it has threads.
#[tokio::test]
async fn in_a_process_of_its_own() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let (url, expect) = order.split_once(' ').unwrap();
    let told = match Client::new().unwrap().get(url).await {
        Ok(response) => response.text().await.unwrap(),
        Err(error) => format!("{:?} {error}", error.kind()),
    };
    assert!(told.contains(expect), "{told}");
}

#[tokio::test]
async fn the_variables_for_the_roots_of_the_platform_are_honoured() {
    let (authority, peer) = (Authority::new(), peer());
    let front = Front::new(&peer, "127.0.0.1", authority.server(&["localhost"]).config(None)).await.unwrap();
    let url = front.url("localhost");
    let directory = std::env::temp_dir().join(format!("unwedge-roots-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (file, empty) = (directory.join("roots.pem"), directory.join("empty"));
    std::fs::create_dir_all(&empty).unwrap();
    std::fs::write(&file, authority.pem()).unwrap();
    child(&url, "secret", &[("SSL_CERT_FILE", &file)]).await;
    child(&url, "secret", &[("SSL_CERT_DIR", &directory)]).await;
    child(&url, "Config GET https://localhost", &[("SSL_CERT_DIR", &empty)]).await;
    child(&url, "no root certificate was found", &[("SSL_CERT_FILE", &directory.join("none"))]).await;
    let plain = format!("http://{}/", peer.listen().unwrap());
    child(&plain, "secret", &[("SSL_CERT_DIR", &empty)]).await;
    std::fs::remove_dir_all(&directory).unwrap();
}
