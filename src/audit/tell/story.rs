//! The story of a request: who asked and why, and then each entry.

use serde_json::{Value, json};

use super::table::object;
use super::{Told, ascii, cell};
use crate::audit::auditor::Signing;
use crate::audit::entry::{Entry, Facts};
use crate::audit::show::{Chapter, Included, Story};
use crate::certificate::safe::Safe;
use crate::certificate::time::Span;

/// A story.
pub fn story(story: &Story, as_json: bool) -> Told {
    let Story { chapters, meanwhile, unread } = story;
    let good = !chapters.is_empty();
    if as_json {
        let entries: Vec<Value> = chapters.iter().map(chapter_object).collect();
        let meanwhile: Vec<Value> = meanwhile.iter().map(object).collect();
        let object = json!({
            "outcome": if good { "ok" } else { "refused" }, "entries": entries, "meanwhile": meanwhile,
            "unread_before": unread,
        });
        return Told { out: ascii(&object), good, ..Told::default() };
    }
    let mut lines = Vec::new();
    if let Some(first) = chapters.iter().find(|one| one.entry.text("request").is_some()) {
        head(&first.entry, &mut lines);
    }
    for one in chapters {
        chapter(one, &mut lines);
    }
    if !meanwhile.is_empty() {
        lines.extend([String::new(), "refused while the grant lived, newest first:".to_owned()]);
    }
    lines.extend(meanwhile.iter().map(|entry| {
        let time = entry.time().map_or("-".to_owned(), |time| time.to_string());
        let accounts = cell(&entry.accounts().join(","), 60);
        format!("  {time}  entry {}: {accounts}: {}", entry.index, Safe(&entry.said()))
    }));
    let mut said = Vec::new();
    if !good {
        said.push("the ledger has no such request or serial".to_owned());
    }
    if let Some(before) = unread {
        said.push(format!("the time was up: the entries before {before} were not read"));
    }
    let hint =
        (!good).then(|| "audit search finds requests by person, host, ticket, time".to_owned());
    let out = lines.iter().map(|line| format!("{line}\n")).collect();
    Told { out, said, hint, good }
}

/// What is the same in each of a request's entries.
fn head(entry: &Entry, lines: &mut Vec<String>) {
    let text = |name: &str| entry.text(name).map_or("-".to_owned(), |text| Safe(text).to_string());
    let mut line = |name: &str, text: String| lines.push(format!("{name:<12}{text}"));
    line("request", text("request"));
    let kind = entry.text("person_kind").filter(|kind| *kind != "person");
    let who = kind.map_or(text("person"), |kind| format!("{} ({})", text("person"), Safe(kind)));
    line("person", format!("{who}, from {}, by the key {}", text("source"), text("key")));
    line("accounts", cell(&entry.accounts().join(", "), 2000));
    match entry.member("ticket") {
        None => line("ticket", "none".to_owned()),
        Some(Value::Object(ticket)) => {
            let part = |name: &str| {
                ticket.get(name).and_then(Value::as_str).map(|text| Safe(text).to_string())
            };
            let or_nobody = part("assignee").unwrap_or_else(|| "nobody".to_owned());
            line(
                "ticket",
                format!(
                    "{} in {}, {} (\"{}\"), of {or_nobody}: {}",
                    part("id").unwrap_or_default(),
                    part("tracker").unwrap_or_default(),
                    part("state").unwrap_or_default(),
                    part("said").unwrap_or_default(),
                    part("title").unwrap_or_default(),
                ),
            );
        }
        Some(typed) => {
            line("ticket", format!("{}, as typed", Safe(typed.as_str().unwrap_or_default())))
        }
    }
    line("reason", text("reason"));
    if let Some(terms) = entry.member("terms") {
        let span = |value: Option<&Value>| {
            value
                .and_then(Value::as_u64)
                .map_or("-".to_owned(), |secs| Span::secs(secs).to_string())
        };
        line(
            "offer",
            format!(
                "{}: certificates of {}, a grant of {} at most",
                text("offer"),
                span(terms.get("ttl")),
                span(terms.get("period"))
            ),
        );
        line("terms", Safe(&terms.to_string()).to_string());
        line(
            "grant",
            format!("for {}, until {}", span(entry.member("period")), text("grant_ends")),
        );
        for name in ["policy", "people", "hosts"] {
            line(name, format!("SHA-256 {}", text(name)));
        }
    }
    if let Some(votes) =
        entry.member("votes").and_then(Value::as_array).filter(|all| !all.is_empty())
    {
        line("votes", votes.len().to_string());
    }
}

