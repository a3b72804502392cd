//! A call on its way to a connection.

use super::connection::Wish;
use super::dial::connect;
use super::lease::Lease;
use super::link::Hyper;
use super::origin::Taken;
use super::site::{Site, Waiting};
use crate::deadline::Timer;
use crate::error::Error;
use crate::inflight::report;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// The wait for a connection.
///
/// It may be dropped at any moment: what it was given goes to the next, and a connect that was begun for it goes on.
pub(super) struct Checkout {
    site: Arc<Site>,
    wish: Wish,
    waits: Option<(Arc<Waiting>, u64)>,
    /// To look again where nothing else would be a reason to.
    again: Option<Pin<Box<Timer>>>,
}

impl Checkout {
    pub(super) fn new(site: &Arc<Site>, wish: Wish) -> Checkout {
        Checkout { site: Arc::clone(site), wish, waits: None, again: None }
    }

    fn lease(&self, taken: Taken<Hyper>, now: Instant) -> Lease {
        Lease::new(Arc::clone(&self.site), taken, now)
    }
}

impl Future for Checkout {
    type Output = Result<Lease, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let now = Instant::now();
        if this.waits.is_none() {
            let wish = this.wish;
            if let Some(taken) = this.site.with(now, |origin| origin.ask(wish, now)) {
                return Poll::Ready(Ok(this.lease(taken, now)));
            }
            let place = Arc::new(Waiting::default());
            let waits = Arc::clone(&place);
            match this.site.with(now, |origin| origin.ask(wish, now).ok_or_else(|| origin.wait(wish, waits)))
            {
                Ok(taken) => return Poll::Ready(Ok(this.lease(taken, now))),
                Err(key) => this.waits = Some((place, key)),
            }
        }
        let Some((place, _)) = &this.waits else { unreachable!("it waits") };
        if let Poll::Ready(outcome) = place.poll(cx) {
            this.waits = None;
            return Poll::Ready(outcome.map(|taken| this.lease(taken, now)));
        }
        // Only a call, or the task of a connection, does so: it has a runtime.
        connect(&this.site, this.wish.kind, now);
        let (phase, again) = this.site.waits_for(this.wish.kind, now);
        if let Some(phase) = phase {
            report(phase);
        }
        if let Some(at) = again {
            if this.again.get_or_insert_default().as_mut().poll(at, cx)?.is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let was_given_up = self.waits.take().map(|(place, key)| {
            let now = Instant::now();
            self.site.with(now, |origin| origin.leave(key, now));
            if let Some(Ok(Taken { id, link })) = place.leave() {
                self.site.put_back(id, link, true, now);
            }
        });
        // It may have been the one that was to look again, for all who wait behind it.
        if was_given_up.is_some() || self.again.is_some() {
            self.site.stir_next();
        }
    }
}
