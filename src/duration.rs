//! Durations as people read and write them, and the longest one that is accepted anywhere.

pub(crate) mod compact;
#[cfg(feature = "serde")]
pub(crate) mod written;

use crate::Error;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Ten years: the longest duration any setting takes. It leaves room for every sum and product made from it.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The rule for every limit: more than zero and at most ten years. `name` is the subject of the message.
pub(crate) fn check(name: &str, limit: Duration) -> Result<(), Error> {
    if limit.is_zero() {
        return Err(Error::config(format!("{name} is 0 s: it must be longer than zero")));
    }
    if limit > LONGEST {
        return Err(Error::config(format!("{name} is {:#}: the longest duration is 10 years", human(limit))));
    }
    Ok(())
}

/// `250ms`, `1.5s`, `5m`, `1h30m`; with `{:#}` a space before each unit, as in a sentence: `1.5 s`.
///
/// What the chosen unit cannot show is cut off, never rounded up, so that no message claims more time than there was.
pub fn human(duration: Duration) -> impl Display {
    Human(duration)
}

/// What is shown while it changes: whole seconds, or whole milliseconds below the first.
pub(crate) fn brief(duration: Duration) -> impl Display {
    let millis = if duration.as_secs() == 0 { duration.subsec_millis() } else { 0 };
    Human(Duration::new(duration.as_secs(), millis * 1_000_000))
}

struct Human(Duration);

impl Display for Human {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let space = if f.alternate() { " " } else { "" };
        let nanos = self.0.subsec_nanos();
        match self.0.as_secs() {
            0 if nanos == 0 => write!(f, "0{space}s"),
            0 if nanos < 1_000 => write!(f, "{nanos}{space}ns"),
            0 if nanos < 1_000_000 => write!(f, "{}{space}us", nanos / 1_000),
            // Tenths matter in 1.5 ms, in 12.3 ms they are noise.
            0 if nanos < 10_000_000 => {
                fraction(f, u64::from(nanos / 1_000_000), nanos / 100_000 % 10, 1)?;
                write!(f, "{space}ms")
            }
            0 => write!(f, "{}{space}ms", nanos / 1_000_000),
            seconds => {
                let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m")];
                let mut gap = "";
                for (value, unit) in parts {
                    if value > 0 {
                        write!(f, "{gap}{value}{space}{unit}")?;
                        gap = space;
                    }
                }
                let (rest, millis) = (seconds % 60, nanos / 1_000_000);
                if rest > 0 || millis > 0 {
                    f.write_str(gap)?;
                    fraction(f, rest, millis, 3)?;
                    write!(f, "{space}s")?;
                }
                Ok(())
            }
        }
    }
}

/// `whole.part` without trailing zeros, and without the point when nothing follows it.
fn fraction(f: &mut Formatter<'_>, whole: u64, mut part: u32, mut digits: usize) -> fmt::Result {
    if part == 0 {
        return write!(f, "{whole}");
    }
    while part.is_multiple_of(10) {
        part /= 10;
        digits -= 1;
    }
    write!(f, "{whole}.{part:0digits$}")
}

/// Reads `250ms`, `30s`, `1.5s`, `5m`, `1h30m`, `1d`: what [`human`] writes, and what people do.
///
/// One or more numbers, each with its unit (`d`, `h`, `m`, `s`, `ms`, `us`, `ns`), from the largest unit to the smallest,
/// without blanks; only the last number may have a point.
///
/// # Errors
/// Kind `Config` for a bare number (30 of what?), a sign, an unknown unit, a unit twice or out of order, more digits than a
/// nanosecond has, and anything above ten years. The text names the input and the rule.
///
/// ```
/// use std::time::Duration;
/// use unwedge::duration::{human, parse};
///
/// assert_eq!(parse("1.5s")?, Duration::from_millis(1500));
/// assert_eq!(human(Duration::from_secs(90)).to_string(), "1m30s");
/// assert_eq!(parse("1m30s")?, Duration::from_secs(90));
/// assert!(parse("30").unwrap_err().to_string().contains("30s"));
/// # Ok::<(), unwedge::Error>(())
/// ```
#[doc(alias = "humantime")]
pub fn parse(text: &str) -> Result<Duration, Error> {
    read(text).map_err(Error::config)
}

/// From the largest to the smallest, in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

fn read(text: &str) -> Result<Duration, String> {
    let (mut rest, mut smaller, mut nanos) = (text, &UNITS[..], 0u128);
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        if unit.is_empty() && number == text && !number.is_empty() && !number.contains('.') {
            return Err(format!("duration {text:?} has no unit: write {number}s or {number}ms"));
        }
        let Some(at) = smaller.iter().position(|(name, _)| *name == unit) else {
            return Err(malformed(text));
        };
        let part = in_nanos(text, number, smaller[at].1)?;
        if !behind.is_empty() && number.contains('.') {
            return Err(malformed(text));
        }
        // Each summand is below 2^105, and there are at most seven.
        nanos += part;
        (rest, smaller) = (behind, &smaller[at + 1..]);
        if rest.is_empty() {
            break;
        }
    }
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        _ => Err(too_long(text)),
    }
}

