//! The words for what was issued, what one holds, and why a login may fail.

use serde_json::{Value, json};

use super::{exit, json_reply, say};
use crate::certificate::time::UnixTime;
use crate::desk::ended::EndedGrant;
use crate::desk::outcome::{Issue, Issued, LiveGrant, To, Why};
use crate::front::Reply;

/// From so many identities on in an agent ours may come too late: sshd lets six be tried.
const MANY: u32 = 5;

pub(super) fn issued(issued: &Issued, as_json: bool) -> Reply {
    let Issued { request, certificates, to, typed, notes } = issued;
    let lines: String = certificates.iter().map(|one| format!("{}\n", one.certificate)).collect();
    let hint = match to {
        To::Stdout | To::StdoutAgain => {
            format!("ssh -o CertificateFile=FILE {typed}  (FILE: where you saved this)")
        }
        To::Agent { identities } if *identities >= MANY => format!(
            "your agent has {identities} other identities, and servers stop at six: ssh-add -L | grep {request} > FILE; \
             ssh -o IdentitiesOnly=yes -i FILE {typed}"
        ),
        To::Agent { .. } => format!("ssh {typed}"),
    };
    if as_json {
        return json_reply(&object(issued, &hint), exit::DONE);
    }
    let mut said: Vec<String> =
        certificates.iter().map(|one| sentence(one, request, *to)).collect();
    said.extend(notes.iter().cloned());
    match to {
        To::Stdout => Reply {
            stdout: lines.into_bytes(),
            stderr: say(&said, Some(&hint)),
            status: exit::DONE,
        },
        // Nothing happened that a person has to hear of.
        To::StdoutAgain => {
            Reply { stdout: lines.into_bytes(), stderr: String::new(), status: exit::DONE }
        }
        To::Agent { .. } => {
            Reply { stdout: Vec::new(), stderr: say(&said, Some(&hint)), status: exit::DONE }
        }
    }
}

fn sentence(one: &Issue, request: &impl std::fmt::Display, to: To) -> String {
    let Issue { serial, accounts, issued, valid_before, grant_ends, renewal, offer, .. } = one;
    let account = accounts.join(",");
    let into = match to {
        To::Agent { .. } => " into your agent",
        To::Stdout | To::StdoutAgain => "",
    };
    let grant = match renewal {
        true => format!("from the live grant {request} (offer {offer}), which ends"),
        false => format!("grant {request} by offer {offer} ends"),
    };
    let ttl = valid_before.since(*issued);
    format!(
        "issued serial {serial} for {account}{into}: {ttl}, until {valid_before}; {grant} {grant_ends}"
    )
}

fn object(issued: &Issued, hint: &str) -> Value {
    let Issued { request, certificates, to, notes, .. } = issued;
    let one = |one: &Issue| {
        json!({
            "serial": one.serial, "certificate": one.certificate, "accounts": one.accounts,
            "valid_before": one.valid_before, "grant_ends": one.grant_ends, "offer": one.offer, "renewal": one.renewal,
        })
    };
    let delivery = match to {
        To::Stdout | To::StdoutAgain => "stdout",
        To::Agent { .. } => "agent",
    };
    let mut object = json!({
        "outcome": "issued", "request": request, "delivery": delivery, "again": *to == To::StdoutAgain,
        "notes": notes, "hint": hint,
    });
    let all: Vec<Value> = certificates.iter().map(one).collect();
    // The members of the only certificate stand at the top.
    if let ([Value::Object(only)], Value::Object(top)) = (all.as_slice(), &mut object) {
        top.extend(only.clone());
    } else if let Value::Object(top) = &mut object {
        top.insert("certificates".to_owned(), all.into());
    }
    object
}

/// It is in the agent already: nothing to say but to a program.
pub(super) fn there(until: UnixTime, as_json: bool) -> Reply {
    match as_json {
        true => json_reply(
            &json!({ "outcome": "ok", "delivery": "agent", "again": true, "valid_before": until }),
            exit::DONE,
        ),
        false => Reply { stdout: Vec::new(), stderr: String::new(), status: exit::DONE },
    }
}

/// A live grant in JSON.
pub(super) fn grant_object(grant: &LiveGrant) -> Value {
    json!({
        "request": grant.request, "accounts": grant.accounts, "ticket": grant.ticket, "reason": grant.reason,
        "began": grant.began, "grant_ends": grant.ends, "offer": grant.offer, "certificates": grant.certificates,
        "serial": grant.last.as_ref().map(|last| last.serial),
        "valid_before": grant.last.as_ref().map(|last| last.valid_before),
    })
}

/// A live grant in a line.
pub(super) fn grant_line(grant: &LiveGrant, now: UnixTime) -> String {
    let ticket = grant.ticket.as_deref().unwrap_or("-");
    let accounts = grant.accounts.join(",");
    format!("grant {} {accounts} {ticket}: {} left", grant.request, grant.ends.since(now))
}

/// Grants that ended before their time, in JSON.
pub(super) fn ended_objects(ended: &[EndedGrant]) -> Vec<Value> {
    let one = |one: &EndedGrant| {
        json!({
            "request": one.grant.request, "accounts": one.grant.accounts, "ticket": one.grant.ticket,
            "offer": one.grant.offer, "ended": one.at, "reason": one.because,
        })
    };
    ended.iter().map(one).collect()
}

