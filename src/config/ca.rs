//! `ca.toml`: where things are, and the limits of the door.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;
use super::on_call::{self, OnCall};
use super::signers::Signers;
use super::tracker::{self, Tracker};
use super::webhook::Webhook;
use crate::certificate::cidr::Cidr;
use crate::certificate::names::HostName;
use crate::certificate::time::Span;
use crate::decide::Saying;
use crate::ledger::checkpoint::decimal;
use crate::ledger::tree::Hash;

/// `ca.toml`. Unknown keys are errors; paths are relative to the folder the file is in.
///
/// There is no secret in it. Whoever can write it decides whom hallpass believes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ca {
    /// The CA's name, a host name. It never changes: the ledger's origin is `NAME/1`, in its second
    /// generation `NAME/2`.
    pub name: HostName,
    /// The SSH door.
    pub front: Front,
    /// The ledger.
    pub ledger: Ledger,
    /// The signer.
    pub signer: Signer,
    /// The public keys that servers and clients trust.
    pub trust: TrustFiles,
    /// What decides: who may change these files decides who gets in where.
    pub files: Files,
    /// Where tickets are looked up.
    #[serde(default)]
    pub tracker: Vec<Tracker>,
    /// The groups that people are in while it is their shift.
    #[serde(default)]
    pub on_call: Vec<OnCall>,
    /// A folder with a TOML file for each freeze. Who can write there can make policy's freezes stand,
    /// and lift those of files.
    pub freezes: Option<PathBuf>,
    /// Who may set freezes over HTTP.
    pub webhook: Option<Webhook>,
    /// How much is issued.
    #[serde(default)]
    pub limits: IssueLimits,
    /// Which reasons say something.
    #[serde(default)]
    pub reason: Saying,
    /// The operator's socket.
    #[serde(default)]
    pub control: Control,
    /// Who may sign what decides.
    #[serde(skip)]
    pub signers: Option<Signers>,
    /// Where this was read from, and what it was then.
    #[serde(skip)]
    pub source: Source,
}

/// How much is issued at most. Over it people are refused with a sentence and told when to go on; over
/// the signer's own rates, which are to be higher, they hear of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IssueLimits {
    /// The most certificates in any minute, in all.
    pub total: usize,
    /// The most certificates in any minute for one person.
    pub person: usize,
    /// The most live grants of one person.
    pub grants: usize,
}

impl Default for IssueLimits {
    fn default() -> Self {
        Self { total: 550, person: 55, grants: 200 }
    }
}

impl IssueLimits {
    /// What is wrong with them, if anything is.
    fn mistake(&self) -> Option<String> {
        let Self { total, person, grants } = self;
        let all = [("total", total), ("person", person), ("grants", grants)];
        let zero = all.into_iter().find(|(_, number)| **number == 0)?;
        Some(format!("limits.{} is 0, which gives nobody a certificate", zero.0))
    }
}

/// Where a `ca.toml` was read from.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of its text.
    pub sha256: Hash,
}

/// The operator's socket.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The socket; `control.sock` beside the ledger if it is left out. Root and the daemon's own user
    /// can have done there what `hallpass reload` and its like do; nobody else is heard.
    pub socket: Option<PathBuf>,
}

/// The SSH door.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Addresses and ports to listen on.
    pub listen: Vec<SocketAddr>,
    /// What people connect to, `NAME:PORT`, where that is not the first of those: it stands in what is
    /// printed for clients. Who can change it can send them elsewhere, where the host key is another.
    pub address: Option<Address>,
    /// The daemon's own SSH host key. Who can read it can pretend to be the CA's door, not the CA.
    pub host_key: PathBuf,
    /// How long a login may take.
    #[serde(default = "Front::default_login_deadline")]
    pub login_deadline: Span,
    /// How long a client that is logged in may say nothing until it is asked whether it is still there.
    #[serde(default = "Front::default_keepalive")]
    pub keepalive: Span,
    /// Whether TCP_QUICKACK is set again after each read until the command runs. Off, a stock client
    /// loses 40 ms to delayed acknowledgements in one login of four.
    #[serde(default = "Front::default_quickack")]
    pub quickack: bool,
    /// How many connections there may be, and whose.
    #[serde(default)]
    pub limits: Limits,
}

/// A name or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Address {
    /// As ssh_config's `HostName` takes it.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl TryFrom<String> for Address {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not NAME:PORT, as in \"ca.example.com:22\"");
        if let Ok(at) = text.parse::<SocketAddr>() {
            return Ok(Self { host: at.ip().to_string(), port: at.port() });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host: HostName = host.parse().map_err(|_| wrong())?;
        Ok(Self { host: host.to_string(), port: port.parse().map_err(|_| wrong())? })
    }
}

