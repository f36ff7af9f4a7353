//! The auditor's first questions: who got in where, and does what the servers logged agree with what was
//! issued.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::ca::Ca;
use crate::process::{Said, key_pair, run, run_with_input, until};
use crate::sshd::Sshd;

/// `hallpass audit reconcile WORDS` over a log.
fn reconcile(ca: &Ca, words: &[&str], log: &str) -> Said {
    let mut command = crate::ca::hallpass();
    command.args(["audit", "reconcile", "--config"]).arg(ca.file("ca.toml")).args(words);
    run_with_input(&mut command, log)
}

/// What `reconcile` says of each login that is wrong: serial, key ID, and what is wrong.
fn wrong(said: &Said) -> Vec<(Option<u64>, Option<String>, Vec<String>)> {
    let found: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!(found["clean"], found["wrong"].as_array().unwrap().is_empty());
    let words = |one: &Value| {
        one["wrong"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect()
    };
    let all = found["wrong"].as_array().unwrap().iter();
    all.map(|one| (one["serial"].as_u64(), one["key_id"].as_str().map(str::to_owned), words(one)))
        .collect()
}

/// Mallory, who holds a CA's private key.
struct Thief<'a> {
    ca: &'a Path,
    key: PathBuf,
}

impl Thief<'_> {
    /// A certificate that says what mallory likes.
    fn sign(&self, name: &str, key_id: &str, serial: u64, principal: &str) -> PathBuf {
        let public = self.key.with_extension("pub");
        let forged = self.key.with_file_name(name).with_extension("pub");
        std::fs::copy(public, &forged).unwrap();
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-s"]).arg(self.ca).args(["-I", key_id, "-n", principal]);
        run(sign.args(["-z", &serial.to_string(), "-V", "-1m:+5m"]).arg(&forged)).ok();
        self.key.with_file_name(format!("{name}-cert.pub"))
    }
}

