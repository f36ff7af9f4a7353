//! The voice: answers put into words. stdout carries the artefact and nothing else; what a person
//! reads goes to stderr as `hallpass: ...`, lower case, no full stop, and `hint:` says what is next.

pub mod host;
pub mod reload;

use serde_json::{Value, json};

use super::Reply;
use super::verbs::Usage;
use crate::certificate::safe::Safe;
use crate::config::trust::{Part, Trust};
use crate::desk::outcome::{Fault, Issued, Outcome, Refused, Status};

/// Exit statuses, the same for every verb.
pub mod exit {
    /// Done.
    pub const DONE: u32 = 0;
    /// Refused: the answer is no.
    pub const REFUSED: u32 = 1;
    /// Usage: the words were not understood.
    pub const USAGE: u32 = 2;
    /// Fault: something broke, try again.
    pub const FAULT: u32 = 75;
}

/// The general help: one screen, ends in a command that works.
const HELP: &str = "\
usage: ssh ca LOGIN@HOST TICKET [options]     ask for a certificate, printed on stdout
       ssh ca VERB ...

  request LOGIN@HOST [TICKET]   the same, spelled out
      --ticket ID               the ticket that is the reason
      --reason TEXT             why, in your words
      --for 1h                  how long the grant is to last
      --ttl 5m                  how long the certificate is to live
      --offer ID                the offer to decide by
  status                        who you are and what you hold (also: no words at all)
  trust [--user] [--bare] [--host] [--ledger]
                                public keys for servers, clients and verifiers
  host config NAME              the file that puts a server under the CA
  known-hosts                   lines for known_hosts: all hosts, and this CA
  help [VERB]                   this, or more on one verb
  --json                        at the end of any of these: one JSON object on stdout

exit status: 0 done, 1 refused, 2 usage, 75 fault (try again)

  ssh ca deploy@web01 OPS-7 > cert.pub
  ssh -i ~/.ssh/id_ed25519 -o CertificateFile=cert.pub deploy@web01
";

/// Help on one verb.
fn help_on(verb: &str) -> Option<&'static str> {
    match verb {
        "request" => Some(
            "\
usage: ssh ca [request] LOGIN@HOST [TICKET] [--ticket ID] [--reason TEXT] [--for 1h]
       [--ttl 5m] [--offer ID] [--json]

Asks for a certificate that opens LOGIN on HOST, for the very key you logged in with. HOST is the
host's name, an alias or an address. The certificate is printed on stdout; everything else, on
stderr. More time than the offer gives is cut to what it gives, and said.

  ssh ca deploy@web01 OPS-7 > cert.pub
",
        ),
        "status" => Some(
            "usage: ssh ca [status] [--json]\n\nWho you are, by which key, and which grants are live.\n\n  ssh ca status\n",
        ),
        "trust" => Some(
            "\
usage: ssh ca trust [--user] [--bare] [--host] [--ledger] [--json]

Prints public keys: for TrustedUserCAKeys (--user: the CA, the next and the emergency one; --bare:
for servers that cannot map principals), for a @cert-authority line (--host), for verifiers
(--ledger).

  ssh ca trust --user > user_ca.pub
",
        ),
        "host" => Some(host::HELP),
        "known-hosts" => Some(host::KNOWN_HOSTS_HELP),
        "help" => Some("usage: ssh ca help [VERB]\n\n  ssh ca help request\n"),
        _ => None,
    }
}

/// An outcome, in words or as JSON.
pub fn outcome(outcome: &Outcome, as_json: bool) -> Reply {
    match outcome {
        Outcome::Issued(one) => issued(one, as_json),
        Outcome::Refused(one) => refused(one, as_json),
        Outcome::Fault(one) => fault(one, as_json),
        Outcome::Status(one) => status(one, as_json),
    }
}

fn issued(issued: &Issued, as_json: bool) -> Reply {
    let Issued {
        request,
        serial,
        certificate,
        accounts,
        typed,
        ttl,
        valid_before,
        grant_ends,
        offer,
        notes,
    } = issued;
    if as_json {
        let object = json!({
            "outcome": "issued", "request": request, "serial": serial, "certificate": certificate,
            "accounts": accounts, "valid_before": valid_before, "grant_ends": grant_ends, "offer": offer, "notes": notes,
        });
        return json_reply(&object, exit::DONE);
    }
    let account = accounts.join(",");
    let mut said = vec![format!(
        "issued serial {serial} for {account}: {ttl}, until {valid_before}; grant {request} by offer {offer} ends {grant_ends}"
    )];
    said.extend(notes.iter().cloned());
    let hint = format!("ssh -o CertificateFile=FILE {typed}  (FILE: where you saved this)");
    Reply {
        stdout: format!("{certificate}\n").into_bytes(),
        stderr: say(&said, Some(&hint)),
        status: exit::DONE,
    }
}

fn refused(refused: &Refused, as_json: bool) -> Reply {
    let Refused { request, reasons, hint } = refused;
    if as_json {
        let object =
            json!({ "outcome": "refused", "request": request, "reasons": reasons, "hint": hint });
        return json_reply(&object, exit::REFUSED);
    }
    let said: Vec<String> = reasons.iter().map(|reason| format!("refused: {reason}")).collect();
    Reply { stdout: Vec::new(), stderr: say(&said, Some(hint)), status: exit::REFUSED }
}

