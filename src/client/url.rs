//! URLs as people pass them: parsed, checked, and parted from the credentials in them.

use crate::Error;
use crate::body::Body;
use crate::target::text::redacted;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::{AUTHORIZATION, Entry};
use http::uri::Authority;
use http::{HeaderValue, Request, Uri};
use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;

/// What a URL can be passed as: text, or an [`http::Uri`].
pub trait IntoUrl: sealed::Sealed {}

impl<T: sealed::Sealed> IntoUrl for T {}

pub(crate) mod sealed {
    use super::{Error, Uri, is_ascii, parse};

    pub trait Sealed {
        fn into_url(self) -> Result<Uri, Error>;
    }

    impl Sealed for &str {
        fn into_url(self) -> Result<Uri, Error> {
            parse(self)
        }
    }

    impl Sealed for &&str {
        fn into_url(self) -> Result<Uri, Error> {
            parse(self)
        }
    }

    impl Sealed for String {
        fn into_url(self) -> Result<Uri, Error> {
            parse(&self)
        }
    }

    impl Sealed for &String {
        fn into_url(self) -> Result<Uri, Error> {
            parse(self)
        }
    }

    impl Sealed for Uri {
        fn into_url(self) -> Result<Uri, Error> {
            if is_ascii(&self) { Ok(self) } else { parse(&self.to_string()) }
        }
    }

    impl Sealed for &Uri {
        fn into_url(self) -> Result<Uri, Error> {
            self.clone().into_url()
        }
    }
}

fn parse(text: &str) -> Result<Uri, Error> {
    let encoded = encoded(text);
    encoded.parse().map_err(|e| Error::config(format!("the URL {:?} cannot be read: {e}", redacted(text))))
}

fn is_ascii(uri: &Uri) -> bool {
    uri.path_and_query().is_none_or(|path| path.as_str().is_ascii())
}

/// Path and query with every byte outside of ASCII percent-encoded, as RFC 3986 wants it and browsers do. `Uri` would take
/// such bytes and send them as they are. A host is left alone: what is no ASCII there is refused.
fn encoded(text: &str) -> Cow<'_, str> {
    let host = text.find("://").map_or(0, |at| at + 3);
    let path = text[host..].find(['/', '?', '#']).map_or(text.len(), |at| host + at);
    if text[path..].is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut encoded = text[..path].to_owned();
    // No set of ASCII: bytes outside of it are encoded always.
    encoded.extend(utf8_percent_encode(&text[path..], &AsciiSet::EMPTY));
    Cow::Owned(encoded)
}

/// Moves the credentials of a URL into an `Authorization` header, where it may have none yet.
pub(crate) fn lift_credentials(request: &mut Request<Body>) -> Result<(), Error> {
    let Some((user_info, host)) = request.uri().authority().and_then(|a| a.as_str().rsplit_once('@')) else {
        return Ok(());
    };
    // `http://@host/` names nobody, as curl and Go have it.
    let value = if user_info.is_empty() { None } else { Some(basic(user_info)) };
    let host: Authority =
        host.parse().map_err(|_| Error::config("the URL has no host behind its credentials"))?;
    let mut parts = request.uri().clone().into_parts();
    parts.authority = Some(host);
    *request.uri_mut() =
        Uri::from_parts(parts).map_err(|e| Error::config(format!("the URL cannot be used: {e}")))?;
    if let (Entry::Vacant(vacant), Some(value)) = (request.headers_mut().entry(AUTHORIZATION), value) {
        vacant.insert(value?);
    }
    Ok(())
}

/// `Basic` credentials (RFC 7617) from the user information of a URL.
fn basic(user_info: &str) -> Result<HeaderValue, Error> {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    // What is no escape stays as it is.
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    credentials(&decoded(user), &decoded(password))
        .map_err(|()| Error::config("the credentials of the URL cannot be sent as a header"))
}

/// `Basic` credentials (RFC 7617), which are never printed.
pub(super) fn credentials(user: &[u8], password: &[u8]) -> Result<HeaderValue, ()> {
    let plain = [user, b":", password].concat();
    let value = format!("Basic {}", BASE64_STANDARD.encode(plain));
    let mut value = HeaderValue::try_from(value).map_err(|_| ())?;
    value.set_sensitive(true);
    Ok(value)
}
