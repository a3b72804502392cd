//! The eight settings: their defaults, the environment, the command line, and where each value came from. Pure.

use crate::common::{Object, Stop};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;
use unwedge::duration::{human, parse};

/// How a setting is called, and what it is when nobody says otherwise.
#[derive(Debug)]
pub(crate) struct Knob {
    pub(crate) variable: &'static str,
    /// A name from before, read where the other is not set.
    older: Option<&'static str>,
    pub(crate) flag: &'static str,
    kind: Kind,
    default: &'static str,
    /// For a demonstration, which nobody wants to watch for an hour.
    demo: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Period,
    Port,
}

const fn period(
    variable: &'static str,
    flag: &'static str,
    default: &'static str,
    demo: &'static str,
) -> Knob {
    Knob { variable, older: None, flag, kind: Kind::Period, default, demo }
}

const fn port(variable: &'static str, flag: &'static str, default: &'static str) -> Knob {
    Knob { variable, older: None, flag, kind: Kind::Port, default, demo: "0" }
}

const AGENT: Knob =
    Knob { older: Some("AGENT_TIMEOUT"), ..period("AGENT_TIMEOUT_SECONDS", "agent-timeout", "300", "2") };

pub(crate) static KNOBS: [Knob; 8] = [
    AGENT,
    period("MAX_QUEUE_AGE_SECONDS", "max-queue-age", "600", "4"),
    period("QUEUE_SWEEP_INTERVAL_SECONDS", "queue-sweep-interval", "60", "1"),
    period("SHUTDOWN_TIMEOUT_SECONDS", "shutdown-timeout", "30", "5"),
    port("METRICS_PORT", "metrics-port", "9090"),
    port("HEALTH_PORT", "health-port", "8080"),
    period("SSE_RECONNECT_INITIAL_DELAY_SECONDS", "sse-reconnect-initial-delay", "1", "0.2"),
    period("SSE_RECONNECT_MAX_DELAY_SECONDS", "sse-reconnect-max-delay", "60", "2"),
];

/// Who said what a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Default,
    Demo,
    Variable(&'static str),
    Flag(&'static str),
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Demo => f.write_str("--demo"),
            Source::Variable(name) => f.write_str(name),
            Source::Flag(name) => write!(f, "--{name}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Period(Duration),
    Port(u16),
}

/// All of them, as they hold together.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) agent_timeout: Duration,
    pub(crate) max_queue_age: Duration,
    pub(crate) sweep_interval: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) metrics_port: u16,
    pub(crate) health_port: u16,
    pub(crate) first_reconnect: Duration,
    pub(crate) longest_reconnect: Duration,
    rows: [(Value, Source); 8],
}

impl Settings {
    /// Reads the layers, the strongest last: defaults, those of a demonstration, the environment, flags.
    pub(crate) fn read(
        demo: bool,
        environment: impl Fn(&str) -> Option<String>,
        flags: &[(String, String)],
    ) -> Result<Settings, Stop> {
        let mut rows = [(Value::Port(0), Source::Default); 8];
        for (row, knob) in rows.iter_mut().zip(&KNOBS) {
            let (text, source) =
                if demo { (knob.demo, Source::Demo) } else { (knob.default, Source::Default) };
            *row = (value(knob, source, text)?, source);
            let named = |name: &'static str| environment(name).map(|text| (name, text));
            if let Some((name, text)) = named(knob.variable).or_else(|| knob.older.and_then(named)) {
                let source = Source::Variable(name);
                *row = (value(knob, source, &text)?, source);
            }
            for (_, text) in flags.iter().filter(|(flag, _)| flag == knob.flag) {
                let source = Source::Flag(knob.flag);
                *row = (value(knob, source, text)?, source);
            }
        }
        let period = |n: usize| match rows[n].0 {
            Value::Period(period) => period,
            Value::Port(_) => Duration::ZERO,
        };
        let port = |n: usize| match rows[n].0 {
            Value::Port(port) => port,
            Value::Period(_) => 0,
        };
        let settings = Settings {
            agent_timeout: period(0),
            max_queue_age: period(1),
            sweep_interval: period(2),
            shutdown_timeout: period(3),
            metrics_port: port(4),
            health_port: port(5),
            first_reconnect: period(6),
            longest_reconnect: period(7),
            rows,
        };
        settings.check().map(|()| settings)
    }

    /// What no value can be judged for alone.
    fn check(&self) -> Result<(), Stop> {
        let Settings { metrics_port, health_port, first_reconnect, longest_reconnect, .. } = self;
        if metrics_port == health_port && *metrics_port != 0 {
            return Err(Stop::usage(format!(
                "METRICS_PORT and HEALTH_PORT are both {metrics_port}: each server needs a port of its own (0 takes a free one)"
            )));
        }
        if longest_reconnect < first_reconnect {
            return Err(Stop::usage(format!(
                "SSE_RECONNECT_MAX_DELAY_SECONDS is {:#}, below SSE_RECONNECT_INITIAL_DELAY_SECONDS of {:#}: delays grow from the one to the other",
                human(*longest_reconnect),
                human(*first_reconnect)
            )));
        }
        Ok(())
    }

    /// One line a setting that an environment file takes, with where its value came from.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.rows.iter().zip(&KNOBS).map(|((value, source), knob)| {
            let line = format!("{}={}", knob.variable, value.text());
            format!("{line:<42} # --{}, from {source}", knob.flag)
        })
    }

    /// The same for programs.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Object> {
        self.rows.iter().zip(&KNOBS).map(|((value, source), knob)| {
            let object = Object::new().with("name", knob.variable).with("flag", format!("--{}", knob.flag));
            let object = match value {
                Value::Period(period) => object.with("value", period.as_secs_f64()),
                Value::Port(port) => object.with("value", *port),
            };
            object.with("from", source.to_string())
        })
    }
}

impl Value {
    /// As it can be given again.
    fn text(self) -> String {
        match self {
            Value::Period(period) if period.subsec_nanos() == 0 => period.as_secs().to_string(),
            Value::Period(period) => human(period).to_string(),
            Value::Port(port) => port.to_string(),
        }
    }
}

fn value(knob: &Knob, source: Source, text: &str) -> Result<Value, Stop> {
    let wrong = |rule: &str| Stop::usage(format!("{source}: {text:?} {rule}"));
    if knob.kind == Kind::Port {
        return match text.parse() {
            Ok(port) => Ok(Value::Port(port)),
            Err(_) => Err(wrong("is no port: a number from 0 to 65535, where 0 takes a free one")),
        };
    }
    let seconds = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let read = if seconds { parse(&format!("{text}s")) } else { parse(text) };
    match read {
        Ok(period) if period.is_zero() => Err(wrong("is no time: it must be longer than zero")),
        Ok(period) => Ok(Value::Period(period)),
        Err(error) if error.to_string().contains("10 years") => {
            Err(wrong("is too long: the longest is 10 years"))
        }
        Err(_) => Err(wrong("is neither a number of seconds nor a duration like 5m")),
    }
}
