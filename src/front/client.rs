//! The client's ssh_config block, `ssh ca config`: with it `ssh LOGIN@HOST` is the one command.
//!
//! What goes into it obeys the grammars of names, so that neither ssh_config nor the shell that `Match
//! exec` starts can read it otherwise. What a person types later reaches that shell as `%r` and `%n`,
//! after `originalhost` and `user` found it in lists of such names: nothing else gets there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::verbs::Form;
use crate::certificate::names::PersonName;
use crate::desk::outcome::Reach;

/// What a block is made from.
#[derive(Debug, Clone)]
pub struct Block {
    /// The CA's name.
    pub name: String,
    /// Where people connect to.
    pub address: (String, u16),
    /// The door's host key, `TYPE BASE64`.
    pub host_key: String,
    /// Whose block it is.
    pub person: PersonName,
    /// The hosts: every name that may be typed, and the accounts the person may ask for.
    pub hosts: Vec<Reach>,
}

/// How many names a `Match` line holds: long lines are hard to read, and for nothing else.
const NAMES: usize = 50;

impl Block {
    /// The text.
    pub fn print(&self, form: Form) -> String {
        let Self { name, address: (host, port), host_key, person, .. } = self;
        let forward = forward(form);
        let flag = match form {
            Form::Agent => "--agent",
            Form::File => "--file",
        };
        let mut out = format!(
            "# hallpass {name}, for {person}: made by `ssh ca config {flag}`. Save it as ~/.ssh/hallpass/config, and\n\
             # put `Include hallpass/config` at the top of ~/.ssh/config. Make it anew when your hosts change.\n\
             \n\
             Host ca\n    HostName {host}\n    Port {port}\n    User {person}\n    HostKeyAlias {name}\n    \
             # The CA's own host key, and no other.\n    \
             KnownHostsCommand /bin/echo {name} {host_key}\n    \
             UserKnownHostsFile none\n    GlobalKnownHostsFile none\n    StrictHostKeyChecking yes\n    \
             ForwardAgent {forward}\n    ControlMaster auto\n    ControlPath ~/.ssh/hallpass/%C.{forward}\n    ControlPersist 60\n    \
             # A CA that is away keeps nobody waiting: a certificate that is still good opens without it.\n    \
             ConnectTimeout 5\n    ServerAliveInterval 3\n    ServerAliveCountMax 2\n    \
             SendEnv HALLPASS_TICKET\n"
        );
        let mut hops: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut groups: BTreeMap<&BTreeSet<String>, Vec<&str>> = BTreeMap::new();
        for host in &self.hosts {
            let names = host.names.iter().map(String::as_str);
            if let Some(via) = &host.via {
                hops.entry(via).or_default().extend(names.clone());
            }
            groups.entry(&host.logins).or_default().extend(names);
        }
        for (via, names) in hops {
            for names in names.chunks(NAMES) {
                // A string is always written.
                let _written = write!(
                    out,
                    "\nMatch originalhost {},!ca\n    ProxyJump {via}\n",
                    names.join(",")
                );
            }
        }
        for (logins, names) in groups {
            let logins: Vec<&str> = logins.iter().map(String::as_str).collect();
            for names in names.chunks(NAMES) {
                out += &group(&names.join(","), &logins.join(","), form);
            }
        }
        out
    }
}

/// Where the block's files are. Whatever runs there makes them for nobody else to read.
const FOLDER: &str = "cd && umask 077 && mkdir -p .ssh/hallpass && cd .ssh/hallpass";

/// Of fifty logins that begin at once one connects to the CA, and the others wait for its connection: the
/// door lets few in at a time from one place before they are logged in. Nobody waits long for one that
/// died or does not come through.
const IN_TURN: &str = "until set -- *.FORWARD; [ -S $1 ] || mkdir .first 2>/dev/null || [ $((i+=1)) -gt 50 ]; do sleep .1; done";

/// A group of hosts on which the same accounts may be asked for.
fn group(names: &str, logins: &str, form: Form) -> String {
    let in_turn = IN_TURN.replace("FORWARD", forward(form));
    let (ask, options) = match form {
        Form::Agent => (
            "ssh ca ensure --to agent $0; s=$?; rmdir .first 2>/dev/null; exit $s",
            "IdentitiesOnly no\n    PubkeyAcceptedAlgorithms ssh-ed25519-cert-v01@openssh.com",
        ),
        // The file is put in place by rename, and stays where it is when nothing new was issued: a
        // certificate that is still good is shown though the CA does not answer. Plain keys stay
        // allowed: ssh signs for a certificate with the plain key beside it, and shows certificates first.
        Form::File => (
            "ssh ca ensure --to stdout $0 > .$0.$$ && mv .$0.$$ $0-cert.pub; rm -f .$0.$$; rmdir .first 2>/dev/null; :",
            "CertificateFile ~/.ssh/hallpass/%r@%n-cert.pub",
        ),
    };
    format!(
        "\nMatch originalhost {names},!ca user {logins} exec \"sh -c '{FOLDER} && {{ {in_turn}; {ask}; }}' %r@%n\"\n    {options}\n"
    )
}

/// Whether the agent is forwarded to the CA, as ssh_config says it.
fn forward(form: Form) -> &'static str {
    match form {
        Form::Agent => "yes",
        Form::File => "no",
    }
}
