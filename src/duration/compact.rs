//! Sentences as the log has them: an error says `no answer after 1 m 30 s`, a line of the log `no answer after 1m30s`.

use super::{human, parse};
use std::fmt::Display;

/// This text with each duration in it as [`human`] writes it, without blanks.
///
/// A duration is one number with its unit behind it, or several, apart by one blank each: `312 s`, `1 m 30 s`. What only
/// looks like one, as in `5 subsystems`, stays as it is.
pub(crate) fn compact(text: &dyn Display) -> String {
    let text = text.to_string();
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let is_word = rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '_');
        shown.push_str(&rest[..at]);
        rest = &rest[at..];
        match if is_word { None } else { duration(rest) } {
            Some((written, length)) => {
                shown.push_str(&written);
                rest = &rest[length..];
            }
            None => {
                // The whole number, so that its last digits are not taken for one.
                let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
                shown.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }
    shown.push_str(rest);
    shown
}

/// The duration that this text begins with, as it is written, and how long it is there.
fn duration(text: &str) -> Option<(String, usize)> {
    let (mut joined, mut length) = (String::new(), 0);
    let mut found = None;
    while let Some((number, unit, end)) = part(&text[length..]) {
        joined.push_str(number);
        joined.push_str(unit);
        length += end;
        match parse(&joined) {
            Ok(duration) => found = Some((human(duration).to_string(), length)),
            Err(_) => break,
        }
        if !text[length..].starts_with(' ') {
            break;
        }
        length += 1;
    }
    found
}

/// A number, a blank and a unit at the beginning of a text, and where they end.
fn part(text: &str) -> Option<(&str, &str, usize)> {
    let (number, behind) = text.split_once(' ')?;
    let is_number = number.ends_with(|c: char| c.is_ascii_digit())
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let unit =
        behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(behind, |end| &behind[..end]);
    let is_unit = matches!(unit, "h" | "m" | "s" | "ms" | "us" | "ns");
    (is_number && is_unit).then(|| (number, unit, number.len() + 1 + unit.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn a_duration_in_a_sentence_is_written_as_the_log_has_it() {
        for (sentence, line) in [
            ("no response headers after 10 s", "no response headers after 10s"),
            ("GET /: cut off after 1 m 30 s (deadline)", "GET /: cut off after 1m30s (deadline)"),
            ("502 after 12 ms, connection refused", "502 after 12ms, connection refused"),
            ("scheduler: no progress for 312 s; in GET", "scheduler: no progress for 5m12s; in GET"),
            ("1.5 s left of 1 h 0.5 s", "1.5s left of 1h0.5s"),
            ("for 3 s 250 ms", "for 3.25s"),
            ("0 s", "0s"),
            ("already 10s and 1m30s", "already 10s and 1m30s"),
            ("attempt 2 of 4, 5 subsystems, 3 sockets", "attempt 2 of 4, 5 subsystems, 3 sockets"),
            ("agent7 s, v1.2 m, 1.2.3 s, 5 m_x", "agent7 s, v1.2 m, 1.2.3 s, 5 m_x"),
            ("waits 30 s 1 m", "waits 30s 1m"),
            ("7", "7"),
            ("\u{663} s and 3 \u{b5}s", "\u{663} s and 3 \u{b5}s"),
        ] {
            assert_eq!(compact(&sentence), line);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_has_no_digit_stays(text in "\\PC*", plain in "[^0-9]*", mixed in "[0-9 .hmsu]{0,40}") {
            let _ = (compact(&text), compact(&mixed));
            prop_assert_eq!(compact(&plain), plain);
        }

        #[test]
        fn what_a_sentence_says_of_any_duration_becomes_what_the_log_says(seconds in 0u64..400_000, nanos in 0u32..1_000_000_000) {
            let duration = Duration::new(seconds, nanos);
            let said = format!("after {:#}, {:#}", human(duration), human(duration));
            prop_assert_eq!(compact(&said), format!("after {0}, {0}", human(duration)));
        }
    }
}
