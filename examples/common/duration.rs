//! Durations as a person reads them in a story: rounded to what matters.

use std::time::Duration;

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
