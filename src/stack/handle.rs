//! What a layer hands to each service: the shared state, and whom requests are for that do not say so.

use crate::error::Error;
use crate::origin::Origin;
use crate::stack::shared::Shared;
use http::Uri;
use std::fmt::Display;
use std::sync::Arc;

/// A handle to the state of one layer. Those that differ in their origin share it.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    /// Whom a request without an origin of its own is for.
    pub(super) origin: Option<Arc<Uri>>,
}

impl Handle {
    pub(super) fn new(shared: Shared) -> Handle {
        Handle { shared: Arc::new(shared), origin: None }
    }

    /// With this origin; what follows host and port of the URL is left out.
    pub(super) fn with_origin<U>(self, url: U) -> Result<Handle, Error>
    where
        U: TryInto<Uri>,
        U::Error: Display,
    {
        // The text is not shown: it may hold credentials.
        let url =
            url.try_into().map_err(|e| Error::config(format!("the URL of an origin cannot be read: {e}")))?;
        let origin = Origin::of(&url)?;
        Ok(Handle { origin: Some(Arc::new(origin.completes(&Uri::default()))), ..self })
    }

    /// The URL that says whom this one is for.
    #[inline]
    pub(super) fn of<'a>(&'a self, uri: &'a Uri) -> &'a Uri {
        match &self.origin {
            Some(origin) if uri.authority().is_none() => origin,
            _ => uri,
        }
    }
}
