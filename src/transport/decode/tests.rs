use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

fn gz(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A body of these pieces.
struct Pieces(std::vec::IntoIter<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|data| Ok(Frame::data(data))))
    }
}

fn body(encoded: &[u8], size: usize) -> Gunzip<Pieces> {
    let pieces: Vec<Bytes> = encoded.chunks(size.max(1)).map(Bytes::copy_from_slice).collect();
    Gunzip::new(Pieces(pieces.into_iter()))
}

/// All that is decoded, and the size of the largest piece.
fn decoded(mut body: Gunzip<Pieces>) -> Result<(Vec<u8>, usize), Error> {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut all, mut largest) = (Vec::new(), 0);
    loop {
        match body.poll(&mut cx) {
            Poll::Ready(Some(frame)) => {
                let data = frame?.into_data().unwrap();
                largest = largest.max(data.len());
                all.extend_from_slice(&data);
            }
            Poll::Ready(None) => return Ok((all, largest)),
            Poll::Pending => {}
        }
    }
}

#[test]
fn a_bomb_comes_in_pieces_of_bounded_size() {
    let bomb = gz(&vec![0; 64 << 20]);
    for size in [bomb.len(), 1000] {
        let (all, largest) = decoded(body(&bomb, size)).unwrap();
        assert_eq!(all.len(), 64 << 20);
        assert!(largest <= 128 << 10, "{largest}");
    }
}

#[test]
fn a_stream_of_empty_blocks_lets_the_timers_have_a_look() {
    let mut nothing = gz(b"")[..10].to_vec();
    nothing.extend([0, 0, 0, 0xff, 0xff].repeat(1000));
    let mut body = body(&nothing, 5);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(body.poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(body.body.0.len() > 900, "it had not read all of it");
    assert!(woken.0.load(Ordering::SeqCst), "nobody else would have it read on: the rest is there already");
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn after_an_error_the_body_has_ended() {
    let mut body = body(b"this is no gzip", 100);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(body.poll(&mut cx), Poll::Ready(Some(Err(_)))));
    assert!(matches!(body.poll(&mut cx), Poll::Ready(None)));
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back_however_it_is_cut_into_pieces(
        data in proptest::collection::vec(any::<u8>(), 0..3000),
        repeat in 1usize..40,
        size in 1usize..5000,
    ) {
        let data = data.repeat(repeat);
        prop_assert_eq!(decoded(body(&gz(&data), size)).unwrap().0, data);
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_is_an_error(
        data in proptest::collection::vec(any::<u8>(), 0..300),
        cut in any::<prop::sample::Index>(),
        size in 1usize..400,
    ) {
        let whole = gz(&data);
        let cut = 1 + cut.index(whole.len() - 1);
        prop_assert!(decoded(body(&whole[..cut], size)).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic_or_spin(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1usize..300) {
        let mut spoilt = gz(&bytes);
        let at = bytes.len() % spoilt.len();
        spoilt[at] ^= 0x55;
        let _ = decoded(body(&spoilt, size));
        let _ = decoded(body(&bytes, size));
    }
}
