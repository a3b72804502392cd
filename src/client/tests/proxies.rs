//! Proxies over real sockets. Targets have names of their own, since a loopback host is never behind a proxy.

use super::tls::Authority;
use super::*;
use crate::{ErrorKind, Limits, Phase, retry};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A proxy that tunnels to this address whatever was asked for, or gives this answer; it ends with this value.
struct Proxy {
    at: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    async fn new(answer: &'static str, to: Option<SocketAddr>, tls: Option<rustls::ServerConfig>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, heads) = (listener.local_addr().unwrap(), Arc::default());
        let (mut tasks, seen) = (JoinSet::new(), Arc::clone(&heads));
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                connections.spawn(async move {
                    match acceptor {
                        None => play(tcp, answer, to, &seen).await,
                        Some(acceptor) => {
                            if let Ok(tls) = acceptor.accept(tcp).await {
                                assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
                                play(tls, answer, to, &seen).await;
                            }
                        }
                    }
                });
            }
        });
        Proxy { at, heads, _tasks: tasks }
    }

    async fn tunnel(to: SocketAddr) -> Proxy {
        Proxy::new("HTTP/1.1 200 Connection established\r\nvia: 1.1 p\r\n\r\n", Some(to), None).await
    }

    fn url(&self) -> String {
        format!("http://user:s%40cret@{}", self.at)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn play<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut io: S,
    answer: &str,
    to: Option<SocketAddr>,
    seen: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    seen.lock().unwrap().push(String::from_utf8(head).unwrap());
    let _ = io.write_all(answer.as_bytes()).await;
    if let Some(to) = to {
        #[expect(clippy::disallowed_methods, reason = "loopback, in a test")]
        let Ok(mut there) = TcpStream::connect(to).await else { return };
        let _ = copy_bidirectional(&mut io, &mut there).await;
    } else if answer.is_empty() {
        std::future::pending::<()>().await;
    }
}

fn through(url: &str) -> Network {
    Network::default().proxy(url)
}

fn once() -> retry::Settings {
    retry::Settings::default().max_retries(0)
}

/// A server with TLS that is found by no name. It says which version it spoke, and whether it was told a proxy's secret.
pub(super) async fn target(authority: &Authority, alpn: &[&[u8]]) -> (SocketAddr, JoinSet<()>) {
    let mut config = authority.server(&["api.example"]).config(None);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                    let mut served = h2::server::handshake(tls).await.unwrap();
                    while let Some(Ok((request, mut respond))) = served.accept().await {
                        let told = request.headers().contains_key("proxy-authorization");
                        let head = http::Response::builder().header("spoke", "h2");
                        let head = head.header("told", told.to_string()).body(()).unwrap();
                        respond.send_response(head, true).unwrap();
                    }
                    return;
                }
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = tls.read_u8().await else { return };
                    head.push(byte);
                }
                let told =
                    String::from_utf8(head).unwrap().to_ascii_lowercase().contains("proxy-authorization");
                let head = format!(
                    "HTTP/1.1 200 OK\r\nspoke: http/1.1\r\ntold: {told}\r\ncontent-length: 0\r\n\r\n"
                );
                let _ = tls.write_all(head.as_bytes()).await;
            });
        }
    });
    (at, tasks)
}

#[tokio::test]
async fn https_goes_through_a_tunnel_and_the_server_chooses_the_version_of_http() {
    let authority = Authority::new();
    for (alpn, spoken) in
        [(&[&b"h2"[..], b"http/1.1"][..], "h2"), (&[b"http/1.1"], "http/1.1"), (&[], "http/1.1")]
    {
        let (at, _tasks) = target(&authority, alpn).await;
        let proxy = Proxy::tunnel(at).await;
        let client = authority.trusting().network(through(&proxy.url())).build().unwrap();
        let response = client.get("https://api.example/jobs").await.unwrap();
        assert_eq!(response.headers()["spoke"], spoken);
        assert_eq!(
            proxy.heads(),
            ["CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\
              Proxy-Authorization: Basic dXNlcjpzQGNyZXQ=\r\n\r\n"]
        );
        let breakers = client.breakers().snapshot();
        assert_eq!(&*breakers[0].origin, "https://api.example", "the target's, not the proxy's");
    }
}

#[tokio::test]
async fn the_credentials_of_a_proxy_do_not_go_through_its_tunnel_to_the_server() {
    let authority = Authority::new();
    for alpn in [b"h2".as_slice(), b"http/1.1"] {
        let (at, _tasks) = target(&authority, &[alpn]).await;
        let proxy = Proxy::tunnel(at).await;
        let client = authority.trusting().network(through(&proxy.url())).build().unwrap();
        let response = client.get("https://api.example/jobs").await.unwrap();
        assert_eq!(response.headers()["told"], "false");
        assert!(proxy.heads()[0].contains("Proxy-Authorization"), "the proxy is told");
    }
}

#[tokio::test]
async fn a_proxy_with_tls_is_spoken_to_in_http_1_1_and_the_tunnel_has_tls_of_its_own() {
    let authority = Authority::new();
    let (at, _tasks) = target(&authority, &[b"h2"]).await;
    let mut config = authority.server(&["127.0.0.1"]).config(None);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let proxy = Proxy::new("HTTP/1.1 200 OK\r\n\r\n", Some(at), Some(config)).await;
    let client = authority.trusting().network(through(&format!("https://{}", proxy.at))).build().unwrap();
    let response = client.get("https://api.example/jobs").await.unwrap();
    assert_eq!(response.headers()["spoke"], "h2");
    assert!(proxy.heads()[0].starts_with("CONNECT api.example:443 "));
}

