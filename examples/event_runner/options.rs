//! The command line.

use crate::common::args::Arg;
use crate::common::{Args, Object, Output, Stop, daemon};
use crate::events::Script;
use crate::incident::Severity;
use crate::runner::Server;
use crate::settings::{KNOBS, Settings};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Options {
    pub(crate) common: daemon::Options,
    pub(crate) settings: Settings,
    pub(crate) servers: Vec<Arc<Server>>,
    pub(crate) demo: bool,
    pub(crate) min_severity: Severity,
    pub(crate) bind: IpAddr,
    /// How many agents run at once, if it was said.
    pub(crate) agents: Option<usize>,
    pub(crate) command: Vec<OsString>,
    pub(crate) events: Option<(SocketAddr, Script)>,
    breaks: Vec<String>,
    print: bool,
}

impl Options {
    pub(crate) fn read(mut args: Args) -> Result<Options, Stop> {
        let mut options = Options {
            common: daemon::Options::default(),
            settings: Settings::read(false, |_| None, &[])?,
            servers: Vec::new(),
            demo: false,
            min_severity: Severity::Info,
            bind: Ipv4Addr::UNSPECIFIED.into(),
            agents: None,
            command: Vec::new(),
            events: None,
            breaks: Vec::new(),
            print: false,
        };
        let mut flags = Vec::new();
        let (mut at, mut count, mut every) = (None, 100, Duration::from_millis(100));
        let mut severity = None;
        while let Some(arg) = args.next()? {
            let flag = match arg {
                Arg::Flag(flag) => flag,
                // From here on everything is the command's own.
                Arg::Value(program) => {
                    options.command = vec![program.into()];
                    options.command.extend(args.rest()?);
                    break;
                }
            };
            match flag.as_str() {
                "server" => options.add_server(&mut args)?,
                "demo" => options.demo = true,
                "min-severity" => severity = Some(self::severity(&mut args)?),
                "bind" => options.bind = bind(&mut args)?,
                "agents" => options.agents = Some(agents(&mut args)?),
                "break" => options.breaks.push(breaks(&mut args)?),
                "events" => at = Some(args.address()?),
                "event-count" => count = args.number()?,
                "event-every" => every = args.duration()?,
                "print-config" => options.print = true,
                other if KNOBS.iter().any(|knob| knob.flag == other) => flags.push((flag, args.text()?)),
                other if options.common.take(other, &mut args)? => {}
                _ => return Err(args.unknown(&Arg::Flag(flag))),
            }
        }
        let read = |name: &str| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned());
        options.settings = Settings::read(options.demo, read, &flags)?;
        let least = if options.demo { Severity::Warning } else { Severity::Info };
        options.min_severity = severity.unwrap_or(least);
        options.events = at.map(|at| (at, Script::Even { count, every }));
        options.check().map(|()| options)
    }

    /// Whether this is to fail once, so that it can be watched.
    pub(crate) fn breaks(&self, what: &str) -> bool {
        self.breaks.iter().any(|named| named == what)
    }

    /// What holds in the end, instead of running.
    pub(crate) fn print(&self) -> Result<bool, Stop> {
        if !self.print {
            return Ok(false);
        }
        let output = Output::new(self.common.json);
        if self.common.json {
            self.settings.objects().try_for_each(|object| output.object(&object))?;
            let servers = self.servers.iter().map(|server| format!("{}={}", server.name, server.url));
            let command = self.command.iter().map(|part| part.to_string_lossy().into_owned());
            for (flag, value) in [
                ("--server", servers.collect::<Vec<_>>().into()),
                ("--min-severity", self.min_severity.as_str().into()),
                ("--bind", self.bind.to_string().into()),
                ("--", serde_json::Value::from(command.collect::<Vec<_>>())),
            ] {
                output.object(&Object::new().with("flag", flag).with("value", value))?;
            }
            return Ok(true);
        }
        self.settings.lines().try_for_each(|line| output.text(&line))?;
        for server in &self.servers {
            output.text(&format!("# --server {}={}", server.name, server.url))?;
        }
        output.text(&format!("# --min-severity {} --bind {}", self.min_severity, self.bind))?;
        Ok(true)
    }

    fn check(&mut self) -> Result<(), Stop> {
        if self.demo && !self.servers.is_empty() {
            return Err(Stop::usage("--demo has an event server of its own, and --server names another"));
        }
        if self.demo && self.command.is_empty() {
            self.command = ["sh", "-c", crate::events::AGENT].map(OsString::from).to_vec();
        }
        if let Some(program) = self.command.first() {
            found(program)?;
        }
        if self.print || self.events.is_some() {
            return Ok(());
        }
        if !self.demo && self.servers.is_empty() {
            return Err(Stop::usage("no --server NAME=URL and no --demo: there is nothing to listen to"));
        }
        if self.command.is_empty() {
            return Err(Stop::usage("no command to run for an incident: write it behind --"));
        }
        Ok(())
    }

    fn add_server(&mut self, args: &mut Args) -> Result<(), Stop> {
        let text = args.text()?;
        let wrong = |why: &str| args.wrong(format!("{text:?}: {why}"));
        let (name, url) = text.split_once('=').ok_or_else(|| wrong("write NAME=URL"))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
            return Err(wrong("a name has 1 to 63 letters, digits, dots, dashes and underscores"));
        }
        let parsed: http::Uri = url.parse().map_err(|_| wrong("that is no URL"))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none() {
            return Err(wrong("the URL must begin with http:// or https://"));
        }
        if self.servers.iter().any(|server| &*server.name == name) {
            return Err(wrong("there is a server of that name already"));
        }
        self.servers.push(Arc::new(Server::new(name, url.to_owned())));
        Ok(())
    }
}

fn severity(args: &mut Args) -> Result<Severity, Stop> {
    let text = args.text()?;
    Severity::read(&text).ok_or_else(|| args.wrong(format!("{text:?} is none of info, warning, critical")))
}

fn bind(args: &mut Args) -> Result<IpAddr, Stop> {
    let text = args.text()?;
    text.parse().map_err(|_| args.wrong(format!("{text:?} is no address like 0.0.0.0")))
}

fn agents(args: &mut Args) -> Result<usize, Stop> {
    match args.number()? {
        agents @ 1..=1000 => Ok(agents),
        other => Err(args.wrong(format!("{other}: between 1 and 1000 agents can run at once"))),
    }
}

fn breaks(args: &mut Args) -> Result<String, Stop> {
    let text = args.text()?;
    match text.as_str() {
        "sweeper" | "scrape" => Ok(text),
        _ => Err(args.wrong(format!("{text:?} is neither sweeper nor scrape"))),
    }
}

/// A command that is not there shall be noticed before the first incident.
fn found(program: &OsString) -> Result<(), Stop> {
    let named = Path::new(program);
    let there = if named.components().count() > 1 {
        named.is_file()
    } else {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|dir| {
            let file = dir.join(named);
            file.is_file() || file.with_extension(std::env::consts::EXE_EXTENSION).is_file()
        })
    };
    match there {
        true => Ok(()),
        false => Err(Stop::usage(format!("{program:?}: no such command"))),
    }
}