/// Mallory has copied `keys/user_ca` and signs with `ssh-keygen`, past desk, policy and ledger. Each
/// certificate opens web01, because all that a server checks is right. web01's log gives them away:
///
/// 1. one with a serial of mallory's own choosing: the ledger has no entry;
/// 2. one with serial and key ID of ana's certificate: the key is not the entry's;
/// 3. one whose key ID ends like sshd's own words, with ana's serial and the CA in it;
/// 4. one whose key ID is so long that sshd cuts off serial and CA;
/// 5. one whose key ID holds a line end and then a harmless login of ana's, which `sshd -e` writes as it is;
/// 6. one with the serial of an entry that is no certificate.
///
/// And nothing else is named: not ana's own logins.
#[test]
fn show_4_a_login_by_a_stolen_ca_key_is_named() {
    let ca = Ca::start();
    let mut web01 = Sshd::start(&ca, "web01");
    let issued = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    let ana = ca.dir().join("ana");
    for _ in 0..2 {
        assert_eq!(web01.login(&ana, &issued, &["true"]).code, 0);
    }
    let honest = web01.line("Accepted publickey for deploy");
    let said = reconcile(&ca, &["--host", "web01"], &web01.log().join("\n"));
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with("clean: "), "{said:?}");
    assert!(said.out.contains("2 logins by certificates of this CA, 0 wrong"), "{said:?}");

    let entry = ca.entries().into_iter().find(|entry| entry.has_certificate).unwrap();
    let serial = entry.index + 1;
    let (_, real) = honest.split_once(" ID ").unwrap();
    let (key_id, tail) = real.split_once(" (serial ").unwrap();
    let stolen = ca.file("keys/user_ca");
    let thief = Thief { ca: &stolen, key: ca.dir().join("mallory") };
    let invented = "r0123456789ab/ana/OPS-7/20991231T235959Z";
    let like_sshd = format!("{key_id} (serial {tail}");
    let long = format!("{key_id} {}", "x".repeat(1200));
    let two_lines = format!("x\n{honest}");
    for (name, id, number, seen) in [
        ("invented", invented, 9000, "(serial 9000)".to_owned()),
        ("copied", key_id, serial, "UNSEEN".to_owned()),
        ("like-sshd", &like_sshd, 9001, "(serial 9001)".to_owned()),
        ("long", &long, 9002, "xxxxxxxx".to_owned()),
        ("two-lines", &two_lines, 9003, "(serial 9003)".to_owned()),
        ("no-certificate", key_id, 1, "(serial 1)".to_owned()),
    ] {
        let forged = thief.sign(name, id, number, "deploy@web01");
        let said = web01.login(&thief.key, &forged, &["echo", "in"]);
        assert_eq!(
            (said.code, said.out.as_str()),
            (0, "in\n"),
            "{name}: {said:?} {:#?}",
            web01.log()
        );
        let before =
            |line: &String| line.starts_with("Accepted publickey") && !line.contains(&ana_key(&ca));
        match seen.as_str() {
            "UNSEEN" => until("the login", || web01.log().iter().any(before)),
            text => drop(web01.line(text)),
        }
    }

    let log = web01.log().join("\n");
    let said = reconcile(&ca, &["--host", "web01", "--json"], &log);
    assert_eq!(said.code, 1, "{said:?}");
    let named = wrong(&said);
    let of = |number: u64| named.iter().filter(move |one| one.0 == Some(number));
    let one = |number: u64| {
        let all: Vec<_> = of(number).collect();
        assert_eq!(all.len(), 1, "{named:#?}");
        (all[0].1.clone().unwrap(), all[0].2.join(","))
    };
    assert_eq!(one(9000), (invented.to_owned(), "no-entry".to_owned()));
    assert_eq!(one(serial), (key_id.to_owned(), "key".to_owned()));
    assert_eq!(one(9001), (like_sshd.clone(), "no-entry".to_owned()));
    assert_eq!(one(1), (key_id.to_owned(), "another-kind".to_owned()));
    // What is torn cannot be read, and is named for that: the long one, the first line of the two, and
    // twice what sshd says when the certificate is shown, which holds the same two lines.
    let torn: Vec<_> = named.iter().filter(|one| one.0.is_none()).collect();
    assert!(torn.iter().all(|one| one.2 == ["unread"]), "{named:#?}");
    // The forged line holds what ana's did, and then the end of mallory's own: a serial without an entry.
    assert_eq!(of(9003).count(), 1, "{named:#?}");
    assert_eq!((torn.len(), named.len()), (4, 9), "{named:#?}");

    // The same for people: one line each, and what to do.
    let said = reconcile(&ca, &["--host", "web01"], &log);
    assert!(
        said.out
            .contains("serial 9000, key ID r0123456789ab/ana/OPS-7/20991231T235959Z, key SHA256:")
    );
    assert!(said.out.contains("  the ledger has no entry for this serial\n"), "{said:?}");
    assert!(said.out.contains("  another key than the entry's, SHA256:"), "{said:?}");
    assert!(said.out.lines().last().unwrap().starts_with("WRONG: "), "{said:?}");
    assert!(said.err.contains("hint: a CA key may be stolen: hallpass key next"), "{said:?}");
}

/// The fingerprint of ana's key.
fn ana_key(ca: &Ca) -> String {
    let shown = run(Command::new("ssh-keygen").arg("-lf").arg(ca.dir().join("ana.pub"))).ok();
    shown.split(' ').nth(1).unwrap().to_owned()
}

