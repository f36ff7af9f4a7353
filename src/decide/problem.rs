//! What is wrong with a policy file, shown as the author sees it: place, line, caret, what to do.

use std::fmt;
use std::ops::Range;

use crate::certificate::safe::Safe;

/// Why a policy was not loaded: everything that is wrong with it, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    problems: Vec<Problem>,
}

impl LoadError {
    /// The problems, at least one, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    file: String,
    line: usize,
    column: usize,
    /// How many characters are wrong, at least one, all on this line.
    width: usize,
    /// The line's text.
    text: String,
    message: String,
    hint: Option<String>,
}

impl Problem {
    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong, lower case, no full stop.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Problem {
    /// Several lines without a final line feed, printable ASCII and nothing else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, .. } = self;
        writeln!(f, "{}:{line}:{column}: {}", Safe(file), Safe(&self.message))?;
        // A long line is shown from shortly before what is wrong.
        let skip = if *column > WINDOW { column - MARGIN } else { 0 };
        let part = |from: usize, count: usize| -> String {
            let text = self.text.chars().skip(from).take(count);
            Safe(&text.map(|c| if c == '\t' { ' ' } else { c }).collect::<String>()).to_string()
        };
        let before = part(skip, (column - 1).saturating_sub(skip));
        let wrong = part(column - 1, self.width.min(WINDOW));
        writeln!(f, "{line:>5} | {}", part(skip, Safe::WIDTH))?;
        write!(f, "      | {}{}", " ".repeat(before.len()), "^".repeat(wrong.len().max(1)))?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {}", Safe(hint)),
            None => Ok(()),
        }
    }
}

/// The last column up to which a line is shown from its start.
const WINDOW: usize = 120;

/// How much is shown before what is wrong in a longer line.
const MARGIN: usize = 40;

/// Collects the problems of one file.
#[derive(Debug)]
pub(crate) struct Problems<'a> {
    file: &'a str,
    text: &'a str,
    found: Vec<(usize, Problem)>,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// Notes a problem at these bytes of the file.
    pub(crate) fn add(
        &mut self,
        at: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let start = floor(self.text, at.start);
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |lf| lf + 1);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let text = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let end = floor(self.text, at.end).min(line_start + text.len());
        let width = self.text.get(start..end).unwrap_or_default().chars().count();
        let problem = Problem {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            width: width.max(1),
            text: text.to_owned(),
            message: message.into(),
            hint: hint.into(),
        };
        if !self.found.iter().any(|(_, known)| *known == problem) {
            self.found.push((start, problem));
        }
    }

    pub(crate) fn none(&self) -> bool {
        self.found.is_empty()
    }

    /// All that was found, in the order of the file.
    pub(crate) fn into_error(mut self) -> LoadError {
        self.found.sort_by_key(|(start, _)| *start);
        LoadError { problems: self.found.into_iter().map(|(_, problem)| problem).collect() }
    }
}

/// The last place at or before `at` where a character starts.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, at: Range<usize>) -> String {
        let mut problems = Problems::new("policy.cedar", text);
        problems.add(&at, "it is wrong", Some("mend it".to_owned()));
        problems.into_error().to_string()
    }

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        assert_eq!(
            shown("one\n\ttwo three\r\nfour", 9..14),
            "policy.cedar:2:6: it is wrong\n    2 |  two three\n      |      ^^^^^\nhint: mend it"
        );
        // A caret is never longer than its line, and never nothing.
        assert!(shown("one\ntwo", 2..7).contains("1:3: it is wrong\n    1 | one\n      |   ^\n"));
        assert!(shown("one", 3..3).contains("1:4: it is wrong\n    1 | one\n      |    ^\n"));
        assert!(shown("", 7..9).contains("1:1: it is wrong\n    1 | \n      | ^\n"));
        // What is not ASCII is escaped, and the caret knows.
        assert!(
            shown("\u{f6}\u{1b}x", 3..4)
                .contains("1:3: it is wrong\n    1 | \\u{f6}\\u{1b}x\n      |             ^\n")
        );
        // A place within a character is the character's.
        assert!(shown("\u{f6}x", 1..2).contains("1:1: "));
    }

    #[test]
    fn a_long_line_is_shown_around_what_is_wrong() {
        let text = format!("{}wrong{}", "a".repeat(500), "b".repeat(500));
        let shown = shown(&text, 500..505);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "policy.cedar:1:501: it is wrong");
        assert_eq!(lines[1].find("wrong"), lines[2].find("^^^^^"));
        assert!(lines.iter().all(|line| line.len() < 220));
    }

    #[test]
    fn problems_come_in_the_order_of_the_file_and_once() {
        let mut problems = Problems::new("p", "one two");
        problems.add(&(4..7), "second", None);
        problems.add(&(0..3), "first", None);
        problems.add(&(4..7), "second", None);
        let all = problems.into_error();
        let said: Vec<&str> = all.problems().iter().map(Problem::message).collect();
        assert_eq!(said, ["first", "second"]);
    }
}
