//! The one listener of the process. A thread of its own hears the signals: so the first is not lost where nobody is there
//! yet to take it, and a second one has its effect also where no worker of the runtime is free.

use crate::child;
use crate::supervise::signal::asked::Asked;
use crate::telemetry::log::supervise as log;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// For how long a first signal waits for somebody to take it, and a second one for the program to end by itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// Signals that come closer than this are one request: a terminal and the foreman under it each send theirs, `timeout`
/// signals its child and then the group, and a terminal that closes sends several. Nobody asks twice that fast.
const ONE_REQUEST: Duration = Duration::from_millis(100);

/// For how long the last line may take to be logged: a subscriber can wait for ever for whoever reads its output.
const LAST_LINE: Duration = Duration::from_millis(200);

/// What was heard, and who takes it. There is one for the process, with or without handlers, so that a crew that began
/// before they were installed counts too.
static HEARD: LazyLock<Heard> = LazyLock::new(Heard::default);

static INSTALLED: Mutex<Option<Installed>> = Mutex::new(None);

pub(super) type Hangups = watch::Receiver<u64>;

#[derive(Default)]
struct Heard {
    /// The name of each signal that asked for the end, in their order.
    asked: watch::Sender<Vec<&'static str>>,
    hangups: watch::Sender<u64>,
    /// The program has asked for them once: from then on none ends it, also while it does what one told it to.
    hangups_wanted: AtomicBool,
    /// The last of them that somebody was told of.
    hangups_told: AtomicU64,
    /// Who waits for the first signal, or was told of it.
    takers: AtomicUsize,
    /// Crews that run, or ran when the first signal came.
    crews: AtomicUsize,
    /// When the last of them ended without one.
    crew_ended: Mutex<Option<Instant>>,
    news: (Mutex<()>, Condvar),
}

struct Installed {
    hook: signal_hook::iterator::Handle,
    /// A fork has the handlers, and not the thread behind them.
    pid: u32,
    hangup: bool,
}

/// Handles all three signals.
pub(super) fn install() -> io::Result<()> {
    listen(true)
}

/// Handles those that have no effect on process 1 without a handler and have to have one. A hang-up is not among them:
/// whether it ends the program or makes it reload is for the program to say.
pub(super) fn install_unasked() -> io::Result<()> {
    listen(false)
}

/// Where they were installed and the process has been forked since: installs them once more.
fn listen_after_fork() {
    let installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    if installed {
        // Without a thread it stays as deaf as it is.
        let _ = listen(false);
    }
}

fn listen(mut hangup: bool) -> io::Result<()> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    let installed = match &mut *installed {
        Some(installed) if installed.pid == std::process::id() => installed,
        other => {
            hangup |= other.as_ref().is_some_and(|before| before.hangup);
            other.insert(Installed { hook: start()?, pid: std::process::id(), hangup: false })
        }
    };
    if hangup && !installed.hangup && !is_ignored(SIGHUP) {
        installed.hook.add_signal(SIGHUP)?;
        installed.hangup = true;
    }
    Ok(())
}

fn start() -> io::Result<signal_hook::iterator::Handle> {
    let (arm, armed) = mpsc::sync_channel::<Signals>(1);
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
        let mut last = None;
        for signal in signals.forever() {
            HEARD.hear(signal, &mut last);
        }
    })?;
    let signals = Signals::new([SIGTERM, SIGINT])?;
    let hook = signals.handle();
    // It takes one, and the thread waits for it.
    let _ = arm.send(signals);
    Ok(hook)
}

impl Heard {
    /// On the thread of the signals, which knows when it heard the `last` request for the end.
    fn hear(&'static self, signal: i32, last: &mut Option<Instant>) {
        if signal == SIGHUP && self.hangups_wanted.load(Ordering::SeqCst) {
            self.hangups.send_modify(|hangups| *hangups += 1);
            return;
        }
        let now = Instant::now();
        if last.is_some_and(|last| now.saturating_duration_since(last) < ONE_REQUEST) {
            return;
        }
        *last = Some(now);
        let (mut count, mut taken) = (0, false);
        self.asked.send_modify(|asked| {
            asked.push(name(signal));
            count = asked.len();
            // Before anybody is told, who may end the program at once; and nobody sees that they are gone and not why.
            if count > 1 {
                child::kill_all();
            }
            taken = self.is_taken() || self.was_taken(now);
        });
        match count {
            1 if taken => {}
            1 => self.later(signal, |heard, signal| {
                if heard.wait(PATIENCE, || heard.is_taken()) {
                    return;
                }
                child::kill_all();
                say_not_taken(signal);
                end(signal);
            }),
            2 => self.later(signal, |heard, signal| {
                heard.wait(PATIENCE, || false);
                exit(signal);
            }),
            _ => exit(signal),
        }
    }

    fn is_taken(&self) -> bool {
        self.takers.load(Ordering::SeqCst) + self.crews.load(Ordering::SeqCst) > 0
    }

    /// By a crew that has ended since the signal came: a handler of the program's own, which ends it, may hear of one
    /// before this thread does.
    fn was_taken(&self, now: Instant) -> bool {
        let ended = *self.crew_ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.is_some_and(|ended| now.saturating_duration_since(ended) < PATIENCE)
    }

