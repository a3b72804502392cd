//! What is shaken hands by at the moment, and when files and platform are looked at again.

use super::base::{ALPN, names, provider};
use super::material::Material;
use super::platform::Roots;
use super::settings::Tls;
use super::whole::{built, given};
use crate::error::{Error, ErrorKind, Phase};
use crate::sync::{Mutex, lock, shielded};
use rustls::ClientConfig;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What is offered to the server where nothing but HTTP/2 is wanted: a server without it says so in the handshake.
const ALPN_HTTP2: &[&[u8]] = &[b"h2"];
/// So often files are looked at while connections are made, and the roots of the platform at most.
const EVERY: Duration = Duration::from_secs(60);

/// Begins a look, which asks the platform too or not.
type Start = fn(Over, bool) -> io::Result<()>;

/// What the settings come to, now and later. Clones are the same.
#[derive(Clone)]
pub(crate) struct Trust(Arc<Inner>);

struct Inner {
    /// What was given whole, and is never renewed.
    given: Option<Arc<ClientConfig>>,
    tls: Tls,
    alpn: &'static [&'static [u8]],
    start: Start,
    state: Mutex<State>,
    /// Counts the looks that are over.
    looks: watch::Sender<u64>,
}

struct State {
    made: Option<Made>,
    /// What was read when the client was built, until something is made of it.
    prepared: Option<Material>,
    /// When the last look at files began.
    looked: Instant,
    /// One is under way, on a thread of its own.
    looking: bool,
    /// When the platform was last asked.
    asked: Option<Instant>,
    /// What was wrong at the last look.
    wrong: Option<String>,
}

#[derive(Clone)]
struct Made {
    config: Arc<ClientConfig>,
    /// Of what it was made.
    own: u64,
    platform: Arc<Roots>,
}

impl Trust {
    /// Reads everything that was given, and sees that it can be used. The roots of the platform are left for later.
    ///
    /// # Errors
    /// Kind `Config`: the message names what cannot be used, and its path.
    pub(crate) fn prepare(tls: &Tls, http2_only: bool) -> Result<Trust, Error> {
        let alpn = if http2_only { ALPN_HTTP2 } else { ALPN };
        let given = given(tls)?.map(|given| {
            let mut config = ClientConfig::clone(given);
            if http2_only || config.alpn_protocols.is_empty() {
                config.alpn_protocols = names(alpn);
            }
            Arc::new(config)
        });
        let mut prepared = None;
        if given.is_none() {
            let material = Material::read(tls)?;
            material.roots()?;
            if tls.has_parts() {
                material.identity(&provider()?)?;
            }
            prepared = Some(material);
        }
        let state =
            State { made: None, prepared, looked: Instant::now(), looking: false, asked: None, wrong: None };
        let (looks, _) = watch::channel(0);
        let (tls, state) = (tls.clone(), Mutex::new(state));
        Ok(Trust(Arc::new(Inner { given, tls, alpn, start: thread, state, looks })))
    }

    /// What to shake hands by. The first time it waits for the roots of the platform.
    pub(crate) async fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let inner = &self.0;
        if let Some(given) = &inner.given {
            return Ok(Arc::clone(given));
        }
        let now = Instant::now();
        let has_files = !inner.tls.roots_files.is_empty() || inner.tls.identity_files.is_some();
        let (made, since) = {
            let state = lock(&inner.state);
            (state.made.clone(), now.saturating_duration_since(state.looked))
        };
        if let Some(made) = made {
            if has_files && since >= EVERY {
                // Nobody waits for it: what is there is good until something else is known.
                let _ = inner.look(now, false);
            }
            return Ok(made.config);
        }
        let mut looks = inner.looks.subscribe();
        inner.look(now, true).map_err(no_thread)?;
        let _ = looks.changed().await;
        let state = lock(&inner.state);
        match (&state.made, &state.wrong) {
            (Some(made), _) => Ok(Arc::clone(&made.config)),
            (None, wrong) => {
                Err(Error::config(wrong.clone().unwrap_or_else(|| "TLS cannot be set up".to_owned())))
            }
        }
    }

    /// Whether there is something else to shake hands by than this, by which a handshake that began at `began` has failed.
    /// Looks at files and platform, unless that was done since.
    pub(crate) async fn is_renewed(&self, used: &Arc<ClientConfig>, began: Instant) -> bool {
        let inner = &self.0;
        if inner.given.is_some() {
            return false;
        }
        let mut looks = inner.looks.subscribe();
        {
            let state = lock(&inner.state);
            if state.is_other(used) {
                return true;
            }
            if state.looked >= began && !state.looking {
                return false;
            }
        }
        if inner.look(Instant::now(), true).is_err() {
            return false;
        }
        let _ = looks.changed().await;
        lock(&inner.state).is_other(used)
    }
}

