//! URLs as people pass them: parsed, checked, and parted from the credentials in them.

use crate::Error;
use crate::body::Body;
use crate::target::text::redacted;
use http::header::{AUTHORIZATION, Entry};
use http::uri::Authority;
use http::{HeaderValue, Request, Uri};
use std::borrow::Cow;
use std::fmt::Write as _;

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
    let mut encoded = String::with_capacity(text.len() + 32);
    encoded.push_str(&text[..path]);
    for byte in text[path..].bytes() {
        if byte.is_ascii() {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
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
    let mut plain = decoded(user);
    plain.push(b':');
    plain.extend(decoded(password));
    let mut value = String::from("Basic ");
    base64(&plain, &mut value);
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| Error::config("the credentials of the URL cannot be sent as a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Percent-decoded; what is no escape stays as it is.
fn decoded(text: &str) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16)).map(|digit| digit as u8);
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Appends the standard alphabet with padding (RFC 4648, 4).
fn base64(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let letter = ALPHABET[(group >> (18 - 6 * n)) as usize & 63];
            out.push(if n <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
}