fn chapter(one: &Chapter, lines: &mut Vec<String>) {
    let Chapter { entry, certificate, signing, leaf, included } = one;
    let time = entry.time().map_or("-".to_owned(), |time| time.to_string());
    lines.push(String::new());
    lines.push(format!("{time}  entry {}: {}", entry.index, Safe(entry.outcome())));
    let mut line = |text: String| lines.push(format!("  {text}"));
    if let Some(certificate) = certificate {
        line(format!("serial {}, key ID {}", certificate.serial, Safe(&certificate.key_id)));
        line(format!("opens {}", cell(&certificate.principals.join(", "), 2000)));
        line(format!("from {} to {}", certificate.valid_after, certificate.valid_before));
        let kind = entry.text("subject_kind").unwrap_or("-");
        line(format!("for the key {} ({})", certificate.subject, Safe(kind)));
        let delivery = entry.text("delivery").unwrap_or("-");
        line(format!("handed over by {}, CA {}", Safe(delivery), certificate.ca));
        line(match signing {
            Signing::Signed(time) => format!("signed by the signer at {time}"),
            Signing::Never => "never signed: nobody holds it".to_owned(),
            Signing::Another => {
                "WRONG: the signer signed another certificate of this serial".to_owned()
            }
            Signing::Unknown => {
                "whether it was signed is not known here: the signer's list says".to_owned()
            }
        });
    } else {
        match entry.said() {
            said if said.is_empty() || entry.kind == "grant" => {}
            said => line(cell(&said, 2000)),
        }
    }
    line(format!("leaf {}", leaf.to_base64()));
    line(match included {
        Included::In(size) => format!("included in the checkpoint of size {size}"),
        Included::Younger(size) => {
            format!("not yet under a cosigned checkpoint: the newest is of size {size}")
        }
        Included::Not(why) => format!("WRONG: {why}; hallpass ledger verify says more"),
        Included::Unknown(why) => format!("not compared with a checkpoint: {}", Safe(why)),
    });
}

fn chapter_object(one: &Chapter) -> Value {
    let Chapter { entry, certificate, signing, leaf, included } = one;
    let mut object = object(entry);
    let facts = match &entry.facts {
        Facts::Known(facts) => Value::Object(facts.clone()),
        Facts::Redacted | Facts::Unreadable => Value::Null,
    };
    let certificate = certificate.as_ref().map(|one| {
        let (signed, at) = match signing {
            Signing::Signed(time) => (Some(true), Some(*time)),
            Signing::Never | Signing::Another => (Some(false), None),
            Signing::Unknown => (None, None),
        };
        json!({
            "serial": one.serial, "key_id": one.key_id, "subject": one.subject,
            "principals": one.principals, "valid_after": one.valid_after,
            "valid_before": one.valid_before, "ca": one.ca, "signed": signed, "signed_at": at,
        })
    });
    let (size, wrong) = match included {
        Included::In(size) => (Some(*size), None),
        Included::Younger(_) => (None, None),
        Included::Not(why) => (None, Some((*why).to_owned())),
        Included::Unknown(_) => (None, None),
    };
    if let Some(object) = object.as_object_mut() {
        object.insert("certificate".to_owned(), json!(certificate));
        object.insert("leaf".to_owned(), json!(leaf));
        object.insert("included_in".to_owned(), json!(size));
        object.insert("wrong".to_owned(), json!(wrong));
        object.insert("facts".to_owned(), facts);
    }
    object
}