fn fault(fault: &Fault, as_json: bool) -> Reply {
    let Fault { request, what } = fault;
    let hint = format!("try again; if it stays, give {request} to whoever runs the CA");
    if as_json {
        let object =
            json!({ "outcome": "fault", "request": request, "reasons": [what], "hint": hint });
        return json_reply(&object, exit::FAULT);
    }
    Reply {
        stdout: Vec::new(),
        stderr: say(&[format!("fault {request}: {what}")], Some(&hint)),
        status: exit::FAULT,
    }
}

fn status(status: &Status, as_json: bool) -> Reply {
    let Status { person, key, key_type, grants, now } = status;
    if as_json {
        let grants: Vec<Value> = grants
            .iter()
            .map(|grant| {
                json!({ "request": grant.request, "accounts": grant.accounts, "ticket": grant.ticket,
                        "grant_ends": grant.ends, "offer": grant.offer })
            })
            .collect();
        return json_reply(
            &json!({ "outcome": "ok", "person": person, "key": key, "grants": grants }),
            exit::DONE,
        );
    }
    let mut said = vec![format!("you are {person}, by the {key_type} key {key}")];
    if grants.is_empty() {
        said.push("no live grant".to_owned());
    }
    said.extend(grants.iter().map(|grant| {
        let ticket = grant.ticket.as_deref().unwrap_or("-");
        format!(
            "grant {} {} {ticket}: {} left",
            grant.request,
            grant.accounts.join(","),
            grant.ends.since(*now)
        )
    }));
    let next = "ssh ca LOGIN@HOST TICKET > cert.pub\nhint: ssh -o CertificateFile=cert.pub LOGIN@HOST\nhint: ssh ca help";
    Reply { stdout: Vec::new(), stderr: say(&said, Some(next)), status: exit::DONE }
}

/// Public keys.
pub fn trust(trust: &Trust, parts: &[Part], as_json: bool) -> Reply {
    if as_json {
        let lines = |part| trust.print(part).lines().map(str::to_owned).collect::<Vec<_>>();
        let object = json!({
            "outcome": "ok", "user": lines(Part::User), "bare": lines(Part::Bare), "host": lines(Part::Host),
            "ledger": lines(Part::Ledger), "known_hosts": trust.known_hosts().trim_end(), "fingerprint": trust.fingerprint(),
        });
        return json_reply(&object, exit::DONE);
    }
    let keys: String = parts.iter().map(|part| trust.print(*part)).collect();
    let said = [format!("fingerprint of all public keys: {}", trust.fingerprint())];
    Reply { stdout: keys.into_bytes(), stderr: say(&said, None), status: exit::DONE }
}

/// Help.
pub fn help(verb: Option<&str>, as_json: bool) -> Reply {
    let text = match verb {
        None => HELP,
        Some(verb) => match help_on(verb) {
            Some(text) => text,
            None => {
                return usage(&Usage {
                    json: as_json,
                    what: format!("there is no verb {}", Safe(verb)),
                    hint: "ssh ca help".to_owned(),
                    unknown: None,
                });
            }
        },
    };
    if as_json {
        return json_reply(&json!({ "outcome": "ok", "text": text }), exit::DONE);
    }
    Reply { stdout: text.as_bytes().to_vec(), stderr: String::new(), status: exit::DONE }
}

/// A command line that was not understood.
pub fn usage(usage: &Usage) -> Reply {
    if usage.json {
        let object = json!({ "outcome": "usage", "reasons": [usage.what], "hint": usage.hint });
        return json_reply(&object, exit::USAGE);
    }
    Reply {
        stdout: Vec::new(),
        stderr: say(&[format!("usage: {}", usage.what)], Some(&usage.hint)),
        status: exit::USAGE,
    }
}

/// A command that died; the journal has the same id.
pub(super) fn died(id: &str) -> Reply {
    let said = [format!("fault {id}: something broke while answering")];
    Reply { stdout: Vec::new(), stderr: say(&said, Some("try again")), status: exit::FAULT }
}

/// A command that was still running when the daemon stopped; what it was, if that can be typed
/// again as it stands.
pub(super) fn restarting(words: &[u8]) -> Reply {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b" -_.,:@/+=#".contains(byte);
    let line = std::str::from_utf8(words).ok().filter(|words| words.bytes().all(|b| plain(&b)));
    let hint = match line {
        Some(line) if line.len() <= Safe::WIDTH => {
            format!("run the same command again: {}", format!("ssh ca {line}").trim_end())
        }
        Some(_) | None => "run the same command again".to_owned(),
    };
    let said = ["the server is restarting".to_owned()];
    Reply { stdout: Vec::new(), stderr: say(&said, Some(&hint)), status: exit::FAULT }
}

/// A command line longer than any command.
pub(super) fn too_long() -> Reply {
    usage(&Usage {
        json: false,
        what: "these are more words than any command has".to_owned(),
        hint: "ssh ca help".to_owned(),
        unknown: None,
    })
}

fn json_reply(object: &Value, status: u32) -> Reply {
    Reply { stdout: format!("{object}\n").into_bytes(), stderr: String::new(), status }
}

fn say(lines: &[String], hint: Option<&str>) -> String {
    let said = lines.iter().map(|line| format!("hallpass: {line}\n"));
    said.chain(hint.map(|hint| format!("hint: {hint}\n"))).collect()
}
