//! Health checks in the background: one task for each origin that the client was called with.

use super::gzip::{Decoded, Decoding};
use crate::body::Body;
use crate::error::Error;
use crate::origin::Origin;
use crate::stack::Stack;
use crate::sync::{Mutex, lock};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// More origins than this have their checks made by their callers.
const ORIGINS: usize = 64;

/// The tasks; they end with the last clone of the client.
#[derive(Clone, Default)]
pub(super) struct Background(Arc<Tasks>);

#[derive(Default)]
struct Tasks(Mutex<HashMap<Origin, AbortHandle>>);

impl Background {
    /// Sees to it that the origin of this URL is checked. A task that ended with its runtime is started anew.
    pub(super) fn watch(&self, stack: &Stack<Decoding>, uri: &http::Uri) {
        let (Ok(origin), Ok(runtime)) = (Origin::of(uri), Handle::try_current()) else { return };
        let mut tasks = lock(&self.0.0);
        if tasks.get(&origin).is_some_and(|task| !task.is_finished()) || tasks.len() >= ORIGINS {
            return;
        }
        let checks = stack.keep_health_fresh::<Body, Decoded>(uri.clone());
        #[expect(clippy::disallowed_methods, reason = "its owner is the client: aborted with the last clone")]
        let task = runtime.spawn(async {
            // It ends only where there is nothing to check; the calls find that out by themselves.
            let _: Result<(), Error> = checks.await;
        });
        tasks.insert(origin, task.abort_handle());
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in lock(&self.0).values() {
            task.abort();
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Background").field(&lock(&self.0.0).len()).finish()
    }
}
