//! Roots and identity that are renewed while a client runs, over real sockets.

use super::tls::{Authority, Front, peer};
use super::*;
use crate::testing::Peer;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A folder of its own, gone with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("unwedge-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Whole at once, as whoever replaces a file should do it.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let (new, path) = (self.0.join("new"), self.0.join(name));
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A peer whose every answer ends its connection.
fn closing() -> Peer {
    Peer::new().forever(Reply::ok("secret").header("connection", "close"))
}

async fn front(peer: &Peer, authority: &Authority) -> Front {
    Front::new(peer, "127.0.0.1", authority.server(&["localhost"]).config(None)).await.unwrap()
}

#[tokio::test]
async fn a_rotated_file_of_roots_is_trusted_by_the_call_that_meets_the_new_certificate() {
    let folder = Folder::new("rotated");
    let (old, new, peer) = (Authority::new(), Authority::new(), closing());
    let path = folder.write("roots.pem", &old.pem());
    let client = Client::builder().tls(Tls::default().roots_file(&path)).build().unwrap();
    let (before, after) = (front(&peer, &old).await, front(&peer, &new).await);
    assert_eq!(client.get(before.url("localhost")).await.unwrap().status(), 200);
    let error = client.get(after.url("localhost")).await.unwrap_err();
    assert!(error.to_string().contains("certificate") && !error.is_retriable(), "{error}");
    assert_eq!(after.accepted(), 1, "the file says nothing new");
    folder.write("roots.pem", &new.pem());
    let answer = client.post(after.url("localhost")).body("job").await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.attempts().count), (200, 1), "not even a second attempt");
    assert_eq!((after.accepted(), peer.request_count()), (3, 2));
    let error = client.get(before.url("localhost")).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "what is gone is trusted no more: {error}");
}

