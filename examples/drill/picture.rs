//! The picture: every call of all clients on one time axis.

mod shapes;

use crate::clients::Which;
use crate::promise::Clause;
use crate::record::{Call, End, Outcome, Run};
use crate::report::seconds;
use crate::scenarios::{FACTOR, LENGTH};
use plotters::prelude::*;
use shapes::{
    Area, BAD, Bar, Drawn, GOOD, GREY, GRID, GROUND, INK, Label, Shape, WARN, Weight, centred, full, heading,
    label, line, shape,
};
use std::error::Error;
use std::time::Duration;
use unwedge::breaker::Phase;

/// What is drawn where all was played: three incidents, two ordinary days. All others are rows of a table.
const PICTURED: [&str; 5] =
    ["headers-stall", "restart-502", "reset-mid-body", "rolling-restart", "dead-replica"];

/// As wide as a page of text is on the web, so that nothing is scaled down.
const WIDTH: i32 = 830;
const LEFT: i32 = 112;
const RIGHT: i32 = 548;
const TOP: i32 = 106;
/// One scenario: its title, a lane for each client, air.
const ROW: i32 = 110;
const TITLE: i32 = 24;
const LANE: i32 = 18;
/// Between the lanes, and below the last one for its circuit.
const GAP: i32 = 7;
const STRIP: i32 = 4;
/// From here on a later return is told.
const SLOWER: Duration = Duration::from_millis(200);

/// Draws the runs, which come in threes, as SVG.
pub(crate) fn draw(runs: &[Run]) -> Result<String, Box<dyn Error>> {
    let all: Vec<&[Run]> = runs.chunks(Which::ALL.len()).collect();
    let is_pictured = |of: &&[Run]| of.first().is_some_and(|run| PICTURED.contains(&run.scenario.name));
    let mut drawn: Vec<&[Run]> = all.iter().copied().filter(is_pictured).collect();
    if drawn.len() < PICTURED.len() {
        drawn = all; // somebody chose
    }
    let bottom = TOP + i32::try_from(drawn.len())? * ROW;
    let mut svg = String::new();
    {
        let size = (WIDTH as u32, (bottom + 46) as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        head(&area, &drawn)?;
        axis(&area, bottom)?;
        for (all, row) in drawn.iter().zip(0..) {
            scenario(&area, all, TOP + row * ROW)?;
        }
        area.present()?;
    }
    Ok(described(&svg, &drawn))
}

/// With what a screen reader says.
fn described(svg: &str, drawn: &[&[Run]]) -> String {
    let mut desc = String::new();
    for run in drawn.iter().copied().flatten() {
        desc += &format!("{}, {}: {}. ", run.scenario.name, name(run.client), words(run, drawn));
    }
    let (open, rest) = svg.split_once('>').unwrap_or((svg, ""));
    format!("{open} role=\"img\">\n<title>{}</title>\n<desc>{}</desc>{rest}", message(drawn), desc.trim_end())
}

/// What the picture says, in figures of these runs.
fn message(drawn: &[&[Run]]) -> String {
    let told = |client: &Which| {
        let of = || drawn.iter().copied().flatten().filter(|run: &&Run| run.client == *client);
        let failed: usize = of().map(Run::failed).sum();
        match of().filter(|run| run.hung()).count() {
            0 => format!("{} {failed}", name(*client)),
            1 => format!("{} {failed} and one that hangs", name(*client)),
            n => format!("{} {failed} and {n} that hang", name(*client)),
        }
    };
    let all: Vec<String> = Which::ALL.iter().rev().map(told).collect();
    format!("Failed calls: {}", all.join(", "))
}

/// What a reader calls it.
const fn name(client: Which) -> &'static str {
    match client {
        Which::Plain => "careful hyper",
        Which::PlainRetry => "reqwest-retry",
        Which::Unwedge => "unwedge",
    }
}

