//! The client that all callers of `client()` and `get()` share.

use super::builder;
use crate::error::Error;
use reqwest_middleware::ClientWithMiddleware;
use std::sync::OnceLock;

static SHARED: OnceLock<ClientWithMiddleware> = OnceLock::new();

/// The shared client, made where there is none yet. An error is not kept: the next call tries again.
pub(super) fn get() -> Result<ClientWithMiddleware, Error> {
    if let Some(client) = SHARED.get() {
        return Ok(client.clone());
    }
    let client = builder().build()?;
    Ok(SHARED.get_or_init(|| client).clone())
}

/// The shared client, or one that serves until it can be made.
pub(super) fn get_or_makeshift() -> Result<ClientWithMiddleware, Error> {
    if let Some(client) = SHARED.get() {
        return Ok(client.clone());
    }
    makeshift::get()
}

#[cfg(feature = "reqwest-rustls")]
mod makeshift {
    use super::super::{Tls, builder};
    use crate::error::Error;
    use reqwest_middleware::ClientWithMiddleware;
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;
    use tokio::time::Instant;

    /// How long one that trusts no root serves before roots are looked for again: reading them costs milliseconds, a
    /// client of its own for each call all connections, and a warning each.
    const FOR: Duration = Duration::from_secs(10);

    static KEPT: Mutex<Option<(Instant, ClientWithMiddleware)>> = Mutex::new(None);

    pub(super) fn get() -> Result<ClientWithMiddleware, Error> {
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, client)) = kept.filter(|(since, _)| since.elapsed() < FOR) {
            return Ok(client);
        }
        if let Ok(client) = super::get() {
            return Ok(client);
        }
        let client = builder().tls(Tls::default()).build()?;
        let kept = Some((Instant::now(), client.clone()));
        // What it replaces is dropped when the lock is free again.
        let _old = std::mem::replace(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner), kept);
        Ok(client)
    }
}

#[cfg(not(feature = "reqwest-rustls"))]
mod makeshift {
    pub(super) use super::get;
}
