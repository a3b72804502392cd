//! What must hold for any input.

use crate::client::url::{lift_credentials, redacted, sealed::Sealed};
use crate::error::{Error, ErrorKind, Phase};
use crate::origin::{Origin, Target};
use crate::retry::after;
use crate::{Body, BoxError};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Uri};
use std::time::{Duration, SystemTime};

/// The longest wait that is told from a longer one.
const MOST: u64 = 1 << 31;

/// The first four bytes are the clock, in seconds since 1970; the rest are header values, one to a line.
pub fn retry_after(bytes: &[u8]) {
    let Some((clock, values)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u32::from_be_bytes(*clock).into());
    let mut headers = HeaderMap::new();
    for value in values.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(value) else {
            continue;
        };
        headers.append(RETRY_AFTER, value);
    }
    let wait = after::retry_after(&headers, now);
    let Some(first) = headers.get(RETRY_AFTER).cloned() else {
        return assert_eq!(wait, None, "no header");
    };
    assert!(wait.is_none_or(|wait| wait.as_secs() <= MOST), "{wait:?}");
    headers.insert(RETRY_AFTER, first.clone());
    assert_eq!(after::retry_after(&headers, now), wait, "the first header decides alone");
    let text = String::from_utf8_lossy(first.as_bytes());
    let text = text.trim_matches([' ', '\t']);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digit by digit, so that no parser is its own judge.
        let digits = text.bytes().map(|byte| u128::from(byte - b'0'));
        let count = digits.fold(0u128, |count, digit| count.saturating_mul(10).saturating_add(digit));
        let expected = u64::try_from(count).ok().map(|count| Duration::from_secs(count.min(MOST)));
        assert_eq!(wait, expected, "{text}");
    } else if let Some(wait) = wait {
        assert!(text.is_ascii() && text.starts_with(|c: char| c.is_ascii_uppercase()), "{text:?} is no date");
        if !wait.is_zero() && wait.as_secs() < MOST {
            let date = httpdate::fmt_http_date(now + wait);
            headers.insert(RETRY_AFTER, HeaderValue::try_from(&date).expect("a date is text"));
            assert_eq!(after::retry_after(&headers, now), Some(wait), "{text:?} was read as {date}");
        }
    }
}

/// Stands in every input for what must never be shown.
const SECRET: &str = "hunter2";

/// A text as somebody may pass it for a URL. It is tried as it is, and with the secret put into each place of a URL
/// that holds secrets.
pub fn url_redaction(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).replace(SECRET, "");
    read(&text);
    let mut parts = text.splitn(4, '\n');
    let mut part = || parts.next().unwrap_or("");
    let (user, password, host, rest) = (part(), part(), part(), part());
    // What is shown may hold no secret by itself: the host, and the path behind it, end where the next part begins.
    let plain = |text: &str| text.replace(['@', '?', '#', '\n'], "");
    let (host, path, more) = (plain(host), plain(rest), rest);
    for url in [
        format!("http://{user}:{SECRET}{password}@{host}/{path}"),
        format!("http://{user}:{password}{SECRET}@{host}/{path}?{more}"),
        format!("https://{SECRET}{user}:{password}@{host}/{path}"),
        format!("{user}:{SECRET}{password}@{host}/{path}?{more}"),
        format!("http://{host}/{path}?{more}{SECRET}"),
        format!("{host}/{path}?{SECRET}{more}"),
        format!("http://{host}/{path}#{more}{SECRET}"),
    ] {
        // A slash in a user name makes a URL with a path: then the path is what the URL says it is.
        let visible =
            |uri: Uri| uri.path().contains(SECRET) || uri.host().is_some_and(|h| h.contains(SECRET));
        let visible = url.parse().is_ok_and(visible);
        for shown in read(&url) {
            assert!(visible || !shown.contains(SECRET), "{url:?} is shown as {shown:?}");
        }
    }
}

/// Everything that is ever shown of a URL.
fn read(text: &str) -> Vec<String> {
    let mut shown = vec![redacted(text)];
    let uri = match text.into_url() {
        Ok(uri) => uri,
        Err(error) => {
            shown.extend([error.to_string(), format!("{error:?}")]);
            return shown;
        }
    };
    shown.extend(of_uri(&uri));
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri;
    match lift_credentials(&mut request) {
        Ok(()) => {
            let authority = request.uri().authority().map_or("", |authority| authority.as_str());
            assert!(!authority.contains('@'), "credentials left in {:?}", request.uri());
            let header = request.headers().get(AUTHORIZATION);
            assert!(header.is_none_or(HeaderValue::is_sensitive));
            shown.extend([format!("{:?}", request.headers())]);
            shown.extend(of_uri(request.uri()));
        }
        Err(error) => shown.extend([error.to_string(), format!("{error:?}")]),
    }
    shown
}

fn of_uri(uri: &Uri) -> Vec<String> {
    let origin = match Origin::of(uri) {
        Ok(origin) => {
            let text = origin.to_string();
            let again = text.parse::<Uri>().map_err(|e| Error::from(BoxError::from(e)));
            assert_eq!(again.and_then(|uri| Origin::of(&uri)).ok(), Some(origin), "{text}");
            text
        }
        Err(error) => error.to_string(),
    };
    let target = Target { method: Method::GET, uri: uri.clone(), label: None };
    let (url, line) = (target.url(), target.to_string());
    let mut error = Error::new(ErrorKind::Attempt, "").at(Phase::Headers);
    error.inner_mut().target = Some(target);
    vec![origin, url, line, error.to_string(), format!("{error:?}")]
}
