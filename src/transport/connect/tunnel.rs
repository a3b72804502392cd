//! Tunnels through a proxy: CONNECT (RFC 9110, 9.3.6) and SOCKS5 (RFC 1928).
//!
//! SOCKS5 is hyper-util's. Its `Tunnel` for CONNECT (0.1.21) is not used, for what it does not do; the last test here says so
//! of it, and when that fails it can take the place of this:
//!
//! - It takes 200 for the only answer: a 1xx before it, which RFC 9110 (15.2) has a client pass over, and any other 2xx,
//!   which is success (9.3.6), are "unsuccessful".
//! - It keeps no status but 407, so that a 403 for good and a 503 that passes look the same to whoever would repeat it.
//! - It reads on behind the answer and drops what it finds there, which is what an origin that speaks first has said.

use crate::error::{Error, ErrorKind, Phase};
use crate::transport::connect::io::Stream;
use crate::transport::connect::proxy::Proxy;
use http::{StatusCode, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::SocksV5;
use std::future::ready;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tower::util::service_fn;
use tower_service::Service;

/// The answer to CONNECT may not be longer, with all that is informational before it.
const ANSWER: usize = 8 * 1024;

/// Has the proxy at the other end of this connection connect to this host.
pub(super) async fn through(proxy: &Proxy, stream: Stream, host: &str, port: u16) -> Result<Stream, Error> {
    if proxy.is_socks() {
        socks5(proxy, stream, host, port).await
    } else {
        connect(proxy, stream, host, port).await
    }
}

fn broken(proxy: &Proxy, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Connect, format!("{proxy}: {what}")).at(Phase::Connect)
}

async fn connect(proxy: &Proxy, mut stream: Stream, host: &str, port: u16) -> Result<Stream, Error> {
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(authorization) = proxy.authorization() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let lost = |error: io::Error| broken(proxy, "the connection broke before it answered").with_source(error);
    stream.write_all(&request).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut left = ANSWER;
    loop {
        let mut answer = Vec::with_capacity(256);
        // Byte by byte: what comes behind the answer is the origin's, which may speak first.
        while !answer.ends_with(b"\r\n\r\n") {
            if left == 0 {
                return Err(broken(proxy, "its answer is above its cap of 8 KiB"));
            }
            let mut byte = [0];
            if stream.read(&mut byte).await.map_err(lost)? == 0 {
                return Err(broken(proxy, "the connection closed before it answered"));
            }
            answer.push(byte[0]);
            left -= 1;
        }
        match status(&answer) {
            None => return Err(broken(proxy, "its answer is not HTTP/1.1")),
            Some(status) if status.is_success() => return Ok(stream),
            // RFC 9110, 15.2: any number of them may come before the response.
            Some(status) if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS => {}
            Some(status) => return Err(proxy.refused(status)),
        }
    }
}

fn status(answer: &[u8]) -> Option<StatusCode> {
    let rest = answer.strip_prefix(b"HTTP/1.0 ").or_else(|| answer.strip_prefix(b"HTTP/1.1 "))?;
    match rest.get(3) {
        Some(b' ' | b'\r') => StatusCode::from_bytes(&rest[..3]).ok(),
        _ => None,
    }
}

