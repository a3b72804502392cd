//! The picture: every call of both clients on one time axis.

use crate::clients::Which;
use crate::promise::Clause;
use crate::record::{Call, End, Outcome, Run};
use crate::report::seconds;
use crate::scenarios::{FACTOR, LENGTH};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;
use std::time::Duration;
use unwedge::breaker::Phase;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn Error>>;

const WIDTH: i32 = 1080;
const LEFT: i32 = 110;
const RIGHT: i32 = 840;
const TOP: i32 = 148;
/// One scenario: its title, a lane for each client, air.
const ROW: i32 = 120;
const TITLE: i32 = 26;
const LANE: i32 = 22;
/// Between the lanes, and below the last one for its circuit.
const GAP: i32 = 5;
const STRIP: i32 = 5;

const INK: RGBColor = RGBColor(31, 41, 55);
const GREY: RGBColor = RGBColor(107, 114, 128);
const LINE: RGBColor = RGBColor(229, 231, 235);
const LANE_GROUND: RGBColor = RGBColor(246, 247, 249);
const OUT: RGBColor = RGBColor(253, 226, 221);
const ANSWERED: RGBColor = RGBColor(22, 138, 92);
const WAITED: RGBColor = RGBColor(158, 214, 188);
const FAILED: RGBColor = RGBColor(232, 145, 27);
const BROKEN: RGBColor = RGBColor(180, 95, 6);
const REFUSED: RGBColor = RGBColor(250, 204, 128);
const HUNG: RGBColor = RGBColor(200, 38, 44);
const CUT: RGBColor = RGBColor(156, 163, 175);
const POLL: RGBColor = RGBColor(59, 110, 205);
const OPEN: RGBColor = RGBColor(109, 62, 168);
const HALF_OPEN: RGBColor = RGBColor(190, 160, 225);

