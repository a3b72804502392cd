//! The picture: the share of calls that each client lost, a row for each day.

use crate::Over;
use crate::clients::Client;
use crate::score::Score;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn Error>>;

const WIDTH: i32 = 1080;
const LEFT: i32 = 170;
const RIGHT: i32 = 640;
const WORDS: i32 = 664;
const SENT: i32 = 900;
const TOP: i32 = 148;
const ROW: i32 = 26;

const INK: RGBColor = RGBColor(31, 41, 55);
const GREY: RGBColor = RGBColor(107, 114, 128);
const LINE: RGBColor = RGBColor(229, 231, 235);
const GROUND: RGBColor = RGBColor(246, 247, 249);
const NONE: RGBColor = RGBColor(156, 163, 175);
const RETRIES: RGBColor = RGBColor(232, 145, 27);
const NO_BREAKER: RGBColor = RGBColor(59, 110, 205);
const UNWEDGE: RGBColor = RGBColor(22, 138, 92);
const WORSE: RGBColor = RGBColor(200, 38, 44);

/// The ends of the axis, in percent of calls. What is below the least stands at its left end.
const LEAST: f64 = 0.01;
const MOST: f64 = 100.0;

/// Draws the days as SVG.
pub(crate) fn draw(over: &[Over]) -> Result<String, Box<dyn Error>> {
    let bottom = TOP + i32::try_from(over.len())? * ROW;
    let mut svg = String::new();
    {
        let area =
            SVGBackend::with_string(&mut svg, (WIDTH as u32, (bottom + 56) as u32)).into_drawing_area();
        area.fill(&WHITE)?;
        head(&area)?;
        axis(&area, bottom)?;
        for (over, row) in over.iter().zip(0..) {
            day(&area, over, TOP + row * ROW + ROW / 2)?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn head(area: &Area<'_>) -> Drawn {
    bold(area, "Ordinary days: how many calls are lost", (24, 32), 27, &INK)?;
    let told =
        "The same calls and the same failures for every client. Less is better; the axis is logarithmic.";
    text(area, told, (24, 62), 15, &GREY)?;
    let mut x = 24;
    for (word, colour) in [
        ("one attempt", NONE),
        ("retries with a budget", RETRIES),
        ("unwedge without its breaker", NO_BREAKER),
        ("unwedge", UNWEDGE),
    ] {
        mark(area, (x + 7, 94), &colour)?;
        text(area, word, (x + 22, 94), 15, &INK)?;
        x += 22 + 30 + 7 * i32::try_from(word.len())?;
    }
    text(area, "requests a call:", (SENT - 90, TOP - 12), 13, &GREY)?;
    text(area, "retries", (SENT + 18, TOP - 12), 13, &GREY)?;
    text(area, "unwedge", (SENT + 88, TOP - 12), 13, &GREY)
}

fn axis(area: &Area<'_>, bottom: i32) -> Drawn {
    for (share, word) in [(0.01, "0.01 %"), (0.1, "0.1 %"), (1.0, "1 %"), (10.0, "10 %"), (100.0, "100 %")] {
        let x = at(share);
        area.draw(&PathElement::new(vec![(x, TOP), (x, bottom)], LINE))?;
        write(area, word, (x, bottom + 16), HPos::Center, font(14).color(&INK))?;
    }
    text(area, "lost", (24, bottom + 16), 14, &GREY)
}

fn day(area: &Area<'_>, over: &Over, y: i32) -> Drawn {
    let lost = |client: Client| over.of(client).map_or(0.0, |score| 100.0 * (1.0 - score.success()));
    text(area, over.day.name, (24, y), 15, &INK)?;
    area.draw(&Rectangle::new([(LEFT, y - 7), (RIGHT, y + 7)], GROUND.filled()))?;
    // The wider ones first: where several meet, all are seen.
    for (client, colour) in
        [(Client::None, NONE), (Client::Retries, RETRIES), (Client::NoBreaker, NO_BREAKER)]
    {
        mark(area, (at(lost(client)), y), &colour)?;
    }
    let colour = if over.worse.is_empty() { UNWEDGE } else { WORSE };
    mark(area, (at(lost(Client::Unwedge)), y), &colour)?;
    let told = format!("{:.2} % lost", lost(Client::Unwedge));
    bold(area, &told, (WORDS, y), 14, &colour)?;
    let sent = |client: Client| over.of(client).map_or(0.0, Score::sent_per_call);
    for (client, x) in [(Client::Retries, SENT + 18), (Client::Unwedge, SENT + 88)] {
        text(area, &format!("{:.2}", sent(client)), (x, y), 14, &GREY)?;
    }
    Ok(())
}

/// A dot, or for the stack a ring around where the others may be.
fn mark(area: &Area<'_>, at: (i32, i32), colour: &RGBColor) -> Drawn {
    let dot = |size: i32| Circle::new(at, size, colour.filled());
    match *colour {
        UNWEDGE | WORSE => area.draw(&Circle::new(at, 8, colour.stroke_width(3)))?,
        RETRIES => area.draw(&dot(6))?,
        NO_BREAKER => area.draw(&dot(3))?,
        _ => area.draw(&dot(5))?,
    }
    Ok(())
}

fn at(share: f64) -> i32 {
    let part = (share.clamp(LEAST, MOST) / LEAST).log10() / (MOST / LEAST).log10();
    LEFT + 12 + (f64::from(RIGHT - LEFT - 24) * part).round() as i32
}

fn font(size: i32) -> FontDesc<'static> {
    ("sans-serif", size).into_font()
}

fn text(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, colour: &RGBColor) -> Drawn {
    write(area, text, at, HPos::Left, font(size).color(colour))
}

fn bold(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, colour: &RGBColor) -> Drawn {
    write(area, text, at, HPos::Left, font(size).style(FontStyle::Bold).color(colour))
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), anchor: HPos, style: TextStyle<'_>) -> Drawn {
    Ok(area.draw(&Text::new(text, at, style.pos(Pos::new(anchor, VPos::Center))))?)
}
