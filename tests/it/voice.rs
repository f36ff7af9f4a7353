//! What people read: help, refusals, usage errors and faults, word for word.

use serde_json::Value;

use crate::ca::Ca;
use crate::process::{Said, run, until};

fn check(said: &Said, code: i32, out: &str, err: &str) {
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (code, out, err), "{said:?}");
}

#[test]
fn refusals_say_whose_doing_it_is_and_what_is_next() {
    let ca = Ca::start();
    for (person, words, reason, hint) in [
        (
            "ana",
            "deploy@web01 OPS-9",
            "ticket OPS-9 is resolved, needs open",
            "ask for it to be reopened, or name a ticket that is open",
        ),
        (
            "ana",
            "deploy@web01",
            "no ticket was given, offer deploy-prod needs one",
            "name the ticket: ssh ca deploy@web01 OPS-7  (OPS-7: Roll out 4.2 on the web servers)",
        ),
        (
            "ana",
            "deploy@web01 OPS-8",
            "ticket OPS-8 names db01, not web01",
            "add web01 to the ticket in tickets, or name a ticket for web01",
        ),
        ("ana", "deploy@web01 OPS-404", "there is no ticket OPS-404", "check the id in tickets"),
        ("ana", "deploy@wbe01 OPS-7", "there is no host wbe01", "did you mean deploy@web01?"),
        (
            "ana",
            "deploy@elsewhere OPS-7",
            "there is no host elsewhere",
            "ask whoever runs the CA to add it: hallpass host add",
        ),
        (
            "ana",
            "postgres@web01 OPS-7",
            "web01 has no account postgres that can be asked for",
            "it has deploy, logs, root",
        ),
        (
            "ana",
            "deploy@web01 OPS-7 --offer deploy-prd",
            "there is no offer deploy-prd",
            "the nearest is deploy-prod; without --offer the best one is found",
        ),
    ] {
        let said = ca.ssh(person, &[words]);
        check(&said, 1, "", &format!("hallpass: refused: {reason}\nhint: {hint}\n"));
        // The journal has the same sentence.
        let told = |line: &String| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["target"] == "hallpass::audit").then_some(line)
        };
        until("the journal", || {
            let line = ca.daemon.log().iter().filter_map(told).next_back();
            line.is_some_and(|line| line["outcome"] == "refused" && line["reasons"] == reason)
        });
    }
}

#[test]
fn words_that_are_not_understood_are_usage() {
    let ca = Ca::start();
    for (words, what, hint) in [
        ("frobnicate", "there is no verb frobnicate", "ssh ca help"),
        ("stauts", "there is no verb stauts", "did you mean ssh ca status?"),
        ("request", "the account is missing", "ssh ca LOGIN@HOST TICKET"),
        (
            "deploy@web01 OPS-7 please",
            "please is one word too many or an unknown option",
            "ssh ca help",
        ),
        (
            "deploy@web01 OPS-7 --ttl soon",
            "--ttl soon: not a length of time as 90s, 5m, 1h or 1h30m",
            "--ttl 5m",
        ),
        ("help me", "there is no verb me", "ssh ca help"),
        ("help rnew", "there is no verb rnew", "did you mean ssh ca help renew?"),
        ("show", "the request is missing", "ssh ca show REQUEST; ssh ca list shows yours"),
        (
            "deploy@web01 OPS-7 --reason roll back",
            "back is one word too many",
            "ssh takes one pair of quotes away: --reason \"'roll back'\"",
        ),
        (
            "deploy@web01 '$(reboot)'",
            "ticket $(reboot): not a ticket id: 1 to 64 of A-Z a-z 0-9 # _ . - and not only dots",
            "ssh ca LOGIN@HOST TICKET, as in: ssh ca deploy@web01 OPS-7",
        ),
    ] {
        let said = ca.ssh("ana", &[words]);
        check(&said, 2, "", &format!("hallpass: usage: {what}\nhint: {hint}\n"));
    }
    // What came over the wire goes to no terminal as it is.
    let said = ca.ssh("ana", &["'\u{1b}[2J\u{202e}x'"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)),
        "{said:?}"
    );
}

