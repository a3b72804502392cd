//! URLs as people pass them, and the credentials in them.

use super::*;
use crate::ErrorKind;
use crate::client::url::lift_credentials;
use crate::client::url::sealed::Sealed;
use crate::suspend::WallClock;
use crate::transport::TransportBuilder;
use std::sync::{Arc, Mutex};
use tower::ServiceExt;

#[test]
fn credentials_become_a_header_as_rfc_7617_has_it() {
    let lift = |url: &str| -> Result<_, Error> {
        let mut request = Request::get(url).body(Body::empty()).unwrap();
        lift_credentials(&mut request)?;
        let header = request
            .headers()
            .get("authorization")
            .map(|h| (h.to_str().unwrap().to_owned(), h.is_sensitive()));
        Ok((request.uri().to_string(), header))
    };
    for (url, bare, encoded) in [
        ("http://Aladdin:open%20sesame@a/x?y", "http://a/x?y", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("https://f:@a:8443/", "https://a:8443/", "Zjo="),
        ("http://fo:o@[::1]:80/", "http://[::1]:80/", "Zm86bw=="),
        ("http://fo:ob@a/", "http://a/", "Zm86b2I="),
        ("http://%zz:%4@a/", "http://a/", "JXp6OiU0"),
        ("http://%ff:@a/", "http://a/", "/zo="),
    ] {
        let (uri, header) = lift(url).unwrap();
        assert_eq!((uri.as_str(), header), (bare, Some((format!("Basic {encoded}"), true))), "{url}");
    }
    assert_eq!(lift("http://a/@b?c@d").unwrap(), ("http://a/@b?c@d".into(), None));
    assert_eq!(lift("http://@a/x").unwrap(), ("http://a/x".into(), None), "nobody is named");
}

#[test]
fn what_is_no_ascii_in_path_and_query_is_percent_encoded_and_in_a_host_refused() {
    for (url, sent) in [
        ("http://a/caf\u{e9}?q=\u{fc}&x=%C3%BC", "http://a/caf%C3%A9?q=%C3%BC&x=%C3%BC"),
        ("http://a?\u{20ac}", "http://a/?%E2%82%AC"),
        ("http://a/plain%20text?x", "http://a/plain%20text?x"),
    ] {
        assert_eq!(url.into_url().unwrap(), sent, "{url}");
    }
    let given: http::Uri = "http://a/caf\u{e9}".parse().unwrap();
    assert_eq!(given.into_url().unwrap(), "http://a/caf%C3%A9");
    assert!("http://caf\u{e9}/".into_url().unwrap_err().is_config());
}

/// As a layer inside the attempts may have left it.
#[tokio::test(start_paused = true)]
async fn a_request_that_names_no_server_is_refused_below_too_and_connect_names_it_without_a_scheme() {
    let peer = Peer::new().forever(Reply::status(405));
    let mut transport = TransportBuilder::default();
    transport.connector(peer.pipe());
    let mut transport = transport.build(SEC, WallClock::default()).unwrap();
    let request =
        |method: Method, uri: &str| Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
    for uri in ["/jobs", "*", "api.example", "api.example:80", "api.example:443"] {
        let Err(error) = transport.call(request(Method::GET, uri)).await else { panic!("{uri} was sent") };
        assert_eq!(error.kind(), ErrorKind::Config, "{uri}: {error}");
        assert!(error.to_string().contains("is not absolute"), "{uri}: {error}");
    }
    assert_eq!(peer.connections(), 0);
    assert_eq!(transport.call(request(Method::CONNECT, "api.example:80")).await.unwrap().status(), 405);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connect_to_the_port_of_https_goes_over_tls_and_one_to_another_port_does_not() {
    let peer = Peer::new().forever(Reply::status(405));
    let (pipe, asked) = (peer.pipe(), Arc::new(Mutex::new(Vec::new())));
    let mut transport = TransportBuilder::default();
    let told = Arc::clone(&asked);
    transport.connector(tower::service_fn(move |uri: http::Uri| {
        told.lock().unwrap().push(uri.to_string());
        pipe.clone().oneshot(uri)
    }));
    let mut transport = transport.build(SEC, WallClock::default()).unwrap();
    for named in ["api.example:443", "api.example:8443"] {
        let request = Request::builder().method(Method::CONNECT).uri(named).body(Body::empty()).unwrap();
        let _ = transport.call(request).await;
    }
    assert_eq!(*asked.lock().unwrap(), ["https://api.example:443/", "http://api.example:8443/"]);
}
