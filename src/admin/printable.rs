//! Texts of others on their way to a terminal or a log: nothing in them may act as a new line, move the cursor, or change
//! the order of what is seen.

use std::fmt::{self, Write};

/// Shows a value with every character that acts instead of showing (controls, separators of lines, changes of direction)
/// written as an escape: `\n`, `\r`, `\t`, or
/// `\u{1b}`. What is shown this way is one line, and what it says is what it holds.
///
/// Everything that was written by others goes through this before it reaches a terminal or a line of the log: names of
/// domains, workflows, activities and headers, reasons of failures, the engine's and librdkafka's messages.
pub struct Printable<T>(pub T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

impl<T: fmt::Debug> fmt::Debug for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{:?}", self.0)
    }
}

/// Passes text on with what acts escaped.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(acts) {
            let (plain, from) = rest.split_at(at);
            self.0.write_str(plain)?;
            let letter = from.chars().next().unwrap_or_default();
            match letter {
                '\n' | '\r' | '\t' => write!(self.0, "{}", letter.escape_default())?,
                _ => write!(self.0, "{}", letter.escape_unicode())?,
            }
            rest = &from[letter.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// JSON text with every character that acts written as `\u001b`. Outside strings JSON has none of them but the white space
/// of a layout, which documents of ours do not have; so the text means the same.
pub(crate) fn in_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if acts(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(letter);
        }
    }
    out
}

/// Whether a character does something where it is printed, instead of being seen: controls (C0, DEL, C1), the separators of
/// lines and paragraphs, what changes the direction of writing, what is invisible, and tags. The two joiners stay: words of
/// some languages, and emoji, are spelt with them.
pub(super) fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::{Printable, in_json};

    /// Everything that acts, and how it is shown; then what stays.
    const TABLE: [(&str, &str); 14] = [
        ("a\nb", "a\\nb"),
        ("a\r\nb", "a\\r\\nb"),
        ("a\tb", "a\\tb"),
        ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
        ("\u{7f}", "\\u{7f}"),
        ("\u{9b}31m", "\\u{9b}31m"),
        ("\u{85}", "\\u{85}"),
        ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
        ("\u{202e}nimda", "\\u{202e}nimda"),
        ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
        ("\u{feff}\u{200b}", "\\u{feff}\\u{200b}"),
        ("\u{e0041}", "\\u{e0041}"),
        ("Zürich 東京 👩\u{200d}🔧", "Zürich 東京 👩\u{200d}🔧"),
        ("C:\\new \"x\"", "C:\\new \"x\""),
    ];

    #[test]
    fn what_others_wrote_is_shown_and_never_acts() {
        for (text, shown) in TABLE {
            assert_eq!(Printable(text).to_string(), shown);
        }
    }

    #[test]
    fn json_that_is_escaped_means_the_same_and_does_not_act() {
        for (text, _) in TABLE {
            let document = serde_json::json!({ text: [text] }).to_string();
            let escaped = in_json(&document);
            assert!(!escaped.chars().any(super::acts), "{escaped}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
                serde_json::from_str::<serde_json::Value>(&document).unwrap()
            );
        }
    }
}
