//! Standard output: text for people, or one JSON object a line.

use super::Stop;
use super::sink::{self, Sink, Wrote};
use serde_json::Value;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        Output { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// One object on a line of its own, at once; nothing without `--json`.
    pub(crate) fn object(self, object: &Object) -> Result<(), Stop> {
        match self.json {
            true if object.is_done() => write(&object.clone().with_known("lost_lines", lost()).line()),
            true => write(&object.line()),
            false => Ok(()),
        }
    }

    /// A result for people: to standard error with `--json`.
    pub(crate) fn text(self, text: &str) -> Result<(), Stop> {
        let line = format!("{text}\n");
        if !self.json {
            return write(&line);
        }
        // Nobody counts on it: what is lost there is lost.
        let _ = io::stderr().write_all(line.as_bytes());
        Ok(())
    }
}

static STDOUT: Mutex<Option<Sink<Box<dyn Write + Send>>>> = Mutex::new(None);

/// How many lines of standard output were lost; none where all were written.
fn lost() -> Option<u64> {
    let stdout = STDOUT.lock().unwrap_or_else(PoisonError::into_inner);
    stdout.as_ref().map(Sink::lost).filter(|lost| *lost > 0)
}

fn write(line: &str) -> Result<(), Stop> {
    let mut stdout = STDOUT.lock().unwrap_or_else(PoisonError::into_inner);
    let sink = match &mut *stdout {
        Some(sink) => sink,
        none => none.insert(Sink::new(Box::new(sink::stdout()?))),
    };
    match sink.line(line.as_bytes()) {
        Ok(Wrote::AfterLoss(lost)) => {
            let _ = writeln!(io::stderr(), "standard output has room again: {lost} lines were lost");
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(sink::Closed) => Err(Stop::Closed),
    }
}

/// A JSON object that keeps its fields in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Object {
        Object::default()
    }

    /// An object of a long-running program.
    pub(crate) fn event(name: &str) -> Object {
        Object::new().with("event", name)
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Object {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&Value::from(key).to_string());
        self.0.push(':');
        self.0.push_str(&value.into().to_string());
        self
    }

    /// A field that is left out where nothing is known.
    pub(crate) fn with_known(self, key: &str, value: Option<impl Into<Value>>) -> Object {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Whether it is the last one of a program.
    fn is_done(&self) -> bool {
        self.0.starts_with(r#""event":"done""#)
    }

    /// The object as a line, with its line feed.
    pub(crate) fn line(&self) -> String {
        format!("{{{}}}\n", self.0)
    }
}

/// Whole milliseconds, for a field.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `1 byte`, `2 bytes`.
pub(crate) fn counted(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}
