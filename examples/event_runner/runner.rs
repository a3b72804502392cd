//! The crew of a runner: a feed for each server, workers that run agents, a sweeper; how it begins and how it ends.

use crate::agents::{self, GRACE, SPARE};
use crate::book::Book;
use crate::common::Stop;
use crate::common::daemon::{Daemon, Done};
use crate::incident::{Incident, Severity};
use crate::meters::{self, Meters};
use crate::options::Options;
use crate::settings::Settings;
use crate::{feed, probes};
use std::ffi::OsString;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use unwedge::admin::Admin;
use unwedge::breaker::{self, Breaker};
use unwedge::queue::{self, Queue};
use unwedge::sse::EventStream;
use unwedge::supervise::{Event, Heartbeat, Supervisor};

/// How often a feed shows a sign of life while it has something to do.
const FEED: Duration = Duration::from_secs(30);
/// Beyond the time for the shutdown, until whoever is left is aborted.
const LAST: Duration = Duration::from_secs(2);

pub(crate) struct Runner {
    pub(crate) daemon: Daemon,
    pub(crate) settings: Settings,
    pub(crate) min_severity: Severity,
    pub(crate) seed: Option<u64>,
    pub(crate) command: Vec<OsString>,
    pub(crate) book: Book,
    pub(crate) meters: Meters,
    pub(crate) queue: Queue<Arc<str>, Incident>,
    pub(crate) breaker: Breaker,
    /// How many event streams are connected.
    pub(crate) connected: AtomicUsize,
    pub(crate) ending: AtomicBool,
    /// The sweeper panics once, see `--break`.
    panics: AtomicBool,
}

/// Where the events of one cluster come from.
pub(crate) struct Server {
    pub(crate) name: Arc<str>,
    pub(crate) url: String,
    /// Whether it was connected to before.
    pub(crate) met: AtomicBool,
    /// The last event that is in the queue or in the books.
    position: Mutex<String>,
    /// The stream of a feed that failed, which knows what it has handed out.
    stream: Mutex<Option<EventStream>>,
}

impl Server {
    pub(crate) fn new(name: &str, url: String) -> Server {
        Server {
            name: name.into(),
            url,
            met: AtomicBool::default(),
            position: Mutex::default(),
            stream: Mutex::default(),
        }
    }

    pub(crate) fn takes_stream(&self) -> Option<EventStream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn keeps(&self, stream: EventStream) {
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
    }

    pub(crate) fn position(&self) -> String {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn taken_over(&self, event_id: &str) {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        event_id.clone_into(&mut position);
    }
}

impl Runner {
    pub(crate) fn new(options: &Options, servers: &[Arc<Server>], daemon: Daemon) -> Result<Runner, Stop> {
        let settings = options.settings.clone();
        let clusters: Vec<&str> = servers.iter().map(|server| &*server.name).collect();
        let queue = queue::Settings::default().name("events").max_age(settings.max_queue_age);
        let queue = Queue::named(queue, |incident: &Incident| incident.event_id.clone());
        let lease = settings.agent_timeout + GRACE + SPARE;
        let mut circuit = breaker::Settings::default().lease(lease);
        if let Some(seed) = options.common.seed {
            let open = circuit.get_open().clone().seed(seed);
            circuit = circuit.open(open);
        }
        let breaker = Breaker::new("agent runs", circuit);
        let usage = |error: unwedge::Error| Stop::usage(error);
        Ok(Runner {
            book: Book::new(daemon.clone()),
            meters: Meters::install(&clusters, options.breaks("scrape"))?,
            queue: queue.map_err(usage)?,
            breaker: breaker.map_err(usage)?,
            connected: AtomicUsize::default(),
            ending: AtomicBool::default(),
            panics: AtomicBool::new(options.breaks("sweeper")),
            min_severity: options.min_severity,
            seed: options.common.seed,
            command: options.command.clone(),
            daemon,
            settings,
        })
    }

    /// Whether new work gets done.
    pub(crate) fn is_ready(&self) -> bool {
        self.connected.load(Ordering::Relaxed) > 0 && self.breaker.phase() == breaker::Phase::Closed
    }

