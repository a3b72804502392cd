//! The parser of event streams against a slow one that reads the standard from top to bottom.

use crate::sse::{Item, Parser, Sizes};
use std::time::Duration;

/// The input: sizes, how the bytes are cut into chunks, then the stream.
pub fn sse_parser(input: &[u8]) {
    let [line, event, cut, stream @ ..] = input else { return };
    let sizes = Sizes { line: usize::from(*line).max(1) * 4, event: usize::from(*event).max(1) * 4 };
    let expected = reference(sizes, stream);
    let cuts = |n: usize| usize::from(*cut).wrapping_mul(31).wrapping_add(n * 17) % 13;
    let whole = parsed(sizes, stream, |_| stream.len());
    let bytes = parsed(sizes, stream, |_| 1);
    let pieces = parsed(sizes, stream, cuts);
    for (how, found) in [("whole", whole), ("by bytes", bytes), ("in pieces", pieces)] {
        assert_eq!(found, expected, "{how}");
    }
}

/// What the items come to: events with type, data, id and whether it was its own; the rest by name.
#[derive(Debug, PartialEq)]
enum Said {
    Event(String, String, String, bool),
    Comment,
    Retry(Duration),
    TooLarge,
}

fn parsed(sizes: Sizes, stream: &[u8], size: impl Fn(usize) -> usize) -> (Vec<Said>, String) {
    let mut parser = Parser::new(sizes, "".into());
    let (mut rest, mut said, mut n) = (stream, Vec::new(), 0);
    while !rest.is_empty() {
        let (mut chunk, after) = rest.split_at(size(n).clamp(usize::from(n % 8 == 7), rest.len()));
        n += 1;
        while let Some(item) = parser.next(&mut chunk) {
            said.push(match item {
                Item::Event { event, named } => {
                    assert!(event.data.len() <= 3 * sizes.event, "replacement characters have three bytes");
                    Said::Event(event.event.into_owned(), event.data, event.id.to_string(), named)
                }
                Item::Comment => Said::Comment,
                Item::Retry(base) => Said::Retry(base),
                Item::TooLarge => Said::TooLarge,
                // The stream leaves then; how the rest is cut decides when. Here the reader is patient.
                Item::Endless => continue,
            });
        }
        assert!(chunk.is_empty(), "it takes what it gets");
        rest = after;
    }
    (said, parser.last_id().to_string())
}

/// Line by line over the whole stream, each rule where the standard has it.
fn reference(sizes: Sizes, stream: &[u8]) -> (Vec<Said>, String) {
    let mut said = Vec::new();
    let (mut data, mut kind, mut id): (Vec<Vec<u8>>, String, Option<String>) = Default::default();
    let (mut last_id, mut skipping) = (String::new(), false);
    let (mut at, mut first) = (0, true);
    let mut line = Vec::new();
    while at < stream.len() {
        match stream[at] {
            b'\n' => at += 1,
            b'\r' => at += if stream.get(at + 1) == Some(&b'\n') { 2 } else { 1 },
            byte => {
                line.push(byte);
                at += 1;
                let too_long = line.len() == sizes.line + 1;
                if too_long && !skipping {
                    skipping = true;
                    said.push(Said::TooLarge);
                }
                if too_long {
                    (data, kind) = Default::default();
                }
                continue;
            }
        }
        let whole = std::mem::take(&mut line);
        let mark = if std::mem::take(&mut first) && whole.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        if whole.len() > sizes.line {
            continue;
        }
        let line = whole[mark..].to_vec();
        if line.is_empty() {
            let named = id.is_some();
            last_id = id.take().unwrap_or(last_id);
            if !skipping && !data.is_empty() {
                let kind = if kind.is_empty() { "message".to_owned() } else { kind };
                let data = String::from_utf8_lossy(&data.join(&b'\n')).into_owned();
                said.push(Said::Event(kind, data, last_id.clone(), named));
            }
            (data, kind, skipping) = (Vec::new(), String::new(), false);
            continue;
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(0) => {
                said.push(Said::Comment);
                continue;
            }
            Some(colon) => (line[..colon].to_vec(), line[colon + 1..].to_vec()),
            None => (line, Vec::new()),
        };
        let value = if value.first() == Some(&b' ') { value[1..].to_vec() } else { value };
        match name.as_slice() {
            b"data" if !skipping => data.push(value),
            b"event" => kind = String::from_utf8_lossy(&value).into_owned(),
            b"id" if !value.contains(&0) => id = Some(String::from_utf8_lossy(&value).into_owned()),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let ms = String::from_utf8_lossy(&value).parse().unwrap_or(u64::MAX);
                said.push(Said::Retry(Duration::from_millis(ms)));
            }
            _ => {}
        }
        let joined = data.join(&b'\n').len();
        if joined + kind.len() + id.as_ref().map_or(0, String::len) > sizes.event {
            if id.as_ref().is_some_and(|id| id.len() > sizes.event) {
                id = None;
            }
            (data, kind) = Default::default();
            if !skipping {
                skipping = true;
                said.push(Said::TooLarge);
            }
        }
    }
    (said, last_id)
}
