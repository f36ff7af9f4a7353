//! The words of the command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::access::AccessWords;
use crate::audit::AuditVerb;
use crate::engineer::{EnsureWords, SshWords};
use crate::explain::Question;
use crate::policy::PolicyVerb;
use hallpass::certificate::names::{
    FreezeName, GroupName, HostName, Login, PersonName, Reason, TagName, TicketId,
};
use hallpass::certificate::time::{Span, UnixTime};
use hallpass::desk::locks::Target;
use hallpass::desk::reload::Change;
use hallpass::host::config::Kept;

#[derive(Parser)]
#[command(
    name = "hallpass",
    version,
    about = "An SSH certificate authority that people talk to with the ssh they already have"
)]
pub(crate) struct Line {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make everything for a trial in one folder
    Init(InitWords),
    /// Log in: ssh, with a certificate from the CA (for engineers)
    Ssh(SshWords),
    /// Have the CA's certificates for accounts in ~/.ssh/hallpass (for engineers)
    Ensure(EnsureWords),
    /// Serve in the foreground; prints a line when it listens
    Serve(At),
    /// Say what was understood, or the error with file, line and column
    Check(At),
    /// Have the daemon read people, hosts and policy anew; returns when they decide
    Reload {
        /// What the change is called: a ticket, a commit
        #[arg(long, value_name = "ID")]
        change: Option<Change>,
        #[command(flatten)]
        at: At,
    },
    /// Print people or hosts of another list as TOML for people.d or hosts.d
    #[command(subcommand)]
    Import(ImportVerb),
    /// Add people to people.toml
    #[command(subcommand)]
    Person(PersonVerb),
    /// Add hosts to hosts.toml, print the file that puts one under the CA
    #[command(subcommand)]
    Host(HostVerb),
    /// Say what a request of somebody's would come to, and what each offer misses; nothing is written
    Explain(ExplainWords),
    /// Test the policy by cases, compare it with another
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Say who can get where: every person, account and offer, now or at any moment of the ledger
    Access(AccessWords),
    /// Try out how a tracker is configured, or print how known ones are
    #[command(subcommand)]
    Ticket(TicketVerb),
    /// Stop every certificate for a person, by a key, on a host, on a tag's hosts, or all of them
    Lock {
        /// PERSON, host:NAME, tag:NAME, key:SHA256:... or everything
        target: Target,
        /// Why: everybody who is stopped is told
        #[arg(long, value_name = "TEXT")]
        reason: Reason,
        #[command(flatten)]
        at: At,
    },
    /// Lift a lock, whoever set it
    Unlock {
        /// As it was locked
        target: Target,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Reason,
        #[command(flatten)]
        at: At,
    },
    /// Say what is locked, by whom, when and why
    Locks(At),
    /// Say to policy that the moment is not an ordinary one, for everything or for some tags
    Freeze {
        /// What it is called
        name: FreezeName,
        /// A tag whose hosts it is over (repeat); none for every host
        #[arg(long, value_name = "TAG")]
        tag: Vec<TagName>,
        /// How long it stands, if it is to end by itself
        #[arg(long = "for", value_name = "4h")]
        period: Option<Span>,
        /// Why: everybody who is stopped is told
        #[arg(long, value_name = "TEXT")]
        reason: Reason,
        #[command(flatten)]
        at: At,
    },
    /// Lift a freeze, whoever set it
    Thaw {
        /// Its name
        name: FreezeName,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Reason,
        #[command(flatten)]
        at: At,
    },
    /// Say what is frozen, by whom, since and until when, and why
    Freezes(At),
    /// Print public keys
    Trust(TrustWords),
    /// Print known_hosts lines for the door and all hosts
    KnownHosts(At),
    /// Verify or export the ledger, or begin its next generation
    #[command(subcommand)]
    Ledger(LedgerVerb),
    /// List keys, make the next one of a role, promote it, retire the one before
    #[command(subcommand)]
    Key(KeyVerb),
    /// Ask the ledger who got in where, and compare servers' logs with it
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Say whether door, certificates, ledger and disk are well; status 1 if not
    Health(At),
    /// Put a backup into a new folder, and begin the ledger's next generation there
    Restore {
        /// The backup
        from: PathBuf,
        /// The folder: new, or empty
        dir: PathBuf,
        /// Why, for the auditor
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The highest serial that any server's log shows, and some more
        #[arg(long, value_name = "N")]
        seen: u64,
    },
    /// Copy everything into a new folder, while it is served
    Backup {
        /// The folder: new, or empty
        dir: PathBuf,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Subcommand)]