#[tokio::test]
async fn plain_http_is_asked_of_the_proxy_by_whole_urls_with_its_credentials() {
    let proxy = Proxy::new("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", None, None).await;
    let client = Client::builder().network(through(&proxy.url())).build().unwrap();
    let response = client.get("http://api.example:8080/jobs?x=1").await.unwrap();
    assert_eq!(response.text().await.unwrap(), "ok");
    let head = proxy.heads()[0].to_ascii_lowercase();
    assert!(head.starts_with("get http://api.example:8080/jobs?x=1 http/1.1\r\n"), "{head}");
    assert!(head.contains("host: api.example:8080\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: basic dxnlcjpzqgnyzxq=\r\n"), "{head}");
}

#[tokio::test]
async fn a_proxy_authorization_of_the_callers_own_stands_in_place_of_the_one_in_the_url() {
    let proxy = Proxy::new("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", None, None).await;
    let client = Client::builder().network(through(&proxy.url())).build().unwrap();
    client.get("http://api.example/jobs").header("proxy-authorization", "Bearer own").await.unwrap();
    let head = proxy.heads()[0].to_ascii_lowercase();
    let said: Vec<_> = head.lines().filter(|line| line.starts_with("proxy-authorization")).collect();
    assert_eq!(said, ["proxy-authorization: bearer own"]);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_a_connect_error_that_names_it_without_its_credentials() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cases = [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "refused: 407", false),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "refused: 502", true),
        ("HTTP/1.1 403\r\n\r\n", "refused: 403", false),
        ("garbage\r\n\r\n", "not HTTP/1.1", true),
        ("", "no connection after 300 ms", true),
    ];
    for (answer, said, retriable) in cases {
        let proxy = Proxy::new(answer, None, None).await;
        let client = Client::builder().network(through(&proxy.url())).retry(once());
        let client = client.limits(Limits::default().connect(300 * MS)).build().unwrap();
        let error = client.get("https://api.example/jobs").await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Connect)), "{text}");
        assert!(text.contains(said) && text.contains(&format!("proxy http://{}", proxy.at)), "{text}");
        assert!(!text.contains("cret"), "{text}");
        assert_eq!(error.is_retriable(), retriable, "{text}");
        assert_eq!(&*client.breakers().snapshot()[0].origin, "https://api.example");
    }
    for url in ["https://api.example/", "http://api.example/"] {
        let proxy = format!("http://user:s%40cret@{free}");
        let client = Client::builder().network(through(&proxy)).retry(once()).build().unwrap();
        let error = client.get(url).await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
        assert!(error.to_string().ends_with(&format!("proxy http://{free}: connection refused")), "{error}");
    }
}

#[tokio::test]
async fn a_407_is_not_asked_for_twice_and_a_502_of_a_tunnel_is() {
    for (answer, attempts) in [("HTTP/1.1 407 No\r\n\r\n", 1), ("HTTP/1.1 502 No\r\n\r\n", 3)] {
        let proxy = Proxy::new(answer, None, None).await;
        let retry = retry::Settings::default().max_retries(2).backoff(MS);
        let client = Client::builder().network(through(&proxy.url())).retry(retry).build().unwrap();
        // A POST as well: nothing of it was sent.
        let error = client.post("https://api.example/").body("x").await.unwrap_err();
        assert_eq!((error.attempts(), proxy.heads().len()), (attempts, attempts as usize), "{error}");
        assert_eq!(error.journal().len() as u32, attempts - 1);
    }
    let proxy = Proxy::new("HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n", None, None).await;
    let client = Client::builder().network(through(&proxy.url())).build().unwrap();
    let error = client.get("http://api.example/").await.unwrap_err();
    assert!(error.is_connect() && error.to_string().contains("refused: 407"), "{error}");
}

#[tokio::test]
async fn loopback_hosts_and_a_client_without_proxies_go_directly() {
    let peer = Peer::new().forever(Reply::ok("direct"));
    let at = peer.listen().unwrap();
    let client = Client::builder().network(through("http://proxy.invalid:3128")).build().unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let response = client.get(format!("http://{host}:{}/", at.port())).await.unwrap();
        assert_eq!(response.text().await.unwrap(), "direct");
    }
}

#[tokio::test]
async fn a_proxy_that_is_no_url_is_refused_when_the_client_is_built() {
    let error = Client::builder().network(through("http://user:hunter2@")).build().unwrap_err();
    assert!(error.is_config() && !error.to_string().contains("hunter2"), "{error}");
    assert!(!format!("{:?}", through("http://user:hunter2@p:1")).contains("hunter2"));
}

#[tokio::test]
async fn http_2_without_tls_goes_through_a_tunnel_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::tunnel(listener.local_addr().unwrap()).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut served = h2::server::handshake(tcp).await.unwrap();
        while let Some(Ok((request, mut respond))) = served.accept().await {
            assert!(
                !request.headers().contains_key("proxy-authorization"),
                "the proxy's secret is not the server's"
            );
            respond.send_response(http::Response::new(()), true).unwrap();
        }
    });
    let client = Client::builder().network(through(&proxy.url()).http2_only()).build().unwrap();
    assert_eq!(client.get("http://api.example/").await.unwrap().status(), 200);
    assert!(proxy.heads()[0].starts_with("CONNECT api.example:80 "));
}