/// How many connections there may be, and whose. A source is an address, or a network of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The most connections of one source that have not logged in.
    pub per_source: usize,
    /// The most of all sources that have not logged in. When they are all there, the oldest of the
    /// busiest source makes room for a newcomer from another.
    pub unauthenticated: usize,
    /// The most connections in all; fewer where the process may not open that many files.
    pub connections: usize,
    /// The most connections of one person who is logged in.
    pub per_person: usize,
    /// How many bits of an IPv4 address make a source: 32 is each address by itself.
    pub source_ipv4: u32,
    /// How many bits of an IPv6 address make a source: 64 is what one household or server gets.
    pub source_ipv6: u32,
    /// Networks with limits of their own; the first that holds an address counts.
    pub network: Vec<Network>,
}

/// A network with limits of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The network.
    pub cidr: Cidr,
    /// The most connections of each source in it that have not logged in, if not the usual number.
    pub per_source: Option<usize>,
    /// Whether a source in it is kept out for a while after many failures: off where many people
    /// or a health check share an address.
    #[serde(default = "Network::default_penalties")]
    pub penalties: bool,
}

impl Network {
    fn default_penalties() -> bool {
        true
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_source: 16,
            unauthenticated: 128,
            connections: 1024,
            per_person: 64,
            source_ipv4: 32,
            source_ipv6: 64,
            network: Vec::new(),
        }
    }
}

impl Limits {
    /// What is wrong with them, if anything is.
    fn mistake(&self) -> Option<String> {
        let Self {
            per_source,
            unauthenticated,
            connections,
            per_person,
            source_ipv4,
            source_ipv6,
            network,
        } = self;
        for (name, number) in [
            ("per_source", per_source),
            ("unauthenticated", unauthenticated),
            ("connections", connections),
            ("per_person", per_person),
        ] {
            if *number == 0 {
                return Some(format!("front.limits.{name} is 0, which lets nobody in"));
            }
        }
        for (name, bits, most) in
            [("source_ipv4", source_ipv4, 32), ("source_ipv6", source_ipv6, 128)]
        {
            if !(1..=most).contains(bits) {
                return Some(format!("front.limits.{name} is {bits}; it is 1 to {most}"));
            }
        }
        let nobody = network.iter().find(|network| network.per_source == Some(0))?;
        Some(format!("front.limits.network {}: per_source is 0, which lets nobody in", nobody.cidr))
    }
}

impl Front {
    fn default_login_deadline() -> Span {
        Span::secs(20)
    }
    fn default_keepalive() -> Span {
        Span::secs(20)
    }
    fn default_quickack() -> bool {
        true
    }
}

/// The ledger.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The database. Who can write it can lose the ledger, but not rewrite it unnoticed.
    pub database: PathBuf,
    /// How many MiB of its disk are set aside, in a file `reserve` beside it. They are given back when
    /// the disk is full, so that locks and refusals can still be written; certificates wait.
    #[serde(default = "Ledger::default_reserve_mib")]
    pub reserve_mib: u64,
    /// The newest cosigned checkpoint, public.
    pub checkpoint: PathBuf,
    /// The key that signs checkpoints. Alone it can do nothing: the signer cosigns.
    pub key: PathBuf,
    /// Its verifier key, public.
    pub vkey: PathBuf,
}

impl Ledger {
    fn default_reserve_mib() -> u64 {
        16
    }

    /// The file of the reserve.
    pub fn reserve(&self) -> PathBuf {
        self.database.with_file_name("reserve")
    }

    /// Where the daemon says whether certificates are issued, for `hallpass health`: one line,
    /// `issuing` or `fault: ` and why.
    pub fn standing(&self) -> PathBuf {
        self.database.with_file_name("standing")
    }

    /// Where the texts that decided are kept, each under its hash.
    pub fn texts(&self) -> PathBuf {
        self.database.with_file_name("texts")
    }

    /// The reserve's size in bytes.
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve_mib.saturating_mul(1024 * 1024)
    }
}

/// The signer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// The socket it listens on. Who can connect as the daemon's user can have certificates logged and signed.
    pub socket: PathBuf,
    /// Its verifier key, public.
    pub vkey: PathBuf,
    /// Its configuration, where `hallpass serve` is to start the signer by itself: right for a trial.
    pub spawn: Option<PathBuf>,
}

/// Public keys. Changing one of these changes what is printed and checked, not what servers trust.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFiles {
    /// The user CA that signs.
    pub user_ca: PathBuf,
    /// The next one, trusted from the first day.
    pub user_ca_next: PathBuf,
    /// The emergency one, whose private key is kept offline.
    pub emergency_ca: PathBuf,
    /// The user CA for bare account names.
    pub bare_ca: PathBuf,
    /// The host CA.
    pub host_ca: PathBuf,
}

/// What decides.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The policy.
    pub policy: PathBuf,
    /// People, their keys and groups.
    pub people: PathBuf,
    /// Hosts, their accounts and tags.
    pub hosts: PathBuf,
    /// Named hours, for the policy, if there are any. Who can change them changes when people get in.
    pub hours: Option<PathBuf>,
    /// A list of what the files must be, as `sha256sum` prints it. Where there is one, nothing else
    /// than what it lists decides.
    pub sums: Option<PathBuf>,
    /// Who may sign what decides: a file in this folder, as ssh-keygen(1) has allowed signers. Where there is
    /// one, nothing decides but what `sums` lists and one of them signed (`SHA256SUMS.sig` beside it). Read at
    /// the start alone. Who can write it decides who decides.
    pub policy_signers: Option<PathBuf>,
    /// Whether a reload must say what the change is called.
    #[serde(default)]
    pub change: Change,
    /// What the files are kept in, where that is not this folder.
    pub managed: Option<Managed>,
}

