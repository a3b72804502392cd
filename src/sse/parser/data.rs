//! The data of the event under way, which becomes text as it comes.

use std::str;

/// The most room that is made for data before it comes.
const MOST_USUAL: usize = 64 << 10;
/// Below this, starting a vector unit takes longer than it saves.
const LONG: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Data {
    text: String,
    /// Whether there is a line of it, if only an empty one.
    any: bool,
    /// Bytes that came: each that is no UTF-8 stands for three in the text.
    size: usize,
    /// The beginning of a character whose end has not come.
    cut: [u8; 4],
    have: usize,
    /// How much the last event had: what the next is expected to have, where its end is not in sight.
    usual: usize,
}

impl Data {
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// What another line would add besides its own bytes: several are joined by a line feed.
    pub(super) fn joint(&self) -> usize {
        usize::from(self.any)
    }

    /// A whole line.
    #[inline]
    pub(super) fn line(&mut self, value: &[u8]) {
        self.begin();
        self.size += value.len();
        match valid(value) {
            Some(text) => self.text.push_str(text),
            None => self.text.push_str(&String::from_utf8_lossy(value)),
        }
    }

    /// A line whose end is not in sight: its parts follow.
    pub(super) fn open(&mut self) {
        if self.text.is_empty() {
            self.text.reserve(self.usual.min(MOST_USUAL));
        }
        self.begin();
    }

    #[inline]
    fn begin(&mut self) {
        if self.any {
            self.text.push('\n');
            self.size += 1;
        }
        self.any = true;
    }

    /// More of an open line. Bytes that are no UTF-8 are replaced, as the standard's decoder does.
    pub(super) fn part(&mut self, part: &[u8]) {
        self.size += part.len();
        let part = self.finish_character(part);
        if let Some(text) = valid(part) {
            self.text.push_str(text);
            return;
        }
        let mut at = 0;
        for piece in part.utf8_chunks() {
            let broken = piece.invalid();
            at += piece.valid().len() + broken.len();
            self.text.push_str(piece.valid());
            if at == part.len() && is_beginning(broken) {
                self.cut[..broken.len()].copy_from_slice(broken);
                self.have = broken.len();
            } else if !broken.is_empty() {
                self.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    /// Gives what is behind the end of the character that the last part was cut in.
    fn finish_character<'a>(&mut self, mut part: &'a [u8]) -> &'a [u8] {
        while self.have > 0 {
            let Some((byte, rest)) = part.split_first() else { break };
            self.cut[self.have] = *byte;
            let whole = &self.cut[..=self.have];
            match str::from_utf8(whole) {
                Ok(character) => {
                    self.text.push_str(character);
                    (self.have, part) = (0, rest);
                }
                Err(_) if is_beginning(whole) => (self.have, part) = (self.have + 1, rest),
                // What broke it begins anew.
                Err(_) => self.end(),
            }
        }
        part
    }

    /// The open line has ended.
    pub(super) fn end(&mut self) {
        if self.have > 0 {
            self.have = 0;
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    pub(super) fn clear(&mut self) {
        *self = Data { usual: self.usual, ..Data::default() };
    }

    /// All of it, if there was a line.
    #[inline]
    pub(super) fn take(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.any) {
            return None;
        }
        self.size = 0;
        let mut text = std::mem::take(&mut self.text);
        self.usual = text.len();
        if text.capacity() / 2 > text.len() {
            text.shrink_to_fit();
        }
        Some(text)
    }
}

#[inline]
fn valid(bytes: &[u8]) -> Option<&str> {
    if bytes.len() < LONG { str::from_utf8(bytes).ok() } else { simdutf8::basic::from_utf8(bytes).ok() }
}

/// Whether it could become a character by what follows.
fn is_beginning(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
}
