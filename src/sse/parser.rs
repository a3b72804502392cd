//! The event stream format of the WHATWG HTML standard, section 9.2.6: bytes in, events out.
//!
//! Pure, incremental, and bounded: it keeps at most one line, one event and one id, whatever comes.

use bytes::Buf;
use memchr::memchr2;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

mod data;
#[cfg(test)]
mod tests;

use data::Data;

/// After an event above its limit, so many times that limit is skipped for its end.
const PATIENCE: usize = 16;
const DATA: &[u8] = b"data:";
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Event {
    /// Its type: `message` where the server names none.
    pub event: Cow<'static, str>,
    /// Its data; several `data` lines are joined by a line feed.
    pub data: String,
    /// The last id that the server has sent, with this event or before it; empty where there is none.
    pub id: Arc<str>,
}

/// The most that a line and an event may have, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub(crate) struct Sizes {
    pub(crate) line: usize,
    /// Data, type and id together.
    pub(crate) event: usize,
}

/// What the bytes said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// `named`: whether an id came with this very event.
    Event { event: Event, named: bool },
    /// A line that says nothing but that somebody is there.
    Comment,
    /// How long the server wants its clients to wait before they connect again.
    Retry(Duration),
    /// The event under way is above a limit; the rest of it is skipped. Said once for each.
    TooLarge,
    /// The event that is skipped does not end.
    Endless,
}

/// The state between two chunks.
#[derive(Debug)]
pub(crate) struct Parser {
    sizes: Sizes,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Of a data line whose end has not come: its length so far. What it has stands with the data already.
    open: Option<usize>,
    /// The rest of this line is skipped.
    long_line: bool,
    /// A carriage return ended the last line: a line feed after it belongs to it.
    after_cr: bool,
    /// No line has ended yet: only there is a byte order mark.
    first: bool,
    data: Data,
    event: String,
    /// The id of the event under way, once it has one of its own.
    id: Option<Arc<str>>,
    /// What a reconnect sends: the id as of the last blank line.
    last_id: Arc<str>,
    /// Bytes skipped since the event under way got too large.
    skipped: Option<usize>,
}

impl Parser {
    /// For a new connection. The id of the one before stays until the server sends another.
    pub(crate) fn new(sizes: Sizes, last_id: Arc<str>) -> Parser {
        Parser {
            sizes,
            line: Vec::new(),
            open: None,
            long_line: false,
            after_cr: false,
            first: true,
            data: Data::default(),
            event: String::new(),
            id: None,
            last_id,
            skipped: None,
        }
    }

    /// The last id that was committed by a blank line.
    pub(crate) fn last_id(&self) -> &Arc<str> {
        &self.last_id
    }

