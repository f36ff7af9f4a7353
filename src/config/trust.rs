//! What servers, clients and auditors are given to trust: public keys, printed and fingerprinted.

use std::path::Path;

use ssh_key::PublicKey;
use ssh_key::public::KeyData;

use super::ConfigError;
use super::ca::{Address, Ca};
use super::keys::{Role, Rotation};
use crate::ledger::note::VerifierKey;
use crate::ledger::tree::Hash;

/// Every public key of this CA.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The user CA that signs.
    pub user_ca: PublicKey,
    /// The next one.
    pub user_ca_next: PublicKey,
    /// The emergency one.
    pub emergency_ca: PublicKey,
    /// The one for bare account names.
    pub bare_ca: PublicKey,
    /// The host CA.
    pub host_ca: PublicKey,
    /// The daemon's own host key.
    pub door: PublicKey,
    /// Keys that were in use and are still trusted, and next ones that are to be trusted: by role.
    pub others: Vec<Other>,
    /// The ledger's verifier key.
    pub ledger: VerifierKey,
    /// Those of its generations before, newest first.
    pub ledger_before: Vec<VerifierKey>,
    /// The signer's verifier key.
    pub signer: VerifierKey,
    /// What a known_hosts line names the door: `ca.example` or `[127.0.0.1]:2222`.
    pub addresses: Vec<String>,
}

/// A key beside the one in use.
#[derive(Debug, Clone)]
pub struct Other {
    /// Whose place it had or will have.
    pub role: Role,
    /// `retiring` or `next`.
    pub what: &'static str,
    /// Its line for those who trust it.
    pub line: String,
    /// Its fingerprint or verifier key.
    pub key: String,
    /// The key, if it is one of SSH's.
    pub public: Option<PublicKey>,
}

/// Which keys to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// For `TrustedUserCAKeys`: the user CA, the next and the emergency one, and one that retires.
    User,
    /// For `TrustedUserCAKeys` of a server that cannot map principals.
    Bare,
    /// For a `@cert-authority` line: the host CA.
    Host,
    /// For verifiers: the ledger's and the signer's verifier keys.
    Ledger,
}

impl Trust {
    /// Reads the public keys. All of them must differ.
    pub fn load(ca: &Ca) -> Result<Self, ConfigError> {
        let files = &ca.trust;
        let trust = Self {
            user_ca: public(&files.user_ca)?,
            user_ca_next: public(&files.user_ca_next)?,
            emergency_ca: public(&files.emergency_ca)?,
            bare_ca: public(&files.bare_ca)?,
            host_ca: public(&files.host_ca)?,
            door: public(&ca.front.host_key.with_extension("pub"))?,
            others: others(ca)?,
            ledger: vkey(&ca.ledger.vkey)?,
            ledger_before: before(&ca.ledger.vkey)?,
            signer: vkey(&ca.signer.vkey)?,
            addresses: match &ca.front.address {
                Some(Address { host, port }) => vec![with_port(host, *port)],
                None => ca.front.listen.iter().map(|at| known_as(*at, ca.name.as_str())).collect(),
            },
        };
        let all: Vec<String> = trust
            .keys()
            .iter()
            .map(|key| key.key_data().fingerprint(Default::default()).to_string())
            .collect();
        let unique: std::collections::BTreeSet<&String> = all.iter().collect();
        if unique.len() != all.len() || trust.ledger.key() == trust.signer.key() {
            return Err(ConfigError::new(
                "two of the CA's keys are the same: each key has one purpose; hallpass init makes them",
            ));
        }
        if !ca.is_origin(trust.ledger.name()) || trust.signer.name() != ca.cosigner() {
            return Err(ConfigError::new(format!(
                "keys/*.vkey are of {} and {}, ca.toml's name asks for {}/1 and {}: the name never changes",
                trust.ledger.name(),
                trust.signer.name(),
                ca.name,
                ca.cosigner()
            )));
        }
        Ok(trust)
    }

    fn keys(&self) -> [&PublicKey; 6] {
        [
            &self.door,
            &self.user_ca,
            &self.user_ca_next,
            &self.emergency_ca,
            &self.bare_ca,
            &self.host_ca,
        ]
    }

    /// The keys, besides those that sign at this moment, that no person's certificate is ever for.
    pub fn never_subjects(&self) -> Result<Vec<Vec<u8>>, ssh_key::Error> {
        let signing = [&self.user_ca, &self.bare_ca];
        let others = self.others.iter().filter_map(|other| other.public.as_ref());
        let all = self.keys().into_iter().chain(others);
        all.filter(|key| !signing.contains(key)).map(PublicKey::to_bytes).collect()
    }

    /// Whether a key is one of the CA's own: SSH's, the ledger's or the signer's.
    pub fn is_own(&self, key: &KeyData) -> bool {
        let others = self.others.iter().filter_map(|other| other.public.as_ref());
        let ledger = [&self.ledger, &self.signer].into_iter().chain(&self.ledger_before);
        let raw = key.ed25519().map(|key| &key.0);
        self.keys().into_iter().chain(others).any(|own| own.key_data() == key)
            || ledger.map(VerifierKey::key).any(|own| Some(own) == raw)
    }

    /// The blobs of the host CAs: the one in use, the next and one that retires.
    pub fn host_cas(&self) -> Result<Vec<Vec<u8>>, ssh_key::Error> {
        self.host_ca_keys().map(PublicKey::to_bytes).collect()
    }

