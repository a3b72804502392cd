//! What may be shown of a URL: never user information, query or fragment, and the path only where no [`Label`] stands
//! in its place.

#[cfg(feature = "client")]
pub(crate) mod text;

use http::{Method, Uri};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A request extension that replaces the path in errors, spans, tables and pages, where paths carry secrets.
///
/// ```
/// let request = http::Request::get("https://api.example/t/s3cret/jobs")
///     .extension(unwedge::Label::new("jobs"))
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(Arc<Cow<'static, str>>); // each call holds it twice: one word, and no copy of its text

impl Label {
    /// The name to show instead of the path.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Label {
        Label(Arc::new(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an operator may read of a request: method and URL without credentials, query and fragment, or its label.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) label: Option<Label>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.method)?;
        fmt_redacted(&self.uri, self.label.as_ref(), f)
    }
}

/// `scheme://host:port/path`, or with a label `scheme://host:port [label]`.
pub(crate) fn fmt_redacted(uri: &Uri, label: Option<&Label>, f: &mut impl fmt::Write) -> fmt::Result {
    if let Some(scheme) = uri.scheme_str() {
        write!(f, "{scheme}://")?;
    }
    if let Some(authority) = uri.authority() {
        let (host, port) = host_and_port(authority.as_str());
        f.write_str(host)?;
        if is_port(port) {
            f.write_str(port)?;
        }
    }
    match label {
        Some(label) => write!(f, " [{}]", label.as_str()),
        None => f.write_str(uri.path()),
    }
}

impl Target {
    pub(crate) fn url(&self) -> String {
        struct Url<'a>(&'a Target);
        impl fmt::Display for Url<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_redacted(&self.0.uri, self.0.label.as_ref(), f)
            }
        }
        Url(self).to_string()
    }
}

/// Of an authority without its user information, which is everything before the last @. The port has its colon yet.
pub(crate) fn host_and_port(authority: &str) -> (&str, &str) {
    let user = authority.bytes().rposition(|byte| byte == b'@').map_or(0, |at| at + 1);
    let (_, behind) = authority.split_at(user);
    let end = if behind.starts_with('[') { behind.find(']').map(|at| at + 1) } else { behind.find(':') };
    behind.split_at(end.unwrap_or(behind.len()))
}

/// A colon and digits. Not str::parse alone: it would take "+80".
pub(crate) fn is_port(port: &str) -> bool {
    port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Shows a value without the user information and the queries of the URLs in it.
pub(crate) struct Redacted<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let mut rest = &*text;
        while let Some(at) = rest.find("://") {
            let (before, url) = rest.split_at(at + 3);
            f.write_str(before)?;
            let end = url.find(ends_url).unwrap_or(url.len());
            let (url, after) = url.split_at(end);
            let shown = &url[..url.find(['?', '#']).unwrap_or(url.len())];
            let authority = shown.find('/').unwrap_or(shown.len());
            // Everything before the last @ is user information.
            let host = shown[..authority].rfind('@').map_or(0, |at| at + 1);
            f.write_str(&shown[host..])?;
            rest = after;
        }
        f.write_str(rest)
    }
}

fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '(' | ')' | '`')
}

#[cfg(test)]
mod tests;
