//! What may be shown of a text that may not even be a URL.

use std::fmt::Write as _;

/// The most of a broken URL that a message shows.
const SHOWN: usize = 200;

/// A text that may not even be a URL, without what could be a secret in it: user information, query and fragment.
pub(crate) fn redacted(text: &str) -> String {
    let (scheme, rest) = match text.find("://") {
        Some(at) if is_scheme(&text[..at]) => text.split_at(at + 3),
        _ => ("", text),
    };
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    // An @ behind the end may be part of a query, or of credentials that hold a ? or # which somebody forgot to
    // encode: nobody can tell, so nothing is shown.
    let shown = if rest[end..].contains('@') { "..." } else { &rest[..end] };
    // A password may hold slashes as well: all up to the last @ counts as one.
    let rest = shown.rsplit_once('@').map_or(shown, |(_, rest)| rest);
    let mut shown: String = scheme.chars().chain(rest.chars()).take(SHOWN).collect();
    if scheme.len() + rest.len() > shown.len() {
        shown.push_str("...");
    }
    shown
}

/// RFC 3986, 3.1. What else stands before `://` is no scheme: `user:password@host/?next=http://..`.
fn is_scheme(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// `text` as one line: what would break it, or a terminal, is escaped.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(line, "{}", c.escape_default());
            }
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_url_is_shown_without_what_could_be_a_secret() {
        for (text, shown) in [
            ("http://u:p@host/path?q=secret#f", "http://host/path"),
            ("http://host name/?token", "http://host name/"),
            ("u:p@host", "host"),
            ("http://u:pa/ss@wo@rd@host/x", "http://host/x"),
            ("https://h/#secret", "https://h/"),
            ("http://u:pa#ss@host/x", "http://..."),
            ("http://u:pa?ss@host/x", "http://..."),
            ("http://u:p@ host/?mail=a@b", "http://..."),
            ("u:p@host/?next=http://other/", "host/"),
            ("u:p@host/next=http://other/", "host/next=http://other/"),
            ("", ""),
            ("\u{e9}\u{e8}", "\u{e9}\u{e8}"),
        ] {
            assert_eq!(redacted(text), shown, "{text}");
        }
        let long = redacted(&format!("http://host/{}", "\u{e9}".repeat(1000)));
        assert_eq!((long.chars().count(), long.ends_with("\u{e9}...")), (203, true));
        assert_eq!(redacted(&"\u{e9}".repeat(200)), "\u{e9}".repeat(200));
    }

    #[test]
    fn a_line_stays_a_line_and_harms_no_terminal() {
        assert_eq!(one_line("a\nb\r\tc\u{1b}[0m\u{7}\u{85}"), "a b  c\\u{1b}[0m\\u{7}\\u{85}");
        assert_eq!(one_line("caf\u{e9}"), "caf\u{e9}");
    }
}
