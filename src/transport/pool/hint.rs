//! How long a server says that it keeps an idle connection. Pure.

use http::HeaderMap;
use std::time::Duration;

/// What a request may be on its way: one that leaves in the last second would meet the close.
const MARGIN: u64 = 1;

/// For how long the connection of this response may be idle: `Keep-Alive: timeout=N` less a second. None where nothing is
/// said that could be meant.
pub(super) fn keeps(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get("keep-alive")?.to_str().ok()?;
    let timeout = said.split([',', ';']).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().trim_matches('"'))
    })?;
    // Digits alone: a sign, a fraction and a number beyond all clocks are nonsense.
    let digits =
        !timeout.is_empty() && timeout.len() <= 9 && timeout.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: u64 = timeout.parse().ok().filter(|_| digits)?;
    Some(Duration::from_secs(seconds.saturating_sub(MARGIN)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_timeout_is_heeded_less_a_second_and_nonsense_is_ignored() {
        for (said, kept) in [
            ("timeout=5", Some(4)),
            ("timeout=5, max=100", Some(4)),
            ("max=100, Timeout = \"75\"", Some(74)),
            ("timeout=2", Some(1)),
            ("timeout=1", Some(0)),
            ("timeout=0", Some(0)),
            ("timeout=-5", None),
            ("timeout=+5", None),
            ("timeout=5s", None),
            ("timeout=1.5", None),
            ("timeout=99999999999999999999", None),
            ("timeout=", None),
            ("timeout", None),
            ("max=3", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", HeaderValue::from_static(said));
            assert_eq!(keeps(&headers), kept.map(Duration::from_secs), "{said}");
        }
        assert_eq!(keeps(&HeaderMap::new()), None);
    }
}
