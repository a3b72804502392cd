//! What must hold for any input.

use crate::client::url::{lift_credentials, sealed::Sealed};
use crate::deadline::{Headers, Late};
use crate::duration::LONGEST;
use crate::error::{Error, ErrorKind, Phase};
use crate::origin::Origin;
use crate::retry::after;
use crate::target::{Target, text::redacted};
use crate::{Body, BoxError};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Uri};
use std::time::{Duration, SystemTime};

const LATE: HeaderName = HeaderName::from_static("x-request-late");

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
        if let Ok(value) = HeaderValue::from_bytes(value) {
            let _ = headers.try_append(RETRY_AFTER, value);
        }
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
        let expected = digits(text.as_bytes()).map(|count| Duration::from_secs(count.min(MOST)));
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

/// A count with blanks around it that 64 bits can hold. Digit by digit, so that no parser is its own judge.
fn digits(mut text: &[u8]) -> Option<u64> {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    let mut digits = text.iter().map(|byte| byte.is_ascii_digit().then(|| u128::from(byte - b'0')));
    let count =
        digits.try_fold(0u128, |count, digit| Some(count.saturating_mul(10).saturating_add(digit?)))?;
    u64::try_from(count).ok().filter(|_| !text.is_empty())
}

/// Eight bytes of time that is left, four of an attempt; then an answer's word on lateness, and what came in: the
/// attempt and any number of remaining times, one to a line.
pub fn deadline_header(bytes: &[u8]) {
    let Some((numbers, lines)) = bytes.split_first_chunk::<12>() else {
        return;
    };
    let (names, mut headers) = (Headers::default(), HeaderMap::new());
    let [mine, count] = [&numbers[..8], &numbers[8..]]
        .map(|bytes| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte)));
    let (mine, count) = (Duration::from_micros(mine), u32::try_from(count).expect("four bytes"));
    let mut lines = lines.split(|byte| *byte == b'\n');
    if let Some(Ok(word)) = lines.next().map(HeaderValue::from_bytes) {
        let refused = word.as_bytes().starts_with(b"refused");
        assert_eq!(Late::refused(&HeaderMap::from_iter([(LATE, word)])), refused);
    }
    let came = lines.next().filter(|line| HeaderValue::from_bytes(line).is_ok());
    if let Some(came) = came {
        headers.insert("x-request-attempt", HeaderValue::from_bytes(came).expect("checked"));
    }
    let number = came.and_then(digits).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    assert_eq!(names.number(&headers), number);
    let (mut left, most) = (None, LONGEST.as_millis() as u64);
    for value in lines.filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        let this = digits(value.as_bytes()).map(|millis| millis.min(most));
        left = left.into_iter().chain(this).min();
        if headers.try_append("x-request-timeout-ms", value).is_err() {
            return;
        }
        assert_eq!(names.left(&headers), left.map(Duration::from_millis), "the least counts");
    }
    names.write(&mut headers, None, count);
    assert_eq!(
        names.left(&headers),
        left.map(Duration::from_millis),
        "without a bound a wish stays as it came"
    );
    assert_eq!(names.number(&headers), Some(count).filter(|n| *n > 0));
    names.write(&mut headers, Some(mine), count);
    let mine = u64::try_from(mine.as_millis()).map_or(most, |mine| mine.min(most));
    let sent = left.map_or(mine, |left| left.min(mine));
    assert_eq!(
        names.left(&headers),
        Some(Duration::from_millis(sent)),
        "the shorter of wish and bound, cut off"
    );
    for late in
        [Late::Refused { left: Duration::from_millis(sent), least: LONGEST }, Late::CutOff { limit: LONGEST }]
    {
        let refused = Late::refused(&HeaderMap::from_iter([(LATE, late.value())]));
        assert_eq!(refused, matches!(late, Late::Refused { .. }));
    }
}

/// Stands in every input for what must never be shown.
/// A host is shown in lower case, so it has no letters; what stands in its place where an input holds it is none of its
/// bytes, or what is left could read as the secret.
const SECRET: &str = "~_7-7_~";

/// A text as somebody may pass it for a URL. It is tried as it is, and with the secret put into each place of a URL
/// that holds secrets.
pub fn url_redaction(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).replace(SECRET, "+");
    read(&text);
    let mut parts = text.splitn(4, '\n');
    let mut part = || parts.next().unwrap_or("");
    let (user, password, host, rest) = (part(), part(), part(), part());
    // What is shown may hold no secret by itself: the host, and the path behind it, end where the next part begins.
    let plain = |text: &str| text.replace(['@', '?', '#', '\n'], "").replace(SECRET, "+");
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

/// What is read is no longer than the longest, and what is shown of it is never more; what is refused is named.
pub fn duration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match crate::duration::parse(text) {
        Ok(duration) => {
            assert!(duration <= crate::duration::LONGEST, "{text:?} is {duration:?}");
            let shown = crate::duration::human(duration).to_string();
            if let Ok(again) = crate::duration::parse(&shown) {
                assert!(again <= duration, "{text:?} is shown as {shown}");
            }
        }
        Err(error) => assert!(error.to_string().contains(&format!("{text:?}")), "{error}"),
    }
}

/// A file is read, or refused with a message, in either format; never a panic.
#[cfg(feature = "config")]
pub fn settings(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        crate::config::check(text);
    }
}
