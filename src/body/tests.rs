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
