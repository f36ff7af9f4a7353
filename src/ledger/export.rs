//! An export: JSON lines, first `{"checkpoint":TEXT}`, then in order
//! `{"index":N,"leaf":TEXT,"tbs":BASE64|null,"facts":BASE64|null}`.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::store::{Row, Store};
use super::tree::{base64, unbase64};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    checkpoint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    index: u64,
    leaf: String,
    // Present and null where there is nothing: `default` would take an absent member too.
    #[serde(deserialize_with = "Option::deserialize")]
    tbs: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    facts: Option<String>,
}

/// Writes the entries that a checkpoint covers. Gives how many.
pub fn write(store: &Store, checkpoint: &Checkpoint, out: &mut impl Write) -> io::Result<u64> {
    let first = First { checkpoint: checkpoint.as_str().to_owned() };
    writeln!(out, "{}", serde_json::to_string(&first)?)?;
    let (mut written, mut failed) = (0, Ok(()));
    let read = store.each_from(0, |row| {
        if row.index >= checkpoint.head.size {
            return false;
        }
        let encode = |bytes: Option<Vec<u8>>| bytes.as_deref().map(base64);
        let line = Line {
            index: row.index,
            leaf: row.leaf,
            tbs: encode(row.tbs),
            facts: encode(row.facts),
        };
        failed = serde_json::to_string(&line)
            .map_err(io::Error::from)
            .and_then(|line| writeln!(out, "{line}"));
        written += 1;
        failed.is_ok()
    });
    failed?;
    read.map_err(io::Error::other)?;
    out.flush()?;
    Ok(written)
}

/// Reads an export's first line: the checkpoint's text.
pub fn read_checkpoint(line: &str) -> Result<String, String> {
    let first: First = serde_json::from_str(line).map_err(|why| why.to_string())?;
    Ok(first.checkpoint)
}

/// Reads one entry of an export.
pub fn read_entry(line: &str) -> Result<Row, String> {
    let line: Line = serde_json::from_str(line).map_err(|why| why.to_string())?;
    let decode = |name: &str, text: Option<String>| {
        text.map(|text| unbase64(&text).ok_or_else(|| format!("its {name} is not base64")))
            .transpose()
    };
    Ok(Row {
        index: line.index,
        leaf: line.leaf,
        tbs: decode("tbs", line.tbs)?,
        facts: decode("facts", line.facts)?,
    })
}
