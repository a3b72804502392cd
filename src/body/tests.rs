use super::*;
use http_body_util::{BodyExt, Full};

#[test]
fn a_body_is_send_and_sync_whatever_streams_inside() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Body>();
}

#[tokio::test]
async fn data_comes_before_trailers_and_both_once() {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let mut body = Body::collected(Bytes::from("abc"), Some(Box::new(trailers)));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_body_above_its_cap_is_an_error_whether_declared_or_streamed() {
    let full = Body::full("12345").bytes(4).await.unwrap_err();
    assert!(full.is_too_large() && full.to_string().contains("4 bytes"), "{full}");
    let streamed = Body::streaming(Full::new(Bytes::from("12345")));
    assert!(streamed.bytes(4).await.unwrap_err().is_too_large());
    assert_eq!(Body::streaming(Full::new(Bytes::from("12345"))).bytes(5).await.unwrap(), "12345");
}

#[tokio::test]
async fn an_error_inside_a_stream_reaches_the_reader() {
    let frames =
        [Ok(Frame::data(Bytes::from("a"))), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    struct Frames<I>(I);
    impl<I: Iterator<Item = Result<Frame<Bytes>, std::io::Error>> + Unpin> http_body::Body for Frames<I> {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            Poll::Ready(self.0.next())
        }
    }
    let error = Body::streaming(Frames(frames.into_iter())).bytes(10).await.unwrap_err();
    assert_eq!(error.to_string(), "connection reset");
}

#[tokio::test]
async fn every_kind_of_data_in_memory_becomes_a_body_that_can_be_sent_again() {
    use std::borrow::Cow;
    let bodies: [Body; 8] = [
        Body::from(&b"data"[..]),
        Body::from(Box::<[u8]>::from(&b"data"[..])),
        Body::from(Cow::Borrowed("data")),
        Body::from(Cow::<'static, str>::Owned("data".to_owned())),
        Body::from(Cow::Borrowed(&b"data"[..])),
        Body::from(Cow::<'static, [u8]>::Owned(b"data".to_vec())),
        Body::from(Full::new(Bytes::from("data"))),
        Body::from("data"),
    ];
    for body in bodies {
        assert!(body.is_collected() && body.try_clone().is_some());
        assert_eq!(body.bytes(4).await.unwrap(), "data");
    }
    for empty in [Body::from(http_body_util::Empty::new()), Body::from(Full::new(Bytes::new()))] {
        assert!(http_body::Body::is_end_stream(&empty));
    }
}

#[tokio::test]
async fn a_stream_of_pieces_is_a_body_and_its_error_reaches_the_reader() {
    let pieces = |last: Result<&'static str, &'static str>| {
        futures_util::stream::iter([Ok("a"), Ok(""), last].map(|piece| piece.map(Bytes::from)))
    };
    let body = Body::from_stream(pieces(Ok("b")));
    assert!(!body.is_collected() && body.try_clone().is_none());
    assert_eq!(body.bytes(2).await.unwrap(), "ab");
    let error = Body::from_stream(pieces(Err("the disk is gone"))).bytes(9).await.unwrap_err();
    assert!(error.to_string().contains("the disk is gone"), "{error}");
}