fn in_nanos(text: &str, number: &str, nanos_per_unit: u64) -> Result<u128, String> {
    let (whole, part) = match number.split_once('.') {
        None => (number, None),
        Some((whole, part)) => (whole, Some(part)),
    };
    if whole.is_empty() || part.is_some_and(|part| part.is_empty() || part.len() > 9) {
        return Err(malformed(text));
    }
    // Only digits are left, so the one way to fail is a number too large; behind the point, a second point.
    let whole: u64 = whole.parse().map_err(|_| too_long(text))?;
    let part = part.unwrap_or("0");
    let billionths: u64 = format!("{part:0<9}").parse().map_err(|_| malformed(text))?;
    let per_unit = u128::from(nanos_per_unit);
    Ok(u128::from(whole) * per_unit + u128::from(billionths) * per_unit / 1_000_000_000)
}

fn malformed(text: &str) -> String {
    format!("duration {text:?} is not a number and a unit: write 250ms, 30s, 5m, 1h30m or 1d")
}

fn too_long(text: &str) -> String {
    format!("duration {text:?} is above the longest one, 10 years")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(duration: Duration) -> String {
        human(duration).to_string()
    }

    #[test]
    fn a_duration_is_shown_in_the_units_a_person_would_choose() {
        for (nanos, plain, spaced) in [
            (0, "0s", "0 s"),
            (1, "1ns", "1 ns"),
            (999, "999ns", "999 ns"),
            (250_999, "250us", "250 us"),
            (1_000_000, "1ms", "1 ms"),
            (1_500_000, "1.5ms", "1.5 ms"),
            (1_049_999, "1ms", "1 ms"),
            (12_345_678, "12ms", "12 ms"),
            (250_000_000, "250ms", "250 ms"),
            (999_999_999, "999ms", "999 ms"),
            (1_000_000_000, "1s", "1 s"),
            (1_500_000_000, "1.5s", "1.5 s"),
            (1_050_000_000, "1.05s", "1.05 s"),
            (29_999_000_000, "29.999s", "29.999 s"),
            (30_000_000_999, "30s", "30 s"),
            (60_500_000_000, "1m0.5s", "1 m 0.5 s"),
            (90_000_000_000, "1m30s", "1 m 30 s"),
            (300_000_000_000, "5m", "5 m"),
            (3_600_000_000_000, "1h", "1 h"),
            (5_400_000_000_000, "1h30m", "1 h 30 m"),
            (3_601_250_000_000, "1h1.25s", "1 h 1.25 s"),
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(shown(duration), plain);
            assert_eq!(format!("{:#}", human(duration)), spaced);
        }
        assert_eq!(shown(LONGEST), "87600h");
        assert!(!shown(Duration::MAX).is_empty());
    }

    #[test]
    fn a_number_and_a_unit_make_a_duration() {
        for (text, nanos) in [
            ("250ms", 250_000_000),
            ("0s", 0),
            ("30s", 30_000_000_000),
            ("030s", 30_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0.000000001s", 1),
            ("0.5ms", 500_000),
            ("5m", 300_000_000_000),
            ("0.5m", 30_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1d", 86_400_000_000_000),
            ("500us", 500_000),
            ("7ns", 7),
            ("1m30s", 90_000_000_000),
            ("1h0.5s", 3_600_500_000_000),
            ("1d2h3m4s5ms6us7ns", 93_784_005_006_007),
        ] {
            assert_eq!(read(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        assert_eq!(read("87600h"), Ok(LONGEST));
    }

    #[test]
    fn a_bare_number_is_refused_and_the_message_offers_units() {
        assert_eq!(read("30"), Err("duration \"30\" has no unit: write 30s or 30ms".to_owned()));
    }

    #[test]
    fn whatever_else_is_no_duration_is_refused_with_its_text() {
        for text in [
            "",
            " ",
            "s",
            "ms",
            "-1s",
            "+1s",
            "1 s",
            " 1s",
            "1s ",
            "1S",
            "1sec",
            "1w",
            "30s1m",
            "1s1s",
            "1.5m30s",
            "1m 30s",
            "1m30",
            ".5s",
            "1.s",
            "1..5s",
            "1.2.3s",
            ".",
            "1.",
            "1e3s",
            "0x1s",
            "1_000s",
            "1h30",
            "inf",
            "NaNs",
            "1.0000000001s",
            "٣s",
            "1µs",
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(&format!("{text:?}")), "{error}");
            assert!(error.contains("a number and a unit"), "{error}");
        }
    }

    #[test]
    fn more_than_ten_years_is_refused_however_long_the_number() {
        let digits = "9".repeat(400);
        for text in
            ["87600.000001h", "87601h", "315360000001ms", "18446744073709551615h", &format!("{digits}s")]
        {
            let error = read(text).expect_err(text);
            assert!(error.contains("10 years"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whole_units_come_back_as_they_were_written(value in 1u64..60, unit in 0usize..4) {
            let (unit, nanos) = [("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)][unit];
            let text = format!("{value}{unit}");
            let duration = read(&text).expect("a number and a unit");
            prop_assert_eq!(duration, Duration::from_nanos(value * nanos));
            prop_assert_eq!(shown(duration), text);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*", digits in "[0-9.]{0,30}(ms|s|m|h)") {
            let _ = read(&text);
            if let Ok(duration) = read(&digits) {
                prop_assert!(duration <= LONGEST);
            }
        }

        #[test]
        fn no_duration_makes_the_words_panic_or_claim_too_much(seconds: u64, nanos in 0u32..1_000_000_000) {
            let _ = shown(Duration::new(seconds, nanos));
            let duration = Duration::new(seconds % LONGEST.as_secs(), nanos);
            let again = read(&shown(duration));
            prop_assert!(again.as_ref().is_ok_and(|again| *again <= duration), "{} {again:?}", shown(duration));
        }
    }
}
