//! Places that a comment accepts: `// unwedge: bounded by ..`, on their line or above it.

use std::collections::HashMap;

/// What the comments of a file accept.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    comments: Vec<Comment>,
    /// The comment for a line of code, as an index.
    lines: HashMap<usize, usize>,
}

#[derive(Debug)]
struct Comment {
    line: usize,
    column: usize,
    reason: String,
    used: bool,
}

/// What such a comment begins with.
const WORDS: [&str; 2] = ["unwedge:", "bounded by"];

impl Accepted {
    pub(crate) fn of(text: &str) -> Accepted {
        let mut accepted = Accepted::default();
        // Hardly any file has one.
        if !text.contains(WORDS[1]) {
            return accepted;
        }
        // The last one, while it goes on, and the line that its reason was last read from.
        let mut open: Option<(usize, usize)> = None;
        for found in comments(text) {
            match (reason(found.text), open) {
                (Some(reason), _) => {
                    let index = accepted.comments.len();
                    accepted.comments.push(Comment {
                        line: found.line,
                        column: found.column,
                        reason: reason.to_owned(),
                        used: false,
                    });
                    accepted.lines.insert(found.line, index);
                    if found.alone {
                        accepted.lines.insert(found.line + 1, index);
                    }
                    open = found.alone.then_some((index, found.line));
                }
                (None, Some((index, line))) if found.alone && found.line == line + 1 => {
                    let reason = &mut accepted.comments[index].reason;
                    if !reason.is_empty() && !found.text.is_empty() {
                        reason.push(' ');
                    }
                    reason.push_str(found.text);
                    accepted.lines.insert(found.line + 1, index);
                    open = Some((index, found.line));
                }
                (None, _) => open = None,
            }
        }
        accepted
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.comments.is_empty()
    }

    /// The reason of the comment for one of these lines; nothing inside where it is blank.
    pub(crate) fn reason(&mut self, lines: [usize; 2]) -> Option<Option<String>> {
        let index = *lines.iter().find_map(|line| self.lines.get(line))?;
        let comment = &mut self.comments[index];
        comment.used = true;
        Some(Some(comment.reason.clone()).filter(|reason| !reason.is_empty()))
    }

    /// The places of comments that say nothing, and that no finding stands beside: line and column.
    pub(crate) fn blank(&self) -> impl Iterator<Item = (usize, usize)> {
        let blank = self.comments.iter().filter(|comment| !comment.used && comment.reason.is_empty());
        blank.map(|comment| (comment.line, comment.column))
    }
}

/// What is said behind the words.
fn reason(comment: &str) -> Option<&str> {
    let rest = WORDS.iter().try_fold(comment, |rest, word| rest.trim_start().strip_prefix(word))?;
    let said = rest.trim().trim_matches(['.', ':']).trim();
    // Words that go on are others: `bounded bytes`.
    (rest.is_empty() || rest.starts_with(|c: char| !c.is_alphanumeric())).then_some(said)
}

/// A comment of one line.
struct Found<'a> {
    line: usize,
    column: usize,
    text: &'a str,
    /// Whether nothing stands before it.
    alone: bool,
}

/// Every comment of one line that is no documentation. What looks like one in a text or in a longer comment is none.
fn comments(text: &str) -> Vec<Found<'_>> {
    let bytes = text.as_bytes();
    let (mut found, mut at, mut line, mut begin) = (Vec::new(), 0, 1, 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = match rest[0] {
            b'/' if rest.starts_with(b"//") => {
                let end = at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                let is_doc =
                    rest.len() > 2 && (rest[2] == b'!' || (rest[2] == b'/' && rest.get(3) != Some(&b'/')));
                if !is_doc {
                    let before = &text[begin..at];
                    let alone = before.trim().is_empty();
                    let column = before.chars().count();
                    found.push(Found { line, column, text: text[at + 2..end].trim(), alone });
                }
                end
            }
            b'/' if rest.starts_with(b"/*") => at + long_comment(rest),
            b'r' | b'b' | b'c' if !follows_name(bytes, at) => match raw_text(rest) {
                Some(length) => at + length,
                None => at + 1,
            },
            b'"' => at + quoted(rest, b'"'),
            // A lifetime has no second quote so near.
            b'\'' => match rest {
                [_, b'\\', ..] => at + quoted(rest, b'\''),
                _ => {
                    let next = text[at + 1..].chars().next().map_or(0, char::len_utf8);
                    at + if rest.get(1 + next) == Some(&b'\'') { next + 2 } else { 1 }
                }
            },
            _ => at + 1,
        };
        for (index, byte) in bytes[at..end].iter().enumerate() {
            if *byte == b'\n' {
                (line, begin) = (line + 1, at + index + 1);
            }
        }
        at = end;
    }
    found
}

fn follows_name(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

/// The length of a comment that may have others inside.
fn long_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// The length of a text between quotes of this kind.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of `r"..."`, `br#"..."#` and the like.
fn raw_text(text: &[u8]) -> Option<usize> {
    let prefix = text.iter().take(2).take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
    if !text[..prefix].contains(&b'r') {
        return None;
    }
    let hashes = text[prefix..].iter().take_while(|byte| **byte == b'#').count();
    if text.get(prefix + hashes) != Some(&b'"') {
        return None;
    }
    let (mut at, end) = (prefix + hashes + 1, [&b"\""[..], &b"#".repeat(hashes)].concat());
    while at < text.len() && !text[at..].starts_with(&end) {
        at += 1;
    }
    Some((at + end.len()).min(text.len()))
}