    pub(crate) fn shows_depth(&self, cluster: &Arc<str>) {
        meters::set(meters::QUEUE_DEPTH, cluster, self.queue.waiting(cluster) as f64);
    }

    /// What is too old leaves the queue.
    async fn sweeps(self: Arc<Self>, servers: Arc<[Arc<Server>]>, heart: Heartbeat) {
        loop {
            assert!(!self.panics.swap(false, Ordering::Relaxed), "--break sweeper");
            for expired in self.queue.sweep().expired {
                self.book.expired(&expired.item.key, &expired.item.value);
            }
            servers.iter().for_each(|server| self.shows_depth(&server.name));
            self.meters.upkeep();
            heart.progress();
            if !heart.rest(self.settings.sweep_interval).await {
                return;
            }
        }
    }
}

/// Runs until `over`, at the latest until the program is asked to end, and then drains.
pub(crate) async fn run(
    options: &Options,
    servers: Vec<Arc<Server>>,
    daemon: Daemon,
    over: impl Future<Output = ()>,
    told: impl FnOnce(&Arc<Runner>),
) -> Result<Done, Stop> {
    let runner = Arc::new(Runner::new(options, &servers, daemon.clone())?);
    let probes = probes::start(&runner, options.bind).await?;
    daemon.watch(runner.breaker.subscribe());
    let mut crew = Supervisor::new();
    if let Some(seed) = options.common.seed {
        crew.seed(seed);
    }
    daemon.spawn(watch(daemon.clone(), crew.events()));
    recruit(&mut crew, &runner, &servers, options.agents.unwrap_or(servers.len()));
    let admin = match options.common.admin {
        Some(at) => {
            let admin = Admin::new(&crew).program(env!("CARGO_BIN_NAME"), env!("CARGO_PKG_VERSION"));
            let admin = admin.breakers(runner.breaker.clone()).serve(at).await;
            Some(admin.map_err(|error| Stop::listen("--admin", at, error))?)
        }
        None => None,
    };
    let url = admin.as_ref().map(|admin| admin.url());
    probes.say(&daemon, url.as_deref(), servers.first().map(|server| server.url.as_str()));
    told(&runner);
    let signal = async {
        let name = tokio::select! {
            end = daemon.ended() => end.as_str(),
            () = over => "the end of the demonstration",
        };
        runner.ending.store(true, Ordering::Relaxed);
        name
    };
    let report = crew.run_until(signal, runner.settings.shutdown_timeout + LAST).await;
    let report = report.map_err(|error| match error.is_config() {
        true => Stop::usage(error),
        false => Stop::Failed(error.to_string()),
    })?;
    runner.queue.close();
    for item in runner.queue.drain() {
        runner.book.drained(&item.key, &item.value.event_id);
    }
    // Probes answer to the last: the program is alive, and wants nothing more.
    drop((probes, admin));
    Ok(runner
        .book
        .close(&runner.queue.counts())
        .count("restarts", report.restarts)
        .count("clean", report.clean))
}

fn recruit(crew: &mut Supervisor, runner: &Arc<Runner>, servers: &[Arc<Server>], agents: usize) {
    for server in servers {
        let (runner, server) = (Arc::clone(runner), Arc::clone(server));
        crew.spawn(format!("feed {}", server.name), FEED, move |heart| {
            feed::follow(Arc::clone(&runner), Arc::clone(&server), heart)
        });
    }
    let run = runner.settings.agent_timeout + GRACE + SPARE;
    for n in 1..=agents {
        let runner = Arc::clone(runner);
        crew.spawn(format!("agents {n}"), run, move |heart| agents::work(Arc::clone(&runner), heart));
    }
    let (runner, every) = (Arc::clone(runner), runner.settings.sweep_interval);
    let servers: Arc<[Arc<Server>]> = servers.into();
    crew.spawn("sweeper", every, move |heart| Arc::clone(&runner).sweeps(Arc::clone(&servers), heart));
}

/// Says what happens to the crew.
async fn watch(daemon: Daemon, mut events: broadcast::Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(event) => daemon.happened(&event),
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "events of the crew were missed"),
            Err(RecvError::Closed) => return,
        }
    }
}
