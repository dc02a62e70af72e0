//! Foreign text on a terminal.

use std::borrow::Cow;

/// Characters shown of one line.
const LINE_MAX: usize = 4_096;

fn dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Shows what could move a cursor, change a title, or hide and reorder text as `\u{…}`; keeps newlines and tabs, and
/// cuts lines over 4 KiB.
pub fn escape(text: &str) -> Cow<'_, str> {
    let clean = |line: &str| line.len() <= LINE_MAX && !line.chars().any(|c| dangerous(c) && c != '\t');
    if text.split('\n').all(clean) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<String> = text.split('\n').map(|line| shown(line, |c| c == '\t')).collect();
    Cow::Owned(lines.join("\n"))
}

/// The same on one line: newlines and tabs are shown too.
pub fn escape_line(text: &str) -> Cow<'_, str> {
    if text.len() <= LINE_MAX && !text.chars().any(dangerous) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(shown(text, |_| false))
}

fn shown(line: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::new();
    for c in line.chars() {
        if out.len() >= LINE_MAX {
            out.push('…');
            break;
        }
        match c {
            c if !dangerous(c) || keep(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c => out.extend(c.escape_unicode()),
        }
    }
    out
}