fn head(area: &Area<'_>, drawn: &[&[Run]]) -> Drawn {
    let bold = |text, at| Label { text, at, colour: INK, weight: Weight::Bold };
    heading(area, &bold(&message(drawn), (16, 22)))?;
    let told = format!(
        "careful hyper: hyper-util with a timeout of the response head and three tries. reqwest-retry: with reqwest's \
         timeout. Clock 1:{FACTOR}."
    );
    label(area, &usual(&told, (16, 46), GREY))?;
    let runs = || drawn.iter().copied().flatten();
    let seen = |wanted| runs().any(|run: &Run| run.calls.iter().any(|call| look(run, call) == wanted));
    let open = runs().any(|run| !run.breaker.is_empty());
    let words = [
        ("answered", Shape::Answered, true),
        ("answered late", Shape::Late, true),
        ("error", Shape::Failed, true),
        ("refused", Shape::Refused, seen(Shape::Refused)),
        ("hung", Shape::Hung, seen(Shape::Hung)),
        ("in flight at the end", Shape::InFlight, seen(Shape::InFlight)),
        ("long poll", Shape::Poll, seen(Shape::Poll)),
        ("server out", Shape::Outage, true),
        ("circuit open", Shape::Open, open),
        ("half-open", Shape::HalfOpen, open),
    ];
    let (mut x, mut y) = (16, 70);
    for (word, looks, _) in words.iter().filter(|(.., there)| *there) {
        let wide = 28 + 18 + 7 * i32::try_from(word.len())?;
        if x + wide > WIDTH {
            (x, y) = (16, y + 20);
        }
        let half = if matches!(looks, Shape::Poll | Shape::Open | Shape::HalfOpen) { STRIP / 2 } else { 6 };
        shape(area, *looks, Bar { left: x, right: x + 22, top: y - half, bottom: y + half })?;
        label(area, &usual(word, (x + 28, y), INK))?;
        x += wide;
    }
    Ok(())
}

fn axis(area: &Area<'_>, bottom: i32) -> Drawn {
    for second in 0..=LENGTH.as_secs() {
        let x = at(Duration::from_secs(second));
        line(area, &[(x, TOP + 4), (x, bottom - 4)], &GRID, 1)?;
        let outside = second * u64::from(FACTOR);
        centred(area, &usual(&format!("{second} s"), (x, bottom + 8), INK))?;
        centred(area, &usual(&format!("{}:{:02}", outside / 60, outside % 60), (x, bottom + 26), GREY))?;
    }
    label(area, &usual("here", (16, bottom + 8), INK))?;
    label(area, &usual("outside, min", (16, bottom + 26), GREY))
}

fn scenario(area: &Area<'_>, all: &[Run], top: i32) -> Drawn {
    let Some(first) = all.first() else { return Ok(()) };
    let scenario = first.scenario;
    let title = format!("{}: {}", scenario.name, scenario.about);
    let y = top + TITLE / 2;
    label(area, &Label { text: &title, at: (16, y), colour: INK, weight: Weight::Bold })?;
    for (run, lane) in all.iter().zip(0..) {
        let y = top + TITLE + lane * (LANE + GAP);
        let ours = run.client == Which::Unwedge;
        let (colour, weight) = if ours { (INK, Weight::Bold) } else { (GREY, Weight::Usual) };
        label(area, &Label { text: name(run.client), at: (16, y + LANE / 2), colour, weight })?;
        full(area, Bar { left: LEFT, right: RIGHT, top: y, bottom: y + LANE }, &GROUND)?;
        for (from, to) in scenario.outages() {
            let out = Bar { left: at(from), right: at(to), top: y - 2, bottom: y };
            shape(area, Shape::Outage, out)?;
        }
        let half = if scenario.polls || scenario.watches > 0 { LANE - 6 } else { LANE };
        for call in &run.calls {
            let (from, to) = if call.poll { (y + half, y + LANE - 1) } else { (y + 3, y + half - 2) };
            bar(area, run, call, from, to)?;
        }
        circuit(area, run, y + LANE + 1)?;
        let colour = match run.outcome() {
            Outcome::Hung | Outcome::Lost => BAD,
            Outcome::Recovered | Outcome::FailedFast if run.broken().is_empty() => GOOD,
            Outcome::Recovered | Outcome::FailedFast => WARN,
        };
        let told = words(run, &[all]);
        label(area, &Label { text: &told, at: (RIGHT + 10, y + LANE / 2), colour, weight: Weight::Bold })?;
    }
    Ok(())
}

