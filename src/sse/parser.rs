//! The event stream format of the WHATWG HTML standard, section 9.2.6: bytes in, events out.
//!
//! Pure, incremental, and bounded: it keeps at most one line, one event and one id, whatever comes.

use bytes::Buf;
use memchr::{memchr, memchr2};
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// After an event above its limit, so many times that limit is skipped for its end.
const PATIENCE: usize = 16;
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Event {
    /// Its type: `message` where the server names none.
    pub event: Arc<str>,
    /// Its data; several `data` lines are joined by a line feed.
    pub data: String,
    /// The last id that the server has sent, with this event or before it; empty where there is none.
    pub id: Arc<str>,
}

/// The most that a line and an event may have, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The rest of this line is skipped.
    long_line: bool,
    /// A carriage return ended the last line: a line feed after it belongs to it.
    after_cr: bool,
    /// No line has ended yet: only there is a byte order mark.
    first: bool,
    data: Vec<u8>,
    has_data: bool,
    /// The type of the event under way, the one before it, and the one where there is none: most events of a stream
    /// have the same, which is then made once.
    event: Option<Arc<str>>,
    recent: Arc<str>,
    message: Arc<str>,
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
            long_line: false,
            after_cr: false,
            first: true,
            data: Vec::new(),
            has_data: false,
            event: None,
            recent: Arc::from(""),
            message: Arc::from("message"),
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
            let cr = bytes[end] == b'\r';
            let said = self.line(&bytes[..end]).or_else(|| self.skip(end + 1));
            self.after_cr = cr;
            chunk.advance(end + 1);
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
        if self.line.len() + part.len() > self.sizes.line {
            self.long_line = true;
            self.line = Vec::new();
            return self.too_large();
        }
        self.line.extend_from_slice(part);
        None
    }

    /// The end of a line has come.
    #[inline]
    fn line(&mut self, rest: &[u8]) -> Option<Item> {
        let first = std::mem::take(&mut self.first);
        if std::mem::take(&mut self.long_line) {
            return None;
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

    #[inline]
    fn field(&mut self, mut line: &[u8], first: bool) -> Option<Item> {
        if first {
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        // Nearly every line of nearly every stream.
        if let Some(value) = line.strip_prefix(b"data:") {
            return self.data(value.strip_prefix(b" ").unwrap_or(value));
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let (name, value) = match memchr(b':', line) {
            Some(0) => return Some(Item::Comment),
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => self.data(value),
            b"event" => {
                if *self.recent.as_bytes() != *value {
                    self.recent = String::from_utf8_lossy(value).into();
                }
                self.event = (!value.is_empty()).then(|| Arc::clone(&self.recent));
                self.measured()
            }
            b"id" if memchr(0, value).is_none() => {
                self.id = Some(String::from_utf8_lossy(value).into());
                self.measured()
            }
            b"retry" => retry(value).map(Item::Retry),
            _ => None,
        }
    }

    fn data(&mut self, value: &[u8]) -> Option<Item> {
        if self.skipped.is_some() {
            return None;
        }
        let joint = usize::from(self.has_data);
        if self.size() + joint + value.len() > self.sizes.event {
            return self.too_large();
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
        None
    }

    fn size(&self) -> usize {
        let len = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        self.data.len() + len(&self.event) + len(&self.id)
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
        (self.data, self.has_data, self.event) = (Vec::new(), false, None);
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
    fn dispatch(&mut self) -> Option<Item> {
        let named = self.id.is_some();
        if let Some(id) = self.id.take() {
            self.last_id = id;
        }
        let event = self.event.take();
        if self.skipped.take().is_some() || !std::mem::take(&mut self.has_data) {
            return None;
        }
        let event = event.unwrap_or_else(|| Arc::clone(&self.message));
        let data = text(std::mem::take(&mut self.data));
        Some(Item::Event { event: Event { event, data, id: self.last_id.clone() }, named })
    }
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