impl State {
    fn is_other(&self, used: &Arc<ClientConfig>) -> bool {
        self.made.as_ref().is_some_and(|made| !Arc::ptr_eq(&made.config, used))
    }
}

impl Inner {
    /// Begins to look on a thread of its own, unless that is done already: a disk that hangs must hold neither a worker of
    /// the runtime nor the end of it.
    fn look(self: &Arc<Self>, now: Instant, platform: bool) -> io::Result<()> {
        let platform = {
            let mut state = lock(&self.state);
            if state.looking {
                return Ok(());
            }
            let rested = state.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= EVERY);
            let platform = state.made.is_none() || platform && rested;
            if platform {
                state.asked = Some(now);
            }
            state.looking = true;
            if state.prepared.is_none() {
                state.looked = now;
            }
            platform
        };
        let over = Over(Arc::clone(self));
        (self.start)(over, platform)
    }

    fn read(&self, platform: bool) {
        let (before, prepared) = {
            let mut state = lock(&self.state);
            (state.made.clone(), state.prepared.take())
        };
        let had = before.is_some();
        let made = match prepared {
            None => Material::read(&self.tls).and_then(|read| self.make(before, &read, platform)),
            Some(prepared) => {
                let made = self.make(before, &prepared, platform);
                if made.is_err() {
                    lock(&self.state).prepared = Some(prepared);
                }
                made
            }
        };
        match made {
            Ok(made) => {
                let renewed = made.is_some();
                {
                    let mut state = lock(&self.state);
                    state.wrong = None;
                    state.made = made.or(state.made.take());
                }
                if had && renewed {
                    shielded(|| {
                        tracing::info!(
                            "roots or identity of TLS have changed: new connections use what is there now"
                        );
                    });
                }
            }
            Err(error) => {
                let wrong = error.cause();
                let known = lock(&self.state).wrong.replace(wrong.clone());
                if had && known.as_deref() != Some(&wrong) {
                    shielded(|| {
                        tracing::warn!(
                            "{wrong}: what was read before stays in use, and it is looked at again"
                        );
                    });
                }
            }
        }
    }

    /// None where it would be the same as before.
    fn make(&self, before: Option<Made>, material: &Material, platform: bool) -> Result<Option<Made>, Error> {
        let own = material.stamp();
        let platform = match &before {
            Some(before) if !platform => Arc::clone(&before.platform),
            Some(before) => match Roots::read() {
                new if new.are_better_than(&before.platform) => Arc::new(new),
                _ => Arc::clone(&before.platform),
            },
            None => Arc::new(Roots::read()),
        };
        if before.is_some_and(|before| before.own == own && Arc::ptr_eq(&before.platform, &platform)) {
            return Ok(None);
        }
        let mut roots = material.roots()?;
        platform.add_to(&mut roots).map_err(|why| {
            Error::config(format!("{why}: install them, set SSL_CERT_FILE, or use Tls::add_root_certificate"))
        })?;
        let config = Arc::new(built(material, roots, &provider()?, self.alpn)?);
        Ok(Some(Made { config, own, platform }))
    }
}

fn thread(look: Over, platform: bool) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("unwedge-tls".to_owned());
    thread.spawn(move || look.0.read(platform)).map(drop)
}

/// This machine has no thread to look with: the next connect may get one.
fn no_thread(why: io::Error) -> Error {
    let lacks =
        Error::new(ErrorKind::Connect, format!("this machine has no thread to set up TLS with: {why}"));
    lacks.with_source(why).at(Phase::Tls).of_this_machine()
}

/// A look has ended, also by a panic.
struct Over(Arc<Inner>);

impl Drop for Over {
    fn drop(&mut self) {
        lock(&self.0.state).looking = false;
        self.0.looks.send_modify(|looks| *looks = looks.wrapping_add(1));
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trust").field(&self.0.tls).finish()
    }
}

#[cfg(test)]
mod tests;