pub(super) fn list(
    grants: &[LiveGrant],
    ended: &[EndedGrant],
    now: UnixTime,
    as_json: bool,
) -> Reply {
    let hint = match grants {
        [] => "ssh ca LOGIN@HOST TICKET".to_owned(),
        [grant, ..] => format!("ssh ca renew {}", grant.request),
    };
    if as_json {
        let grants: Vec<Value> = grants.iter().map(grant_object).collect();
        let ended = ended_objects(ended);
        return json_reply(
            &json!({ "outcome": "ok", "grants": grants, "ended": ended, "hint": hint }),
            exit::DONE,
        );
    }
    let mut said = Vec::new();
    for grant in grants {
        said.push(grant_line(grant, now));
        let last = grant.last.as_ref().map_or_else(String::new, |last| {
            let over = if last.valid_before > now { "good until" } else { "over since" };
            format!(
                ", the last serial {} to {}, {over} {}",
                last.serial, last.delivery, last.valid_before
            )
        });
        said.push(format!(
            "  offer {}, since {}; certificates: {}{last}",
            grant.offer, grant.began, grant.certificates
        ));
    }
    if grants.is_empty() {
        said.push("no live grant".to_owned());
    }
    said.extend(ended.iter().map(EndedGrant::told));
    Reply { stdout: Vec::new(), stderr: say(&said, Some(&hint)), status: exit::DONE }
}

/// What is held, then the usual causes, the likeliest first.
pub(super) fn why(why: &Why, as_json: bool) -> Reply {
    let Why { account, typed, grants, ended, elsewhere, key, offered, keys_known, now } = why;
    let good =
        |grant: &&LiveGrant| grant.last.as_ref().is_some_and(|last| last.valid_before > *now);
    let live = grants.iter().find(good).or(grants.first());
    let mut said = Vec::new();
    let mut causes: Vec<String> = Vec::new();
    let hint;
    match live {
        None => {
            said.push(format!("you hold no live grant for {account}"));
            said.extend(ended.iter().map(EndedGrant::told));
            hint = match offered {
                true => format!("ssh ca {typed} TICKET"),
                false => format!("ssh ca explain {typed} says why no offer gives it"),
            };
        }
        Some(grant) => {
            said.push(grant_line(grant, *now));
            let Some(last) = &grant.last else {
                let hint = format!("ssh ca renew {}", grant.request);
                return Reply {
                    stdout: Vec::new(),
                    stderr: say(&said, Some(&hint)),
                    status: exit::DONE,
                };
            };
            if last.valid_before <= *now {
                said.push(format!(
                    "its last certificate, serial {}, is over since {}",
                    last.serial, last.valid_before
                ));
                hint = format!("ssh ca renew {}", grant.request);
            } else if last.delivery == "agent" {
                said.push(format!(
                    "serial {} went into an agent and is good until {}",
                    last.serial, last.valid_before
                ));
                causes.push("IdentitiesOnly yes in your ssh_config hides what is in an agent: ssh -o IdentitiesOnly=no".to_owned());
                causes.push(
                    "another agent: ssh-add -l must show it (compare SSH_AUTH_SOCK)".to_owned(),
                );
                causes.push(format!("it is bound to the host keys that hallpass knows: ssh-keyscan {} must show one of them", host(account)));
                causes.push(
                    "it works from this machine only, not from a shell on another server"
                        .to_owned(),
                );
                hint = format!("ssh -v {typed} 2>&1 | grep -i -e offering -e 'cannot be used'");
            } else {
                said.push(format!(
                    "serial {} is for the key {} and good until {}",
                    last.serial, last.subject, last.valid_before
                ));
                if last.subject != *key {
                    causes.push(format!(
                        "you are here by another key, {key}: the certificate is of no use to it"
                    ));
                }
                causes.push("ssh was not told of the file: -o CertificateFile=FILE".to_owned());
                causes.push("its private key was not offered: -i ~/.ssh/id_ed25519".to_owned());
                hint = format!("ssh -v -o CertificateFile=FILE {typed} 2>&1 | grep -i offering");
            }
        }
    }
    if let Some(other) = elsewhere.first() {
        causes.push(format!("what you hold there is for {}", other.accounts.join(",")));
    }
    if !keys_known {
        causes.push(format!(
            "the host keys of {} are not known here: certificates for it go to files only",
            host(account)
        ));
    }
    causes.push("the server's own log says why: journalctl -u ssh (expired, not yet valid, no authorized principal)".to_owned());
    if as_json {
        let object = json!({
            "outcome": "ok", "account": account, "grants": grants.iter().map(grant_object).collect::<Vec<_>>(),
            "ended": ended_objects(ended), "reasons": causes, "hint": hint,
        });
        return json_reply(&object, exit::DONE);
    }
    said.extend(causes.into_iter().map(|cause| format!("perhaps: {cause}")));
    Reply { stdout: Vec::new(), stderr: say(&said, Some(&hint)), status: exit::DONE }
}

fn host(account: &str) -> &str {
    account.split_once('@').map_or(account, |(_, host)| host)
}
