//! Standard output: text for people, or one JSON object a line.

use super::Stop;
use serde_json::Value;
use std::io::{self, Write};

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
        if self.json { write(io::stdout(), &object.line()) } else { Ok(()) }
    }

    /// A result for people: to standard error with `--json`.
    pub(crate) fn text(self, text: &str) -> Result<(), Stop> {
        let line = format!("{text}\n");
        if self.json { write(io::stderr(), &line) } else { write(io::stdout(), &line) }
    }
}

/// In one write, so that lines of several tasks do not mix.
fn write(mut to: impl Write, line: &str) -> Result<(), Stop> {
    to.write_all(line.as_bytes())?;
    Ok(to.flush()?)
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

    /// The object as a line, with its line feed.
    pub(crate) fn line(&self) -> String {
        format!("{{{}}}\n", self.0)
    }
}

/// Whole milliseconds, for a field.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
