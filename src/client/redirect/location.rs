//! Where a `Location` leads: the resolution of a reference against a URL (RFC 3986, 5.2), for http and https. Pure.

use crate::origin::Origin;
use http::Uri;
use std::fmt::Write as _;

/// The URL that `reference` names, seen from `base`: without a fragment, and without credentials.
///
/// What a server should have encoded and browsers encode for it (spaces, quotes, angle brackets, backticks, bytes that
/// are not ASCII) is encoded here too.
///
/// # Errors
/// The rule that the reference breaks, for people.
pub(super) fn resolve(base: &Uri, reference: &[u8]) -> Result<Uri, String> {
    let reference = encoded(reference.trim_ascii());
    if reference.is_empty() {
        return Err("it is empty".to_owned());
    }
    let Reference { scheme, authority, path, query } = Reference::of(&reference);
    let base_scheme = base.scheme_str().unwrap_or_default();
    let base_authority = base.authority().map_or("", |authority| authority.as_str());
    let scheme = match scheme {
        None => base_scheme.to_owned(),
        Some(scheme) => {
            let scheme = scheme.to_ascii_lowercase();
            match (scheme.as_str(), authority) {
                ("http" | "https", Some(_)) => scheme,
                ("http" | "https", None) => return Err("it has no host".to_owned()),
                _ => return Err(format!("its scheme is {scheme:?}: it must be http or https")),
            }
        }
    };
    let (authority, path, query) = match authority {
        Some(authority) => (authority, without_dots(path), query),
        None if path.is_empty() => (base_authority, base.path().to_owned(), query.or(base.query())),
        None if path.starts_with('/') => (base_authority, without_dots(path), query),
        None => {
            // All of the base but its last segment, then the reference.
            let kept = base.path().rfind('/').map_or("/", |end| &base.path()[..=end]);
            (base_authority, without_dots(&format!("{kept}{path}")), query)
        }
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut url = format!("{scheme}://{host}{slash}{path}");
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    let uri: Uri = url.parse().map_err(|e| format!("it cannot be read: {e}"))?;
    // A port that is no number is seen only there.
    Origin::of(&uri).map_err(|e| e.cause())?;
    Ok(uri)
}

/// The parts of a reference (RFC 3986, appendix B), without its fragment.
struct Reference<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl Reference<'_> {
    fn of(text: &str) -> Reference<'_> {
        let text = text.split_once('#').map_or(text, |(text, _)| text);
        let (text, query) = text.split_once('?').map_or((text, None), |(text, query)| (text, Some(query)));
        let (scheme, text) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, text),
        };
        let (authority, path) = match text.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, text),
        };
        Reference { scheme, authority, path, query }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// `.` and `..` taken out of an absolute path (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    out.pop();
                }
                if last {
                    out.push("");
                }
            }
            segment => out.push(segment),
        }
    }
    out.iter().fold(String::with_capacity(path.len()), |path, segment| path + "/" + segment)
}

fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b' ' | b'"' | b'<' | b'>' | b'`' | 0x80.. => {
                // Writing to a String cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
            _ => text.push(char::from(byte)),
        }
    }
    text
}

#[cfg(test)]
mod tests;
