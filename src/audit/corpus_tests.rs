//! What others wrote, wherever it can get into an answer: nothing but printable ASCII and line ends
//! comes out.

use serde_json::{Map, Value, json};

use super::auditor::Signing;
use super::entry::{Entry, Facts};
use super::findings::{Finding, Findings, Wrong};
use super::login::{self, Line};
use super::search::{Found, Rest};
use super::show::{Certificate, Chapter, Included, Story};
use super::tell::{self, Told};
use crate::certificate::safe::tests::CORPUS;
use crate::certificate::sample::NOW;
use crate::ledger::tree::Hash;

/// Nothing that a terminal obeys, and no line that we did not begin.
fn safe(told: &Told, lines: usize, text: &str) {
    let beside = told.said.iter().chain(&told.hint).map(String::as_str);
    assert!(beside.clone().all(|line| !line.contains('\n')), "{text:?}: {told:?}");
    for part in beside.chain([told.out.as_str()]) {
        let fit = |b: u8| b == b'\n' || (b' '..=b'~').contains(&b);
        assert!(part.bytes().all(fit), "{text:?}: {part:?}");
    }
    assert_eq!(told.out.lines().count(), lines, "{text:?}: {:?}", told.out);
}

/// Facts in which every member that somebody else writes is this text.
fn facts(text: &str) -> Map<String, Value> {
    let value = json!({
        "v": 1, "kind": text, "salt": text, "time": NOW, "node": text,
        "request": "r200000000000", "person": text, "person_kind": text, "source": text, "key": text,
        "accounts": [text, text], "targets": [text], "account": text, "principals": [text],
        "ticket": { "tracker": text, "id": text, "state": text, "said": text, "title": text,
                    "assignee": text, "priority": text, "labels": [text], "hosts": [text] },
        "reason": text, "reasons": [text, text], "offer": text, "grant_ends": text, "delivery": text,
        "terms": { "ttl": 600, "period": 3600, "extensions": [text], "force_command": text },
        "subject": text, "subject_kind": text, "policy": text, "people": text, "hosts": text,
        "target": "person", "name": text, "operator": text, "host": text, text: text,
    });
    value.as_object().unwrap().clone()
}

/// The same JSON, whatever it was written in.
fn same(out: &str, text: &str, at: &str) {
    let read: Value = serde_json::from_str(out).unwrap();
    assert_eq!(read.pointer(at), Some(&json!(text)), "{text:?} was changed");
}

#[test]
fn whatever_others_wrote_only_printable_ascii_comes_out() {
    assert!(CORPUS.len() >= 60);
    let long: Vec<String> = CORPUS.iter().map(|text| text.repeat(100)).collect();
    for text in CORPUS.iter().copied().chain(long.iter().map(String::as_str)) {
        let entry = |kind: &str| Entry {
            index: 7,
            kind: kind.to_owned(),
            facts: Facts::Known(facts(text)),
        };
        // Titles, reasons and typed accounts, in entries of known kinds and of one that is not.
        let entries = ["certificate", "grant", "refusal", "lock", text].map(entry).to_vec();
        let found = Found { entries, rest: Rest::More(3) };
        safe(&tell::found(&found, false), 6, text);
        let object = tell::found(&found, true);
        safe(&object, 1, text);
        same(&object.out, text, "/entries/0/reason");

        let certificate = Certificate {
            serial: 8,
            key_id: text.to_owned(),
            subject: "SHA256:x".to_owned(),
            principals: vec![text.to_owned()],
            valid_after: NOW,
            valid_before: NOW,
            ca: "SHA256:y".to_owned(),
            tbs: Hash::default(),
        };
        let chapter = |kind, certificate, included| Chapter {
            entry: entry(kind),
            certificate,
            signing: Signing::Unknown,
            leaf: Hash::default(),
            included,
        };
        let chapters = vec![
            chapter("certificate", Some(certificate), Included::In(9)),
            chapter(text, None, Included::Unknown(text.to_owned())),
        ];
        let story = Story { chapters, meanwhile: vec![entry("refusal")], unread: Some(3) };
        safe(&tell::story(&story, false), 29, text);
        let object = tell::story(&story, true);
        safe(&object, 1, text);
        same(&object.out, text, "/entries/0/facts/ticket/title");

        // Key IDs in logs, hosts and methods too.
        let login = login::Login {
            time: None,
            host: Some(text.to_owned()),
            user: text.to_owned(),
            source: text.to_owned(),
            subject: "SHA256:x".to_owned(),
            key_id: text.to_owned(),
            serial: 9,
            ca: "SHA256:y".to_owned(),
        };
        let wrong = vec![
            Wrong::KeyId(text.to_owned()),
            Wrong::AnotherKind(text.to_owned()),
            Wrong::Account(vec![text.to_owned()]),
            Wrong::Host(text.to_owned(), vec![text.to_owned()]),
        ];
        let mut findings = Findings::default();
        findings.wrong.push(Finding { line: 1, login: Some(login), ca: None, wrong });
        findings.plain.insert(text.to_owned(), 1);
        safe(&tell::findings(&findings, false), 6, text);
        let object = tell::findings(&findings, true);
        safe(&object, 1, text);
        same(&object.out, text, "/wrong/0/key_id");
    }
}

/// The parser meets the same texts as key IDs, in every form of a line.
#[test]
fn a_key_id_of_any_bytes_is_read_as_it_stands_or_named() {
    let fp = format!("SHA256:{}", "A".repeat(43));
    for text in CORPUS {
        for head in [
            "",
            "Nov 22 06:40:01 web01 sshd[812]: ",
            "<38>1 2026-11-22T05:40:01Z web01 sshd 1 - - ",
        ] {
            let line = format!(
                "{head}Accepted publickey for deploy from 192.0.2.1 port 1 ssh2: ED25519-CERT {fp} ID {text} (serial 9) CA ED25519 {fp}"
            );
            match login::read(&line) {
                Line::Certificate(login) => {
                    assert_eq!((login.key_id.as_str(), login.serial), (*text, 9))
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }
}
