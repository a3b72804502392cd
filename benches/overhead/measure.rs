//! Interleaved rounds, medians, allocations; and how they are printed.

use allocation_counter::measure;
use std::io::{IsTerminal, Write};
use tokio::time::Instant;

/// Short rounds, so that most of them are not interrupted.
const ROUNDS: usize = 1001;
const CALLS: u32 = 500;

/// One line of the result.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Nanoseconds of what is compared with.
    pub(crate) bare: f64,
    pub(crate) ours: f64,
    /// What ours allocates on top; none where it was not counted.
    pub(crate) allocations: Option<f64>,
    /// What is wanted, as it stands in the README.
    pub(crate) wanted: &'static str,
}

impl Row {
    /// Measures both in turn, round by round, so that whatever else the machine does meets both.
    pub(crate) fn compare(
        name: &'static str,
        wanted: &'static str,
        bare: &mut dyn FnMut(),
        ours: &mut dyn FnMut(),
    ) -> Row {
        progress(name);
        let (mut b, mut o) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            b.push(nanos(bare));
            o.push(nanos(ours));
        }
        let allocations = allocations(ours) - allocations(bare);
        Row { name, bare: median(b), ours: median(o), allocations: Some(allocations), wanted }
    }

    fn more(&self) -> f64 {
        self.ours - self.bare
    }

    fn ratio(&self) -> Option<f64> {
        (self.bare > 0.0).then(|| self.ours / self.bare)
    }
}

fn nanos(work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..CALLS {
        work();
    }
    start.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

fn allocations(work: &mut dyn FnMut()) -> f64 {
    work();
    measure(|| (0..100).for_each(|_| work())).count_total as f64 / 100.0
}

pub(crate) fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// What is being measured, on standard error: this takes longer than a second.
pub(crate) fn progress(name: &str) {
    let end = if std::io::stderr().is_terminal() { "\x1b[K\r" } else { "\n" };
    let _ = write!(std::io::stderr(), "measuring: {name}{end}");
}

pub(crate) fn print(rows: &[Row], json: bool) {
    if json {
        for row in rows {
            let object = serde_json::json!({
                "name": row.name, "bare_ns": row.bare, "ours_ns": row.ours, "more_ns": row.more(),
                "ratio": row.ratio(), "allocations": row.allocations, "wanted": row.wanted,
            });
            println!("{object}");
        }
        return;
    }
    println!(
        "{:44} {:>10} {:>10} {:>10} {:>7} {:>6}  wanted",
        "", "bare ns", "ours ns", "more ns", "ratio", "alloc"
    );
    for row in rows {
        let ratio = row.ratio().map_or(String::new(), |ratio| format!("{ratio:.3}"));
        let allocations = row.allocations.map_or(String::new(), |count| format!("+{count}"));
        println!(
            "{:44} {:>10.1} {:>10.1} {:>+10.1} {ratio:>7} {allocations:>6}  {}",
            row.name,
            row.bare,
            row.ours,
            row.more(),
            row.wanted
        );
    }
}
