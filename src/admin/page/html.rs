//! Pieces of markup. Whatever comes from outside goes through [`Text`].

use std::fmt::{self, Display, Formatter, Write};

/// Text that cannot be read as markup, inside of an element or of a quoted attribute, and stays on its line.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\t' | '\n' | '\r' => f.write_char(' ')?,
                // These could make the rest of a line read as something else.
                '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    f.write_char('\u{fffd}')?;
                }
                char if char.is_control() => f.write_char('\u{fffd}')?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// A word in a box. The tone colours it, and never says anything that the word does not.
pub(super) fn badge(tone: &str, word: &str) -> String {
    format!("<b class=\"badge {tone}\">{}</b>", Text(word))
}

/// How much of something is used up: the mark stands where all of it is, and there is room beyond. No bar where that
/// means nothing.
pub(super) fn bar(tone: &str, part: Option<f64>, label: &str) -> String {
    const FULL: f64 = 80.0;
    let mut bar = String::from("<span class=\"gauge\">");
    if let Some(part) = part.filter(|part| !part.is_nan()) {
        let width = (part * FULL).clamp(0.5, 100.0);
        let _ = write!(
            bar,
            "<svg class=\"bar {tone}\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect class=\"track\" width=\"100\" height=\"8\"/><rect class=\"fill\" width=\"{width:.1}\" height=\"8\"/>\
             <rect class=\"mark\" x=\"{FULL}\" width=\"0.8\" height=\"8\"/></svg>"
        );
    }
    let _ = write!(bar, "<small>{}</small></span>", Text(label));
    bar
}

/// One row of a list.
pub(super) fn row(tone: &str, name: &str, gauge: &str, badge: &str, text: &str) -> String {
    format!(
        "<li class=\"row {tone}\"><span class=\"name\">{}</span>{gauge}<span class=\"state\">{badge}</span>\
         <span class=\"text\">{}</span></li>",
        Text(name),
        Text(text)
    )
}

/// Instead of rows.
pub(super) fn none(text: &str) -> String {
    format!("<li class=\"none\">{}</li>", Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        let evil = "<script>alert('x')</script>\" onload=\"y\r\ndata: z & \u{202e}gnp.exe\u{0}";
        assert_eq!(
            Text(evil).to_string(),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;y  data: z &amp; \u{fffd}gnp.exe\u{fffd}"
        );
    }

    #[test]
    fn a_bar_is_no_wider_than_its_place_whatever_the_part() {
        for (part, width) in [(0.0, "0.5"), (0.5, "40.0"), (1.0, "80.0"), (9e99, "100.0"), (-1.0, "0.5")] {
            let bar = bar("ok", Some(part), "");
            assert!(bar.contains(&format!("class=\"fill\" width=\"{width}\"")), "{part}: {bar}");
        }
        assert!(!bar("ok", Some(f64::NAN), "").contains("svg"));
    }
}
