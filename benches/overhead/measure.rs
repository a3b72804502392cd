//! Rounds of several contestants in turn, medians of pairs, allocations; and how they are printed.

use allocation_counter::measure;
use std::io::{IsTerminal, Write};
use tokio::time::Instant;

/// How much of the whole is measured.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) quick: bool,
}

impl Pace {
    /// So many rounds, of these for the whole.
    pub(crate) fn rounds(self, whole: usize) -> usize {
        if self.quick { (whole / 20).max(3) } else { whole }
    }
}

/// One contestant: what each of its rounds took, next to those of the others.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<f64>,
    /// Of one call.
    pub(crate) allocations: Option<f64>,
}

impl Series {
    pub(crate) fn new(name: &'static str) -> Series {
        Series { name, rounds: Vec::new(), allocations: None }
    }
}

/// One line of the result: two contestants beside each other.
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    ours: (&'static str, f64, Option<f64>),
    theirs: (&'static str, f64, Option<f64>),
    /// Medians of the differences and of the ratios, round by round: whatever else the machine does meets both.
    more: f64,
    ratio: Option<f64>,
    /// What is wanted, as it stands in docs/performance.md.
    wanted: &'static str,
}

impl Row {
    pub(crate) fn pair(what: impl Into<String>, ours: &Series, theirs: &Series, wanted: &'static str) -> Row {
        let pairs = || ours.rounds.iter().zip(&theirs.rounds);
        let ratios: Vec<f64> =
            pairs().filter(|(_, theirs)| **theirs > 0.0).map(|(ours, theirs)| ours / theirs).collect();
        let side = |series: &Series| (series.name, median(series.rounds.clone()), series.allocations);
        Row {
            what: what.into(),
            unit: "ns",
            ours: side(ours),
            theirs: side(theirs),
            more: median(pairs().map(|(ours, theirs)| ours - theirs).collect()),
            ratio: (!ratios.is_empty()).then(|| median(ratios)),
            wanted,
        }
    }

    pub(crate) fn in_unit(self, unit: &'static str) -> Row {
        Row { unit, ..self }
    }
}

/// What a contestant does in a round, once.
pub(crate) type Work<'a> = (&'static str, &'a mut dyn FnMut());

/// Measures all contestants in turn, round by round, so many calls in each.
pub(crate) fn in_turn(what: &str, rounds: usize, calls: u32, contestants: &mut [Work<'_>]) -> Vec<Series> {
    progress(what);
    let mut all: Vec<Series> = contestants.iter().map(|(name, _)| Series::new(name)).collect();
    for (series, (_, work)) in all.iter_mut().zip(&mut *contestants) {
        series.allocations = Some(allocations(*work));
    }
    for _ in 0..rounds {
        for (series, (_, work)) in all.iter_mut().zip(&mut *contestants) {
            series.rounds.push(nanos(*work, calls));
        }
    }
    all
}

fn nanos(work: &mut dyn FnMut(), calls: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

/// Of one call, once everything is made that is made once.
pub(crate) fn allocations(work: &mut dyn FnMut()) -> f64 {
    (0..20).for_each(|_| work());
    (0..20).map(|_| measure(&mut *work).count_total).min().unwrap_or_default() as f64
}

pub(crate) fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}

/// What is being measured, on standard error: this takes longer than a second.
pub(crate) fn progress(what: &str) {
    let end = if std::io::stderr().is_terminal() { "\x1b[K\r" } else { "\n" };
    let _ = write!(std::io::stderr(), "measuring: {what}{end}");
}

pub(crate) fn print(rows: &[Row], json: bool) {
    if !json {
        println!(
            "{:44} {:>28} {:>12} {:>28} {:>12} {:>10} {:>6} {:>9}  wanted",
            "", "ours", "", "theirs", "", "more", "ratio", "alloc"
        );
    }
    for Row { what, unit, ours, theirs, more, ratio, wanted } in rows {
        if json {
            let side = |(name, value, allocations): &(&str, f64, Option<f64>)| serde_json::json!({ "name": name, "value": value, "allocations": allocations });
            println!(
                "{}",
                serde_json::json!({
                    "what": what, "unit": unit, "ours": side(ours), "theirs": side(theirs), "more": more,
                    "ratio": ratio, "wanted": wanted,
                })
            );
            continue;
        }
        let allocations = match (ours.2, theirs.2) {
            (Some(ours), Some(theirs)) => format!("{ours}/{theirs}"),
            _ => String::new(),
        };
        let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.3}"));
        println!(
            "{what:44} {:>28} {:>9.1} {unit} {:>28} {:>9.1} {unit} {more:>+10.1} {ratio:>6} {allocations:>9}  {wanted}",
            ours.0, ours.1, theirs.0, theirs.1
        );
    }
}