/// A certificate of ana's, stolen with her key, is used where and when it should not be, by servers that
/// look at less than they should; and one that a crash left in the ledger unsigned is signed later by
/// who stole the CA's key.
#[test]
fn a_login_elsewhere_or_at_another_time_is_named() {
    let ca = Ca::start();
    let web01 = Sshd::start(&ca, "web01");
    let issued = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    assert_eq!(web01.login(&ca.dir().join("ana"), &issued, &["true"]).code, 0);
    let mut web01 = web01;
    let line = web01.line("Accepted publickey for deploy");
    let entry = ca.entries().into_iter().find(|entry| entry.has_certificate).unwrap();
    let now = entry.facts["time"].as_str().unwrap().to_owned();
    let day = &now[..10];
    let at = |head: &str| reconcile(&ca, &["--json"], &format!("{head}{line}\n"));
    let words = |said: &Said| wrong(said).into_iter().flat_map(|one| one.2).collect::<Vec<_>>();
    for (head, code, is) in [
        (format!("{now} web01 sshd[7]: "), 0, ""),
        // The alias, as a server may call itself.
        (format!("{now} web01.example.com sshd[7]: "), 0, ""),
        // A host that hosts.toml does not know: the account alone is compared.
        (format!("{now} ip-10-0-0-7 sshd-session[7]: "), 0, ""),
        (format!("{now} web02 sshd[7]: "), 1, "host"),
        ("2020-01-01T00:00:00Z web01 sshd[7]: ".to_owned(), 1, "time"),
        (format!("{day}T00:00:00+14:00 web02 sshd[7]: "), 1, "host,time"),
    ] {
        let said = at(&head);
        assert_eq!((said.code, words(&said).join(",")), (code, is.to_owned()), "{head} {said:?}");
    }
    let other = line.replace("for deploy from", "for root from");
    let said = reconcile(&ca, &["--host", "web01.example.com", "--json"], &other);
    assert_eq!((said.code, words(&said)), (1, vec!["account".to_owned()]));

    // What is not ours is counted and said, and is no fault.
    let (plain, _) = line.split_once("-CERT").unwrap();
    let key = ana_key(&ca);
    let other_ca = line.rsplit_once(' ').unwrap().0.to_owned() + " " + &key;
    let log = format!(
        "{plain} {key}\nAccepted password for bob from 192.0.2.1 port 22 ssh2\n{other_ca}\nnoise\n"
    );
    let said = reconcile(&ca, &[], &log);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(
        said.out,
        "clean: 4 lines, 0 logins by certificates of this CA, 0 wrong; 2 logins by other means, 1 by certificates of other CAs\n"
    );
    assert!(said.err.contains("1 by password, which is not ours\n"), "{said:?}");
    assert!(said.err.contains(&format!("1 by certificates of another CA, {key}\n")), "{said:?}");

    // The signer's list without this certificate: logged, and never signed by the signer.
    let list = ca.file("state/signer/list");
    std::fs::write(&list, "").unwrap();
    let said = reconcile(&ca, &["--host", "web01", "--json"], &line);
    assert_eq!((said.code, words(&said)), (1, vec!["never-signed".to_owned()]), "{said:?}");
    // Where it cannot be read nothing is claimed.
    std::fs::remove_file(&list).unwrap();
    let said = reconcile(&ca, &["--host", "web01"], &line);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("1 of which only the signer's list knows"), "{said:?}");
    // Words that are not understood.
    for (words, why) in [
        (["--host", "web99"], "--host web99: hosts.toml has no such host"),
        (["--zone", "CET"], "--zone CET: not UTC or +01:00"),
    ] {
        let said = reconcile(&ca, &words, "");
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.starts_with(&format!("hallpass: usage: {why}\n")), "{said:?}");
    }
}

/// The emergency key opens servers while there is no CA; told to the ledger afterwards, its login is in
/// order, and untold it is not.
#[test]
fn a_login_by_the_emergency_key_must_have_been_told() {
    let mut ca = Ca::start();
    let mut web01 = Sshd::start(&ca, "web01");
    let plain = ca.dir().join("emergency");
    std::fs::copy(ca.file("keys/emergency_ca"), &plain).unwrap();
    run(Command::new("chmod").arg("600").arg(&plain)).ok();
    let change = ["-q", "-p", "-N", "", "-P", &ca.passphrase()].map(str::to_owned);
    run(Command::new("ssh-keygen").args(change).arg("-f").arg(&plain)).ok();
    let oncall = Thief { ca: &plain, key: key_pair(ca.dir(), "oncall", &["ed25519"]) };
    let first = oncall.sign("first", "the CA is dead", 1, "deploy@web01");
    let second = oncall.sign("second", "the CA is dead", 2, "deploy@web01");
    for certificate in [&first, &second] {
        assert_eq!(web01.login(&oncall.key, certificate, &["true"]).code, 0);
    }
    web01.line("(serial 2)");
    let log = web01.log().join("\n");
    let named = |ca: &Ca| wrong(&reconcile(ca, &["--host", "web01", "--json"], &log));
    let untold =
        |serial| (Some(serial), Some("the CA is dead".to_owned()), vec!["untold".to_owned()]);
    assert_eq!(named(&ca), [untold(1), untold(2)]);
    assert_eq!(ca.daemon.stop(), 0);
    let first = first.to_str().unwrap();
    ca.operator(&["ledger", "emergency", first, "--reason", "the CA was dead"]).ok();
    assert_eq!(named(&ca), [untold(2)]);
    let told =
        ca.operator(&["audit", "search", "--account", "deploy@web01", "--kind", "break-glass"]);
    assert!(told.out.contains("break-glass") && told.out.contains("the CA was dead"), "{told:?}");
}