impl Files {
    /// What is wrong with them, if anything is. The paths are as they were written.
    fn mistake(&self) -> Option<String> {
        let signers = self.policy_signers.as_ref()?;
        if self.sums.is_none() {
            let what = "files.policy_signers needs files.sums, the list that is signed: sums = \"SHA256SUMS\"";
            return Some(what.to_owned());
        }
        let alone = signers.components().count() == 1 && signers.file_name().is_some();
        (!alone).then(|| {
            "files.policy_signers lies in ca.toml's own folder, where no deployment replaces it: write its \
             name alone"
                .to_owned()
        })
    }
}

/// Whether a reload must say what the change is called (`hallpass reload --change ID`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It may.
    #[default]
    Optional,
    /// It must.
    Required,
}

/// What people, hosts and policy are kept in: then `person add` and `host add` do not edit copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Managed {
    /// A Git repository, from which they are deployed.
    Git,
}

impl Ca {
    /// Reads `ca.toml`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = super::read(path).map_err(|why| match path.exists() {
            true => why,
            false => ConfigError::new(format!("{why}\nhint: --config FILE names the CA's ca.toml")),
        })?;
        let mut ca: Self = super::parse(path, &text)?;
        ca.source = Source { path: path.to_owned(), sha256: Hash::of(text.as_bytes()) };
        if ca.front.listen.is_empty() {
            return Err(ConfigError::in_file(path, "front.listen names no address"));
        }
        if let Some(mistake) = ca.front.limits.mistake().or_else(|| ca.limits.mistake()) {
            return Err(ConfigError::in_file(path, &mistake));
        }
        let webhook = || ca.webhook.as_ref().and_then(Webhook::mistake);
        let mistake = tracker::mistake(&ca.tracker)
            .or_else(|| on_call::mistake(&ca.on_call))
            .or_else(webhook);
        if let Some(mistake) = mistake {
            return Err(ConfigError::in_file(path, &mistake));
        }
        if let Some(mistake) = ca.files.mistake() {
            return Err(ConfigError::in_file(path, &mistake));
        }
        let base = path.parent().unwrap_or(Path::new(".")).to_owned();
        for file in ca.paths() {
            *file = base.join(&*file);
        }
        ca.signers = ca.files.policy_signers.as_deref().map(Signers::load).transpose()?;
        Ok(ca)
    }

    fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let Self {
            front,
            ledger,
            signer,
            trust,
            files,
            tracker,
            control,
            freezes,
            on_call,
            webhook,
            name: _,
            signers: _,
            source: _,
            limits: _,
            reason: _,
        } = self;
        let TrustFiles { user_ca, user_ca_next, emergency_ca, bare_ca, host_ca } = trust;
        [
            &mut front.host_key,
            &mut ledger.database,
            &mut ledger.checkpoint,
            &mut ledger.key,
            &mut ledger.vkey,
            &mut signer.socket,
            &mut signer.vkey,
            user_ca,
            user_ca_next,
            emergency_ca,
            bare_ca,
            host_ca,
            &mut files.policy,
            &mut files.people,
            &mut files.hosts,
        ]
        .into_iter()
        .chain(&mut signer.spawn)
        .chain(&mut files.sums)
        .chain(&mut files.hours)
        .chain(&mut files.policy_signers)
        .chain(&mut control.socket)
        .chain(freezes)
        .chain(on_call.iter_mut().flat_map(OnCall::paths))
        .chain(webhook.iter_mut().flat_map(Webhook::paths))
        .chain(tracker.iter_mut().flat_map(Tracker::paths))
    }

    /// The operator's socket.
    pub fn control_socket(&self) -> PathBuf {
        let beside = || self.ledger.database.with_file_name("control.sock");
        self.control.socket.clone().unwrap_or_else(beside)
    }

    /// Which file is not any more what this was read from: this one, or that of the signers.
    pub fn changed(&self) -> Option<&'static str> {
        let other = super::read(&self.source.path)
            .is_ok_and(|text| Hash::of(text.as_bytes()) != self.source.sha256);
        let signers = self.files.policy_signers.as_deref().map(Signers::load);
        let others = signers.is_some_and(|now| now.ok() != self.signers);
        other.then_some("ca.toml").or(others.then_some("policy_signers"))
    }

    /// Whether this is the origin, and the name of the ledger's key, in one of its generations.
    pub fn is_origin(&self, origin: &str) -> bool {
        let number =
            origin.strip_prefix(self.name.as_str()).and_then(|rest| rest.strip_prefix('/'));
        number.and_then(decimal).is_some_and(|number| number > 0)
    }

    /// The name of the signer's cosigning key.
    pub fn cosigner(&self) -> String {
        format!("{}/signer", self.name)
    }
}