async fn socks5(proxy: &Proxy, stream: Stream, host: &str, port: u16) -> Result<Stream, Error> {
    let to: Uri = format!("http://{host}:{port}/")
        .parse()
        .map_err(|_| Error::config(format!("the host {host:?} cannot be asked of a proxy")))?;
    let mut connected = Some(OneByOne(stream));
    let inner = service_fn(move |_: Uri| {
        ready(connected.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let mut socks = SocksV5::new(proxy.uri().clone(), inner);
    if let Some((user, password)) = proxy.user() {
        socks = socks.with_auth(user.to_owned(), password.to_owned());
    }
    match socks.call(to).await {
        Ok(OneByOne(stream)) => Ok(stream),
        Err(error) => {
            // By its words, because hyper-util keeps the type to itself.
            let text = error.to_string();
            let said = text.strip_prefix("SOCKS error: ").unwrap_or(&text);
            let mut error = broken(proxy, format!("refused: {said}"));
            // Nobody will know these credentials the next time.
            error.inner_mut().fault.caller =
                said.contains("credentials not accepted") || said.contains("user/pass authentication");
            Err(error)
        }
    }
}

/// Reads no byte too many: what comes behind the answer of the proxy is the origin's, and hyper-util would drop it.
struct OneByOne(Stream);

impl Read for OneByOne {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut one))?;
        buf.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for OneByOne {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::connect::proxy::Proxies;
    use crate::transport::connect::stream::TokioStream;
    use hyper_util::rt::TokioIo;

    #[test]
    fn only_a_status_line_is_an_answer() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n\r\n"), Some(StatusCode::OK));
        assert_eq!(status(b"HTTP/1.0 407\r\n\r\n"), Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED));
        for bad in
            [&b"HTTP/1.1 2000 OK\r\n\r\n"[..], b"HTTP/2 200\r\n\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 20"]
        {
            assert_eq!(status(bad), None);
        }
    }

    /// What becomes of a tunnel whose proxy answers so, all at once.
    async fn opened(proxy: &str, answer: &[u8]) -> Result<String, String> {
        let proxies = Proxies::of(proxy).unwrap();
        let proxy = proxies.toward(&Uri::from_static("http://api.example/")).unwrap().unwrap();
        let (near, mut far) = tokio::io::duplex(16 * 1024);
        far.write_all(answer).await.unwrap();
        let near = Stream::foreign(TokioStream::new(near));
        let mut stream = through(&proxy, near, "api.example", 443).await.map_err(|e| e.to_string())?;
        let mut first = [0; 64];
        let n = stream.read(&mut first).await.unwrap();
        Ok(String::from_utf8_lossy(&first[..n]).into_owned())
    }

    #[tokio::test]
    async fn what_the_origin_says_right_behind_the_answer_of_a_proxy_is_not_lost() {
        let established = b"HTTP/1.1 200 OK\r\n\r\nfirst words";
        assert_eq!(opened("http://p:1", established).await.as_deref(), Ok("first words"));
        let accepted = b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00first words";
        assert_eq!(opened("socks5h://p:1", accepted).await.as_deref(), Ok("first words"));
    }

    #[tokio::test]
    async fn informational_responses_before_the_answer_are_passed_over_within_the_cap() {
        let hint = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
        let answer = [&hint[..], hint, b"HTTP/1.1 204 No Content\r\n\r\nfirst"].concat();
        assert_eq!(opened("http://p:1", &answer).await.as_deref(), Ok("first"));
        let refused = [&hint[..], b"HTTP/1.1 407 No\r\n\r\n"].concat();
        let said = opened("http://p:1", &refused).await.unwrap_err();
        assert!(said.contains("refused: 407"), "{said}");
        let said = opened("http://p:1", &hint.repeat(300)).await.unwrap_err();
        assert!(said.contains("above its cap of 8 KiB"), "{said}");
        let said = opened("http://p:1", b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap_err();
        assert!(said.contains("refused: 101"), "{said}");
    }

    #[tokio::test]
    async fn the_tunnel_of_hyper_util_lacks_what_this_one_is_there_for() {
        use hyper_util::client::legacy::connect::proxy::Tunnel;
        async fn opened(answer: &[u8]) -> Result<String, String> {
            let (near, mut far) = tokio::io::duplex(16 * 1024);
            far.write_all(answer).await.unwrap();
            let mut near = Some(Stream::foreign(TokioStream::new(near)));
            let inner = service_fn(move |_: Uri| ready(near.take().map(TokioIo::new).ok_or("once")));
            let mut tunnel = Tunnel::new(Uri::from_static("http://p:1"), inner);
            let opened = tunnel.call(Uri::from_static("https://api.example/")).await;
            let mut stream = opened.map_err(|error| error.to_string())?.into_inner();
            far.write_all(b"|").await.unwrap();
            let mut first = [0; 64];
            let n = stream.read(&mut first).await.unwrap();
            Ok(String::from_utf8_lossy(&first[..n]).into_owned())
        }
        let hint = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        for answer in [&hint[..], b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 403 Forbidden\r\n\r\n"] {
            assert_eq!(opened(answer).await.unwrap_err(), "tunnel error: unsuccessful");
        }
        assert_eq!(opened(b"HTTP/1.1 200 OK\r\n\r\nfirst words").await.as_deref(), Ok("|"), "they are lost");
    }
}
