//! Logins against a real ledger and a real signer's list, each bent in one way.

use super::auditor::Auditor;
use super::findings::{Findings, Times, Wrong};
use super::reconcile::{Origin, reconcile};
use super::show::{Certificate, Included, fingerprint, show};
use super::words::Which;
use crate::certificate::blob::key_blob;
use crate::certificate::sample::{NOW, ed25519};
use crate::certificate::time::{Span, UnixTime};
use crate::config::hosts::Hosts;
use crate::config::keys::Role;
use crate::config::trust::{Other, Trust};
use crate::ledger::facts::{self, KeyUse, Lost};
use crate::ledger::leaf::Kind;
use crate::ledger::whole::{Whole, refusal};
use crate::signer::trial::{ledger_key, signer_vkey};

/// A ledger: 0 a refusal, 1 to 4 two grants with their certificates, 5 an entry that was lost, 6 a key
/// that was retired.
struct Desk {
    whole: Whole,
    trust: Trust,
    auditor: Auditor,
    hosts: Hosts,
    /// What the first certificate says; its serial is 3.
    first: Certificate,
}

impl Desk {
    async fn new() -> Self {
        let whole = Whole::new();
        let ledger = whole.open();
        ledger.append(Kind::Refusal, refusal(0)).await.unwrap();
        for n in 1..=2 {
            ledger.issue(whole.unsigned(n)).await.unwrap();
        }
        let lost = facts::write(Kind::Lost, [1; 16], NOW, "test", &Lost { serial: 6 }).unwrap();
        ledger.append(Kind::Lost, lost).await.unwrap();
        let key = KeyUse {
            role: "user-ca".to_owned(),
            change: "retired".to_owned(),
            key: public(10).to_openssh().unwrap(),
        };
        let key = facts::write(Kind::Key, [1; 16], NOW, "test", &key).unwrap();
        ledger.append(Kind::Key, key).await.unwrap();
        whole.wait_for_mark(7);
        let row = whole.reader().entry(2).unwrap().unwrap();
        let first = Certificate::read(&row.tbs.unwrap()).unwrap();
        assert_eq!(first.serial, 3);
        let retiring = Other {
            role: Role::UserCa,
            what: "retiring",
            line: String::new(),
            key: String::new(),
            public: Some(public(11)),
        };
        let trust = Trust {
            user_ca: public(1),
            user_ca_next: public(6),
            emergency_ca: public(7),
            bare_ca: public(2),
            host_ca: public(5),
            door: public(8),
            others: vec![retiring],
            ledger: ledger_key().public().clone(),
            ledger_before: Vec::new(),
            signer: signer_vkey(),
            addresses: Vec::new(),
        };
        let hosts = "[host.web01]\naliases = [\"www\"]\n[host.web02]\n";
        let hosts = crate::audit::search_tests::hosts(hosts);
        let auditor = Auditor::of_trial(&whole.trial);
        Self { whole, trust, auditor, hosts, first }
    }

    fn read(&self, log: &str) -> Findings {
        reconcile(&self.auditor, &self.trust, &self.hosts, &Origin::default(), log.as_bytes())
            .unwrap()
    }

    /// The line of an honest login with the first certificate, by its server.
    fn honest(&self) -> String {
        let Certificate { key_id, subject, serial, ca, .. } = &self.first;
        let time = NOW.plus(Span::secs(5));
        format!(
            "{time} web01 sshd[1]: Accepted publickey for deploy from 192.0.2.1 port 5 ssh2: ED25519-CERT {subject} ID {key_id} (serial {serial}) CA ED25519 {ca}"
        )
    }

    /// What is wrong with the one line of a log; nothing if it is clean.
    fn wrong(&self, line: &str) -> Vec<Wrong> {
        let mut findings = self.read(line);
        assert!(findings.wrong.len() <= 1);
        findings.wrong.pop().map(|one| one.wrong).unwrap_or_default()
    }
}

fn public(seed: u8) -> ssh_key::PublicKey {
    ed25519(seed).into()
}

