//! What an inner client is given of TLS and HTTP/2: with feature `reqwest-rustls` alone, since without it reqwest has just
//! the features that the program itself names.

use crate::error::Error;
use ::reqwest::ClientBuilder;

#[cfg(feature = "reqwest-rustls")]
use crate::tls::{self, Tls};
#[cfg(feature = "reqwest-rustls")]
use std::time::Duration;

/// As the `Client` of this crate has it: a connection that brings nothing for so long is asked whether it is alive.
#[cfg(feature = "reqwest-rustls")]
const PING_AFTER: Duration = Duration::from_secs(30);
#[cfg(feature = "reqwest-rustls")]
const PING_WITHIN: Duration = Duration::from_secs(15);

/// Nothing, where reqwest is left as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Transport {
    #[cfg(feature = "reqwest-rustls")]
    pub(super) tls: Option<Tls>,
}

impl Transport {
    #[cfg(not(feature = "reqwest-rustls"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as with that feature")]
    pub(super) fn apply(&self, inner: ClientBuilder) -> Result<ClientBuilder, Error> {
        Ok(inner)
    }

    /// A whole config of TLS only where the program said one: beside it reqwest heeds none of its own settings.
    #[cfg(feature = "reqwest-rustls")]
    pub(super) fn apply(&self, inner: ClientBuilder) -> Result<ClientBuilder, Error> {
        let inner = inner
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_WITHIN)
            .http2_keep_alive_while_idle(true);
        let Some(tls) = &self.tls else { return Ok(inner) };
        let (config, no_roots) = tls::for_good(tls)?;
        if let Some(why) = no_roots {
            tracing::warn!("{why}: every https call will fail; install them or set SSL_CERT_FILE");
        }
        Ok(inner.tls_backend_preconfigured(config))
    }
}