    /// The further keys of a role, as they are printed: all but the next user CA, which has its place.
    fn of(&self, role: Role) -> impl Iterator<Item = String> + '_ {
        self.others.iter().filter(move |other| other.role == role).map(|other| other.line.clone())
    }

    /// The host CA, and the next and retiring ones: what a `@cert-authority` line names.
    pub fn host_ca_keys(&self) -> impl Iterator<Item = &PublicKey> {
        let others = self.others.iter().filter(|other| other.role == Role::HostCa);
        std::iter::once(&self.host_ca).chain(others.filter_map(|other| other.public.as_ref()))
    }

    /// Every key: what it is for, and its fingerprint or verifier key.
    pub fn roles(&self) -> Vec<(&'static str, String)> {
        let print = |key: &PublicKey| key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
        let mut roles = vec![
            ("user CA", print(&self.user_ca)),
            ("next user CA", print(&self.user_ca_next)),
            ("emergency user CA", print(&self.emergency_ca)),
            ("bare user CA", print(&self.bare_ca)),
            ("host CA", print(&self.host_ca)),
            ("host key", print(&self.door)),
            ("ledger", self.ledger.to_string()),
            ("signer", self.signer.to_string()),
        ];
        roles.extend(self.others.iter().map(|other| (other.what, other.key.clone())));
        roles.extend(self.ledger_before.iter().map(|key| ("ledger before", key.to_string())));
        roles
    }

    /// The keys of one part, one line each, as the programs that need them read them.
    pub fn print(&self, part: Part) -> String {
        let mut out = String::new();
        let name = self.name();
        let mut line = |text: String| out.push_str(&(text + "\n"));
        match part {
            Part::User => {
                for (key, what) in [
                    (&self.user_ca, "user CA"),
                    (&self.user_ca_next, "next user CA"),
                    (&self.emergency_ca, "emergency user CA"),
                ] {
                    line(labelled(key, &format!("{name} {what}")));
                }
                self.of(Role::UserCa).for_each(&mut line);
            }
            Part::Bare => {
                line(labelled(&self.bare_ca, &format!("{name} user CA for bare account names")));
                self.of(Role::BareCa).for_each(&mut line);
            }
            Part::Host => {
                line(labelled(&self.host_ca, &format!("{name} host CA")));
                self.of(Role::HostCa).for_each(&mut line);
            }
            Part::Ledger => {
                line(self.ledger.to_string());
                self.ledger_before.iter().for_each(|before| line(before.to_string()));
                line(self.signer.to_string());
                self.of(Role::Signer).for_each(&mut line);
            }
        }
        out
    }

    /// The CA's name.
    pub fn name(&self) -> &str {
        self.signer.name().trim_end_matches("/signer")
    }

    /// The door's host key, `TYPE BASE64`.
    pub fn door_line(&self) -> String {
        bare_line(&self.door)
    }

    /// The client's known_hosts line for the door.
    pub fn known_hosts(&self) -> String {
        format!("{} {}\n", self.addresses.join(","), bare_line(&self.door))
    }

    /// One fingerprint over all of it: SHA-256 of the lines below, in this order, as `SHA256:...`.
    ///
    /// CA host key · user CA · next · emergency · bare · host CA (each `TYPE BASE64`) · the ledger's
    /// and the signer's verifier keys, each line ended by LF.
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        for key in self.keys() {
            text += &format!("{}\n", bare_line(key));
        }
        text += &format!("{}\n{}\n", self.ledger, self.signer);
        format!("SHA256:{}", Hash::of(text.as_bytes()).to_base64().trim_end_matches('='))
    }
}

/// How a known_hosts line writes an address; the CA's name stands for "any".
fn known_as(at: std::net::SocketAddr, name: &str) -> String {
    let ip = at.ip();
    let host = if ip.is_unspecified() { name.to_owned() } else { ip.to_string() };
    with_port(&host, at.port())
}

fn with_port(host: &str, port: u16) -> String {
    if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") }
}

/// `TYPE BASE64`, no comment.
fn bare_line(key: &PublicKey) -> String {
    labelled(key, "")
}

fn labelled(key: &PublicKey, comment: &str) -> String {
    let mut key = key.clone();
    key.set_comment(comment);
    key.to_openssh().map(|line| line.trim_end().to_owned()).unwrap_or_default()
}

fn public(path: &Path) -> Result<PublicKey, ConfigError> {
    let text = super::read(path)?;
    PublicKey::from_openssh(text.trim_end())
        .map_err(|why| ConfigError::in_file(path, &why.to_string()))
}

fn vkey(path: &Path) -> Result<VerifierKey, ConfigError> {
    super::read(path)?
        .trim_end()
        .parse()
        .map_err(|why| ConfigError::in_file(path, &format!("{why}")))
}

/// The verifier keys of the generations before: `ledger.N.vkey` beside the newest.
fn before(newest: &Path) -> Result<Vec<VerifierKey>, ConfigError> {
    let files = (1u64..).map(|number| super::keys::beside(newest, &format!(".{number}.vkey")));
    let mut keys = files
        .take_while(|file| file.exists())
        .map(|file| vkey(&file))
        .collect::<Result<Vec<_>, _>>()?;
    keys.reverse();
    Ok(keys)
}

/// Keys that retire, and next ones but the user CA's.
fn others(ca: &Ca) -> Result<Vec<Other>, ConfigError> {
    let mut others = Vec::new();
    for role in Role::ALL {
        let rotation = Rotation::of(ca, role);
        let next = rotation.next().filter(|_| role != Role::UserCa).map(Path::to_owned);
        for (what, path) in [("retiring", rotation.retiring()), ("next", next)] {
            let Some(path) = path else { continue };
            let (line, key, public) = if role == Role::Signer {
                let vkey = vkey(&path)?.to_string();
                (vkey.clone(), vkey, None)
            } else {
                let key = public(&path)?;
                let print = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
                (labelled(&key, &format!("{what} {}", role.word())), print, Some(key))
            };
            others.push(Other { role, what, line, key, public });
        }
    }
    Ok(others)
}
