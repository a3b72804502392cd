//! Rust source as tokens with line numbers: comments are gone, and a string is one token that no rule looks into.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ident,
    /// The content of a string literal, without quotes.
    Text,
    /// Numbers, characters, lifetimes.
    Literal,
    Punct,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) kind: Kind,
    pub(crate) line: usize,
    /// Whether it stands in code that only a test build compiles.
    pub(crate) test: bool,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }
}

/// Longest first.
const JOINED: [&str; 11] = ["..=", "::", "&&", "||", "=>", "->", "==", "!=", "<=", ">=", ".."];

/// All tokens of a file; those of tests are marked.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: source, line: 1, out: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    let mut out = lexer.out;
    mark_tests(&mut out);
    out
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    out: Vec<Token>,
}

impl Lexer<'_> {
    /// Moves on by that many bytes and keeps count of lines.
    fn skip(&mut self, bytes: usize) -> String {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken.to_owned()
    }

    fn push(&mut self, kind: Kind, bytes: usize) {
        let line = self.line;
        let text = self.skip(bytes);
        self.push_text(kind, text, line);
    }

    fn push_text(&mut self, kind: Kind, text: String, line: usize) {
        self.out.push(Token { text, kind, line, test: false });
    }

    fn step(&mut self) {
        let rest = self.rest;
        let first = rest.chars().next().unwrap_or_default();
        if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else if rest.starts_with("//") {
            self.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.skip(block_comment(rest));
        } else if let Some((open, hashes)) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            let content = rest[open..].find(&close).unwrap_or(rest.len() - open);
            self.string(open, content, close.len());
        } else if let Some(open) = plain_string(rest) {
            self.string(open, quoted(&rest[open..], '"'), 1);
        } else if let Some(open) = character(rest) {
            let content = quoted(&rest[open..], '\'');
            self.push(Kind::Literal, (open + content + 1).min(rest.len()));
        } else if first == '\'' {
            self.push(Kind::Literal, 1 + word(&rest[1..]));
        } else if first.is_ascii_digit() {
            self.push(Kind::Literal, number(rest));
        } else if first.is_alphabetic() || first == '_' {
            if rest.starts_with("r#") {
                self.skip(2);
            }
            self.push(Kind::Ident, word(self.rest));
        } else {
            let joined = JOINED.iter().find(|joined| rest.starts_with(**joined));
            let bytes = joined.map_or(first.len_utf8(), |joined| joined.len());
            self.push(Kind::Punct, bytes);
        }
    }

    fn string(&mut self, open: usize, content: usize, close: usize) {
        let line = self.line;
        self.skip(open);
        let text = self.skip(content);
        self.skip(close.min(self.rest.len()));
        self.push_text(Kind::Text, text, line);
    }
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
}

fn number(rest: &str) -> usize {
    let whole = word(rest);
    let tail = &rest[whole..];
    let mut next = tail.chars().skip(1);
    if tail.starts_with('.') && next.next().is_some_and(|c| c.is_ascii_digit()) {
        return whole + 1 + word(&tail[1..]);
    }
    whole
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Where the content of a raw string starts, and its number of hashes.
fn raw_string(rest: &str) -> Option<(usize, usize)> {
    let prefix = ["r", "br", "cr"]
        .into_iter()
        .find(|p| rest.starts_with(p) && rest[p.len()..].starts_with(['"', '#']))?;
    let tail = &rest[prefix.len()..];
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    tail[hashes..].starts_with('"').then_some((prefix.len() + hashes + 1, hashes))
}

fn plain_string(rest: &str) -> Option<usize> {
    ["\"", "b\"", "c\""].into_iter().find(|open| rest.starts_with(open)).map(str::len)
}

/// Where the content of a character literal starts; none for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let open = ["'", "b'"].into_iter().find(|open| rest.starts_with(open))?;
    let mut chars = rest[open.len()..].chars();
    let first = chars.next()?;
    (first == '\\' || chars.next() == Some('\'')).then_some(open.len())
}

/// The length up to the closing quote, past escapes.
fn quoted(content: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in content.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at,
            _ => {}
        }
    }
    content.len()
}

/// Marks what stands under `#[cfg(test)]` or `#[test]`, and a whole file under `#![cfg(test)]`.
fn mark_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        let Some((inner, open)) = attribute(tokens, at) else {
            at += 1;
            continue;
        };
        let close = closing(tokens, open);
        let end = match (test_only(&tokens[open + 1..close]), inner) {
            (false, _) => close + 1,
            (true, true) => tokens.len(),
            (true, false) => item_end(tokens, close + 1),
        };
        if end > close + 1 {
            tokens[at..end].iter_mut().for_each(|t| t.test = true);
        }
        at = end;
    }
}

/// Whether an attribute starts here: inner or not, and where its bracket opens.
pub(crate) fn attribute(tokens: &[Token], at: usize) -> Option<(bool, usize)> {
    let is = |at: usize, text| tokens.get(at).is_some_and(|t: &Token| t.is(text));
    let inner = is(at + 1, "!");
    let open = at + 1 + usize::from(inner);
    (is(at, "#") && is(open, "[")).then_some((inner, open))
}

fn test_only(inside: &[Token]) -> bool {
    let has = |text| inside.iter().any(|t| t.is(text));
    let last = inside.last().is_some_and(|t| t.is("test"));
    let cfg = inside.first().is_some_and(|t| t.is("cfg"));
    last || cfg && has("test") && !has("any") && !has("not")
}

/// The index of the bracket that closes the one at `open`.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        depth += step(token);
        if depth == 0 {
            return at;
        }
    }
    tokens.len().saturating_sub(1)
}

/// How a token changes the depth of brackets.
pub(crate) fn step(token: &Token) -> i32 {
    match (token.kind, token.text.as_str()) {
        (Kind::Punct, "(" | "[" | "{") => 1,
        (Kind::Punct, ")" | "]" | "}") => -1,
        _ => 0,
    }
}

/// The index behind the item, field or arm that starts here, its further attributes included.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut at = start;
    while let Some((_, open)) = attribute(tokens, at) {
        at = closing(tokens, open) + 1;
    }
    let head: Vec<&str> = tokens[at..].iter().take(8).map(|t| t.text.as_str()).collect();
    let visible = head.first() == Some(&"pub");
    let head = match head.as_slice() {
        ["pub", "(", ..] => &tokens[closing(tokens, at + 1) + 1..],
        _ => &tokens[at + usize::from(visible)..],
    };
    let word = |n: usize| head.get(n).map_or("", |t| t.text.as_str());
    let to_semicolon = match word(0) {
        "use" | "static" | "type" => true,
        "const" => !matches!(word(1), "fn" | "async" | "unsafe" | "extern"),
        _ => false,
    };
    let item = ["mod", "fn", "struct", "enum", "trait", "impl"].contains(&word(0))
        || ["async", "const", "unsafe", "extern", "macro_rules"].contains(&word(0));
    let mut depth = 0;
    for (end, token) in tokens.iter().enumerate().skip(at) {
        depth += step(token);
        let closed = depth == 0 && token.is("}") && !to_semicolon;
        let ended = depth == 0 && (token.is(";") || token.is(",") && !item && !to_semicolon);
        if closed || ended {
            return end + 1;
        }
        if depth < 0 {
            return end;
        }
    }
    tokens.len()
}
