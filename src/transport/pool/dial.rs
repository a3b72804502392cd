//! One connection from its connect to its end, in a task of its own: a call that is given up leaves it to the others.

use super::connection::{Carries, Kind};
use super::dialer::Connected;
use super::link::{Card, Hyper};
use super::origin::{Connect, Id};
use super::site::{Site, Waiting};
use crate::deadline::Timer;
use crate::error::{BoxError, Error, ErrorKind, Phase};
use crate::inflight::observe;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// What changed may be a reason to begin further connects for those who wait: here, so that none of them has to be woken
/// for it.
pub(super) fn go_on(site: &Arc<Site>) {
    if tokio::runtime::Handle::try_current().is_err() {
        return site.stir();
    }
    for kind in [Kind::Prompt, Kind::Parked] {
        connect(site, kind, Instant::now());
    }
    site.stir_some();
}

/// Begins the connects that calls of this kind need. In a runtime alone.
pub(super) fn connect(site: &Arc<Site>, kind: Kind, now: Instant) {
    for begun in site.connects(kind, now) {
        dial(site, begun, now);
    }
}

/// The peer of this connection has said something about its streams.
fn heard(site: &Arc<Site>, id: Id) {
    let now = Instant::now();
    site.with(now, |origin| {
        let Some(entry) = origin.entry(id) else { return };
        let Some(streams) = entry.link.as_ref().and_then(|link| link.card.streams()) else { return };
        let (limit, leaving) = (streams.limit(), streams.is_leaving());
        if let Some(limit) = limit {
            origin.limited(id, limit, now);
        }
        if leaving {
            origin.retire(id);
        }
    });
    go_on(site);
}

/// Begins this connect, which counts as under way already.
fn dial(site: &Arc<Site>, connect: Connect, now: Instant) {
    let mut pending = Pending {
        site: Arc::downgrade(site),
        connect,
        over: false,
        inside: false,
        doing: Some(Phase::Resolve),
    };
    let dialer = Arc::clone(&site.dialer);
    let (uri, task_of) = (site.uri.clone(), Arc::new(OnceLock::new()));
    let handle = Arc::clone(&task_of);
    let task = async move {
        let made = {
            let mut connecting = Box::pin(dialer.connect(uri, handle));
            let (mut timer, mut looks) = (pin!(Timer::default()), now);
            poll_fn(|cx| {
                pending.inside = true;
                let (polled, doing) = observe(|| connecting.as_mut().poll(cx));
                pending.inside = false;
                if polled.is_ready() {
                    return polled.map(Some);
                }
                if doing != Phase::Headers {
                    pending.doing(Some(doing));
                }
                loop {
                    let now = Instant::now();
                    if now >= looks {
                        match pending.drags_on(now) {
                            Some(at) => looks = at,
                            None => return Poll::Ready(None),
                        }
                    }
                    if timer.as_mut().poll(looks, cx)?.is_pending() {
                        return Poll::Pending;
                    }
                }
            })
            .await
        };
        match made {
            None => pending.gives_up(),
            Some(Ok((link, carries, connection))) => {
                let dies = Instant::now() + dialer.life();
                drop(dialer);
                if let Some(life) = pending.connected(link, carries, dies) {
                    Driven { connection, life }.await;
                }
            }
            Some(Err(error)) => pending.failed(error),
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the connect is bounded, and the connection ends with the last handle of it, which the pool holds"
    )]
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        site.dialer.leaving.lives_in(&runtime);
        let _ = task_of.set(runtime.spawn(task).abort_handle());
    }
}

/// A connect under way. One that goes away without a result has its runtime ended, or panicked.
struct Pending {
    site: Weak<Site>,
    connect: Connect,
    over: bool,
    /// The connector is being polled.
    inside: bool,
    /// What it was last seen to wait for; none once it has ended.
    doing: Option<Phase>,
}

impl Pending {
    fn doing(&mut self, phase: Option<Phase>) {
        let before = std::mem::replace(&mut self.doing, phase);
        let Some(before) = before.filter(|before| Some(*before) != phase) else { return };
        if let Some(site) = self.site.upgrade() {
            site.doing(before, phase);
        }
    }

