//! What becomes a body that is in memory.

use crate::body::Body;
use bytes::Bytes;
use http_body_util::{Empty, Full};
use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

impl From<()> for Body {
    fn from((): ()) -> Body {
        Body::empty()
    }
}

impl From<Bytes> for Body {
    fn from(data: Bytes) -> Body {
        Body::full(data)
    }
}

impl From<String> for Body {
    fn from(data: String) -> Body {
        Body::full(data)
    }
}

impl From<&'static str> for Body {
    fn from(data: &'static str) -> Body {
        Body::full(data)
    }
}

impl From<Vec<u8>> for Body {
    fn from(data: Vec<u8>) -> Body {
        Body::full(data)
    }
}

impl From<&'static [u8]> for Body {
    fn from(data: &'static [u8]) -> Body {
        Body::full(data)
    }
}

impl From<Box<[u8]>> for Body {
    fn from(data: Box<[u8]>) -> Body {
        Body::full(data)
    }
}

impl From<Cow<'static, str>> for Body {
    fn from(data: Cow<'static, str>) -> Body {
        match data {
            Cow::Borrowed(data) => Body::full(data),
            Cow::Owned(data) => Body::full(data),
        }
    }
}

impl From<Cow<'static, [u8]>> for Body {
    fn from(data: Cow<'static, [u8]>) -> Body {
        match data {
            Cow::Borrowed(data) => Body::full(data),
            Cow::Owned(data) => Body::full(data),
        }
    }
}

impl From<Empty<Bytes>> for Body {
    fn from(_: Empty<Bytes>) -> Body {
        Body::empty()
    }
}

impl From<Full<Bytes>> for Body {
    /// In memory: it can be sent again.
    fn from(mut body: Full<Bytes>) -> Body {
        // Such a body is ready always, and hands out all it has at once.
        let polled =
            http_body::Body::poll_frame(Pin::new(&mut body), &mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Ready(Some(Ok(frame))) => Body::full(frame.into_data().unwrap_or_default()),
            _ => Body::empty(),
        }
    }
}
