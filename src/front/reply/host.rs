//! `host config` and `known-hosts` in words.

use serde_json::json;

use super::super::Reply;
use super::super::control::Answer;
use super::super::verbs::host::Give;
use super::{exit, json_reply, say};
use crate::certificate::safe::Safe;
use crate::config::hosts::Hosts;
use crate::config::trust::Trust;
use crate::decide::close;
use crate::desk::host_certificate::NotRecorded;
use crate::host::config::file;
use crate::host::known_hosts::known_hosts;

pub(super) const HELP: &str = "\
usage: ssh ca host config NAME [--keep PRINCIPAL]... [--json]

Prints a shell script that puts a server (or each machine of a pool) under this CA: to be run there, as
root. It checks what it does, puts everything back if anything fails, and undoes it all: sh FILE undo.
Where the server trusted another CA before, --keep names a principal of that CA's certificates that is
to open the server's accounts further on; %u in it stands for the account.

  ssh ca host config web01 > web01.sh
";

pub(super) const KNOWN_HOSTS_HELP: &str = "\
usage: ssh ca known-hosts [--json]

Prints known_hosts lines: this CA's door, the keys of every host, and the host CA for pools and for hosts
that show a host certificate.

  ssh ca known-hosts > ~/.ssh/known_hosts.hallpass
";

/// What was asked for, or why it cannot be had.
pub fn give(give: &Give, trust: &Trust, hosts: &Hosts, as_json: bool) -> Reply {
    let (text, hint) = match give {
        Give::KnownHosts => (
            known_hosts(trust, hosts),
            "ssh_config: UserKnownHostsFile ~/.ssh/known_hosts FILE  (FILE: where you saved this)",
        ),
        Give::HostConfig { host: name, keep } => {
            let Some(host) = hosts.find(name) else {
                let near = close(name, hosts.names());
                let hint = near.map(|near| format!("did you mean ssh ca host config {near}?"));
                let why = format!("there is no host {}", Safe(name));
                return no(&why, hint.as_deref(), as_json);
            };
            match file(trust, hosts, host, keep) {
                Ok(text) => (text, "as root on the server: sh FILE  (FILE: where you saved this)"),
                Err(why) => return no(&why.to_string(), None, as_json),
            }
        }
    };
    if as_json {
        return json_reply(&json!({ "outcome": "ok", "text": text, "hint": hint }), exit::DONE);
    }
    Reply { stdout: text.into_bytes(), stderr: say(&[], Some(hint)), status: exit::DONE }
}

/// What became of a host certificate's entry, for the command that signs.
pub fn recorded(recorded: Result<u64, NotRecorded>) -> Answer {
    match recorded {
        Ok(index) => Answer { artefact: Some(index.to_string()), ..Answer::ok(Vec::new()) },
        Err(NotRecorded::Refused(why)) => Answer::refused(why.to_string()),
        Err(NotRecorded::Fault(why)) => Answer::fault(why.to_string()),
    }
}

fn no(why: &str, hint: Option<&str>, as_json: bool) -> Reply {
    let declared = "hosts, and their accounts, are declared in hosts.toml; ssh ca help host";
    let hint = hint.unwrap_or(declared);
    if as_json {
        let object = json!({ "outcome": "refused", "reasons": [why], "hint": hint });
        return json_reply(&object, exit::REFUSED);
    }
    let said = [format!("refused: {why}")];
    Reply { stdout: Vec::new(), stderr: say(&said, Some(hint)), status: exit::REFUSED }
}
