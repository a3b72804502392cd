//! A daemon with everything in one file: settings, a patrol, a queue, child processes, metrics, probes, a status page.
//!
//! `cargo run --example daemon -- daemon.toml`; each key is a variable too: `DAEMON_SERVER=https://incidents.example`.

use serde::Deserialize;
use std::{io::Write, time::Duration};
use unwedge::admin::{self, Admin};
use unwedge::child::Command;
use unwedge::config::{Layers, Resilience};
use unwedge::queue::{self, Queue};
use unwedge::supervise::{Heartbeat, Signals, Supervisor};
use unwedge::{Client, Error, duration};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    server: String,
    every: String,
    command: Vec<String>,
    admin: String,
    resilience: Resilience,
    queue: queue::Settings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            server: "http://127.0.0.1:8000".to_owned(),
            every: "1m".to_owned(),
            command: vec!["cat".to_owned()],
            admin: "127.0.0.1:0".to_owned(), // loopback, any free port
            resilience: Resilience::default(),
            queue: queue::Settings::default(),
        }
    }
}

/// Key: the cluster; value: the incident.
type Incidents = Queue<String, String>;

/// One sweep: new incidents go into the queue.
async fn poll(client: Client, server: String, queue: Incidents) -> Result<(), Error> {
    let response = client.get(format!("{server}/incidents")).send().await?.error_for_status().await?;
    for (cluster, incident) in response.json::<Vec<(String, String)>>().await? {
        if let Err(refused) = queue.push(cluster, incident) {
            tracing::warn!("{refused}");
        }
    }
    Ok(())
}

/// One command for each incident, with a limit of its own.
async fn handle(heart: Heartbeat, queue: Incidents, command: Vec<String>) -> Result<(), Error> {
    let (program, args) = command.split_first().expect("checked in main");
    loop {
        let next = {
            let _parked = heart.parked("no incident waits");
            tokio::select! { item = queue.pop() => item, () = heart.cancelled() => None }
        };
        let Some(item) = next else { return Ok(()) };
        let agent = Command::new(program, Duration::from_secs(300)).args(args).inherit_env(["PATH"]);
        let ended = agent.stdin(item.value).run_until(heart.cancelled()).await;
        let ended = ended.map_or_else(|error| error.to_string(), |ended| ended.to_string()); // no other loses its turn
        let _ = writeln!(std::io::stdout(), "{}: {ended}", item.key); // println! panics on a full disk
        heart.progress();
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let signals = Signals::install()?; // before anything that takes time
    tracing_subscriber::fmt().with_writer(std::io::stderr).log_internal_errors(false).init();
    let file = std::env::args().nth(1);
    let layers = file.map_or_else(|| Ok(Layers::new()), |file| Layers::new().file(file))?;
    let Settings { server, every, command, admin, resilience, queue } = layers.env("DAEMON_").load()?;
    let every = duration::parse(&every)?;
    command.first().ok_or("the command is empty: it needs a program")?;

    let client = Client::builder().stack(resilience.builder().name("incidents")).build()?;
    let incidents = Incidents::new(queue.name("incidents"))?;
    let mut crew = Supervisor::new();
    let shown = Admin::new(&crew).breakers(client.breakers()).calls(client.in_flight());
    let serving = shown.metrics(admin::prometheus()?).serve(admin.as_str()).await?;
    let _ = writeln!(std::io::stdout(), "status page: {}/admin", serving.url());

    let queue = incidents.clone();
    crew.patrol("poll", every, every, move |_| poll(client.clone(), server.clone(), queue.clone()));
    let queue = incidents.clone();
    crew.patrol("expiry", every, every, move |_| {
        drop(queue.sweep()); // counts and logs what became too old
        std::future::ready(())
    });
    let limit = Duration::from_secs(310); // a heartbeat at least once a command; stale after twice that
    crew.spawn("agents", limit, move |heart| handle(heart, incidents.clone(), command.clone()));

    let report = crew.run_until(signals.asked(), Duration::from_secs(20)).await?;
    drop(serving); // up to here /healthz answers 503
    report.exit()
}
