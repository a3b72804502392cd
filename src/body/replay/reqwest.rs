//! Bodies of reqwest.

use crate::body::replay::same_type::{same, via};

/// It gives its bytes to nobody but the one who owns it: this is a copy. (The middleware owns it, and copies nothing.)
pub(super) fn copy<B: 'static>(body: &B) -> Option<B> {
    via::<B, ::reqwest::Body>(body, |body| body.as_bytes().map(|bytes| bytes.to_vec().into()))
}

pub(super) fn empty<B: 'static>() -> Option<B> {
    same::<B, ::reqwest::Body>(::reqwest::Body::default)
}

#[cfg(test)]
mod tests {
    use crate::body::replay::{Replay, empty};
    use bytes::Bytes;
    use http_body_util::Full;

    #[test]
    fn a_body_of_reqwest_can_be_sent_twice_where_it_is_in_memory() {
        let copy = Replay::default().copy(&::reqwest::Body::from("x")).expect("it is in memory");
        assert_eq!(copy.as_bytes(), Some(&b"x"[..]));
        assert!(Replay::default().copy(&::reqwest::Body::wrap(Full::new(Bytes::from("x")))).is_none());
        assert_eq!(empty::<::reqwest::Body>().unwrap().as_bytes(), Some(&b""[..]));
    }
}