#[test]
fn an_auditor_asks_on_the_machine_and_over_ssh_in_the_same_words() {
    let ca = Ca::start();
    let issued =
        ca.ssh("ana", &["deploy@web01", "OPS-7", "--reason", "'roll \u{202e} out'", "--json"]).ok();
    let issued: Value = serde_json::from_str(&issued).unwrap();
    let (serial, request) =
        (issued["serial"].to_string(), issued["request"].as_str().unwrap().to_owned());
    assert_eq!(ca.ssh("bob", &["deploy@web01.example.com", "OPS-9"]).code, 1);
    let search = |words: &[&str]| {
        let machine = ca.operator(&[&["audit", "search"], words].concat());
        let ssh = ca.ssh("ana", &[&["audit", "search"], words].concat());
        assert_eq!((&machine.out, machine.code), (&ssh.out, ssh.code), "{machine:?} {ssh:?}");
        assert_eq!(machine.err, ssh.err);
        machine
    };
    until("the refusal", || {
        ca.operator(&["audit", "search", "--kind", "refusal"]).out.contains("bob")
    });

    let said = search(&["--ticket", "OPS-7"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 3, "{said:?}");
    let heads: Vec<&str> =
        lines[0].split("  ").filter(|head| !head.is_empty()).map(str::trim).collect();
    assert_eq!(
        heads,
        ["time", "entry", "serial", "what", "person", "accounts", "ticket", "offer or reason"]
    );
    assert!(lines[1].contains(&format!("  {serial}  ")) && lines[1].contains("issued"), "{said:?}");
    assert!(
        lines[1].contains("ana     deploy@web01  OPS-7   deploy-prod; roll \\u{202e} out"),
        "{said:?}"
    );
    assert!(lines[2].contains("granted"), "{said:?}");

    // By each question, the right entries and no others.
    let kinds = |words: &[&str]| {
        let found: Value =
            serde_json::from_str(&search(&[words, &["--json"]].concat()).out).unwrap();
        let all = found["entries"].as_array().unwrap().iter();
        all.map(|one| one["what"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(kinds(&["--person", "ana"]), "issued granted");
    assert_eq!(kinds(&["--person", "bob"]), "refused");
    assert_eq!(kinds(&["--outcome", "issued"]), "issued");
    assert_eq!(kinds(&["--host", "web01"]), "refused issued granted");
    assert_eq!(kinds(&["--account", "deploy@web01.example.com"]), "refused issued granted");
    assert_eq!(kinds(&["--login", "root"]), "");
    assert_eq!(kinds(&["--host", "web02"]), "");
    assert_eq!(kinds(&["--serial", &serial]), "issued");
    assert_eq!(kinds(&["--request", &request]), "issued granted");
    assert_eq!(kinds(&["--key", &ana_key(&ca)]), "issued granted");
    assert_eq!(kinds(&["--since", "1h", "--kind", "certificate"]), "issued");
    assert_eq!(kinds(&["--until", "1h"]), "");
    assert_eq!(kinds(&[]), "refused issued granted hosts people policy");
    let few = search(&["--limit", "2"]);
    assert_eq!(few.out.lines().count(), 3);
    assert!(
        few.err.contains("there are more\nhint: the same with --before 4 goes on\n"),
        "{few:?}"
    );
    assert_eq!(kinds(&["--limit", "2", "--before", "4"]), "granted hosts");

    // The whole story, with what was refused meanwhile: not bob's, which is another's.
    assert_eq!(ca.ssh("ana", &["deploy@web01.example.com,deploy@web02", "OPS-9"]).code, 1);
    let refusal = || ca.operator(&["audit", "search", "--person", "ana", "--outcome", "refused"]);
    until("the refusal", || refusal().out.contains("OPS-9"));
    let (by_serial, by_request) = (["audit", "show", &serial], ["audit", "show", &request]);
    let story = ca.operator(&by_serial).ok();
    assert_eq!(story, ca.operator(&by_request).ok());
    assert_eq!(story, ca.ssh("ana", &by_serial).ok());
    for text in [
        format!("request     {request}\n"),
        format!("person      ana, from 127.0.0.1, by the key {}\n", ana_key(&ca)),
        "ticket      OPS-7 in tickets, open (".to_owned(),
        "reason      roll \\u{202e} out\n".to_owned(),
        "offer       deploy-prod: certificates of ".to_owned(),
        format!("serial {serial}, key ID {request}/ana/OPS-7/"),
        "(own-key)\n".to_owned(),
        "handed over by stdout, CA SHA256:".to_owned(),
        "signed by the signer at ".to_owned(),
        "included in the checkpoint of size 7\n".to_owned(),
        "\nrefused while the grant lived, newest first:\n".to_owned(),
        "  entry 6: deploy@web01.example.com,deploy@web02: deploy@web01: ticket OPS-9 is "
            .to_owned(),
        "policy      SHA-256 ".to_owned(),
    ] {
        assert!(story.contains(&text), "{text} is not in {story}");
    }
    let object: Value =
        serde_json::from_str(&ca.operator(&["audit", "show", &serial, "--json"]).ok()).unwrap();
    let certificate = &object["entries"][1]["certificate"];
    assert_eq!((&certificate["signed"], &certificate["serial"]), (&true.into(), &issued["serial"]));
    assert_eq!(object["entries"][1]["included_in"], 7);
    assert_eq!(object["meanwhile"].as_array().unwrap().len(), 1);
    assert_eq!(object["entries"][1]["facts"]["reason"], "roll \u{202e} out");
    for nothing in ["999", "rzzzzzzzzzzzz"] {
        let said = ca.operator(&["audit", "show", nothing]);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert_eq!(ca.ssh("ana", &["audit", "show", nothing]).code, 1);
    }
}

#[test]
fn over_ssh_policy_says_who_may_audit_and_each_audit_is_in_the_journal() {
    let ca = Ca::start();
    let told = |ca: &Ca, outcome: &str, person: &str| {
        let (outcome, person) = (outcome.to_owned(), person.to_owned());
        let fits = |line: &String| {
            let line: Value = serde_json::from_str(line).ok()?;
            let fits = line["target"] == "hallpass::audit" && line["act"] == "audit";
            (fits && line["outcome"] == outcome.as_str() && line["person"] == person.as_str())
                .then_some(line)
        };
        until("the journal", || ca.daemon.log().iter().any(|line| fits(line).is_some()));
        ca.daemon.log().iter().filter_map(fits).next_back().unwrap()
    };
    for words in [&["audit", "search"][..], &["audit", "show", "1"]] {
        let said = ca.ssh("bob", words);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(
            said.err.starts_with("hallpass: refused: no policy lets bob audit\nhint: "),
            "{said:?}"
        );
        told(&ca, "refused", "bob");
    }
    assert_eq!(ca.ssh("ana", &["audit", "search", "--person", "bob"]).code, 0);
    assert_eq!(told(&ca, "ok", "ana")["words"], "audit search --person bob");
    // A key that is taken out of people.toml, and words that are not understood.
    for (words, what) in [
        ("audit", "search or show is missing"),
        ("audit serch", "there is no audit serch"),
        ("audit show", "a serial or a request is missing"),
        ("audit search --account a@b --host c", "--account is --login and --host in one"),
        ("audit search --since soon", "--since soon: not a time"),
        ("audit search --limit 0", "--limit 0: it is 1 to 10000"),
        ("audit show ana", "ana is neither a serial nor a request's id"),
    ] {
        let said = ca.ssh("ana", &[words]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
        assert!(said.err.starts_with(&format!("hallpass: usage: {what}\nhint: ")), "{said:?}");
    }
    assert!(
        ca.ssh("ana", &["help", "audit"])
            .ok()
            .ends_with("ssh ca audit search --host web01 --since 24h\n")
    );
    assert_eq!(ca.operator(&["audit", "search", "--limit", "x"]).code, 2);
}
