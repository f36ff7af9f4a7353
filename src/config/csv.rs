//! Comma-separated values with a head line (RFC 4180), as spreadsheets write them.

/// A line of the table: the number of the line it begins on, and its cells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) cells: Vec<String>,
}

/// Every line that is not empty. A cell in quotes may hold commas, line ends and, doubled, quotes.
///
/// # Errors
/// The line, and what is wrong there.
pub(super) fn records(text: &str) -> Result<Vec<Record>, (usize, &'static str)> {
    // Spreadsheets begin a file with a byte order mark.
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut line, mut records) = (1, Vec::new());
    while !rest.is_empty() {
        let begun = line;
        let mut cells = Vec::new();
        loop {
            let (cell, after) = match rest.strip_prefix('"') {
                Some(quoted) => in_quotes(quoted).ok_or((begun, "a quote is not closed"))?,
                None => {
                    let end = rest.find([',', '\n']).unwrap_or(rest.len());
                    let (cell, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
                    if cell.contains('"') {
                        return Err((line, "a quote in the middle of a cell"));
                    }
                    (cell.to_owned(), after)
                }
            };
            line += cell.matches('\n').count();
            cells.push(cell.trim().to_owned());
            let after = after.strip_prefix('\r').unwrap_or(after);
            if let Some(next) = after.strip_prefix(',') {
                rest = next;
                continue;
            }
            if !after.is_empty() && !after.starts_with('\n') {
                return Err((line, "text after a closing quote"));
            }
            rest = after.strip_prefix('\n').unwrap_or(after);
            line += 1;
            break;
        }
        if cells.iter().any(|cell| !cell.is_empty()) {
            records.push(Record { line: begun, cells });
        }
    }
    Ok(records)
}

/// The text up to the closing quote, and what follows it.
fn in_quotes(mut rest: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        cell += before;
        match after.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => return Some((cell, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spreadsheets_write() {
        let text = "\u{feff}name,tags\r\nweb01,prod web\r\n\r\n\"db,1\",\"a \"\"b\"\"\nc\"\nlast,";
        let record =
            |line, cells: [&str; 2]| Record { line, cells: cells.map(str::to_owned).into() };
        assert_eq!(
            records(text).unwrap(),
            [
                record(1, ["name", "tags"]),
                record(2, ["web01", "prod web"]),
                record(4, ["db,1", "a \"b\"\nc"]),
                record(6, ["last", ""]),
            ]
        );
        for (bad, line) in [("a,b\nc,\"d", 2), ("a\nb\"c", 2), ("\"a\"b", 1), ("\"", 1)] {
            assert_eq!(records(bad).unwrap_err().0, line, "{bad:?}");
        }
        assert_eq!(records("").unwrap(), []);
    }
}
