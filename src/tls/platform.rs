//! The root certificates of the platform.

use rustls::RootCertStore;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What the platform has, read at one moment.
pub(super) struct Roots {
    store: RootCertStore,
    /// Another one for other certificates.
    stamp: u64,
    /// Why there are none, or fewer than there should be.
    incomplete: Option<String>,
}

impl Roots {
    /// Takes some milliseconds.
    pub(super) fn read() -> Roots {
        let native = rustls_native_certs::load_native_certs();
        let mut hasher = DefaultHasher::new();
        native.certs.iter().for_each(|certificate| certificate.hash(&mut hasher));
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(native.certs);
        Roots::of(store, hasher.finish(), native.errors.first().map(ToString::to_string))
    }

    pub(super) fn of(store: RootCertStore, stamp: u64, incomplete: Option<String>) -> Roots {
        Roots { store, stamp, incomplete }
    }

    /// Whether they should take the place of these: a file that is half written has fewer, and says that it is broken.
    #[cfg_attr(not(feature = "client"), expect(dead_code, reason = "reqwest gets a config for good"))]
    pub(super) fn are_better_than(&self, before: &Roots) -> bool {
        let fewer = self.store.len() < before.store.len();
        self.stamp != before.stamp && !self.store.is_empty() && !(fewer && self.incomplete.is_some())
    }

    /// Where there is no root at all then, says why.
    pub(super) fn add_to(&self, roots: &mut RootCertStore) -> Result<(), String> {
        roots.extend(self.store.roots.iter().cloned());
        if roots.is_empty() {
            let why = self.incomplete.as_ref().map_or(String::new(), |error| format!(" ({error})"));
            return Err(format!("no root certificate was found on this machine{why}"));
        }
        Ok(())
    }
}
