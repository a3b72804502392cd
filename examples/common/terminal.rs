//! Colour and moving lines: only on a terminal, and never with `NO_COLOR`.

use std::io::{self, IsTerminal, Write};

/// Whether this stream may have colour and lines that are written over.
pub(crate) fn is_lively(stream: &impl IsTerminal) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !no_color && !dumb
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    pub(crate) fn on(stream: &impl IsTerminal) -> Paint {
        Paint { on: is_lively(stream) }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.code("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.code("31", text)
    }

    pub(crate) fn warn(self, text: &str) -> String {
        self.code("33", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.code("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.code("1", text)
    }

    fn code(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Lines on standard error that are written over until they are wiped. Without a terminal nothing is shown.
#[derive(Debug)]
pub(crate) struct Board {
    lively: bool,
    shown: usize,
}

impl Board {
    pub(crate) fn new(wanted: bool) -> Board {
        Board { lively: wanted && is_lively(&io::stderr()), shown: 0 }
    }

    pub(crate) fn is_lively(&self) -> bool {
        self.lively
    }

    /// Shows these lines in place of the last ones. A line should fit into 80 columns: one that wraps is not wiped.
    pub(crate) fn show(&mut self, lines: &[String]) {
        if !self.lively {
            return;
        }
        let mut text = self.wiped();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.shown = lines.len();
        // A terminal that is gone is no reason to stop working.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    pub(crate) fn wipe(&mut self) {
        if self.shown > 0 {
            let text = self.wiped();
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }

    fn wiped(&mut self) -> String {
        let up = std::mem::take(&mut self.shown);
        if up == 0 { String::new() } else { format!("\x1b[{up}A\x1b[J") }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// The picture of a spinner at a moment, one step each 100 ms.
pub(crate) fn spinner(elapsed: std::time::Duration) -> char {
    const STEPS: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
    STEPS[(elapsed.as_millis() / 100 % 10) as usize]
}