#[tokio::test]
async fn many_connects_that_meet_a_new_certificate_at_once_all_find_the_new_root() {
    let folder = Folder::new("crowd");
    let (old, new, peer) = (Authority::new(), Authority::new(), closing());
    let path = folder.write("roots.pem", &old.pem());
    let client = Client::builder().tls(Tls::default().roots_file(&path)).build().unwrap();
    assert_eq!(client.get(front(&peer, &old).await.url("localhost")).await.unwrap().status(), 200);
    let after = front(&peer, &new).await;
    folder.write("roots.pem", &new.pem());
    let calls: Vec<_> = (0..20).map(|_| Beside::new(client.get(after.url("localhost")).send())).collect();
    for call in calls {
        assert_eq!(call.ended().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_file_that_is_half_written_or_gone_leaves_the_old_roots_in_use_until_it_is_whole() {
    let folder = Folder::new("half");
    let (old, new, peer) = (Authority::new(), Authority::new(), closing());
    let path = folder.write("roots.pem", &old.pem());
    let client = Client::builder().tls(Tls::default().roots_file(&path)).build().unwrap();
    let (before, after) = (front(&peer, &old).await, front(&peer, &new).await);
    assert_eq!(client.get(before.url("localhost")).await.unwrap().status(), 200);
    let half = new.pem();
    for broken in [Some(&half[..half.len() / 2]), Some(""), Some("no certificate"), None] {
        match broken {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = client.get(after.url("localhost")).await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
        assert_eq!(client.get(before.url("localhost")).await.unwrap().status(), 200, "{broken:?}");
    }
    folder.write("roots.pem", &half);
    assert_eq!(client.get(after.url("localhost")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_by_build_which_names_them() {
    let folder = Folder::new("refused");
    let authority = Authority::new();
    let (mine, other) = (authority.server(&["a"]), authority.server(&["b"]));
    let (none, empty) = (folder.0.join("none.pem"), folder.write("empty.pem", ""));
    let certificate = folder.write("mine.crt", &mine.certificate.pem());
    let key = folder.write("other.key", &other.key.serialize_pem());
    let roots = |path: &Path| Tls::default().roots_file(path);
    let long = folder.write("long.pem", &"x".repeat((8 << 20) + 1));
    for (tls, parts) in [
        (roots(&none), &["root certificate in", "none.pem"][..]),
        (roots(&empty), &["root certificate in", "empty.pem", "0 bytes"]),
        (roots(&folder.0), &["cannot be read: it must be a file"]),
        (roots(&long), &["long.pem", "longer than 8388608 bytes"]),
        (Tls::default().identity_files(&none, &key), &["client certificate in", "none.pem"]),
        (Tls::default().identity_files(&certificate, &none), &["client key in", "none.pem"]),
        (Tls::default().identity_files(&certificate, &certificate), &["client key in", "mine.crt"]),
        (
            Tls::default().identity_files(&certificate, &key),
            &["client certificate in", "mine.crt", "cannot be used"],
        ),
        (Tls::default().identity_files(&certificate, &key).identity("a", "b"), &["leave one of them out"]),
    ] {
        let error = Client::builder().tls(tls).build().unwrap_err();
        assert!(error.is_config(), "{error}");
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{error}: {parts:?}");
    }
}

/// Who was seen by a server that asks for a certificate of `clients`.
async fn asking(clients: &Authority) -> (Front, Peer) {
    let peer = closing();
    let config = clients.server(&["localhost"]).config(Some(clients));
    (Front::new(&peer, "127.0.0.1", config).await.unwrap(), peer)
}

#[tokio::test]
async fn an_identity_from_files_is_shown_and_certificate_and_key_may_stand_in_one_file() {
    let folder = Folder::new("identity");
    let authority = Authority::new();
    let me = authority.sign(&["agent"], ExtendedKeyUsagePurpose::ClientAuth);
    let both = folder.write("both.pem", &format!("{}{}", me.certificate.pem(), me.key.serialize_pem()));
    let (front, _peer) = asking(&authority).await;
    let tls = Tls::default().add_root_certificate(authority.pem()).identity_files(&both, &both);
    let client = Client::builder().tls(tls).build().unwrap();
    assert_eq!(client.get(front.url("localhost")).await.unwrap().status(), 200);
}

/// A resolver of the user's, whose certificate is another after a while.
#[derive(Debug)]
struct Renewing(Mutex<Option<Arc<CertifiedKey>>>);

impl ResolvesClientCert for Renewing {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.lock().unwrap().clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_resolver_of_certificates_of_the_users_is_asked_at_each_handshake() {
    let authority = Authority::new();
    let (front, peer) = asking(&authority).await;
    let provider = crate::tls::provider().unwrap();
    let resolver = Arc::new(Renewing(Mutex::default()));
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_client_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesClientCert>);
    let client = Client::builder().tls(Tls::default().config(Arc::new(config))).build().unwrap();
    assert!(client.get(front.url("localhost")).await.is_err(), "it has none yet");
    let me = authority.sign(&["agent"], ExtendedKeyUsagePurpose::ClientAuth);
    let chain: Vec<CertificateDer<'static>> = vec![me.certificate.der().clone()];
    let key = PrivateKeyDer::try_from(me.key.serialize_der()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    *resolver.0.lock().unwrap() = Some(Arc::new(CertifiedKey::new(chain, key)));
    assert_eq!(client.get(front.url("localhost")).await.unwrap().status(), 200);
    assert_eq!(peer.request_count(), 1);
}

#[tokio::test]
async fn roots_given_as_bytes_and_a_certificate_that_stays_refused_cost_one_connection() {
    let (trusted, stranger, peer) = (Authority::new(), Authority::new(), peer());
    let client = trusted.trusting().build().unwrap();
    let unknown = front(&peer, &stranger).await;
    for n in 1..=3 {
        let error = client.get(unknown.url("localhost")).await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
        assert_eq!((unknown.accepted(), peer.request_count()), (n, 0));
    }
}
