//! Servers that fail, each in its own way, for clients in any language.

use crate::common::args::Arg;
use crate::common::daemon::{self, Daemon, Done};
use crate::common::{Args, Object, Output, Stop};
use serde_json::{Map, Value, json};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use unwedge::testing::{Fault, FaultServer, Peer, Reply};

pub(crate) const HELP: &str = "\
Plays faults of servers and networks on ports of this machine, for tests of clients in any language.

Usage: faults [options]

  --serve all|NAME,...   these faults, one port each (all)
  --list                 the faults, a line each: name, what happens, what a request meets
  --control ADDR         where the counts are asked for (127.0.0.1:0)
  --for DURATION         ends after this time, as by SIGTERM
  --json                 one JSON object an event on standard output; the log goes to standard error
  --help, --version

  GET  CONTROL/faults    {NAME: URL}
  GET  CONTROL/counts    {NAME: {\"connections\": N, \"requests\": N}}
  POST CONTROL/reset     all counts to zero, clocks and scripts back to the start, open connections ended

The kernel plays refused and black-hole and counts nothing there.

Exit code: 0 for a clean end by SIGTERM, SIGINT or --for, 2 for an argument that cannot work.
";

struct Options {
    common: daemon::Options,
    control: SocketAddr,
    faults: Vec<String>,
    list: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Stop> {
    let options = Options::read(args)?;
    if options.list {
        return list(Output::new(options.common.json));
    }
    daemon::run(&options.common, |daemon| serve(&options, daemon))
}

impl Options {
    fn read(mut args: Args) -> Result<Options, Stop> {
        let control = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let faults = vec!["all".to_owned()];
        let mut options = Options { common: daemon::Options::default(), control, faults, list: false };
        while let Some(arg) = args.next()? {
            match &arg {
                Arg::Flag(flag) if flag == "list" => options.list = true,
                Arg::Flag(flag) if flag == "serve" => options.faults = names(&mut args)?,
                Arg::Flag(flag) if flag == "control" => options.control = args.address()?,
                Arg::Flag(flag) if flag == "for" || flag == "json" => {
                    options.common.take(flag, &mut args)?;
                }
                _ => return Err(args.unknown(&arg)),
            }
        }
        Ok(options)
    }
}

/// Known names, or `all`.
fn names(args: &mut Args) -> Result<Vec<String>, Stop> {
    let names: Vec<String> = args.text()?.split(',').map(|name| name.trim().to_owned()).collect();
    for name in names.iter().filter(|name| *name != "all") {
        Fault::named(name).map_err(|error| args.wrong(error))?;
    }
    Ok(names)
}

fn list(output: Output) -> Result<ExitCode, Stop> {
    for fault in Fault::all() {
        let object = Object::new().with("name", fault.name).with("about", fault.about);
        if output.is_json() {
            output.object(&object.with("expect", fault.expect.to_string()))?;
        } else {
            output.text(&format!("{}\t{}\t{}", fault.name, fault.about, fault.expect))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(options: &Options, daemon: Daemon) -> Result<Done, Stop> {
    let all = options.faults.iter().any(|name| name == "all");
    let faults = if all { FaultServer::start_all() } else { FaultServer::start(&options.faults) };
    let faults = Arc::new(faults?);
    let control = control(&faults);
    let at = control.listen_on(options.control).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable | io::ErrorKind::PermissionDenied => {
            Stop::listen("--control", options.control, error)
        }
        _ => Stop::from(error),
    })?;
    let url = format!("http://{at}");
    let ready = daemon.event("ready").with("admin", None::<&str>).with("server", None::<&str>);
    daemon.tell(&ready.with("control", &*url));
    let output = Output::new(options.common.json);
    output.text(&format!("{:20} {url}", "control"))?;
    for (fault, url) in faults.urls() {
        daemon.tell(&daemon.event("fault").with("name", fault.name).with("url", url));
        output.text(&format!("{:20} {url:27} {}", fault.name, fault.about))?;
    }
    daemon.asked_to_end().await;
    let (mut connections, mut requests) = (0, 0);
    for (_, counts) in faults.counts() {
        connections += counts.connections;
        requests += counts.requests;
    }
    Ok(Done::new(true).count("connections", connections).count("requests", requests))
}

/// The server to ask and to reset.
fn control(faults: &Arc<FaultServer>) -> Peer {
    let by = |answer: fn(&FaultServer) -> Reply| {
        let faults = Arc::clone(faults);
        Reply::by(move |_| answer(&faults))
    };
    let urls = by(|faults| object(faults.urls().map(|(fault, url)| (fault.name, url.into()))));
    let counts = by(|faults| {
        let counted = faults.counts().into_iter();
        object(counted.map(|(name, counts)| {
            (name, json!({ "connections": counts.connections, "requests": counts.requests }))
        }))
    });
    let reset = by(|faults| {
        faults.reset();
        Reply::status(204)
    });
    let hint = "GET /faults, GET /counts or POST /reset\n";
    let control = Peer::new().on("GET /faults", urls).on("GET /counts", counts).on("POST /reset", reset);
    control.forever(Reply::status(404).body(hint))
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, Value)>) -> Reply {
    let fields: Map<String, Value> = fields.map(|(name, value)| (name.to_owned(), value)).collect();
    Reply::ok(Value::from(fields).to_string()).header("content-type", "application/json")
}
