//! What a search found: a table, or a list of objects.

use serde_json::{Value, json};

use super::{Told, ascii, cell};
use crate::audit::entry::Entry;
use crate::audit::search::{Found, Rest};

/// The columns: their heads, and the most characters of a cell. The last one has no end.
const COLUMNS: [(&str, usize); 8] = [
    ("time", 20),
    ("entry", 20),
    ("serial", 20),
    ("what", 18),
    ("person", 32),
    ("accounts", 48),
    ("ticket", 24),
    ("offer or reason", 120),
];

/// What a search found.
pub fn found(found: &Found, as_json: bool) -> Told {
    let Found { entries, rest } = found;
    let good = !entries.is_empty();
    if as_json {
        let (more, unread) = match rest {
            Rest::Nothing => (None, None),
            Rest::More(before) => (Some(before), None),
            Rest::Unread(before) => (None, Some(before)),
        };
        let entries: Vec<Value> = entries.iter().map(object).collect();
        let object = json!({
            "outcome": "ok", "entries": entries, "more_before": more, "unread_before": unread,
        });
        return Told { out: ascii(&object), good, ..Told::default() };
    }
    let said = match rest {
        Rest::Nothing if entries.is_empty() => vec!["no entry fits".to_owned()],
        Rest::Nothing => Vec::new(),
        Rest::More(_) => vec!["there are more".to_owned()],
        Rest::Unread(before) => {
            vec![format!("the time was up: the entries before {before} were not read")]
        }
    };
    let hint = match rest {
        Rest::Nothing => None,
        Rest::More(before) | Rest::Unread(before) => {
            Some(format!("the same with --before {before} goes on"))
        }
    };
    Told { out: if good { table(entries) } else { String::new() }, said, hint, good }
}

fn table(entries: &[Entry]) -> String {
    let heads = COLUMNS.map(|(head, _)| head.to_owned());
    let rows: Vec<[String; 8]> = std::iter::once(heads).chain(entries.iter().map(row)).collect();
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(String::len).max();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(|at| width(at).unwrap_or(0)).collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn row(entry: &Entry) -> [String; 8] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let list = |all: Vec<&str>| or_none((!all.is_empty()).then(|| all.join(",")));
    let texts = [
        or_none(entry.time().map(|time| time.to_string())),
        entry.index.to_string(),
        or_none(entry.serial().map(|serial| serial.to_string())),
        entry.outcome().to_owned(),
        list(entry.people()),
        list(entry.accounts()),
        or_none(entry.ticket().map(str::to_owned)),
        entry.said(),
    ];
    let mut most = COLUMNS.iter().map(|(_, most)| *most);
    texts.map(|text| cell(&text, most.next().unwrap_or(0)))
}

/// An entry as an object: the columns, and what has no room in them.
pub(super) fn object(entry: &Entry) -> Value {
    json!({
        "index": entry.index,
        "serial": entry.serial(),
        "kind": entry.kind,
        "what": entry.outcome(),
        "time": entry.time(),
        "person": entry.people().first(),
        "accounts": entry.accounts(),
        "ticket": entry.ticket(),
        "request": entry.member("request"),
        "offer": entry.member("offer"),
        "reason": entry.member("reason"),
        "reasons": entry.member("reasons"),
        "source": entry.member("source"),
        "key": entry.member("key"),
        "subject": entry.member("subject"),
        "said": entry.said(),
    })
}