fn look(run: &Run, call: &Call) -> Shape {
    match call.end {
        End::Running if run.is_hung(call) => Shape::Hung,
        _ if call.poll => Shape::Poll,
        End::Answered if width(run, call) > 8 => Shape::Late,
        End::Answered => Shape::Answered,
        End::Failed { refused: false } => Shape::Failed,
        End::Failed { refused: true } => Shape::Refused,
        End::Running => Shape::InFlight,
    }
}

fn width(run: &Run, call: &Call) -> i32 {
    at(call.ended.unwrap_or(run.length)) - at(call.began)
}

fn bar(area: &Area<'_>, run: &Run, call: &Call, top: i32, bottom: i32) -> Drawn {
    let looks = look(run, call);
    let from = at(call.began);
    let to = (from + width(run, call).max(3)).min(RIGHT);
    // One pixel of air, so that calls that follow each other at once can be told apart.
    let to = if to - from > 8 { to - 1 } else { to };
    shape(area, looks, Bar { left: from, right: to, top, bottom })?;
    if looks == Shape::Hung && to - from > 200 {
        let word = format!("hung until it was cut, {:.1} s", run.age(call).as_secs_f64());
        let (left, right) = (from + 10, from + 20 + 7 * i32::try_from(word.len())?);
        full(area, Bar { left, right, top: top + 1, bottom: bottom - 1 }, &WHITE)?;
        let at = (left + 5, (top + bottom) / 2);
        label(area, &Label { text: &word, at, colour: BAD, weight: Weight::Bold })?;
    }
    Ok(())
}

fn circuit(area: &Area<'_>, run: &Run, top: i32) -> Drawn {
    for (i, (from, phase)) in run.breaker.iter().enumerate() {
        let looks = match phase {
            Phase::Open => Shape::Open,
            Phase::HalfOpen => Shape::HalfOpen,
            _ => continue,
        };
        let to = run.breaker.get(i + 1).map_or(run.length, |(next, _)| *next);
        let (left, right) = (at(*from), at(to).max(at(*from) + 2));
        shape(area, looks, Bar { left, right, top, bottom: top + STRIP })?;
    }
    Ok(())
}

const fn usual(text: &str, at: (i32, i32), colour: RGBColor) -> Label<'_> {
    Label { text, at, colour, weight: Weight::Usual }
}

/// What became of it, in a few words; `drawn` holds the other clients of the same scenario.
fn words(run: &Run, drawn: &[&[Run]]) -> String {
    let wasted =
        run.scenario.promise.iter().any(|clause| matches!(clause, Clause::Wasted(_)) && !clause.kept(run));
    match run.outcome() {
        Outcome::Hung => "hung, no error".to_owned(),
        Outcome::Lost => format!("{} of {} calls failed", run.failed(), run.work().count()),
        Outcome::FailedFast => format!("an error in {} at first", seconds(run.first_error())),
        Outcome::Recovered if wasted => format!("{} wasted requests", run.wasted()),
        Outcome::Recovered => {
            let slower = if slower(run, drawn) { ", slowest" } else { "" };
            match (run.first_error(), run.back()) {
                (None, None) => "no call failed".to_owned(),
                (None, back) => format!("none failed, back in {}{slower}", seconds(back)),
                (Some(error), back) => format!("error {}, back in {}{slower}", soon(error), seconds(back)),
            }
        }
    }
}

/// Whether every other client that recovered did so clearly sooner.
fn slower(run: &Run, drawn: &[&[Run]]) -> bool {
    let others = drawn.iter().copied().flatten().filter(|other| {
        let same = other.scenario.name == run.scenario.name && other.client != run.client;
        same && other.outcome() == Outcome::Recovered
    });
    let latest = others.filter_map(Run::back).max();
    latest.zip(run.back()).is_some_and(|(latest, back)| back > latest + SLOWER)
}

fn soon(time: Duration) -> String {
    if time < Duration::from_millis(10) {
        "at once".to_owned()
    } else {
        format!("in {}", seconds(Some(time)))
    }
}

fn at(time: Duration) -> i32 {
    let part = time.as_secs_f64() / LENGTH.as_secs_f64();
    LEFT + (f64::from(RIGHT - LEFT) * part.min(1.0)).round() as i32
}
