//! Text from elsewhere, made harmless: no string of the API may steer a terminal or pose as another.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Text for one line: line breaks and tabs are escaped too.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Text of several lines: line breaks and tabs stay.
pub fn multi_line(text: &str) -> Cow<'_, str> {
    escape(text, |character| matches!(character, '\n' | '\t'))
}

/// Escapes everything that moves the cursor, changes the terminal or reorders what is read, and leaves it visible.
fn escape(text: &str, keeps: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(|character| keeps(character) || is_harmless(character)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            _ if keeps(character) || is_harmless(character) => escaped.push(character),
            // These two as kubectl writes them.
            '\u{1b}' => escaped.push_str("^["),
            '\r' => escaped.push_str("\\r"),
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push_str("\\t"),
            '\0'..='\u{9f}' => {
                let _ = write!(escaped, "\\x{:02x}", u32::from(character));
            }
            _ => {
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(character));
            }
        }
    }
    Cow::Owned(escaped)
}

/// Not a control character (C0, DEL, C1), no line separator, and nothing that reorders text (bidi).
pub(crate) fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{061c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                // Tag characters: invisible text.
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        #[track_caller]
        fn check(text: &str, line: &str, lines: &str) {
            assert_eq!(one_line(text), line, "{text:?} as one line");
            assert_eq!(multi_line(text), lines, "{text:?} as several lines");
        }
        check("", "", "");
        check("web-5d4f", "web-5d4f", "web-5d4f");
        check("größe 日本 🚀", "größe 日本 🚀", "größe 日本 🚀");
        check("a\nb\tc", "a\\nb\\tc", "a\nb\tc");
        check("\u{1b}[31mred", "^[[31mred", "^[[31mred");
        check("over\rwritten", "over\\rwritten", "over\\rwritten");
        check("bell\u{7} nul\0 del\u{7f}", "bell\\x07 nul\\x00 del\\x7f", "bell\\x07 nul\\x00 del\\x7f");
        check("csi\u{9b}2J", "csi\\x9b2J", "csi\\x9b2J");
        check("nel\u{85}", "nel\\x85", "nel\\x85");
        check("txt\u{202e}exe", "txt\\u{202e}exe", "txt\\u{202e}exe");
        check("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}", "\\u{2066}x\\u{2069}");
        check("line\u{2028}sep", "line\\u{2028}sep", "line\\u{2028}sep");
    }
}