    /// Takes bytes off the chunk up to the next item; none where the chunk is used up.
    pub(crate) fn next(&mut self, chunk: &mut impl Buf) -> Option<Item> {
        loop {
            let bytes = chunk.chunk();
            if bytes.is_empty() {
                // What follows a carriage return at the end of a chunk is seen in the next.
                return None;
            }
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                chunk.advance(1);
                continue;
            }
            // A blank line is too short to be searched.
            let blank = matches!(bytes[0], b'\n' | b'\r').then_some(0);
            let Some(end) = blank.or_else(|| memchr2(b'\n', b'\r', bytes)) else {
                let all = bytes.len();
                let said = self.keep(bytes).or_else(|| self.skip(all));
                chunk.advance(all);
                match said {
                    None => continue,
                    some => return some,
                }
            };
            self.after_cr = bytes[end] == b'\r';
            let mut taken = end + 1;
            let mut said = self.line(&bytes[..end]).or_else(|| self.skip(end + 1));
            // Most events have one line of data, with the blank line right behind it.
            if said.is_none() && !self.after_cr && bytes.get(taken) == Some(&b'\n') {
                taken += 1;
                said = self.dispatch();
            }
            chunk.advance(taken);
            if said.is_some() {
                return said;
            }
        }
    }

    /// Part of a line that goes on in the next chunk.
    fn keep(&mut self, part: &[u8]) -> Option<Item> {
        if self.long_line {
            return None;
        }
        let length = self.open.unwrap_or(self.line.len()) + part.len();
        if length > self.sizes.line {
            (self.long_line, self.open) = (true, None);
            self.line = Vec::new();
            return self.too_large();
        }
        if self.open.is_some() {
            self.open = Some(length);
            self.append(part);
        } else if self.line.is_empty() && part.len() > DATA.len() && part.starts_with(DATA) {
            self.open = Some(length);
            if self.skipped.is_none() {
                self.data.open();
            }
            self.append(value(part, DATA.len()));
        } else {
            self.line.extend_from_slice(part);
        }
        None
    }

    /// The end of a line has come.
    #[inline(always)]
    fn line(&mut self, rest: &[u8]) -> Option<Item> {
        let first = std::mem::take(&mut self.first);
        if std::mem::take(&mut self.long_line) {
            return None;
        }
        if let Some(length) = self.open.take() {
            self.append(rest);
            self.data.end();
            let fits = length + rest.len() <= self.sizes.line && self.size() <= self.sizes.event;
            return if fits { None } else { self.too_large() };
        }
        if self.line.len() + rest.len() > self.sizes.line {
            self.line = Vec::new();
            return self.too_large();
        }
        if self.line.is_empty() {
            return self.field(rest, first);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(rest);
        let said = self.field(&line, first);
        line.clear();
        // A line of usual length keeps its memory for the next.
        if line.capacity() <= 4096 {
            self.line = line;
        }
        said
    }

    #[inline(always)]
    fn field(&mut self, mut line: &[u8], first: bool) -> Option<Item> {
        if first {
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        // Nearly every line of nearly every stream.
        if line.starts_with(DATA) {
            return self.data(value(line, DATA.len()));
        }
        if line.is_empty() {
            return self.dispatch();
        }
        // Names are too short for memchr to be worth its call.
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(0) => return Some(Item::Comment),
            Some(colon) => (&line[..colon], value(line, colon + 1)),
            None => (line, &line[line.len()..]),
        };
        match name {
            b"data" => self.data(value),
            b"event" => {
                self.event = text(value.to_vec());
                self.measured()
            }
            b"id" if !value.contains(&0) => {
                self.id = Some(String::from_utf8_lossy(value).into());
                self.measured()
            }
            b"retry" => retry(value).map(Item::Retry),
            _ => None,
        }
    }

    #[inline]
    fn data(&mut self, value: &[u8]) -> Option<Item> {
        if self.skipped.is_some() {
            return None;
        }
        if self.size() + self.data.joint() + value.len() > self.sizes.event {
            return self.too_large();
        }
        self.data.line(value);
        None
    }

    /// More of an open line.
    fn append(&mut self, part: &[u8]) {
        if self.skipped.is_none() {
            self.data.part(part);
        }
    }

    fn size(&self) -> usize {
        self.data.size() + self.event.len() + self.id.as_ref().map_or(0, |id| id.len())
    }

    /// A type or an id has come: whether the event still fits.
    fn measured(&mut self) -> Option<Item> {
        if self.size() <= self.sizes.event {
            return None;
        }
        // An id that does not fit is not kept either.
        if self.id.as_ref().is_some_and(|id| id.len() > self.sizes.event) {
            self.id = None;
        }
        self.too_large()
    }

    fn too_large(&mut self) -> Option<Item> {
        self.data.clear();
        self.event = String::new();
        match self.skipped {
            Some(_) => None,
            None => {
                self.skipped = Some(0);
                Some(Item::TooLarge)
            }
        }
    }

    /// Counts what is thrown away.
    fn skip(&mut self, bytes: usize) -> Option<Item> {
        let skipped = self.skipped.as_mut()?;
        *skipped = skipped.saturating_add(bytes);
        let patience = self.sizes.event.max(self.sizes.line).saturating_mul(PATIENCE);
        (*skipped > patience).then_some(Item::Endless)
    }

    /// A blank line.
    #[inline(always)]
    fn dispatch(&mut self) -> Option<Item> {
        let named = self.id.is_some();
        if let Some(id) = self.id.take() {
            self.last_id = id;
        }
        let event = std::mem::take(&mut self.event);
        if self.skipped.take().is_some() {
            return None;
        }
        let data = self.data.take()?;
        let event = if event.is_empty() { Cow::Borrowed("message") } else { Cow::Owned(event) };
        Some(Item::Event { event: Event { event, data, id: self.last_id.clone() }, named })
    }
}

/// What follows the colon, without one leading space.
#[inline]
fn value(line: &[u8], from: usize) -> &[u8] {
    let value = &line[from..];
    value.strip_prefix(b" ").unwrap_or(value)
}

/// Bytes that are no UTF-8 are replaced, as the standard's decoder does.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Milliseconds, of digits alone; more than 64 bits hold is as much as they hold.
fn retry(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |ms: u64, digit: &u8| ms.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(Duration::from_millis(value.iter().fold(0, add)))
}
