//! What a log was found to hold: a line for each login that is wrong, and a summary.

use serde_json::{Value, json};

use super::{Told, ascii, cell};
use crate::audit::findings::{Finding, Findings, Wrong};
use crate::certificate::safe::Safe;

/// The findings.
pub fn findings(findings: &Findings, as_json: bool) -> Told {
    let good = findings.clean();
    let notes = notes(findings);
    if as_json {
        let Findings { lines, logins, wrong, plain, foreign, .. } = findings;
        let wrong: Vec<Value> = wrong.iter().map(object).collect();
        let object = json!({
            "outcome": "ok", "clean": good, "lines": lines, "logins": logins, "wrong": wrong,
            "plain": plain, "foreign": foreign, "notes": notes,
        });
        return Told { out: ascii(&object), good, ..Told::default() };
    }
    let mut out = String::new();
    for one in &findings.wrong {
        out += &format!("line {}: {}\n", one.line, who(one));
        for wrong in &one.wrong {
            out += &format!("  {}\n", words(wrong));
        }
    }
    out += &summary(findings);
    let hint = (!good).then(|| {
        "a CA key may be stolen: hallpass key next and promote, and take the old one from every server".to_owned()
    });
    let forged = findings.wrong.iter().any(|one| one.wrong.iter().any(forged));
    Told { out, said: notes, hint: hint.filter(|_| forged), good }
}

/// Whether it takes a CA's key to come to this.
fn forged(wrong: &Wrong) -> bool {
    match wrong {
        Wrong::NoEntry | Wrong::AnotherKind(_) | Wrong::KeyId(_) | Wrong::Key(_) | Wrong::Ca(_) => {
            true
        }
        Wrong::NeverSigned | Wrong::SignedAnother | Wrong::Untold | Wrong::NotForPeople => true,
        Wrong::Unread | Wrong::Lost | Wrong::Redacted | Wrong::Damaged => false,
        Wrong::Account(_) | Wrong::Host(..) | Wrong::Time(..) => false,
    }
}

/// The login in one line.
fn who(finding: &Finding) -> String {
    let Some(login) = &finding.login else {
        return "a login by certificate that cannot be read".to_owned();
    };
    let on = login.host.as_deref().map_or(String::new(), |host| format!(" on {}", cell(host, 64)));
    format!(
        "{}{on} from {}, serial {}, key ID {}, key {}, signed by {}",
        cell(&login.user, 64),
        cell(&login.source, 64),
        login.serial,
        Safe(&login.key_id),
        login.subject,
        finding.ca.unwrap_or("-"),
    )
}

/// What is wrong, for people.
fn words(wrong: &Wrong) -> String {
    let list = |all: &[String]| cell(&all.join(", "), 200);
    match wrong {
        Wrong::Unread => {
            "cut short, or in a form that is not known: sshd ends a line at 1024 bytes, and \
                          a key ID of ours has 160 at most"
                .to_owned()
        }
        Wrong::NoEntry => "the ledger has no entry for this serial".to_owned(),
        Wrong::AnotherKind(kind) => {
            format!("the entry of this serial is no certificate but a {}", Safe(kind))
        }
        Wrong::Lost => "the entry of this serial was lost: nobody can say what it was".to_owned(),
        Wrong::Redacted => {
            "the entry of this serial is redacted: nobody can say whether it agrees".to_owned()
        }
        Wrong::Damaged => {
            "the entry of this serial is damaged: hallpass ledger verify says more".to_owned()
        }
        Wrong::KeyId(entry) => format!("another key ID than the entry's, {}", Safe(entry)),
        Wrong::Key(entry) => format!("another key than the entry's, {}", Safe(entry)),
        Wrong::Ca(entry) => format!("another CA key than the entry's, {}", Safe(entry)),
        Wrong::Account(entry) => {
            format!("an account that the entry does not open: it opens {}", list(entry))
        }
        Wrong::Host(on, entry) => {
            format!("a host that the entry does not open, {}: it opens {}", Safe(on), list(entry))
        }
        Wrong::Time(from, to) => format!("outside of the certificate's time, {from} to {to}"),
        Wrong::NeverSigned => "the signer never signed it".to_owned(),
        Wrong::SignedAnother => "the signer signed another certificate of this serial".to_owned(),
        Wrong::Untold => {
            "the ledger was never told of it; if it was ours: hallpass ledger emergency FILE"
                .to_owned()
        }
        Wrong::NotForPeople => "this key signs nothing for people".to_owned(),
    }
}

/// The same, as a word that does not change.
fn word(wrong: &Wrong) -> &'static str {
    match wrong {
        Wrong::Unread => "unread",
        Wrong::NoEntry => "no-entry",
        Wrong::AnotherKind(_) => "another-kind",
        Wrong::Lost => "lost",
        Wrong::Redacted => "redacted",
        Wrong::Damaged => "damaged",
        Wrong::KeyId(_) => "key-id",
        Wrong::Key(_) => "key",
        Wrong::Ca(_) => "ca",
        Wrong::Account(_) => "account",
        Wrong::Host(..) => "host",
        Wrong::Time(..) => "time",
        Wrong::NeverSigned => "never-signed",
        Wrong::SignedAnother => "signed-another",
        Wrong::Untold => "untold",
        Wrong::NotForPeople => "not-for-people",
    }
}

fn object(finding: &Finding) -> Value {
    let Finding { line, login, ca, wrong } = finding;
    let login = login.as_ref();
    json!({
        "line": line,
        "user": login.map(|login| &login.user),
        "host": login.map(|login| &login.host),
        "source": login.map(|login| &login.source),
        "serial": login.map(|login| login.serial),
        "key_id": login.map(|login| &login.key_id),
        "key": login.map(|login| &login.subject),
        "ca": ca,
        "wrong": wrong.iter().map(word).collect::<Vec<_>>(),
        "reasons": wrong.iter().map(words).collect::<Vec<_>>(),
    })
}

fn summary(findings: &Findings) -> String {
    let Findings { lines, logins, wrong, plain, foreign, .. } = findings;
    let many = |n: u64, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let what = if findings.clean() { "clean" } else { "WRONG" };
    let (plain, foreign) = (plain.values().sum(), foreign.values().sum::<u64>());
    format!(
        "{what}: {}, {} by certificates of this CA, {} wrong; {} by other means, {foreign} by certificates of other CAs\n",
        many(*lines, "line"),
        many(*logins, "login"),
        wrong.len(),
        many(plain, "login"),
    )
}

/// What was not compared, or not for certain, and what is not ours.
fn notes(findings: &Findings) -> Vec<String> {
    let Findings { plain, foreign, times, hostless, unsigned_unknown, .. } = findings;
    let by =
        plain.iter().map(|(method, n)| format!("{n} by {}, which is not ours", cell(method, 64)));
    let of = foreign.iter().map(|(ca, n)| format!("{n} by certificates of another CA, {ca}"));
    let some = |n: u64, what: &str| (n > 0).then(|| format!("{n} {what}"));
    let unsure = [
        some(times.none, "without a time: it was not compared with the certificate's"),
        some(
            times.zoneless,
            "with a time without zone: named only if wrong in every zone and year; --zone +01:00 says which",
        ),
        some(
            *hostless,
            "on a host that is not known: only the account was compared; --host NAME says which",
        ),
        some(
            *unsigned_unknown,
            "of which only the signer's list knows whether they were signed, and it cannot be read",
        ),
    ];
    by.chain(of).chain(unsure.into_iter().flatten()).collect()
}
