//! Names to addresses: the resolver of the system on threads of our own, or one of the user's.

mod names;

use crate::deadline::Timer;
use crate::error::{BoxError, Error, ErrorKind, Phase};
use crate::sync::{Mutex, lock};
use crate::transport::connect::phase::reporting;
use crate::transport::connect::routes::{a_socket, has_route, lacking, reachable};
use hyper_util::client::legacy::connect::dns::Name;
use names::{Answer, Names, Pending};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;
use tokio::sync::watch;
use tokio::time::Instant;
use tower::util::{BoxCloneSyncService, service_fn};
use tower_service::Service;

/// So many names are looked up at a time without a wait.
const THREADS: usize = 4;
/// A name that has waited so long behind others gets one thread more. The call into the system cannot be given up, and a
/// dead name server holds it for 10 s and more: names of others must not wait for that.
const PATIENCE: Duration = Duration::from_millis(100);
/// .. up to this many: the most that dead name servers can hold.
const MOST_THREADS: usize = 64;
/// While so many work no name is looked up a second time: half of the threads are for other names.
const BUSY: usize = MOST_THREADS / 2;
/// So many names wait behind them. One more is refused at once.
const WAITING: usize = 256;
/// So many addresses of an answer are looked at. Fewer than a tenth of them are tried for one connection.
const ADDRESSES: usize = 256;

/// Whoever resolves the names of a client.
pub(in crate::transport) type AnyResolver = BoxCloneSyncService<Name, vec::IntoIter<SocketAddr>, Error>;

/// A resolver of the user's: what it is waited for is said, and what it fails with is an error of ours.
pub(in crate::transport) fn any<R>(resolver: R) -> AnyResolver
where
    R: Service<Name> + Clone + Send + Sync + 'static,
    R::Response: IntoIterator<Item = SocketAddr>,
    R::Error: Into<BoxError>,
    R::Future: Send + 'static,
{
    AnyResolver::new(service_fn(move |name| {
        let mut resolver = resolver.clone();
        reporting(Phase::Resolve, async move {
            poll_fn(|cx| resolver.poll_ready(cx)).await.map_err(failed)?;
            let addresses = resolver.call(name).await.map_err(failed)?;
            let addresses: Vec<_> = addresses.into_iter().take(ADDRESSES).collect();
            Ok(addresses.into_iter())
        })
    }))
}

type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Asks the system, one call per name at a time unless that takes long.
///
/// The threads are neither tokio's blocking ones, which a dead name server would fill and which hold up the end of a
/// runtime, nor kept: each ends when no name waits. Answers are shared by those who wait, and not remembered: the
/// system has a cache where one is wanted, and an address that has moved must be found.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<LookUps>);

/// Starts a thread that looks up what waits.
type Start = fn(Arc<LookUps>) -> io::Result<()>;

struct LookUps {
    look_up: Box<LookUp>,
    start: Start,
    state: Mutex<Names>,
}

