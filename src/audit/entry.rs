//! An entry as an auditor reads it: by the names of its facts' members, whatever its kind, so that a
//! kind that is added later is found and shown like the others.

use serde_json::{Map, Value};

use crate::certificate::time::UnixTime;
use crate::ledger::facts::Ended;

/// An entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The index.
    pub index: u64,
    /// The word in its leaf.
    pub kind: String,
    /// What it says.
    pub facts: Facts,
}

/// What an entry says.
#[derive(Debug, Clone)]
pub enum Facts {
    /// This.
    Known(Map<String, Value>),
    /// It was taken away, as the law may ask; the leaf stands.
    Redacted,
    /// Not JSON: `hallpass ledger verify` says more.
    Unreadable,
}

/// The members that every entry's facts begin with, and one that tells nobody anything.
const HEADER: [&str; 6] = ["v", "kind", "salt", "time", "node", "nonce"];

impl Entry {
    /// Reads a row.
    pub fn read(index: u64, leaf: &str, facts: Option<&[u8]>) -> Self {
        let facts = match facts.map(serde_json::from_slice) {
            None => Facts::Redacted,
            Some(Ok(Value::Object(facts))) => Facts::Known(facts),
            Some(_) => Facts::Unreadable,
        };
        Self { index, kind: kind(leaf).to_owned(), facts }
    }

    /// A member of the facts.
    pub fn member(&self, name: &str) -> Option<&Value> {
        match &self.facts {
            Facts::Known(facts) => facts.get(name).filter(|value| !value.is_null()),
            Facts::Redacted | Facts::Unreadable => None,
        }
    }

    /// A member that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.member(name)?.as_str()
    }

    /// When it was decided.
    pub fn time(&self) -> Option<UnixTime> {
        self.text("time")?.parse().ok()
    }

    /// The serial, if it is a certificate's.
    pub fn serial(&self) -> Option<u64> {
        (self.kind == "certificate" || self.kind == "host-certificate").then_some(self.index + 1)
    }

    /// The people it names: who asked or did it first, then whom a lock is about.
    pub fn people(&self) -> Vec<&str> {
        let did = ["person", "by", "author", "operator"].into_iter();
        let did = did.filter_map(|name| self.member(name)).flat_map(|who| match who {
            Value::String(name) => vec![name.as_str()],
            // An operator: a user of the machine, and whom that user claims to be.
            who => ["user", "claims"].iter().filter_map(|name| who.get(name)?.as_str()).collect(),
        });
        did.chain(self.locks("person")).collect()
    }

    /// The name of what a lock locks, or does not any more, if it is of this sort.
    fn locks(&self, target: &str) -> Option<&str> {
        (self.text("target") == Some(target)).then(|| self.text("name")).flatten()
    }

    /// The host that it is about as a whole.
    pub fn host(&self) -> Option<&str> {
        self.text("host").or_else(|| self.locks("host"))
    }

    /// The accounts it names: principals, or what was typed.
    pub fn accounts(&self) -> Vec<&str> {
        let lists =
            ["targets", "accounts", "principals"].into_iter().filter_map(|name| self.member(name));
        let texts = lists.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        let typed = self.text("account").into_iter().flat_map(|typed| typed.split(','));
        texts.chain(typed).filter(|account| !account.is_empty()).collect()
    }

    /// The exact id of the ticket.
    pub fn ticket(&self) -> Option<&str> {
        let ticket = self.member("ticket")?;
        ticket.as_str().or_else(|| ticket.get("id")?.as_str())
    }

    /// The fingerprints it names: of the key that was proved, and of the one that is certified.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        ["key", "subject"].into_iter().filter_map(|name| self.text(name)).chain(self.locks("key"))
    }

    /// What came of it, in the word that `--outcome` takes: for most kinds their own.
    pub fn outcome(&self) -> &str {
        match self.kind.as_str() {
            "certificate" => "issued",
            "grant" => "granted",
            "refusal" => "refused",
            "end" => "ended",
            "lock" if self.member("locked") == Some(&Value::Bool(false)) => "unlocked",
            "lock" => "locked",
            kind => kind,
        }
    }

    /// Offer, reasons, or whatever else it says: its own words, for one column.
    pub fn said(&self) -> String {
        let Facts::Known(facts) = &self.facts else {
            return match self.facts {
                Facts::Redacted => "(redacted)".to_owned(),
                _ => "(not readable: hallpass ledger verify)".to_owned(),
            };
        };
        let mut said = Vec::new();
        if self.kind == "end" {
            let ended = serde_json::from_value::<Ended>(Value::Object(facts.clone()));
            return match ended {
                Ok(ended) => format!("{}; {}", ended.offer, ended.because()),
                Err(_) => "(not readable: hallpass ledger verify)".to_owned(),
            };
        }
        let words = ["offer", "reasons", "reason"].into_iter().filter_map(|name| self.member(name));
        said.extend(words.map(plain));
        if let Some(count) = facts.get("count").and_then(Value::as_u64).filter(|count| *count > 1) {
            said.push(format!("{count} refusals that have no entry each"));
        }
        // What is of no column and none of the things that only `show` has room for.
        if !matches!(self.kind.as_str(), "certificate" | "grant" | "refusal") {
            let shown =
                ["person", "accounts", "account", "principals", "ticket", "reasons", "reason"];
            let rest = facts.iter().filter(|(name, value)| {
                !HEADER.contains(&name.as_str())
                    && !shown.contains(&name.as_str())
                    && !value.is_null()
                    && name.as_str() != "certificate"
            });
            said.extend(rest.map(|(name, value)| format!("{name} {}", plain(value))));
        }
        said.join("; ")
    }
}

/// The word of a leaf's first line.
pub fn kind(leaf: &str) -> &str {
    let first = leaf.split('\n').next().unwrap_or_default();
    first.strip_prefix("hallpass.v1 ").unwrap_or("(damaged)")
}

/// A value without JSON's quotes, where it can be.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join("; "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_is_not_known_yet_is_read_by_its_members() {
        let facts = r#"{"v":1,"kind":"quorum","salt":"","time":"2026-11-22T05:40:00Z","node":"n",
            "by":"bob","account":"root@db01","ticket":"OPS-1","votes":2,"nobody":null}"#;
        let entry = Entry::read(7, "hallpass.v1 quorum\n-\nx\n", Some(facts.as_bytes()));
        assert_eq!(
            (entry.kind.as_str(), entry.outcome(), entry.serial()),
            ("quorum", "quorum", None)
        );
        assert_eq!((entry.people(), entry.accounts()), (vec!["bob"], vec!["root@db01"]));
        assert_eq!((entry.ticket(), entry.said().as_str()), (Some("OPS-1"), "by bob; votes 2"));
        assert_eq!(entry.time().unwrap().to_string(), "2026-11-22T05:40:00Z");
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let redacted = Entry::read(0, "hallpass.v1 grant\n-\nx\n", None);
        assert_eq!((redacted.said().as_str(), redacted.time()), ("(redacted)", None));
        for bad in [&b"\xff"[..], b"", b"[]", b"{"] {
            let entry = Entry::read(0, "", Some(bad));
            assert_eq!(entry.kind, "(damaged)");
            assert!(entry.said().starts_with("(not readable"), "{bad:?}");
        }
    }
}
