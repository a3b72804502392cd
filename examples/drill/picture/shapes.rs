//! The shapes of the picture: each state of a call has one of its own, so that nobody has to tell colours apart.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
pub(super) type Drawn = Result<(), Box<dyn Error>>;

// Each of them stands out from the ground of a lane, 3:1 and more, but for the grid.
pub(super) const INK: RGBColor = RGBColor(31, 41, 55);
pub(super) const GREY: RGBColor = RGBColor(88, 96, 108);
pub(super) const GRID: RGBColor = RGBColor(225, 228, 232);
pub(super) const GROUND: RGBColor = RGBColor(246, 247, 249);
pub(super) const GOOD: RGBColor = RGBColor(17, 110, 73);
pub(super) const WARN: RGBColor = RGBColor(160, 80, 5);
pub(super) const BAD: RGBColor = RGBColor(185, 28, 28);
pub(super) const POLL: RGBColor = RGBColor(45, 90, 180);
pub(super) const CIRCUIT: RGBColor = RGBColor(109, 62, 168);

/// Of all text, in pixels as a browser counts them.
pub(super) const TEXT: f64 = 12.0;

/// A rectangle on the picture.
#[derive(Clone, Copy)]
pub(super) struct Bar {
    pub(super) left: i32,
    pub(super) right: i32,
    pub(super) top: i32,
    pub(super) bottom: i32,
}

impl Bar {
    fn corners(self) -> [(i32, i32); 2] {
        [(self.left, self.top), (self.right, self.bottom)]
    }

    fn middle(self) -> i32 {
        (self.top + self.bottom) / 2
    }
}

/// What a call looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Full: answered soon.
    Answered,
    /// An outline with a full end: answered late, most often at a later attempt.
    Late,
    /// A cross at the end of an outline.
    Failed,
    /// A cross without a bar: nothing was sent.
    Refused,
    /// Hatched.
    Hung,
    /// An outline without an end.
    InFlight,
    /// A thin bar below the calls.
    Poll,
    /// A thin bar below the lane.
    Open,
    /// Dots below the lane.
    HalfOpen,
    /// A line above the lane.
    Outage,
}

/// Draws one of them. What is shorter than its own shape is as long as that.
pub(super) fn shape(area: &Area<'_>, shape: Shape, bar: Bar) -> Drawn {
    let end = |width: i32| Bar { left: (bar.right - width).max(bar.left), ..bar };
    match shape {
        Shape::Answered => full(area, bar, &GOOD),
        Shape::Late => outline(area, bar, &GOOD).and_then(|()| full(area, end(4), &GOOD)),
        Shape::Failed => {
            if bar.right - bar.left > 12 {
                outline(area, bar, &WARN)?;
            }
            cross(area, end(7), &WARN)
        }
        Shape::Refused => cross(area, end(7), &WARN),
        Shape::Hung => {
            outline(area, bar, &BAD)?;
            let height = bar.bottom - bar.top;
            for x in (bar.left..bar.right - height).step_by(7) {
                line(area, &[(x, bar.bottom), (x + height, bar.top)], &BAD, 1)?;
            }
            Ok(())
        }
        Shape::InFlight => {
            let open =
                [(bar.right, bar.top), (bar.left, bar.top), (bar.left, bar.bottom), (bar.right, bar.bottom)];
            line(area, &open, &GREY, 1)
        }
        Shape::Poll => full(area, bar, &POLL),
        Shape::Open => full(area, bar, &CIRCUIT),
        Shape::HalfOpen => {
            for left in (bar.left..bar.right).step_by(5) {
                full(area, Bar { left, right: (left + 2).min(bar.right), ..bar }, &CIRCUIT)?;
            }
            Ok(())
        }
        Shape::Outage => full(area, Bar { bottom: bar.top + 2, ..bar }, &BAD),
    }
}

pub(super) fn full(area: &Area<'_>, bar: Bar, colour: &RGBColor) -> Drawn {
    Ok(area.draw(&Rectangle::new(bar.corners(), colour.filled()))?)
}

fn outline(area: &Area<'_>, bar: Bar, colour: &RGBColor) -> Drawn {
    full(area, bar, &WHITE)?;
    Ok(area.draw(&Rectangle::new(bar.corners(), colour.stroke_width(1)))?)
}

fn cross(area: &Area<'_>, bar: Bar, colour: &RGBColor) -> Drawn {
    let (y, r) = (bar.middle(), 3);
    let x = bar.right - r;
    line(area, &[(x - r, y - r), (x + r, y + r)], colour, 2)?;
    line(area, &[(x - r, y + r), (x + r, y - r)], colour, 2)
}

pub(super) fn line(area: &Area<'_>, points: &[(i32, i32)], colour: &RGBColor, width: u32) -> Drawn {
    Ok(area.draw(&PathElement::new(points.to_vec(), colour.stroke_width(width)))?)
}

/// The backend divides a size by this before it writes it.
const SCALE: f64 = 1.24;

#[derive(Clone, Copy)]
pub(super) enum Weight {
    Usual,
    Bold,
}

pub(super) struct Label<'a> {
    pub(super) text: &'a str,
    pub(super) at: (i32, i32),
    pub(super) colour: RGBColor,
    pub(super) weight: Weight,
}

/// Text that begins at a place.
pub(super) fn label(area: &Area<'_>, label: &Label<'_>) -> Drawn {
    write(area, label, TEXT, HPos::Left)
}

/// Text round a place.
pub(super) fn centred(area: &Area<'_>, label: &Label<'_>) -> Drawn {
    write(area, label, TEXT, HPos::Center)
}

/// A larger one.
pub(super) fn heading(area: &Area<'_>, label: &Label<'_>) -> Drawn {
    write(area, label, 1.5 * TEXT, HPos::Left)
}

fn write(area: &Area<'_>, label: &Label<'_>, size: f64, anchor: HPos) -> Drawn {
    let style = match label.weight {
        Weight::Usual => FontStyle::Normal,
        Weight::Bold => FontStyle::Bold,
    };
    let font = ("sans-serif", size * SCALE).into_font().style(style).color(&label.colour);
    Ok(area.draw(&Text::new(label.text, label.at, font.pos(Pos::new(anchor, VPos::Center))))?)
}