/// Draws the runs, which come in threes, as SVG.
pub(crate) fn draw(runs: &[Run]) -> Result<String, Box<dyn Error>> {
    let rows = i32::try_from(runs.len() / Which::ALL.len())?;
    let bottom = TOP + rows * ROW;
    let height = bottom + 60;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
        area.fill(&WHITE)?;
        head(&area, runs)?;
        axis(&area, bottom)?;
        for (all, row) in runs.chunks(Which::ALL.len()).zip(0..) {
            scenario(&area, all, TOP + row * ROW)?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn head(area: &Area<'_>, runs: &[Run]) -> Drawn {
    bold(area, "The same agent, the same faults, three clients", (24, 32), 27, &INK)?;
    let told = format!(
        "plain: hyper-util, a limit on the wait for the response head, three tries. plain_retry: reqwest, a timeout, \
         reqwest-retry. Scaled 1:{FACTOR}."
    );
    text(area, &told, (24, 62), 15, &GREY)?;
    let calls = || runs.iter().flat_map(|run| run.calls.iter().map(move |call| (run, call)));
    let refused = calls().any(|(_, call)| call.end == End::Failed { refused: true });
    let cut = calls().any(|(run, call)| !call.poll && call.end == End::Running && !run.is_hung(call));
    legend(
        area,
        90,
        &[
            ("a call, answered", ANSWERED, true),
            ("tried again, then answered", WAITED, true),
            ("error", FAILED, true),
            ("refused at once", REFUSED, refused),
            ("hung", HUNG, true),
            ("in flight at the end", CUT, cut),
        ],
    )?;
    legend(
        area,
        116,
        &[
            ("long poll", POLL, true),
            ("circuit open", OPEN, true),
            ("half-open", HALF_OPEN, true),
            ("out of order", OUT, true),
        ],
    )
}

/// A row of colours and their words, as far as they are `there`.
fn legend(area: &Area<'_>, y: i32, words: &[(&str, RGBColor, bool)]) -> Drawn {
    let mut x = 24;
    for (word, colour, _) in words.iter().filter(|(.., there)| *there) {
        let thin = [POLL, OPEN, HALF_OPEN].contains(colour);
        let half = if thin { 3 } else { 7 };
        rectangle(area, (x, y - half), (x + 18, y + half), colour)?;
        text(area, word, (x + 25, y), 15, &INK)?;
        x += 25 + 24 + 7 * i32::try_from(word.len())?;
    }
    Ok(())
}

fn axis(area: &Area<'_>, bottom: i32) -> Drawn {
    for second in 0..=LENGTH.as_secs() {
        let x = at(Duration::from_secs(second));
        area.draw(&PathElement::new(vec![(x, TOP + 4), (x, bottom)], LINE))?;
        let outside = second * u64::from(FACTOR);
        let outside = if outside < 60 { format!("{outside} s") } else { minutes(outside) };
        middle(area, &format!("{second} s"), (x, bottom + 15), 15, &INK)?;
        middle(area, &outside, (x, bottom + 35), 14, &GREY)?;
    }
    text(area, "here", (24, bottom + 15), 15, &INK)?;
    text(area, "outside", (24, bottom + 35), 14, &GREY)
}

fn minutes(seconds: u64) -> String {
    format!("{}:{:02} min", seconds / 60, seconds % 60)
}

fn scenario(area: &Area<'_>, all: &[Run], top: i32) -> Drawn {
    let Some(first) = all.first() else { return Ok(()) };
    let scenario = first.scenario;
    bold(area, scenario.name, (24, top + TITLE / 2 + 2), 17, &INK)?;
    let indent = 24 + 16 + 9 * i32::try_from(scenario.name.len())?;
    text(area, scenario.about, (indent, top + TITLE / 2 + 2), 15, &GREY)?;
    for (run, lane) in all.iter().zip(0..) {
        let ours = run.client == Which::Unwedge;
        let y = top + TITLE + lane * (LANE + GAP);
        text(area, run.client.as_str(), (24, y + LANE / 2), 15, if ours { &INK } else { &GREY })?;
        rectangle(area, (LEFT, y), (RIGHT, y + LANE), &LANE_GROUND)?;
        for (from, to) in scenario.outages() {
            rectangle(area, (at(from), y), (at(to), y + LANE), &OUT)?;
        }
        let half = if scenario.polls || scenario.watches > 0 { LANE - 7 } else { LANE };
        for call in &run.calls {
            let (from, to) = if call.poll { (y + half, y + LANE - 1) } else { (y + 2, y + half - 2) };
            bar(area, run, call, from, to)?;
        }
        circuit(area, run, y + LANE + 1)?;
        let colour = match run.outcome() {
            Outcome::Hung | Outcome::Lost => &HUNG,
            Outcome::Recovered | Outcome::FailedFast if run.broken().is_empty() => &ANSWERED,
            Outcome::Recovered | Outcome::FailedFast => &BROKEN,
        };
        bold(area, &words(run), (RIGHT + 12, y + LANE / 2), 15, colour)?;
    }
    Ok(())
}

fn bar(area: &Area<'_>, run: &Run, call: &Call, top: i32, bottom: i32) -> Drawn {
    let hung = run.is_hung(call);
    let (colour, least) = match call.end {
        _ if call.poll && !hung => (POLL, 3),
        End::Answered => (ANSWERED, 4),
        End::Failed { refused: false } => (FAILED, 4),
        End::Failed { refused: true } => (REFUSED, 4),
        End::Running if hung => (HUNG, 4),
        End::Running => (CUT, 3),
    };
    let from = at(call.began);
    let to = at(call.ended.unwrap_or(run.length)).max(from + least).min(RIGHT);
    // One pixel of air, so that calls that follow each other at once can be told apart.
    let to = if to - from > 8 { to - 1 } else { to };
    if call.end == End::Answered && !call.poll && to - from > 8 {
        rectangle(area, (from, top), (to, bottom), &WAITED)?;
        rectangle(area, (to - least, top), (to, bottom), &colour)?;
    } else {
        rectangle(area, (from, top), (to, bottom), &colour)?;
    }
    if hung {
        let word = format!("hung until it was cut, {:.1} s", run.age(call).as_secs_f64());
        bold(area, &word, (from + 8, (top + bottom) / 2), (bottom - top).min(14), &WHITE)?;
    }
    Ok(())
}

fn circuit(area: &Area<'_>, run: &Run, top: i32) -> Drawn {
    for (i, (from, phase)) in run.breaker.iter().enumerate() {
        let colour = match phase {
            Phase::Open => OPEN,
            Phase::HalfOpen => HALF_OPEN,
            _ => continue,
        };
        let to = run.breaker.get(i + 1).map_or(run.length, |(next, _)| *next);
        rectangle(area, (at(*from), top), (at(to).max(at(*from) + 2), top + STRIP), &colour)?;
    }
    Ok(())
}

/// What became of it, in a few words.
fn words(run: &Run) -> String {
    let in_vain =
        run.scenario.promise.iter().any(|clause| matches!(clause, Clause::InVain(_)) && !clause.kept(run));
    let failed = run.work().filter(|call| call.failed()).count();
    match run.outcome() {
        Outcome::Hung => "hung, without a word".to_owned(),
        Outcome::Lost => format!("{failed} of {} calls lost", run.work().count()),
        Outcome::FailedFast => format!("an error in {} at first", seconds(run.first_error())),
        Outcome::Recovered if in_vain => format!("{} wasted requests", run.in_vain()),
        Outcome::Recovered => match (run.first_error(), run.back()) {
            (None, None) => "no call lost".to_owned(),
            (None, back) => format!("no call lost, back in {}", seconds(back)),
            (Some(error), back) => format!("error {}, back in {}", soon(error), seconds(back)),
        },
    }
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

fn rectangle(area: &Area<'_>, from: (i32, i32), to: (i32, i32), colour: &RGBColor) -> Drawn {
    Ok(area.draw(&Rectangle::new([from, to], colour.filled()))?)
}

fn text(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, colour: &RGBColor) -> Drawn {
    write(area, text, at, HPos::Left, ("sans-serif", size).into_font().color(colour))
}

fn middle(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, colour: &RGBColor) -> Drawn {
    write(area, text, at, HPos::Center, ("sans-serif", size).into_font().color(colour))
}

fn bold(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, colour: &RGBColor) -> Drawn {
    let font = ("sans-serif", size).into_font().style(FontStyle::Bold);
    write(area, text, at, HPos::Left, font.color(colour))
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), anchor: HPos, style: TextStyle<'_>) -> Drawn {
    Ok(area.draw(&Text::new(text, at, style.pos(Pos::new(anchor, VPos::Center))))?)
}
