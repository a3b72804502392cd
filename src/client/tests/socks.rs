//! Proxies by SOCKS5, over real sockets.

use super::*;
use crate::{ErrorKind, Limits, Phase, retry};
use hyper_util::client::legacy::connect::dns::Name;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that leads to this address whatever was asked for, or answers so; it ends with this value.
struct Socks {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

/// How it answers.
#[derive(Clone, Copy)]
enum Answer {
    Connected(SocketAddr),
    /// With this code of RFC 1928, 6.
    Refused(u8),
    Silent,
}

impl Socks {
    /// Whom it lets in, where it asks.
    async fn new(answer: Answer, user: Option<(&'static str, &'static str)>) -> Socks {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Arc::default());
        let (mut tasks, asking) = (JoinSet::new(), Arc::clone(&asked));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let asked = Arc::clone(&asking);
                connections.spawn(async move {
                    let _ = play(tcp, answer, user, &asked).await;
                });
            }
        });
        Socks { at, asked, _tasks: tasks }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn text(io: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = vec![0; io.read_u8().await?.into()];
    io.read_exact(&mut bytes).await?;
    Ok(String::from_utf8(bytes).unwrap())
}

async fn play(
    mut io: TcpStream,
    answer: Answer,
    user: Option<(&str, &str)>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    assert_eq!(io.read_u8().await?, 5);
    let mut methods = vec![0; io.read_u8().await?.into()];
    io.read_exact(&mut methods).await?;
    let method = if user.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        return io.write_all(&[5, 0xff]).await;
    }
    io.write_all(&[5, method]).await?;
    if let Some((name, password)) = user {
        assert_eq!(io.read_u8().await?, 1);
        let said = (text(&mut io).await?, text(&mut io).await?);
        let good = said == (name.to_owned(), password.to_owned());
        io.write_all(&[1, u8::from(!good)]).await?;
        if !good {
            return Ok(());
        }
    }
    let mut head = [0; 4];
    io.read_exact(&mut head).await?;
    let host = match head[3] {
        1 => {
            let mut four = [0; 4];
            io.read_exact(&mut four).await?;
            std::net::Ipv4Addr::from(four).to_string()
        }
        3 => text(&mut io).await?,
        other => panic!("no test asks for addresses of kind {other}"),
    };
    let port = io.read_u16().await?;
    asked.lock().unwrap().push(format!("{host}:{port}"));
    let code = match answer {
        Answer::Connected(_) => 0,
        Answer::Refused(code) => code,
        Answer::Silent => std::future::pending().await,
    };
    io.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    if let Answer::Connected(to) = answer {
        #[expect(clippy::disallowed_methods, reason = "loopback, in a test")]
        let mut there = TcpStream::connect(to).await?;
        let _ = copy_bidirectional(&mut io, &mut there).await;
    }
    Ok(())
}

fn through(url: String) -> ClientBuilder {
    let once = retry::Settings::default().max_retries(0);
    Client::builder().network(Network::default().proxy(url)).retry(once)
}

#[tokio::test]
async fn names_are_looked_up_by_the_proxy_with_socks5h_and_here_with_socks5() {
    let peer = Peer::new().forever(Reply::ok("through"));
    let proxy = Socks::new(Answer::Connected(peer.listen().unwrap()), None).await;
    let fixed = tower::service_fn(|name: Name| async move {
        assert_eq!(name.as_str(), "api.example");
        Ok::<_, std::io::Error>([SocketAddr::from(([192, 0, 2, 7], 0))])
    });
    for (scheme, asked) in [("socks5h", "api.example:80"), ("socks5", "192.0.2.7:80")] {
        let client = through(format!("{scheme}://{}", proxy.at)).resolver(fixed).build().unwrap();
        let response = client.get("http://api.example/jobs?x=1").await.unwrap();
        assert_eq!(response.text().await.unwrap(), "through");
        assert_eq!(proxy.asked().last().map(String::as_str), Some(asked));
    }
    assert_eq!(peer.requests()[0].target, "/jobs?x=1", "no whole URL: it is the origin that reads it");
}

#[tokio::test]
async fn https_goes_through_socks_with_user_name_and_password() {
    let authority = tls::Authority::new();
    let (at, _tasks) = proxies::target(&authority, &[b"h2"]).await;
    let proxy = Socks::new(Answer::Connected(at), Some(("me", "p@ss"))).await;
    let network = Network::default().proxy(format!("socks5h://me:p%40ss@{}", proxy.at));
    let client = authority.trusting().network(network).build().unwrap();
    let response = client.get("https://api.example/jobs").await.unwrap();
    assert_eq!(response.headers()["spoke"], "h2");
    assert_eq!(proxy.asked(), ["api.example:443"]);
}

#[tokio::test]
async fn a_socks_proxy_that_refuses_is_a_connect_error_that_names_it_without_its_credentials() {
    let user = Some(("me", "right"));
    for (answer, user, said, retriable) in [
        (Answer::Refused(5), None, "refused: ", true),
        (Answer::Silent, None, "no connection after 300 ms", true),
        (Answer::Refused(5), user, "refused: credentials not accepted", false),
    ] {
        let proxy = Socks::new(answer, user).await;
        let name = if user.is_some() { "me:wr0ng@" } else { "" };
        let client = through(format!("socks5h://{name}{}", proxy.at));
        let client = client.limits(Limits::default().connect(300 * MS)).build().unwrap();
        let error = client.get("https://api.example/jobs").await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Connect)), "{text}");
        assert!(text.contains(said) && text.contains(&format!("proxy socks5h://{}", proxy.at)), "{text}");
        assert!(!text.contains("wr0ng"), "{text}");
        assert_eq!(error.is_retriable(), retriable, "{text}");
    }
}
