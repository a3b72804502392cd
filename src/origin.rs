//! Whom a call is for: [`Origin`]. The one bounded map keyed by origin is [`table`].

mod authority;
pub(crate) mod table;

use crate::error::Error;
use crate::sync::Arc;
use authority::{default_port, parts};
use http::Uri;
use std::fmt;
use std::str::FromStr;

/// Scheme, host and port of a URL, normalised (RFC 6454): lower-case host, default port filled in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    host: Arc<str>,
    port: u16,
}

impl Origin {
    /// The origin of a URL.
    ///
    /// # Errors
    /// Kind `Config` where the URL has no host or a scheme other than http and https.
    pub fn of(uri: &Uri) -> Result<Origin, Error> {
        let (https, host, port) = parts(uri)?;
        Ok(Origin { https, host: host.to_ascii_lowercase().into(), port })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// The host in lower case, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also where the URL left it to the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// This URL with scheme, host and port in front, where it has none.
    pub(crate) fn completes(&self, uri: &Uri) -> Uri {
        let mut parts = uri.clone().into_parts();
        let whole = self.to_string().parse::<Uri>().map(Uri::into_parts).unwrap_or_default();
        (parts.scheme, parts.authority) = (whole.scheme, whole.authority);
        Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
    }

    fn is(&self, (https, host, port): (bool, &str, u16)) -> bool {
        self.port == port && self.https == https && self.host.eq_ignore_ascii_case(host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.host)?;
        if self.port == default_port(self.https) { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

impl TryFrom<&Uri> for Origin {
    type Error = Error;

    /// As [`Origin::of`].
    fn try_from(uri: &Uri) -> Result<Origin, Error> {
        Origin::of(uri)
    }
}

/// Reads a URL; what follows its host and port is left out.
///
/// ```
/// use unwedge::Origin;
///
/// let origin: Origin = "https://API.example.com:443/jobs?page=2".parse()?;
/// assert_eq!(origin.to_string(), "https://api.example.com");
/// # Ok::<(), unwedge::Error>(())
/// ```
impl FromStr for Origin {
    type Err = Error;

    fn from_str(url: &str) -> Result<Origin, Error> {
        // The text is not shown: it may hold credentials.
        let uri: Uri =
            url.parse().map_err(|e| Error::config(format!("the URL of an origin cannot be read: {e}")))?;
        Origin::of(&uri)
    }
}

#[cfg(test)]
mod tests;
