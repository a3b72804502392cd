//! YAML as a tree that knows its lines: the core schema of YAML 1.2, one document, every key once.

use super::tree::{Node, Place, Value};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Deeper than any settings are.
const DEEPEST: usize = 64;
/// Aliases repeat what they stand for: so many values are more than any file of settings has.
const MOST: usize = 100_000;

/// The line, and what is wrong there.
type Wrong = (Option<usize>, String);

/// What a text holds, or the line and what is wrong with it.
pub(super) fn parse(text: &str, place: &Place) -> Result<Node, Wrong> {
    let mut file = File { parser: Parser::new_from_str(text), place, anchors: HashMap::new(), values: 0 };
    let mut root = None;
    loop {
        match file.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
            (Event::StreamEnd, _) => break,
            (_, span) if root.is_some() => return wrong(span, "a second document begins here"),
            (event, span) => root = Some((file.node(event, span, 0)?, span)),
        }
    }
    match root {
        None => Ok(Node::table(BTreeMap::new())),
        Some((Node { value: Value::Null, .. }, _)) => Ok(Node::table(BTreeMap::new())),
        Some((Node { value: Value::Table(entries), .. }, _)) => Ok(Node::table(entries)),
        Some((_, span)) => wrong(span, "settings are keys and their values"),
    }
}

fn wrong<T>(span: Span, what: impl Into<String>) -> Result<T, Wrong> {
    Err((Some(span.start.line()), what.into()))
}

struct File<'a> {
    parser: Parser<'a, StrInput<'a>>,
    place: &'a Place,
    anchors: HashMap<usize, Node>,
    values: usize,
}

impl<'a> File<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Wrong> {
        match self.parser.next_event() {
            Some(event) => {
                event.map_err(|error: ScanError| (Some(error.marker().line()), error.info().to_owned()))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The value that begins with this event.
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Wrong> {
        if depth > DEEPEST {
            return wrong(span, format!("nested deeper than {DEEPEST} levels"));
        }
        let (value, anchor) = match event {
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    self.values += size(&node);
                    (node.value, 0)
                }
                None => return wrong(span, "an alias of what it stands in"),
            },
            Event::Scalar(text, style, anchor, tag) => {
                self.values += 1;
                (scalar(text, style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                known(tag.as_deref(), span)?;
                (self.list(depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                known(tag.as_deref(), span)?;
                (self.table(depth)?, anchor)
            }
            _ => return wrong(span, "a value was to stand here"),
        };
        if self.values > MOST {
            return wrong(span, format!("more than {MOST} values, which no settings have"));
        }
        let node = Node::new(value, self.place.at(span.start.line()));
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, Wrong> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn table(&mut self, depth: usize) -> Result<Value, Wrong> {
        let mut entries: BTreeMap<String, Node> = BTreeMap::new();
        loop {
            let (key, at) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Table(entries)),
                (Event::Scalar(key, _, 0, None), at) => (key.into_owned(), at),
                (_, span) => return wrong(span, "a key is a plain text"),
            };
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            if let Some(first) = entries.get(&key) {
                let first = first.place.as_ref().map(ToString::to_string).unwrap_or_default();
                return wrong(at, format!("the key {key} stands in {first} already"));
            }
            entries.insert(key, Node { place: Some(self.place.at(at.start.line())), ..node });
        }
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Table(entries) => entries.values().map(size).sum(),
        _ => 0,
    }
}

/// Tags of the core schema mean what is there anyway, those of an application nothing.
fn known(tag: Option<&Tag>, span: Span) -> Result<(), Wrong> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => wrong(span, format!("the tag {tag} means nothing here")),
        _ => Ok(()),
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Value, Wrong> {
    known(tag, span)?;
    let is_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str");
    Ok(if is_text { Value::Text(text.into_owned()) } else { plain(&text) })
}

/// What a scalar without quotes is.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let (sign, bare) = match text.strip_prefix('-') {
        Some(bare) => (-1.0, bare),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if matches!(bare, ".inf" | ".Inf" | ".INF") {
        return Value::Float(sign * f64::INFINITY);
    }
    let radix = |prefix, radix| {
        let digits = text.strip_prefix(prefix).filter(|digits| !digits.starts_with(['+', '-']))?;
        i128::from_str_radix(digits, radix).ok()
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Value::Integer(number);
    }
    // Rust reads "inf" and "nan" as well, which are texts here.
    if !bare.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Value::Text(text.to_owned());
    }
    match (text.parse(), text.parse()) {
        (Ok(number), _) => Value::Integer(number),
        (_, Ok(number)) => Value::Float(number),
        _ => Value::Text(text.to_owned()),
    }
}