impl Resolver {
    pub(crate) fn new(
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Resolver {
        Resolver::started(look_up, thread)
    }

    fn started(
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
        start: Start,
    ) -> Resolver {
        Resolver(Arc::new(LookUps { look_up: Box::new(look_up), start, state: Mutex::default() }))
    }

    /// The one that all clients share.
    pub(in crate::transport) fn system() -> Resolver {
        static SYSTEM: OnceLock<Resolver> = OnceLock::new();
        let look_up = |host: &str| {
            let found = (host, 0).to_socket_addrs().map_err(|said| lacking(said, a_socket))?;
            Ok(reachable(found.take(ADDRESSES).collect(), has_route))
        };
        SYSTEM.get_or_init(|| Resolver::new(look_up)).clone()
    }

    /// Joins those who wait for this name, or has it looked up.
    fn ask(&self, host: &str) -> Result<watch::Receiver<Option<Answer>>, Error> {
        let now = Instant::now();
        let mut state = lock(&self.0.state);
        if let Some(answer) = state.join(host) {
            self.0.look_again(&mut state, host, now);
            return Ok(answer);
        }
        // A name that hangs takes no place of others, however often it is looked up.
        let mut most = MOST_THREADS.min(THREADS + state.beside);
        let mut crowded = state.waiting() >= WAITING;
        if crowded {
            state.forget_the_left();
            crowded = state.waiting() >= WAITING;
        }
        if crowded {
            most = MOST_THREADS;
        }
        if state.threads < most {
            match self.0.start(&mut state) {
                // Those that work come to this name as well.
                Err(_) if state.threads > 0 => {}
                Err(none) => return Err(failed(none).of_this_machine()),
                Ok(()) => {}
            }
        } else if crowded {
            let crowd = io::Error::other(format!(
                "{} host names are being resolved and {WAITING} wait: the resolver is dead or slow",
                state.threads
            ));
            return Err(failed(crowd).of_this_machine());
        }
        let (one, answer) = watch::channel(None);
        state.first(host, Arc::new(one), now);
        Ok(answer)
    }

    /// Somebody has waited for this name: where it waits for a thread, one more is started, and where a look-up takes long,
    /// another one beside it.
    fn hurry(&self, host: &str, now: Instant) {
        let mut state = lock(&self.0.state);
        if state.is_late(host) {
            self.0.staff(&mut state);
        } else {
            self.0.look_again(&mut state, host, now);
        }
    }

    /// What the system says, however long that takes.
    async fn answered(
        &self,
        host: &str,
        mut answer: watch::Receiver<Option<Answer>>,
    ) -> Result<vec::IntoIter<SocketAddr>, Error> {
        let mut answered = pin!(answer.wait_for(Option::is_some));
        let mut timer = pin!(Timer::default());
        let mut patient_until = Instant::now() + PATIENCE;
        let answer = poll_fn(|cx| {
            if let Poll::Ready(answer) = answered.as_mut().poll(cx) {
                return Poll::Ready(answer.ok().and_then(|answer| answer.clone()));
            }
            while let Poll::Ready(passed) = timer.as_mut().poll(patient_until, cx) {
                if passed.is_err() {
                    // The connect limit stands on the same clock, and says so.
                    break;
                }
                let now = Instant::now().max(patient_until);
                self.hurry(host, now);
                patient_until = now + PATIENCE;
            }
            Poll::Pending
        });
        match answer.await {
            Some(Ok(addresses)) => Ok(addresses.into_iter()),
            Some(Err(why)) => Err(failed(Shared(why))),
            None => Err(failed(io::Error::other("the resolver gave no answer"))),
        }
    }
}

impl LookUps {
    fn start(self: &Arc<Self>, state: &mut Names) -> io::Result<()> {
        (self.start)(Arc::clone(self))?;
        state.threads += 1;
        state.coming += 1;
        Ok(())
    }

    /// Looks this name up once more where that takes long.
    fn look_again(self: &Arc<Self>, state: &mut Names, host: &str, now: Instant) {
        if state.threads < BUSY && state.again(host, now) {
            self.staff(state);
        }
    }

    /// Has a thread on its way for each name that waits too long. One that is on its way takes the first in the queue, which
    /// may be another.
    fn staff(self: &Arc<Self>, state: &mut Names) {
        let late = state.late();
        while state.coming < late && state.threads < MOST_THREADS && self.start(state).is_ok() {}
    }
}

fn thread(look_ups: Arc<LookUps>) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("unwedge-resolver".to_owned());
    thread.spawn(move || work(&look_ups)).map(drop)
}

/// What one thread does until no name waits.
fn work(look_ups: &Arc<LookUps>) {
    let mut first = true;
    while let Some((host, one, is_first)) = next(look_ups, std::mem::take(&mut first)) {
        // A panic must not cost the thread, of which there are few.
        let looked = catch_unwind(AssertUnwindSafe(|| (look_ups.look_up)(&host)));
        let looked = looked.unwrap_or_else(|_| Err(io::Error::other("the resolver panicked")));
        // What went wrong with one that was begun later is no reason to give up the first.
        let answered = is_first || looked.is_ok();
        if lock(&look_ups.state).over(&host, &one, answered) {
            one.send_replace(Some(looked.map_err(Arc::new)));
        }
    }
}

fn next(look_ups: &Arc<LookUps>, first: bool) -> Option<(Box<str>, Pending, bool)> {
    let mut state = lock(&look_ups.state);
    state.forget_the_left();
    state.coming -= usize::from(first);
    let found = state.next();
    if found.is_none() {
        // Under the same lock: whoever asks next starts a thread.
        state.threads -= 1;
    }
    look_ups.staff(&mut state);
    found
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let asked = self.ask(name.as_str());
        let resolver = self.clone();
        Box::pin(reporting(Phase::Resolve, async move { resolver.answered(name.as_str(), asked?).await }))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// What the system said, to all who had asked.
#[derive(Debug)]
struct Shared(Arc<io::Error>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

fn failed(why: impl Into<BoxError>) -> Error {
    // Read as any other: what this machine lacked stands in it.
    let mut failed = Error::from(why.into()).at(Phase::Resolve);
    failed.inner_mut().kind = ErrorKind::Connect;
    failed
}

#[cfg(test)]
mod tests;
