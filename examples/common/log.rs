//! The log of a program: a line an event, as text or as JSON, by the same two options in every program.

#[path = "../../src/duration/compact.rs"]
mod compact;

use super::{Args, Stop};
use std::fmt::{self, Debug, Display, Write};
use std::io;
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::fmt::format::{FormatFields, Writer};
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};
use unwedge::duration::{human, parse};

/// What an error or an outcome says, with its durations as the log has them: `1m30s`.
pub(crate) fn said(text: &dyn Display) -> String {
    compact::compact(text)
}

/// What is logged where nobody says otherwise.
const USUAL: &str = "info,unwedge=debug,hyper_util=warn";

/// Behind the help of every program.
pub(crate) const HELP: &str = "
The log, in every program alike:

  --log text|json     a line for people, or a JSON object, for each event of the log (text)
  --log-level LEVEL   off, error, warn, info, debug or trace, of this program and of unwedge; or targets with their
                      levels, as info,hyper_util=debug. RUST_LOG says the same where this is not given
";

/// What the command line says of the log: there is one for a process.
static WANTED: Mutex<Wanted> = Mutex::new(Wanted { json: false, level: None });

#[derive(Clone, Debug)]
struct Wanted {
    json: bool,
    level: Option<Targets>,
}

fn wanted() -> std::sync::MutexGuard<'static, Wanted> {
    WANTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one of the two options with its value, and says whether it is one.
pub(crate) fn take(flag: &str, args: &mut Args) -> Result<bool, Stop> {
    match flag {
        "log" => {
            let text = args.text()?;
            wanted().json = match &*text {
                "json" => true,
                "text" => false,
                _ => return Err(args.wrong(format!("{text:?} is neither text nor json"))),
            };
        }
        "log-level" => {
            let text = args.text()?;
            let level = level(&text).map_err(|why| args.wrong(format!("{text:?}: {why}")))?;
            wanted().level = Some(level);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// One level for this program and the library, or targets with their levels.
fn level(text: &str) -> Result<Targets, String> {
    if text.contains(['=', ',']) {
        return text.parse().map_err(|why| format!("{why}"));
    }
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    if !known.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(format!("none of {}, and no list of targets", known.join(", ")));
    }
    let level: LevelFilter = text.parse().map_err(|why| format!("{why}"))?;
    let program = module_path!().split("::").next().unwrap_or_default();
    // What the crates below have to say in detail is for those who name them.
    let others = level.min(LevelFilter::INFO);
    Ok(Targets::new().with_default(others).with_targets([
        (program, level),
        ("unwedge", level),
        ("hyper_util", level.min(LevelFilter::WARN)),
    ]))
}

/// By the command line, or else by `RUST_LOG`; `None` where neither says anything.
fn asked() -> Result<Option<Targets>, Stop> {
    if let Some(level) = wanted().level.clone() {
        return Ok(Some(level));
    }
    match std::env::var("RUST_LOG") {
        Ok(wanted) if !wanted.is_empty() => {
            let targets =
                wanted.parse().map_err(|why| Stop::usage(format!("RUST_LOG: {wanted:?}: {why}")))?;
            Ok(Some(targets))
        }
        _ => Ok(None),
    }
}

/// Lines that a program leaves out because it says the same in its own words.
pub(crate) type Twice = fn(&Metadata<'_>) -> bool;

/// What is logged, and where to.
pub(crate) fn to<W>(writer: W, twice: Twice) -> Result<Box<dyn Layer<Seen> + Send + Sync>, Stop>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter: Box<dyn Filter<Seen> + Send + Sync> = match asked()? {
        Some(targets) => Box::new(targets),
        None => {
            let usual: Targets = USUAL.parse().map_err(|why| Stop::Failed(format!("{why}")))?;
            Box::new(FilterExt::<Seen>::and(usual, filter_fn(move |of| !twice(of))))
        }
    };
    let lines = layer().with_ansi(false).with_target(false).with_writer(writer);
    Ok(match wanted().json {
        true => lines.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
        false => lines.fmt_fields(Fields).with_filter(filter).boxed(),
    })
}

/// The registry, and above it what else reads the log.
pub(crate) type Seen = tracing_subscriber::layer::Layered<Option<super::daemon::Reader>, Registry>;

/// The log of a program that is over soon, on standard error: nothing, unless it was asked for.
pub(crate) fn where_asked_for() -> Result<(), Stop> {
    let is_asked_for = asked()?.is_some() || wanted().json;
    if is_asked_for {
        let none: Option<super::daemon::Reader> = None;
        tracing_subscriber::registry().with(none).with(to(io::stderr, |_| false)?).init();
    }
    Ok(())
}

/// Fields as `name=value`: a value stands in quotes where it is empty or has blanks, quotes or an equals sign in it.
struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_first: true, wrote: Ok(()) };
        fields.record(&mut line);
        line.wrote
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    is_first: bool,
    wrote: fmt::Result,
}

impl Line<'_> {
    fn field(&mut self, field: &Field, value: &str) {
        if self.wrote.is_err() {
            return;
        }
        let gap = if std::mem::replace(&mut self.is_first, false) { "" } else { " " };
        self.wrote = self.writer.write_str(gap).and_then(|()| match field.name() {
            "message" => one_line(&mut self.writer, value),
            name => {
                // `r#in` is written so because `in` is a word of Rust.
                let name = name.strip_prefix("r#").unwrap_or(name);
                write!(self.writer, "{name}=")?;
                match needs_quotes(value) {
                    true => write!(self.writer, "{value:?}"),
                    false => self.writer.write_str(value),
                }
            }
        });
    }
}

fn needs_quotes(value: &str) -> bool {
    value.is_empty() || value.contains(|c: char| c.is_whitespace() || c.is_control() || "\"=".contains(c))
}

/// Whatever a message has in it, the line goes on.
fn one_line(writer: &mut Writer<'_>, message: &str) -> fmt::Result {
    for char in message.chars() {
        match char.is_control() {
            true => write!(writer, "{}", char.escape_default())?,
            false => writer.write_char(char)?,
        }
    }
    Ok(())
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, &format!("{value:?}"));
    }
}