    /// On a thread of its own, since more signals may come. Where there is none they are heard afterwards.
    fn later(&'static self, signal: i32, then: fn(&Heard, i32)) {
        let spawned = std::thread::Builder::new().name("signal".to_owned()).spawn(move || then(self, signal));
        if spawned.is_err() {
            then(self, signal);
        }
    }

    /// Waits until this is `met`, but no longer than that; whether it is.
    fn wait(&self, patience: Duration, met: impl Fn() -> bool) -> bool {
        let (lock, news) = &self.news;
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(news.wait_timeout_while(guard, patience, |()| !met()));
        met()
    }

    /// One more who takes the first signal.
    fn joins(&self, who: &AtomicUsize) {
        who.fetch_add(1, Ordering::SeqCst);
        // So that the look and the wait for news cannot miss it.
        drop(self.news.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.1.notify_all();
    }

    /// One less. `stays` is told whether there was a signal, while none can come.
    fn leaves(&self, who: &AtomicUsize, stays: impl FnOnce(bool) -> bool) {
        self.asked.send_if_modified(|asked| {
            if !stays(!asked.is_empty()) {
                who.fetch_sub(1, Ordering::SeqCst);
            }
            false
        });
    }
}

/// Somebody waits for the first signal, or has been told of it. One who no longer waits has not taken it.
struct Taker {
    told: bool,
}

impl Taker {
    fn new() -> Taker {
        HEARD.joins(&HEARD.takers);
        Taker { told: false }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        HEARD.leaves(&HEARD.takers, |_| self.told);
    }
}

/// A crew that runs takes the first signal: whoever ends it does so by a handler of his own, or it ends by itself when
/// nobody does. What the program still does after a crew that lived at the signal belongs to the same end.
pub(super) struct Crew(());

impl Crew {
    pub(super) fn new() -> Crew {
        listen_after_fork();
        HEARD.joins(&HEARD.crews);
        Crew(())
    }

    /// The first signal, where for a while nobody has asked for it.
    pub(super) async fn unanswered(&self) -> Asked {
        let asked = first(HEARD.asked.subscribe()).await;
        sleep(PATIENCE).await;
        if HEARD.takers.load(Ordering::SeqCst) > 0 {
            pending().await
        }
        asked
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        HEARD.leaves(&HEARD.crews, |asked| {
            if !asked {
                *HEARD.crew_ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            asked
        });
    }
}

pub(super) async fn asked() -> Asked {
    listen_after_fork();
    let mut taker = Taker::new();
    let asked = first(HEARD.asked.subscribe()).await;
    taker.told = true;
    asked
}

pub(super) async fn asked_again() {
    listen_after_fork();
    nth(&mut HEARD.asked.subscribe(), 1).await;
}

async fn first(mut signals: watch::Receiver<Vec<&'static str>>) -> Asked {
    let name = nth(&mut signals, 0).await;
    let again = Box::pin(async move {
        nth(&mut signals, 1).await;
    });
    Asked { name, failed: None, again: Some(again) }
}

async fn nth(signals: &mut watch::Receiver<Vec<&'static str>>, n: usize) -> &'static str {
    let name = signals.wait_for(|signals| signals.len() > n).await.map(|signals| signals[n]);
    match name {
        Ok(name) => name,
        // What was heard lives as long as the process.
        Err(_) => pending().await,
    }
}

pub(super) fn hangups() -> Hangups {
    listen_after_fork();
    HEARD.hangups_wanted.store(true, Ordering::SeqCst);
    let mut hangups = HEARD.hangups.subscribe();
    // One that came while nobody listened, as between two rounds of a loop that makes its receiver anew.
    if *hangups.borrow() > HEARD.hangups_told.load(Ordering::SeqCst) {
        hangups.mark_changed();
    }
    hangups
}

pub(super) async fn hangup(hangups: &mut Hangups) {
    if hangups.changed().await.is_err() {
        pending::<()>().await;
    }
    HEARD.hangups_told.fetch_max(*hangups.borrow_and_update(), Ordering::SeqCst);
}

/// In the log, if that can be done in time.
fn say_not_taken(signal: i32) {
    let (said, heard) = mpsc::sync_channel(1);
    let spawned = std::thread::Builder::new().name("signal-log".to_owned()).spawn(move || {
        log::signal_not_taken(name(signal));
        let _ = said.send(());
    });
    if spawned.is_ok() {
        // Said, or given up, also where the subscriber panicked.
        let _ = heard.recv_timeout(LAST_LINE);
    }
}

/// What the signal does to a program that does not listen. Process 1 of a container has no default action: it exits as
/// if it had one.
fn end(signal: i32) {
    if std::process::id() != 1 {
        let _ = low_level::emulate_default_handler(signal);
    }
    exit(signal);
}

/// As a shell says that a program ended by this signal. Nothing of the program runs any more, which could hang: neither
/// what it wants done at its exit, nor an exit of its own that is under way.
fn exit(signal: i32) -> ! {
    child::kill_all();
    low_level::exit(128 + signal)
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
