//! Lists of people and hosts as tables: a spreadsheet's, or JSON of our own.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::csv;
use super::import::{Row, Rows, What};
use super::unique::Unique;

/// Comma-separated values with a head line. Lists in a cell are separated by spaces or `;`, keys by `;` alone.
pub(super) fn csv(what: What, text: &str) -> Result<Rows, String> {
    let records = csv::records(text).map_err(|(line, why)| format!("line {line}: {why}"))?;
    let mut records = records.into_iter();
    let head = records.next().ok_or("it is empty")?;
    let all = [&["name"], what.lists(), what.texts(), what.flags()].concat();
    for (at, column) in head.cells.iter().enumerate() {
        let known = all.contains(&column.as_str())
            || what == What::People
                && column.strip_prefix("aliases.").is_some_and(|t| !t.is_empty());
        if !known {
            let trackers = if what == What::People { ", aliases.TRACKER" } else { "" };
            return Err(format!(
                "line {}: no column is called {column:?}; they are {}{trackers}",
                head.line,
                all.join(", ")
            ));
        }
        if head.cells.iter().take(at).any(|before| before == column) {
            return Err(format!("line {}: two columns are called {column}", head.line));
        }
    }
    let mut rows = Rows::default();
    for csv::Record { line, cells } in records {
        let place = format!("line {line}");
        if cells.len() != head.cells.len() {
            let (cells, columns) = (cells.len(), head.cells.len());
            return Err(format!("{place}: {cells} cells under {columns} columns"));
        }
        let (mut name, mut fields, mut aliases) = (String::new(), Map::new(), Map::new());
        for (column, cell) in head.cells.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            let field = column.as_str();
            if field == "name" {
                name = cell;
            } else if let Some(tracker) = field.strip_prefix("aliases.") {
                aliases.insert(tracker.to_owned(), cell.into());
            } else if what.lists().contains(&field) {
                let keys = field.ends_with("keys");
                let items = cell.split(|c: char| c == ';' || !keys && c.is_whitespace());
                let items = items.map(str::trim).filter(|item| !item.is_empty());
                fields.insert(column.clone(), items.map(Value::from).collect());
            } else if what.flags().contains(&field) {
                let flag = cell.to_lowercase().parse::<bool>();
                let flag =
                    flag.map_err(|_| format!("{place}: {field} is true or false, not {cell:?}"))?;
                fields.insert(column.clone(), flag.into());
            } else {
                fields.insert(column.clone(), cell.into());
            }
        }
        if !aliases.is_empty() {
            fields.insert("aliases".to_owned(), aliases.into());
        }
        rows.rows.push(Row { place, name, fields });
    }
    Ok(rows)
}

/// JSON as in `people.d` and `hosts.d`.
pub(super) fn json(what: What, text: &str) -> Result<Rows, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct People {
        #[serde(default)]
        groups: Vec<String>,
        person: Unique<String, Map<String, Value>>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Hosts {
        #[serde(default)]
        tags: Vec<String>,
        host: Unique<String, Map<String, Value>>,
    }
    let say = |why: serde_json::Error| why.to_string();
    let (known, entries) = match what {
        What::People => {
            let People { groups, person } = serde_json::from_str(text).map_err(say)?;
            (groups, person)
        }
        What::Hosts => {
            let Hosts { tags, host } = serde_json::from_str(text).map_err(say)?;
            (tags, host)
        }
    };
    let row = |(name, fields)| Row { place: format!("{} {name:?}", what.table()), name, fields };
    let rows = entries.0.into_iter().map(row).collect();
    Ok(Rows { rows, known, passed_over: Vec::new() })
}
