//! What is kept of a stream, and the lines to show of it.

/// No line of a log is longer; what is longer is shown in pieces.
const LINE: usize = 1024;

/// The end of a stream, and how much there was before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// The last bytes of the stream, as many as may be kept.
    pub bytes: Vec<u8>,
    /// How many came before them and were not kept.
    pub cut: u64,
}

impl Output {
    /// As text; what is no UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

pub(super) struct Capture {
    cap: usize,
    kept: Output,
    line: Vec<u8>,
}

impl Capture {
    pub(super) fn new(cap: usize) -> Capture {
        Capture { cap, kept: Output::default(), line: Vec::new() }
    }

    /// Keeps what fits, and gives every line that came to its end to `show`.
    pub(super) fn take(&mut self, chunk: &[u8], mut show: impl FnMut(&str)) {
        self.kept.bytes.extend_from_slice(chunk);
        // Twice the cap before anything moves, so that a byte is moved once and not with every chunk.
        if self.kept.bytes.len() > self.cap.saturating_mul(2) {
            self.trim();
        }
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LINE) {
                if self.line.len() + part.len() > LINE {
                    self.show_line(&mut show);
                }
                self.line.extend_from_slice(part);
            }
            if piece.ends_with(b"\n") {
                self.show_line(&mut show);
            }
        }
    }

    /// Shows a last line without an end.
    pub(super) fn finish(mut self, mut show: impl FnMut(&str)) -> Output {
        if !self.line.is_empty() {
            self.show_line(&mut show);
        }
        self.trim();
        self.kept
    }

    fn show_line(&mut self, show: &mut impl FnMut(&str)) {
        show(String::from_utf8_lossy(&self.line).trim_end_matches(['\n', '\r']));
        self.line.clear();
    }

    fn trim(&mut self) {
        let over = self.kept.bytes.len().saturating_sub(self.cap);
        self.kept.bytes.drain(..over);
        self.kept.cut += over as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cap: usize, chunks: &[&[u8]]) -> (Output, Vec<String>) {
        let mut capture = Capture::new(cap);
        let mut lines = Vec::new();
        for chunk in chunks {
            capture.take(chunk, |line| lines.push(line.to_owned()));
        }
        let output = capture.finish(|line| lines.push(line.to_owned()));
        (output, lines)
    }

    #[test]
    fn the_end_is_kept_and_what_came_before_is_counted() {
        for cap in [0, 1, 3, 10, 100] {
            let whole: Vec<u8> = (0..50).collect();
            for size in [1, 7, 50] {
                let chunks: Vec<_> = whole.chunks(size).collect();
                let (output, _) = run(cap, &chunks);
                let kept = cap.min(50);
                assert_eq!(output.bytes, &whole[50 - kept..], "cap {cap}, chunks of {size}");
                assert_eq!(output.cut, (50 - kept) as u64);
            }
        }
    }

    #[test]
    fn lines_are_shown_whole_however_they_arrive() {
        let (_, lines) = run(9, &[b"on", b"e\ntwo\r", b"\n\nthr", b"ee"]);
        assert_eq!(lines, ["one", "two", "", "three"]);
    }

    #[test]
    fn a_line_without_end_is_shown_in_pieces_and_not_gathered() {
        let long = vec![b'x'; 10 * LINE + 5];
        let mut capture = Capture::new(4);
        let mut shown = 0;
        for chunk in long.chunks(100) {
            capture.take(chunk, |line| {
                assert!(line.len() <= LINE);
                shown += line.len();
            });
            assert!(capture.line.len() <= LINE && capture.kept.bytes.len() <= 108);
        }
        let output = capture.finish(|line| shown += line.len());
        assert_eq!((shown, output.cut), (long.len(), long.len() as u64 - 4));
    }
}
