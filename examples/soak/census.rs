//! What is there, before and after.

use crate::common::Object;
use crate::load::Load;
use std::fmt::Write;
use tokio::runtime::Handle;

/// An allocator keeps some of what was freed, and how much depends on the order in which threads came by.
const MEMORY_TOLERANCE: u64 = 8 * 1024;

/// One count of everything that a call could leave behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Census {
    /// Open file descriptors, which are sockets but for a handful that stay.
    sockets: Option<u64>,
    tasks: u64,
    entries: u64,
    slots: u64,
    /// KiB resident.
    pub(crate) memory: Option<u64>,
}

/// What is more than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left(pub(crate) &'static str);

impl Census {
    pub(crate) fn take(load: &Load) -> Census {
        Census {
            sockets: descriptors(),
            tasks: Handle::current().metrics().num_alive_tasks() as u64,
            entries: load.entries(),
            slots: load.slots(),
            memory: resident(),
        }
    }

    fn rows(&self) -> [(&'static str, Option<u64>, u64); 5] {
        [
            ("sockets", self.sockets, 0),
            ("tasks", Some(self.tasks), 0),
            ("entries", Some(self.entries), 0),
            ("slots", Some(self.slots), 0),
            ("memory", self.memory, MEMORY_TOLERANCE),
        ]
    }

    pub(crate) fn left(&self, before: &Census) -> Vec<Left> {
        let pairs = self.rows().into_iter().zip(before.rows());
        let left = pairs.filter_map(|((name, after, tolerance), (_, before, _))| {
            (after? > before? + tolerance).then_some(Left(name))
        });
        left.collect()
    }

    /// What of it can only be asked of clients that are still there.
    pub(crate) fn clients_left(&self, before: &Census) -> Vec<Left> {
        let mut left = self.left(before);
        left.retain(|left| matches!(left.0, "entries" | "slots"));
        left
    }
}

pub(crate) fn fields(mut object: Object, before: &Census, after: &Census) -> Object {
    for ((name, before, _), (_, after, _)) in before.rows().into_iter().zip(after.rows()) {
        let unit = if name == "memory" { "_kib" } else { "" };
        object = object.with(&format!("{name}{unit}_before"), before);
        object = object.with(&format!("{name}{unit}_after"), after);
    }
    object
}

pub(crate) fn table(before: &Census, after: &Census, left: &[Left]) -> String {
    let mut table = format!("{:<12} {:>10} {:>10}", "", "before", "after");
    for ((name, before, tolerance), (_, after, _)) in before.rows().into_iter().zip(after.rows()) {
        let shown = |count: Option<u64>| count.map_or("unknown".to_owned(), |count| count.to_string());
        let unit = if name == "memory" { "memory KiB" } else { name };
        let verdict = match (before, left.iter().any(|left| left.0 == name)) {
            (None, _) => "not counted on this system".to_owned(),
            (_, true) => "LEFT BEHIND".to_owned(),
            (_, false) if tolerance > 0 => format!("kept, within {tolerance}"),
            (_, false) => "kept".to_owned(),
        };
        let _ = write!(table, "\n{unit:<12} {:>10} {:>10}  {verdict}", shown(before), shown(after));
    }
    table
}

fn descriptors() -> Option<u64> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

/// KiB resident.
pub(crate) fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}
