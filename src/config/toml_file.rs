//! TOML as a tree that knows its lines.

use super::tree::{Node, Place, Value};
use toml::de::{DeTable, DeValue};

/// What a text holds, or the line and what is wrong with it.
pub(super) fn parse(text: &str, place: &Place) -> Result<Node, (Option<usize>, String)> {
    let breaks: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line = |at: usize| breaks.partition_point(|end| *end < at) + 1;
    let table = DeTable::parse(text)
        .map_err(|error| (error.span().map(|span| line(span.start)), error.message().to_owned()))?;
    entries(table.get_ref(), &|at| place.at(line(at))).map(Node::table)
}

type Entries = std::collections::BTreeMap<String, Node>;

fn entries(table: &DeTable<'_>, at: &dyn Fn(usize) -> Place) -> Result<Entries, (Option<usize>, String)> {
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        Ok((name.clone().into_owned(), Node::new(read(value.get_ref(), at)?, at(key.span().start))))
    };
    table.iter().map(entry).collect()
}

fn read(value: &DeValue<'_>, at: &dyn Fn(usize) -> Place) -> Result<Value, (Option<usize>, String)> {
    Ok(match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Text(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::Text(number.to_string()),
        },
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Ok(Node::new(read(item.get_ref(), at)?, at(item.span().start))))
                .collect::<Result<_, (Option<usize>, String)>>()?,
        ),
        DeValue::Table(table) => Value::Table(entries(table, at)?),
    })
}
