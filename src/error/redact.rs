//! Takes credentials and queries out of text that others wrote.

use std::fmt::{self, Display, Formatter};

/// Shows a value without the user information and the queries of the URLs in it.
pub(super) struct Redacted<T>(pub(super) T);

impl<T: Display> Display for Redacted<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let mut rest = &*text;
        while let Some(at) = rest.find("://") {
            let (before, url) = rest.split_at(at + 3);
            f.write_str(before)?;
            let end = url.find(ends_url).unwrap_or(url.len());
            let (url, after) = url.split_at(end);
            let shown = &url[..url.find(['?', '#']).unwrap_or(url.len())];
            let authority = shown.find('/').unwrap_or(shown.len());
            // Everything before the last @ is user information.
            let host = shown[..authority].rfind('@').map_or(0, |at| at + 1);
            f.write_str(&shown[host..])?;
            rest = after;
        }
        f.write_str(rest)
    }
}

fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '(' | ')' | '`')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_credentials_and_queries_and_nothing_else_changes() {
        for (text, shown) in [
            ("connection refused", "connection refused"),
            ("for url (https://u:p@host:1/a/b?token=x#f): refused", "for url (https://host:1/a/b): refused"),
            ("http://h?x", "http://h"),
            ("\"http://a@b@h/@c\" and ws://k@h and h@k", "\"http://h/@c\" and ws://h and h@k"),
            ("http://h/?a=http://u:p@h/ end://", "http://h/ end://"),
            ("", ""),
        ] {
            assert_eq!(Redacted(text).to_string(), shown);
        }
    }
}
