//! The jobs of a broker that may be killed, a line for each thing that happened, written before anybody is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Queued(u64),
    Acquired(u64, String),
}

/// What a journal tells of the time before.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) made: u64,
    pub(super) waiting: BTreeSet<u64>,
    pub(super) acquired: BTreeMap<u64, String>,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    file: Option<File>,
    /// A line may be there in part: nothing can be promised any more.
    broken: bool,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Queued(job) => writeln!(f, "queued {job}"),
            Entry::Acquired(job, key) => writeln!(f, "acquired {job} {key}"),
        }
    }
}

impl Journal {
    /// Opens or makes it. The error names the file, and the line that cannot be read.
    pub(super) fn open(path: Option<&Path>) -> io::Result<(Journal, Past)> {
        let Some(path) = path else { return Ok((Journal::default(), Past::default())) };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(named)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(named)?;
        let mut past = Past::default();
        // A last line without its end was cut by the kill and told to nobody.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(named)?;
        for (n, line) in text[..whole].lines().enumerate() {
            past.read(line).ok_or_else(|| {
                named(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("line {}: {line:?} is no entry", n + 1),
                ))
            })?;
        }
        Ok((Journal { file: Some(file), broken: false }, past))
    }

    pub(super) fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.broken {
            return Err(io::Error::other("it could not be written before"));
        }
        let lines: String = entries.iter().map(ToString::to_string).collect();
        let written = file.write_all(lines.as_bytes());
        self.broken = written.is_err();
        written
    }
}

impl Past {
    fn read(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        match (words.next()?, words.next()?.parse().ok()?, words.next()) {
            ("queued", job, None) => {
                self.made = self.made.max(job);
                self.waiting.insert(job);
            }
            ("acquired", job, key) => {
                self.waiting.remove(&job);
                self.acquired.insert(job, key.unwrap_or_default().to_owned());
            }
            _ => return None,
        }
        Some(())
    }
}
