//! Health checks in the background: one task for each origin that the client was called with.

use crate::body::Body;
use crate::client::attempt::{Attempt, AttemptBody};
use crate::error::Error;
use crate::origin::Origin;
use crate::stack::Stack;
use crate::sync::{Mutex, lock};
use http::Uri;
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
struct Tasks(Mutex<HashMap<Origin, Watched>>);

struct Watched {
    uri: Uri,
    /// None while it is being started.
    task: Option<AbortHandle>,
}

impl Watched {
    /// A task ends only with its runtime.
    fn is_gone(&self) -> bool {
        self.task.as_ref().is_some_and(AbortHandle::is_finished)
    }
}

impl Background {
    /// Sees to it that the origin of this URL is checked, and all others whose tasks ended with their runtime.
    pub(super) fn watch(&self, stack: &Stack<Attempt>, uri: &Uri) {
        let (Ok(origin), Ok(runtime)) = (Origin::of(uri), Handle::try_current()) else { return };
        let mut starting = Starting { tasks: &self.0, left: Vec::new() };
        {
            let mut tasks = lock(&self.0.0);
            let known = tasks.get(&origin);
            if known.is_some_and(|watched| !watched.is_gone()) {
                return;
            }
            let new = known.is_none();
            for (origin, watched) in tasks.iter_mut().filter(|(_, watched)| watched.is_gone()) {
                watched.task = None;
                starting.left.push((origin.clone(), watched.uri.clone()));
            }
            if new && tasks.len() < ORIGINS {
                tasks.insert(origin.clone(), Watched { uri: uri.clone(), task: None });
                starting.left.push((origin, uri.clone()));
            }
        }
        // Outside of the lock: the service that is cloned may be a user's.
        while let Some((_, uri)) = starting.left.last() {
            let checks = stack.keep_health_fresh::<Body, AttemptBody>(uri.clone());
            #[expect(
                clippy::disallowed_methods,
                reason = "its owner is the client: aborted with the last clone"
            )]
            let task = runtime.spawn(async {
                // It ends only where there is nothing to check; the calls find that out by themselves.
                let _: Result<(), Error> = checks.await;
            });
            starting.started(task.abort_handle());
        }
    }
}

/// Places that are taken; given back where their tasks cannot be started.
struct Starting<'a> {
    tasks: &'a Tasks,
    left: Vec<(Origin, Uri)>,
}

impl Starting<'_> {
    fn started(&mut self, task: AbortHandle) {
        let Some((origin, _)) = self.left.pop() else { return };
        if let Some(watched) = lock(&self.tasks.0).get_mut(&origin) {
            watched.task = Some(task);
        }
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        if !self.left.is_empty() {
            let mut tasks = lock(&self.tasks.0);
            let gone: Vec<_> = self.left.iter().map(|(origin, _)| tasks.remove(origin)).collect();
            // A URL may hold a value of the user's: dropped without the lock.
            drop(tasks);
            drop(gone);
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut *lock(&self.0));
        for task in tasks.values().filter_map(|watched| watched.task.as_ref()) {
            task.abort();
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = lock(&self.0.0).len();
        f.debug_tuple("Background").field(&origins).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;
    use crate::health::{Mode, Settings};
    use crate::testing::{Peer, Reply};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_free_again_is_taken_by_the_next_origin_that_is_called() {
        let peer = Peer::new().forever(Reply::ok(""));
        let uris: Vec<Uri> = (0..=ORIGINS).map(|n| format!("http://h{n}/").parse().unwrap()).collect();
        let pipe = uris.iter().fold(peer.pipe(), |pipe, uri| pipe.host(uri.host().unwrap(), &peer));
        let health = Settings::new("/health").mode(Mode::Background);
        let client = Client::builder().pipe(pipe).health(health).build().unwrap();
        for uri in &uris {
            client.get(uri.clone()).send().await.unwrap();
        }
        let watched = client.0.background.as_ref().unwrap();
        let late = Origin::of(&uris[ORIGINS]).unwrap();
        assert!(!lock(&watched.0.0).contains_key(&late), "all places are taken");
        // As one whose checks could not be started.
        let free = Origin::of(&uris[3]).unwrap();
        drop(Starting { tasks: &watched.0, left: vec![(free.clone(), uris[3].clone())] });
        client.get(uris[ORIGINS].clone()).send().await.unwrap();
        let has = |origin| lock(&watched.0.0).contains_key(origin);
        assert!(has(&late) && !has(&free));
        let checks = || {
            let of_late =
                |r: &&crate::testing::Received| r.header("host") == Some("h64") && r.path() == "/health";
            peer.requests().iter().filter(of_late).count()
        };
        let before = checks();
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(checks() >= before + 3, "{before}, {}", checks());
    }
}