    /// When it is looked at again; none where it is given up.
    fn drags_on(&self, now: Instant) -> Option<Instant> {
        let connect = self.connect;
        self.site.upgrade()?.with(now, |origin| origin.drags_on(connect, now))
    }

    /// Nobody waits for it, or others are worth more.
    fn gives_up(mut self) {
        self.over = true;
        self.doing(None);
        let Some(site) = self.site.upgrade() else { return };
        site.with(Instant::now(), |origin| origin.given_up(self.connect));
        go_on(&site);
    }

    fn connected(mut self, link: Hyper, carries: Carries, dies: Instant) -> Option<Life> {
        self.over = true;
        self.doing(None);
        let (site, now) = (self.site.upgrade()?, Instant::now());
        let carries = match carries {
            Carries::Many { .. } => Carries::Many { kind: self.connect.kind, limit: None },
            Carries::One => Carries::One,
        };
        let card = Arc::clone(&link.card);
        let begun = self.connect;
        let id = site.with(now, |origin| origin.connected(link, carries, begun, dies, now));
        if let (Some(id), Some(streams)) = (id, card.streams()) {
            let weak = Weak::clone(&self.site);
            streams.watch(move || {
                if let Some(site) = weak.upgrade() {
                    heard(&site, id);
                }
            });
            // What came before somebody watched.
            heard(&site, id);
        } else {
            // It may have come for others than those who still wait.
            go_on(&site);
        }
        Some(Life { site: Weak::clone(&self.site), id: id?, card, died_of: None })
    }

    fn failed(&mut self, error: Error) {
        self.over = true;
        self.doing(None);
        let Some(site) = self.site.upgrade() else { return };
        let now = Instant::now();
        let told = site.with(now, |origin| origin.not_connected(self.connect, now));
        tell(told, error);
        go_on(&site);
    }
}

/// Tells them all what they died of.
fn tell(mut places: Vec<Arc<Waiting>>, error: Error) {
    match places.len() {
        0 => {}
        1 => drop(places.remove(0).put(Err(error))),
        _ => {
            let cause = Arc::new(error);
            for place in places {
                let told: BoxError = Box::new(Told(Arc::clone(&cause)));
                let mut told = Error::from(told);
                // One event, and not as many as there are calls.
                told.inner_mut().fault.shared = true;
                drop(place.put(Err(told)));
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if self.inside {
            // It would do so again at once.
            return self.failed(Error::new(ErrorKind::Connect, "the connector panicked").at(Phase::Connect));
        }
        self.doing(None);
        if let Some(site) = self.site.upgrade() {
            site.with(Instant::now(), |origin| origin.given_up(self.connect));
            site.stir();
        }
    }
}

/// What one connect died of, told to all who waited for it.
#[derive(Debug)]
struct Told(Arc<Error>);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")
    }
}

impl std::error::Error for Told {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// A connection while its task runs.
struct Life {
    site: Weak<Site>,
    id: Id,
    card: Arc<Card>,
    died_of: Option<hyper::Error>,
}

impl Drop for Life {
    fn drop(&mut self) {
        let Some(site) = self.site.upgrade() else { return };
        let now = Instant::now();
        let told = site.with(now, |origin| origin.gone(self.id, now));
        if !told.is_empty() {
            let error = match self.died_of.take() {
                Some(cause) => Error::from(BoxError::from(self.card.lost(cause, true))),
                None => Error::new(ErrorKind::Transport, "the connection ended before it could be used"),
            };
            tell(told, error);
        }
        go_on(&site);
    }
}

/// The connection, and after each of its turns a look at whether it is free again.
struct Driven {
    connection: Connected,
    life: Life,
}

impl Future for Driven {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.connection.as_mut().poll(cx);
        if let Poll::Ready(Err(error)) = polled {
            self.life.died_of = Some(error);
            return Poll::Ready(());
        }
        let Life { site, id, card, .. } = &self.life;
        if polled.is_pending() && card.turning.load(Ordering::SeqCst) {
            if let Some(site) = site.upgrade() {
                let now = Instant::now();
                site.with(now, |origin| {
                    if origin.turned(*id, now) {
                        card.turning.store(false, Ordering::SeqCst);
                    }
                });
            }
        }
        polled.map(drop)
    }
}