#[test]
fn help_fits_one_screen_and_ends_in_a_command_that_works() {
    let ca = Ca::start();
    for words in [
        "help",
        "help lock",
        "help unlock",
        "help locks",
        "help explain",
        "help catalog",
        "help request",
        "help status",
        "help trust",
        "help help",
    ] {
        let screen = if words == "help" { 50 } else { 24 };
        let said = ca.ssh("ana", &[words]);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{words}");
        assert!(
            said.out.starts_with("usage: ssh ") && said.out.lines().count() <= screen,
            "{}",
            said.out
        );
        assert!(said.out.lines().all(|line| line.len() <= 100), "{}", said.out);
        let last = said.out.lines().last().unwrap().trim();
        // As typed, but for the files it names.
        let command = last.strip_prefix("ssh ca ").map(|words| words.split(" > ").next().unwrap());
        match command {
            Some(words) => assert_eq!(ca.ssh("ana", &[words]).code, 0, "{last}"),
            None => assert_eq!(last, "ssh deploy@web01"),
        }
    }
}

#[test]
fn each_verb_gives_one_json_object() {
    let ca = Ca::start();
    let object = |words: &str| -> (i32, Value) {
        let said = ca.ssh("ana", &[words]);
        assert_eq!(said.out.lines().count(), 1, "{said:?}");
        assert_eq!(said.err, "", "{words}");
        (said.code, serde_json::from_str(&said.out).unwrap())
    };
    let (code, issued) = object("deploy@web01 OPS-7 --json");
    assert_eq!(
        (code, &issued["outcome"], &issued["offer"], &issued["serial"]),
        (0, &"issued".into(), &"deploy-prod".into(), &5.into())
    );
    for member in ["request", "certificate", "valid_before", "grant_ends"] {
        assert!(issued[member].is_string(), "{issued}");
    }
    let (code, refused) = object("deploy@web01 OPS-9 --json");
    assert_eq!((code, &refused["outcome"]), (1, &"refused".into()));
    assert_eq!(refused["reasons"][0], "ticket OPS-9 is resolved, needs open");
    assert!(refused["hint"].is_string() && refused["request"].is_string());
    let (code, usage) = object("deploy@web01 OPS-7 please --json");
    assert_eq!((code, &usage["outcome"]), (2, &"usage".into()));
    let (code, status) = object("status --json");
    assert_eq!((code, &status["outcome"], &status["person"]), (0, &"ok".into(), &"ana".into()));
    assert_eq!(status["grants"][0]["request"], issued["request"]);
    let (code, trust) = object("trust --json");
    assert_eq!((code, trust["user"].as_array().unwrap().len()), (0, 3));
    assert_eq!(object("help --json").0, 0);
    std::fs::rename(ca.file("tickets"), ca.file("away")).unwrap();
    let (code, fault) = object("deploy@web01 OPS-7 --json");
    assert_eq!((code, &fault["outcome"]), (75, &"fault".into()));
}

#[test]
fn what_the_door_prints_to_trust_is_what_the_operator_prints() {
    let ca = Ca::start();
    for part in ["--user", "--bare", "--host", "--ledger"] {
        assert_eq!(
            ca.ssh("bob", &["trust", part]).out,
            ca.operator(&["trust", part]).ok(),
            "{part}"
        );
    }
    assert_eq!(ca.ssh("bob", &["trust"]).out, ca.operator(&["trust"]).ok());
    let said = ca.ssh("bob", &["trust", "--user"]).err;
    let checked = ca.operator(&["check"]).err;
    let fingerprint =
        said.trim().strip_prefix("hallpass: fingerprint of all public keys: ").unwrap();
    assert!(checked.contains(fingerprint), "{said} {checked}");
}

#[test]
fn the_journal_has_one_json_line_for_each_outcome() {
    let mut ca = Ca::start();
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0);
    assert_eq!(ca.ssh("bob", &["deploy@web01", "OPS-9"]).code, 1);
    ca.daemon.stop();
    let lines: Vec<Value> =
        ca.daemon.log().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let audit: Vec<&Value> =
        lines.iter().filter(|line| line["target"] == "hallpass::audit").collect();
    assert_eq!(audit.len(), 2, "{lines:#?}");
    assert_eq!(
        (&audit[0]["outcome"], &audit[0]["person"], &audit[0]["serial"]),
        (&"issued".into(), &"ana".into(), &5.into())
    );
    assert_eq!(
        (&audit[1]["outcome"], &audit[1]["person"], &audit[1]["account"]),
        (&"refused".into(), &"bob".into(), &"deploy@web01".into())
    );
    assert!(ca.daemon.log().last().unwrap().contains("stopped"));
}

#[test]
fn a_shell_at_a_terminal_shows_the_status() {
    let ca = Ca::start();
    let said = run(ca.client("ana").args(["-tt", "ca"]));
    assert!(
        said.code == 0
            && said.err.contains("hallpass: you are ana, by the ssh-ed25519 key SHA256:"),
        "{said:?}"
    );
    assert!(said.err.contains("\r\n"), "{said:?}");
}
