//! The one listener of the process. A thread of its own hears the signals, so that they have an effect also where no
//! worker of the runtime is free, or none is there yet.

use crate::child;
use crate::supervise::signal::asked::Asked;
use crate::telemetry::log::supervise as log;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::emulate_default_handler;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// For how long a first signal waits for somebody to take it, and a second one for the program to end by itself.
const PATIENCE: Duration = Duration::from_secs(1);

static INSTALLED: Mutex<Option<Handle>> = Mutex::new(None);

pub(super) type Handle = Arc<Listener>;
pub(super) type Hangups = watch::Receiver<u64>;

#[derive(Debug)]
pub(super) struct Listener {
    /// The name of each signal that asked for the end, in their order.
    asked: watch::Sender<Vec<&'static str>>,
    hangups: watch::Sender<u64>,
    /// Who waits for the first signal, or was told of it.
    taken: AtomicUsize,
    news: (Mutex<()>, Condvar),
    hangup_was_ignored: bool,
}

pub(super) fn install() -> io::Result<Handle> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(listener) = &*installed {
        return Ok(Arc::clone(listener));
    }
    let listener = Arc::new(Listener {
        asked: watch::Sender::new(Vec::new()),
        hangups: watch::Sender::new(0),
        taken: AtomicUsize::new(0),
        news: Default::default(),
        hangup_was_ignored: is_ignored(SIGHUP),
    });
    let mut wanted = vec![SIGTERM, SIGINT];
    if !listener.hangup_was_ignored {
        wanted.push(SIGHUP);
    }
    let heard = Arc::clone(&listener);
    let (arm, armed) = std::sync::mpsc::sync_channel::<signal_hook::iterator::Signals>(1);
    // First the thread: where there is none the signals keep their default effect. A handler cannot be taken away again,
    // and without a thread behind it the program would be deaf.
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        #[expect(
            clippy::disallowed_methods,
            reason = "whoever starts this sends it or is gone a moment later"
        )]
        let Ok(mut signals) = armed.recv() else {
            return;
        };
        for signal in signals.forever() {
            heard.hear(signal);
        }
    })?;
    let signals = signal_hook::iterator::Signals::new(wanted)?;
    // It takes one, and the thread waits for it.
    let _ = arm.send(signals);
    *installed = Some(Arc::clone(&listener));
    Ok(listener)
}

impl Listener {
    fn hear(self: &Arc<Self>, signal: i32) {
        if signal == SIGHUP && self.hangups.receiver_count() > 0 {
            self.hangups.send_modify(|hangups| *hangups += 1);
            return;
        }
        // Before anybody is told, who may end the program at once.
        if !self.asked.borrow().is_empty() {
            child::kill_all();
        }
        let mut count = 0;
        self.asked.send_modify(|asked| {
            asked.push(name(signal));
            count = asked.len();
        });
        match count {
            1 => self.later(signal, |listener, signal| {
                if listener.wait(PATIENCE, || listener.taken.load(Ordering::SeqCst) > 0) {
                    return;
                }
                log::signal_not_taken(name(signal));
                end(signal);
            }),
            2 => self.later(signal, |listener, signal| {
                listener.wait(PATIENCE, || false);
                exit(signal);
            }),
            _ => exit(signal),
        }
    }

    /// On a thread of its own, since more signals may come; at once where there is none.
    fn later(self: &Arc<Self>, signal: i32, then: fn(&Listener, i32)) {
        let listener = Arc::clone(self);
        let spawned =
            std::thread::Builder::new().name("signal".to_owned()).spawn(move || then(&listener, signal));
        if spawned.is_err() {
            exit(signal);
        }
    }

    /// Waits until this is `met`, but no longer than that; whether it is.
    fn wait(&self, patience: Duration, met: impl Fn() -> bool) -> bool {
        let (lock, news) = &self.news;
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(news.wait_timeout_while(guard, patience, |()| !met()));
        met()
    }
}

/// Somebody waits for the first signal, or has been told of it. One who no longer waits has not taken it.
struct Taker {
    listener: Handle,
    told: bool,
}

impl Taker {
    fn new(listener: Handle) -> Taker {
        listener.taken.fetch_add(1, Ordering::SeqCst);
        // So that the look and the wait for news cannot miss it.
        drop(listener.news.0.lock().unwrap_or_else(PoisonError::into_inner));
        listener.news.1.notify_all();
        Taker { listener, told: false }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        if !self.told {
            self.listener.taken.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

pub(super) async fn asked(listener: Handle) -> Asked {
    let mut signals = listener.asked.subscribe();
    let mut taker = Taker::new(listener);
    let name = nth(&mut signals, 0).await;
    taker.told = true;
    let again = Box::pin(async move {
        nth(&mut signals, 1).await;
    });
    Asked { name, failed: None, again: Some(again) }
}

pub(super) async fn asked_again(listener: Handle) {
    nth(&mut listener.asked.subscribe(), 1).await;
}

async fn nth(signals: &mut watch::Receiver<Vec<&'static str>>, n: usize) -> &'static str {
    let name = signals.wait_for(|signals| signals.len() > n).await.map(|signals| signals[n]);
    match name {
        Ok(name) => name,
        // The listener lives as long as the process.
        Err(_) => pending().await,
    }
}

pub(super) fn hangups(listener: &Handle) -> Hangups {
    let mut hangups = listener.hangups.subscribe();
    hangups.mark_unchanged();
    hangups
}

pub(super) async fn hangup(hangups: &mut Hangups) {
    if hangups.changed().await.is_err() {
        pending::<()>().await;
    }
}

/// What the signal does to a program that does not listen. Process 1 of a container has no default action: it exits as
/// if it had one.
fn end(signal: i32) {
    child::kill_all();
    if std::process::id() != 1 {
        let _ = emulate_default_handler(signal);
    }
    exit(signal);
}

/// As a shell says that a program ended by this signal.
fn exit(signal: i32) -> ! {
    child::kill_all();
    std::process::exit(128 + signal)
}

fn name(signal: i32) -> &'static str {
    match signal {
        SIGTERM => "SIGTERM",
        SIGINT => "SIGINT",
        _ => "SIGHUP",
    }
}

/// Whether whoever started the program had it ignore this signal, as `nohup` does. Known on Linux only.
fn is_ignored(signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}
