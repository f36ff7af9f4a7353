//! What audit answers, in words and as JSON: the one place where it becomes text. Every foreign text
//! goes through [`Safe`], and JSON is ASCII: a terminal gets printable characters and line ends.

mod findings;
mod story;
mod table;

use std::fmt::Write as _;

use serde_json::Value;

pub use self::findings::findings;
pub use self::story::story;
pub use self::table::found;
use crate::certificate::safe::Safe;

/// An answer as text.
#[derive(Debug, Default)]
pub struct Told {
    /// For standard output.
    pub out: String,
    /// Lines for people beside it.
    pub said: Vec<String>,
    /// What to type next.
    pub hint: Option<String>,
    /// Whether the answer is what was hoped for: something was found, nothing is wrong.
    pub good: bool,
}

/// JSON in ASCII: what stands outside of it in a text is escaped, as JSON can.
pub fn ascii(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        if (' '..='~').contains(&c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing into a String cannot fail.
            write!(out, "\\u{unit:04x}").ok();
        }
    }
    out.push('\n');
    out
}

/// A foreign text as at most so many characters.
fn cell(text: &str, most: usize) -> String {
    let safe = Safe(text).to_string();
    if safe.len() <= most {
        return safe;
    }
    let kept: String = safe.chars().take(most.saturating_sub(3)).collect();
    format!("{kept}...")
}
