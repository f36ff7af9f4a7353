//! Real trackers: what they say decides, whatever their ways of saying it. Request Tracker, Redmine, an
//! emulator of Jira, and GitHub's published description, each asked through the preset for it.

mod github;
mod jira;
mod parts;
mod redmine;
mod rt;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ca::{Ca, aliases};
use crate::process::{Said, until};

/// The example team with these trackers, `ca.toml`'s own instead of the folder; secrets by file name. Somebody
/// is in its office around the clock.
fn team(name: &str, trackers: &str, secrets: &[(&str, &str)], people: [&str; 2]) -> Ca {
    Ca::start_with(|dir| {
        let file = dir.join("ca/ca.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let (before, _) = text.split_once("# Where tickets are looked up").unwrap();
        std::fs::write(&file, format!("{before}{trackers}")).unwrap();
        std::fs::create_dir(dir.join("ca/secrets")).unwrap();
        secrets.iter().for_each(|(file, text)| secret(&dir.join("ca/secrets").join(file), text));
        // Every tracker here whose name begins so is the same one, asked in another way.
        let names = ["", "-late", "-wrong", "-open"].map(|more| format!("{name}{more}"));
        aliases(dir, &names.each_ref().map(String::as_str), people);
        let file = dir.join("ca/hours.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let (office, others) = text.split_once("# Nobody is up").unwrap();
        let (before, _) = office.split_once("days = ").unwrap();
        let always = "days = [\"mon-sun\"]\nfrom = \"00:00\"\nuntil = \"24:00\"\n";
        std::fs::write(file, format!("{before}{always}# {others}")).unwrap();
    })
}

/// Whoever never deployed there says in words what for.
const WORDS: [&str; 2] = ["--reason", "'roll the fix out'"];

/// A file that nobody else may read.
fn secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, format!("{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Asked with this ticket ana is let in, and the ledger has the ticket as its tracker said it.
fn granted(ca: &Ca, ticket: &str) -> Value {
    let said = ca.ssh("ana", &["deploy@web01", ticket, "--json", WORDS[0], WORDS[1]]);
    assert_eq!(said.code, 0, "{ticket}: {said:?}\n{:#?}", ca.daemon.log());
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(answer["outcome"], "issued", "{answer}");
    let last = ca.entries().into_iter().rfind(|entry| entry.has_certificate).unwrap();
    assert_eq!(last.facts["ticket"]["id"], ticket);
    last.facts["ticket"].clone()
}

/// A no: a sentence, and the same words when an operator tries the ticket.
fn refused(ca: &Ca, ticket: &str, sentence: &str) {
    let said = ca.ssh("ana", &["deploy@web01", ticket]);
    assert_eq!(said.code, 1, "{ticket}: {said:?}\n{:#?}", ca.daemon.log());
    assert!(said.err.contains(&format!("refused: {sentence}\n")), "{ticket}: {said:?}");
    assert_eq!(said.out, "");
}

/// A fault: never a yes, soon enough, and the person is told neither a secret nor an address.
fn fault(ca: &Ca, ticket: &str, sentence: &str, within: Duration) {
    let begun = Instant::now();
    let said = ca.ssh("ana", &["deploy@web01", ticket]);
    let took = begun.elapsed();
    assert_eq!((said.code, said.out.as_str()), (75, ""), "{ticket}: {said:?}");
    assert!(said.err.contains(sentence), "{ticket}: {said:?}");
    assert!(!said.err.contains("127.0.0.1"), "{said:?}");
    assert!(took < within, "{ticket} took {took:?}");
}

/// What `hallpass ticket test` says of a ticket.
fn tried(ca: &Ca, ticket: &str, code: i32, holds: &[&str]) -> Said {
    let said = ca.operator(&["ticket", "test", ticket]);
    assert_eq!(said.code, code, "{ticket}: {said:?}");
    let all = format!("{}{}", said.out, said.err);
    for text in holds {
        assert!(all.contains(text), "{text:?} of {ticket} is not in {said:?}");
    }
    said
}

/// How long a call may take: long where the answer is what is tried, on however busy a machine, and short
/// where there will be none.
fn deadline(tracker: &str) -> &'static str {
    if tracker.ends_with("-late") { "2s" } else { "20s" }
}

/// What has not come by then is no fault within its deadline: the late answers come much later.
const SOON: Duration = Duration::from_secs(12);

/// The request that ana's last grant is of.
fn grant(ca: &Ca, ticket: &str) -> String {
    let said = ca.ssh("ana", &["deploy@web01", ticket, "--json", WORDS[0], WORDS[1]]);
    assert_eq!(said.code, 0, "{said:?}\n{:#?}", ca.daemon.log());
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    answer["request"].as_str().unwrap().to_owned()
}

/// The ticket of a live grant was closed in its tracker, by whoever works with it, and nobody told the
/// CA. The grant ends: it is gone from the status, gives no certificate, and the ledger says why. The
/// sentence says what people see as the ticket's state.
fn ends(ca: &Ca, request: &str, ticket: &str, state: &str) {
    let end = || ca.entries().into_iter().find(|entry| entry.kind == "end");
    until("the grant's end in the ledger", || end().is_some());
    let facts = end().unwrap().facts;
    assert_eq!(facts["request"], request, "{facts}");
    let said = ca.ssh("ana", &["renew", request]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains(&format!("refused: grant {request} ended at ")), "{said:?}");
    assert!(said.err.contains(&format!(": ticket {ticket} is {state}\n")), "{said:?}");
    let status = ca.ssh("ana", &["status", "--json"]).ok();
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["grants"], serde_json::json!([]), "{status}");
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}
