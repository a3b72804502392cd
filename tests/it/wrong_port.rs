//! A port that speaks something else than its URL says, and TLS that ends without a word.

use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_layer::Layer;
use unwedge::{Body, Client, ErrorKind, StackLayer, retry};

/// A server that says this to whoever connects, after it has heard something.
async fn saying(bytes: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
        }
    });
    addr
}

async fn refused(url: String) -> String {
    let once = retry::Settings::default().max_retries(0);
    let client = Client::builder().retry(once).build().unwrap();
    client.get(url).send().await.map(drop).unwrap_err().to_string()
}

#[tokio::test]
async fn tls_asked_of_a_plain_port_says_which_url_was_meant() {
    let addr = saying(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    let error = refused(format!("https://{addr}/")).await;
    assert!(error.contains("does not speak TLS: is its URL http://?"), "{error}");
}

#[tokio::test]
async fn plain_http_asked_of_a_tls_port_says_which_url_was_meant() {
    // An alert: unexpected message.
    let addr = saying(b"\x15\x03\x03\x00\x02\x02\x0a").await;
    let error = refused(format!("http://{addr}/")).await;
    assert!(error.contains("does not speak HTTP/1: is its URL https://?"), "{error}");
}

#[tokio::test]
async fn https_of_a_client_without_tls_is_one_error_that_says_so_and_blames_no_server() {
    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Body>();
    let stack = StackLayer::default();
    let request = http::Request::get("https://127.0.0.1:9/").body(Body::empty()).unwrap();
    let error = stack.layer(client).oneshot(request).await.map(drop).unwrap_err();
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Config, false), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("the client beneath speaks no TLS") && !said.contains("before:"), "{said}");
    let breaker = stack.breakers().snapshot().pop().unwrap();
    assert_eq!(breaker.consecutive_failures, 0, "{breaker:?}");
}