fn print(seed: u8) -> String {
    fingerprint(&key_blob(&ed25519(seed)).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fact_that_does_not_agree_is_named_and_no_other() {
    let desk = Desk::new().await;
    let honest = desk.honest();
    let Certificate { key_id, subject, ca, valid_after, valid_before, principals, .. } =
        desk.first.clone();
    assert_eq!(desk.wrong(&honest), []);
    let bend = |from: &str, to: &str| {
        assert!(honest.contains(from), "{from}");
        desk.wrong(&honest.replacen(from, to, 1))
    };
    assert_eq!(bend("(serial 3)", "(serial 0)"), [Wrong::NoEntry]);
    assert_eq!(bend("(serial 3)", "(serial 8)"), [Wrong::NoEntry]);
    assert_eq!(bend("(serial 3)", "(serial 18446744073709551615)"), [Wrong::NoEntry]);
    assert_eq!(bend("(serial 3)", "(serial 1)"), [Wrong::AnotherKind("refusal".to_owned())]);
    assert_eq!(bend("(serial 3)", "(serial 2)"), [Wrong::AnotherKind("grant".to_owned())]);
    assert_eq!(bend("(serial 3)", "(serial 6)"), [Wrong::Lost]);
    assert_eq!(bend(&subject, &print(12)), [Wrong::Key(subject.clone())]);
    assert_eq!(bend(&key_id, "x"), [Wrong::KeyId(key_id.clone())]);
    assert_eq!(bend("for deploy", "for root"), [Wrong::Account(principals.clone())]);
    let on_web02 = [Wrong::Host("web02".to_owned(), principals)];
    assert_eq!(bend(" web01 ", " web02 "), on_web02);
    assert_eq!(bend(" web01 ", " WEB02 "), on_web02);
    assert_eq!(bend(" web01 ", " www "), []);
    assert_eq!(bend(" web01 ", " elsewhere "), []);
    // The CA's other keys: a certificate of the user CA's, said to be signed by another.
    for (seed, wrong) in [
        (2, Wrong::Ca(ca.clone())),
        (6, Wrong::Ca(ca.clone())),
        (10, Wrong::Ca(ca.clone())),
        (11, Wrong::Ca(ca.clone())),
        (5, Wrong::NotForPeople),
        (7, Wrong::Untold),
    ] {
        assert_eq!(bend(&ca, &print(seed)), [wrong], "{seed}");
    }
    let time = |time: UnixTime| bend(&NOW.plus(Span::secs(5)).to_string(), &time.to_string());
    let outside = [Wrong::Time(valid_after, valid_before)];
    assert_eq!(time(valid_after), []);
    assert_eq!(time(valid_after.minus(Span::secs(3600))), outside);
    assert_eq!(time(valid_before.plus(Span::secs(59))), []);
    assert_eq!(time(valid_before.plus(Span::secs(61))), outside);
    // Everything at once is everything.
    let all =
        honest.replace("deploy", "root").replace(&subject, &print(12)).replace("2026", "2025");
    assert_eq!(desk.wrong(&all).len(), 4, "the year is in the key ID too");

    let untimed = honest.split_once(": ").unwrap().1;
    let log = format!("{untimed}\nNov 22 06:40:00 web01 sshd[1]: {untimed}\n{honest}\n");
    let findings = desk.read(&log);
    assert!(findings.clean(), "{findings:?}");
    assert_eq!(findings.times, Times { none: 1, zoneless: 1 });
    assert_eq!((findings.lines, findings.logins, findings.hostless), (3, 3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_did_to_the_ledger_or_the_list_is_not_taken_for_agreement() {
    let desk = Desk::new().await;
    let honest = desk.honest();
    let list = desk.whole.trial.path("list");
    let kept = std::fs::read_to_string(&list).unwrap();
    let hash = desk.first.tbs.to_base64();
    assert!(kept.starts_with("2 "), "{kept}");
    std::fs::write(&list, kept.replace(&hash, &crate::ledger::tree::Hash::default().to_base64()))
        .unwrap();
    assert_eq!(desk.wrong(&honest), [Wrong::SignedAnother]);
    std::fs::write(&list, kept.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>())
        .unwrap();
    assert_eq!(desk.wrong(&honest), [Wrong::NeverSigned]);
    std::fs::write(&list, "nonsense\n").unwrap();
    let findings = desk.read(&honest);
    assert_eq!(
        (findings.clean(), findings.unsigned_unknown),
        (true, 1),
        "a list that cannot be read"
    );
    std::fs::write(&list, &kept).unwrap();

    let story =
        |serial| show(&desk.auditor, &desk.hosts, &Which::Serial(serial), None).unwrap().chapters;
    let included =
        |serial: u64| story(serial).into_iter().map(|one| one.included).collect::<Vec<_>>();
    assert_eq!(included(3), [Included::In(7), Included::In(7)]);
    assert_eq!(included(1), [Included::In(7)]);
    let change = |sql: &str| assert_eq!(desk.whole.database().execute(sql, []).unwrap(), 1);
    // Another certificate in the row: mallory's, perhaps.
    let row = desk.whole.reader().entry(2).unwrap().unwrap();
    change("UPDATE entry SET tbs = (SELECT tbs FROM entry WHERE idx = 4) WHERE idx = 2");
    assert_eq!(desk.wrong(&honest), [Wrong::Damaged]);
    assert_eq!(included(3)[1], Included::Not("its certificate is not that of its leaf"));
    change("UPDATE entry SET tbs = NULL WHERE idx = 2");
    assert_eq!(desk.wrong(&honest), [Wrong::Redacted]);
    assert_eq!(included(3)[1], Included::In(7), "the leaf stands");
    let put = "UPDATE entry SET tbs = ?1 WHERE idx = 2";
    desk.whole.database().execute(put, [row.tbs]).unwrap();
    assert_eq!(desk.wrong(&honest), []);
    change(
        "UPDATE entry SET facts = CAST(replace(CAST(facts AS TEXT), 'ana', 'bob') AS BLOB) WHERE idx = 2",
    );
    assert_eq!(included(3)[1], Included::Not("its facts are not those of its leaf"));
    change(
        "UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE idx = 4), facts = (SELECT facts FROM entry WHERE idx = 4), tbs = (SELECT tbs FROM entry WHERE idx = 4) WHERE idx = 2",
    );
    let moved = included(3);
    assert!(moved.contains(&Included::Not("it is not under the checkpoint")), "{moved:?}");
}
