//! Durations on a command line: `250ms 30s 1.5s 5m 1h`.

use std::time::Duration;

/// The longest duration that any setting of the crate takes: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// One decimal number and one unit, nothing else.
///
/// # Errors
/// A bare number (30 of what?), a sign, an unknown unit, anything above ten years. The text names the input and the
/// rule.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let malformed =
        || format!("{text:?} is no duration: write a number and a unit, as in 250ms, 30s, 5m or 1h");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" if !number.is_empty() => {
            return Err(format!("{text:?} is a bare number: write {number}s or {number}ms"));
        }
        _ => return Err(malformed()),
    };
    if number.starts_with('.') || number.ends_with('.') {
        return Err(malformed());
    }
    let value: f64 = number.parse().map_err(|_| malformed())?;
    Duration::try_from_secs_f64(value * seconds)
        .ok()
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("{text:?} is above the longest duration, 10 years"))
}

/// `850 ms`, `1.52 s`: for a sentence, rounded to what matters.
pub(crate) fn human(duration: Duration) -> String {
    match duration.as_secs_f64() {
        short if short < 0.995 => format!("{} ms", (short * 1000.0).round()),
        seconds if seconds < 10.0 => format!("{} s", (seconds * 100.0).round() / 100.0),
        seconds if seconds < 120.0 => format!("{} s", (seconds * 10.0).round() / 10.0),
        minutes if minutes < 7200.0 => {
            format!("{} min {} s", (minutes / 60.0).floor(), (minutes % 60.0).floor())
        }
        long => format!("{} h {} min", (long / 3600.0).floor(), (long / 60.0 % 60.0).floor()),
    }
}