pub(crate) enum TicketVerb {
    /// Read a ticket, and say what was asked, what was found and what was understood
    Test {
        /// The ticket: its id, or its address
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// List the trackers that are known, or print one's mapping
    Presets {
        /// Which
        name: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct At {
    /// The configuration
    #[arg(long, default_value = "/etc/hallpass/ca.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Args)]
pub(crate) struct InitWords {
    /// The folder: new, or empty
    pub(crate) dir: PathBuf,
    /// The CA's name, a host name; it never changes
    #[arg(long, default_value = "ca.example", value_name = "HOST")]
    pub(crate) name: HostName,
    /// Where the door listens
    #[arg(long, default_value = "127.0.0.1:2222", value_name = "ADDR:PORT")]
    pub(crate) listen: SocketAddr,
    /// Write the example team, hosts, tickets and policy too
    #[arg(long)]
    pub(crate) example: bool,
}

#[derive(Subcommand)]
pub(crate) enum ImportVerb {
    /// From CSV, JSON or terraform output -json
    People(PeopleWords),
    /// From CSV, JSON, ansible-inventory --list or terraform output -json
    Hosts(HostsWords),
}

#[derive(Args)]
pub(crate) struct PeopleWords {
    #[command(flatten)]
    pub(crate) list: ListWords,
    /// A group that each of them gets
    #[arg(long)]
    pub(crate) group: Vec<GroupName>,
}

#[derive(Args)]
pub(crate) struct HostsWords {
    #[command(flatten)]
    pub(crate) list: ListWords,
    /// A tag that each of them gets
    #[arg(long)]
    pub(crate) tag: Vec<TagName>,
    /// An account that can be asked for on each of them
    #[arg(long)]
    pub(crate) login: Vec<Login>,
}

#[derive(Args)]
pub(crate) struct ListWords {
    /// The list; - for standard input
    pub(crate) file: PathBuf,
    /// What it looks like; csv or json by the file's ending if left out
    #[arg(long)]
    pub(crate) from: Option<From>,
    /// Make capital letters in names and tags small ones
    #[arg(long)]
    pub(crate) lower_case: bool,
    /// The file in people.d or hosts.d that the output is to replace: left out when it is checked
    #[arg(long, value_name = "FILE")]
    pub(crate) replaces: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum From {
    Csv,
    Json,
    Ansible,
    Terraform,
}

#[derive(Subcommand)]
pub(crate) enum PersonVerb {
    /// Add a person or a service
    Add {
        /// The name
        name: PersonName,
        /// A file with public keys, one a line
        #[arg(long, required = true, value_name = "FILE")]
        key: Vec<PathBuf>,
        /// A group
        #[arg(long)]
        group: Vec<GroupName>,
        /// An e-mail address
        #[arg(long)]
        email: Option<String>,
        /// A program, not a human being
        #[arg(long)]
        service: bool,
        #[command(flatten)]
        at: At,
    },
    /// Lock a person or service; stays so whatever the files say, until hallpass unlock
    Disable {
        /// The name
        name: PersonName,
        /// Why: they are told
        #[arg(long, value_name = "TEXT")]
        reason: Reason,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Subcommand)]
pub(crate) enum HostVerb {
    /// Add a host
    Add {
        /// The canonical name: it stands in the principal
        name: HostName,
        /// An address that may be typed instead
        #[arg(long)]
        address: Vec<String>,
        /// A name that may be typed instead
        #[arg(long)]
        alias: Vec<String>,
        /// A tag
        #[arg(long)]
        tag: Vec<TagName>,
        /// An account that can be asked for
        #[arg(long)]
        login: Vec<Login>,
        /// A file with the host's public keys, one a line
        #[arg(long, value_name = "FILE")]
        host_key: Vec<PathBuf>,
        /// The group that owns it
        #[arg(long)]
        owner: Option<GroupName>,
        #[command(flatten)]
        at: At,
    },
    /// Print the script that puts a server, or a pool's machines, under the CA
    Config {
        /// The host: its name, an alias or an address
        name: String,
        /// A principal of an older CA whose certificates go on working; %u stands for the account
        #[arg(long, value_name = "PRINCIPAL")]
        keep: Vec<Kept>,
        #[command(flatten)]
        at: At,
    },
    /// Sign a host certificate by the host CA, logged first, and print it
    Sign(SignWords),
}

#[derive(Args)]
pub(crate) struct SignWords {
    /// The host: its name, an alias or an address
    pub(crate) name: String,
    /// A file with the server's public host key, as in /etc/ssh/ssh_host_ed25519_key.pub
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// How long it is good: 365d, 12h
    #[arg(long = "for", value_name = "TIME", default_value = "365d", value_parser = life)]
    pub(crate) life: Span,
    /// Of a pool's machine: a name or address of its own
    #[arg(long, value_name = "NAME")]
    pub(crate) also: Vec<String>,
    /// The signer's configuration, where it is a service of its own
    #[arg(long, value_name = "SIGNER.TOML")]
    pub(crate) signer_config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) at: At,
}

/// A length of time, in days too.
fn life(text: &str) -> Result<Span, String> {
    let Some(days) = text.strip_suffix('d') else {
        return text.parse().map_err(str::to_owned);
    };
    let days: u32 = days.parse().map_err(|_| "not a number of days".to_owned())?;
    Ok(Span::secs(u64::from(days) * 24 * 3600))
}

#[derive(Args)]
pub(crate) struct TrustWords {
    /// For TrustedUserCAKeys: the user CA, the next and the emergency one
    #[arg(long)]
    pub(crate) user: bool,
    /// For TrustedUserCAKeys of servers that cannot map principals
    #[arg(long)]
    pub(crate) bare: bool,
    /// For a @cert-authority line: the host CA
    #[arg(long)]
    pub(crate) host: bool,
    /// For verifiers: the ledger's and the signer's verifier keys
    #[arg(long)]
    pub(crate) ledger: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Subcommand)]
pub(crate) enum LedgerVerb {
    /// Recompute everything from stored bytes, or from an export
    Verify {
        /// An export; the ledger itself if left out
        export: Option<PathBuf>,
        /// The ledger's verifier key, to verify an export without the CA's folder
        #[arg(long, value_name = "VKEY", requires_all = ["export", "signer"])]
        ledger: Option<String>,
        /// The signer's verifier key
        #[arg(long, value_name = "VKEY", requires = "ledger")]
        signer: Option<String>,
        /// The signer's signer.toml, to compare with its mark and list where another user has them
        #[arg(long, value_name = "FILE", conflicts_with = "export")]
        signer_config: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },
    /// Write the ledger as JSON lines
    Export(At),
    /// Print the policy, people or hosts that a hash in the ledger stands for
    Text {
        /// The hash, in base64 or as sha256sum prints it
        hash: String,
        #[command(flatten)]
        at: At,
    },
    /// Begin a new generation after entries were lost
    Recover(RecoverWords),
    /// Tell the ledger of a certificate that the emergency key signed while the CA was dead
    Emergency {
        /// The certificate's file
        certificate: PathBuf,
        /// Why it was needed
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Args)]
pub(crate) struct RecoverWords {
    /// Said in so many words: entries are lost, and live grants with them
    #[arg(long, required = true)]
    pub(crate) accept_loss: bool,
    /// Why, for the auditor
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// How many entries the signer has seen; read from its mark and list where they can be read
    #[arg(long, value_name = "N")]
    pub(crate) seen: Option<u64>,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Subcommand)]
pub(crate) enum KeyVerb {
    /// Print every key, what it is for, and its fingerprint
    List(At),
    /// Make the next key of a role, for others to trust before it is used
    Next(RoleWords),
    /// Put the next key in use; the old one is trusted until it is retired
    Promote(RoleWords),
    /// End the trust in the key that was in use before
    Retire(RoleWords),
}

#[derive(Args)]
pub(crate) struct RoleWords {
    /// user-ca, bare-ca, host-ca, signer or ledger
    pub(crate) role: String,
    /// The signer's configuration, where it is a service of its own
    #[arg(long, value_name = "SIGNER.TOML")]
    pub(crate) signer_config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Args)]
pub(crate) struct ExplainWords {
    /// Who would ask
    person: PersonName,
    /// LOGIN@HOST, or HOST for the one account there
    account: String,
    /// The ticket
    #[arg(long, value_name = "ID")]
    ticket: Option<TicketId>,
    /// The reason
    #[arg(long, value_name = "TEXT")]
    reason: Option<Reason>,
    /// How long the grant is to last
    #[arg(long = "for", value_name = "SPAN")]
    period: Option<Span>,
    /// How long the certificate is to live
    #[arg(long, value_name = "SPAN")]
    ttl: Option<Span>,
    /// When, as 2026-11-22T05:40:00Z; now if left out
    #[arg(long = "at", value_name = "TIME")]
    at_time: Option<UnixTime>,
    /// Where the connection would come from; this machine if left out
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

impl ExplainWords {
    pub(crate) fn question(self) -> (At, Question) {
        let Self { person, account, ticket, reason, period, ttl, at_time, source, json, at } = self;
        (at, Question { person, account, ticket, reason, period, ttl, at: at_time, source, json })
    }
}
