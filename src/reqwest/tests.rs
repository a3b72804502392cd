//! What needs a certificate: redirects that leave https.

use crate::testing::{Peer, Reply};
use crate::{ErrorKind, tls};
use hyper_util::rt::TokioIo;
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

#[tokio::test]
async fn from_https_to_http_nothing_is_followed() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
    let trusting = tls::config(&tls::provider(), roots).unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let shown = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();

    let plain = Peer::new().forever(Reply::ok("read by everybody on the way"));
    let down = format!("http://{}/?token=secret", plain.listen().unwrap());
    let peer = Peer::new().on("/down", Reply::redirect(&down)).on("/here", Reply::redirect("/there"));
    let peer = peer.forever(Reply::ok("there"));
    let listener = TcpListener::bind(("localhost", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (acceptor, mut pipe) = (TlsAcceptor::from(Arc::new(shown)), peer.pipe());
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            let mut front = acceptor.accept(tcp).await.expect("a handshake");
            let behind = pipe.call(http::Uri::from_static("http://peer/")).await.expect("a connection");
            let mut behind = TokioIo::into_inner(behind);
            connections.spawn(async move { tokio::io::copy_bidirectional(&mut front, &mut behind).await });
        }
    });

    let inner = |inner: ::reqwest::ClientBuilder| inner.no_proxy().tls_backend_preconfigured(trusting);
    let client = super::builder().inner(inner).build().unwrap();
    let error = client.get(format!("https://localhost:{port}/down")).send().await.unwrap_err();
    let why = super::cause(&error).expect("it failed under the stack");
    assert_eq!((why.kind(), why.is_retriable()), (ErrorKind::Redirect, false));
    let said = format!("{why} {why:?}");
    assert!(said.contains("not followed: it leads from https to http") && !said.contains("secret"), "{said}");
    assert_eq!((peer.request_count(), plain.connections()), (1, 0));

    let answer = client.get(format!("https://localhost:{port}/here")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "there", "it is the way down alone that is refused");
}
