//! A new inner client after the machine has slept: the pool of a reqwest client cannot be emptied.

use crate::error::Error;
use crate::suspend::{WallClock, Watch};
use crate::sync::{Mutex, lock};
use crate::telemetry;
use ::reqwest::{Client, Request, Response};
use async_trait::async_trait;
use http::Extensions;
use reqwest_middleware::{ClientBuilder, Middleware, Next, RequestBuilder, RequestInitialiser};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

type Make = dyn Fn() -> Result<Client, Error> + Send + Sync;

/// Which inner client is the one to use. Clones are the same.
#[derive(Clone)]
pub(super) struct Renewed(Arc<Shared>);

struct Shared {
    make: Box<Make>,
    watch: Watch,
    /// Whether there is a second one, so that nobody locks anything until then.
    is_renewed: AtomicBool,
    last: Mutex<Option<Client>>,
}

impl Renewed {
    pub(super) fn new(
        wall: WallClock,
        make: impl Fn() -> Result<Client, Error> + Send + Sync + 'static,
    ) -> Renewed {
        Renewed(Arc::new(Shared {
            make: Box::new(make),
            watch: Watch::new(wall),
            is_renewed: AtomicBool::new(false),
            last: Mutex::default(),
        }))
    }

    /// The one that was made last, unless that is still the first.
    ///
    /// Whoever finds that the machine has slept makes the new one, which reads the roots of the platform again: some
    /// milliseconds.
    pub(super) fn last(&self) -> Option<Client> {
        let shared = &*self.0;
        if let Some(gap) = shared.watch.slept() {
            telemetry::log::slept(gap);
            // Settings of the user's run here: without the lock.
            match (shared.make)() {
                Ok(new) => {
                    let old = lock(&shared.last).replace(new);
                    drop(old);
                    shared.is_renewed.store(true, Ordering::Release);
                }
                // The one before works, once it has found out which of its connections are dead.
                Err(error) => telemetry::log::not_renewed(&error),
            }
        }
        if !shared.is_renewed.load(Ordering::Acquire) {
            return None;
        }
        lock(&shared.last).clone()
    }
}

impl fmt::Debug for Renewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Renewed").field(&self.0.is_renewed).finish()
    }
}

/// A `ClientWithMiddleware` keeps the client that it was made with. What can still be done for a request is to end its
/// chain, behind all middlewares of the user's, at another one.
impl RequestInitialiser for Renewed {
    fn init(&self, mut request: RequestBuilder) -> RequestBuilder {
        let Some(last) = self.last() else { return request };
        // One with an error in it cannot be copied, and keeps that until it is sent.
        let Some(copy) = request.try_clone() else { return request };
        let (client, Ok(built)) = copy.build_split() else { return request };
        let extensions = std::mem::take(request.extensions());
        let client = ClientBuilder::from_client(client).with(End(last)).build();
        let mut request = RequestBuilder::from_parts(client, built);
        *request.extensions() = extensions;
        request
    }
}

/// The last of a chain: what stands behind it is not asked.
struct End(Client);

#[async_trait]
impl Middleware for End {
    async fn handle(
        &self,
        request: Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        Ok(self.0.execute(request).await?)
    }
}
