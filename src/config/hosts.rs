//! `hosts.toml` and `hosts.d`: which hosts there are, what they are called, and which accounts they have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use ssh_key::PublicKey;

use super::ConfigError;
use super::snapshot::Text;
use super::unique::Unique;
use crate::certificate::names::{BadName, GroupName, HostName, Login, TagName};

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Tags that exist even while no host has them.
    #[serde(default)]
    tags: BTreeSet<TagName>,
    #[serde(default)]
    host: Unique<HostName, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    tags: BTreeSet<TagName>,
    #[serde(default)]
    accounts: BTreeSet<Login>,
    #[serde(default)]
    host_keys: Vec<String>,
    owner: Option<GroupName>,
    #[serde(default)]
    pool: bool,
    #[serde(default)]
    principals: Principals,
    #[serde(default)]
    host_certificate: bool,
    via: Option<Via>,
}

/// Which principals a host's sshd can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Principals {
    /// `login@host`: the host maps them. What every ordinary sshd can.
    #[default]
    #[serde(rename = "login@host")]
    AtHost,
    /// The bare account name, for a server that cannot map. Weaker: a certificate for one such host
    /// opens the same account on every other.
    #[serde(rename = "login")]
    Bare,
}

/// The jump host over which a host is reached: `jump@hop01`, or `hop01` for whichever account one has
/// there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Via {
    /// The account on it.
    pub login: Option<Login>,
    /// Its canonical name.
    pub host: HostName,
}

impl TryFrom<String> for Via {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        match text.split_once('@') {
            Some((login, host)) => Ok(Self { login: Some(login.parse()?), host: host.parse()? }),
            None => Ok(Self { login: None, host: text.parse()? }),
        }
    }
}

/// A host, or a pool of interchangeable machines.
#[derive(Debug, Clone)]
pub struct Host {
    /// The canonical name: it is in the principal.
    pub name: HostName,
    /// Other names that may be typed.
    pub aliases: Vec<String>,
    /// Addresses that may be typed.
    pub addresses: Vec<String>,
    /// The tags.
    pub tags: BTreeSet<TagName>,
    /// The accounts people may ask for.
    pub accounts: BTreeSet<Login>,
    /// The host's public keys.
    pub host_keys: Vec<PublicKey>,
    /// Whether it shows a certificate of the host CA, so that clients need none of its keys.
    pub host_certificate: bool,
    /// The group that owns it.
    pub owner: Option<GroupName>,
    /// Whether it is a pool.
    pub pool: bool,
    /// Which principals it takes.
    pub principals: Principals,
    /// The jump host it is behind.
    pub via: Option<Via>,
    /// The file it is declared in.
    pub file: Arc<Path>,
}

/// Every host, by each of its names.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    all: BTreeMap<HostName, Host>,
    tags: BTreeSet<TagName>,
    by_name: HashMap<String, HostName>,
}

impl Hosts {
    /// Reads all files of hosts.
    pub fn read(files: &[Text]) -> Result<Self, ConfigError> {
        let mut hosts = Self::default();
        for file in files {
            hosts.add(file)?;
        }
        hosts.check_hops()?;
        Ok(hosts)
    }

    /// Whether a file is right by itself, whatever jump hosts it names.
    pub(super) fn read_alone(file: &Text) -> Result<(), ConfigError> {
        Self::default().add(file)
    }

    /// Reads one file.
    fn add(&mut self, file: &Text) -> Result<(), ConfigError> {
        let path: Arc<Path> = file.path.as_path().into();
        let File { tags, host } = super::parse_either(file)?;
        self.tags.extend(tags);
        for (name, entry) in host.0 {
            let say = |why: String| ConfigError::in_file(&path, &format!("host {name}: {why}"));
            if let Some(other) = self.all.get(&name) {
                return Err(say(format!("is in {} too", other.file.display())));
            }
            let typed = std::iter::once(name.as_str())
                .chain(entry.aliases.iter().map(String::as_str))
                .chain(entry.addresses.iter().map(String::as_str));
            for text in typed {
                if !typeable(text) {
                    return Err(say(format!(
                        "{text:?} cannot be typed as a host: a-z 0-9 . _ : -"
                    )));
                }
                let taken = self.by_name.insert(text.to_owned(), name.clone());
                if let Some(other) = taken.filter(|other| *other != name) {
                    return Err(say(format!(
                        "{text:?} names {other} too: a name or address names one host"
                    )));
                }
            }
            let key = |line: &String| {
                PublicKey::from_openssh(line)
                    .map_err(|why| say(format!("{line:?} is no public key: {why}")))
            };
            let host_keys = entry.host_keys.iter().map(key).collect::<Result<_, _>>()?;
            self.tags.extend(entry.tags.iter().cloned());
            let Entry { addresses, aliases, tags, accounts, owner, pool, principals, .. } = entry;
            let host = Host {
                name: name.clone(),
                aliases,
                addresses,
                tags,
                accounts,
                host_keys,
                host_certificate: entry.host_certificate,
                owner,
                pool,
                principals,
                via: entry.via,
                file: Arc::clone(&path),
            };
            self.all.insert(name, host);
        }
        Ok(())
    }

    /// A jump host is a host that is known, with the account, and the way over it has an end.
    fn check_hops(&self) -> Result<(), ConfigError> {
        for host in self.all.values() {
            let say = |why: String| {
                ConfigError::in_file(&host.file, &format!("host {}: via: {why}", host.name))
            };
            let mut passed = vec![&host.name];
            let mut next = host.via.as_ref();
            while let Some(via) = next {
                let hop = self.all.get(&via.host);
                let hop = hop.ok_or_else(|| say(format!("there is no host {}", via.host)))?;
                let login = via.login.as_ref().filter(|login| !hop.accounts.contains(*login));
                if let Some(login) = login {
                    return Err(say(format!("{} has no account {login}", hop.name)));
                }
                if passed.contains(&&hop.name) {
                    let way: Vec<&str> = passed.iter().map(|name| name.as_str()).collect();
                    let way = way.join(" via ");
                    return Err(say(format!("{way} via {} never arrives", hop.name)));
                }
                passed.push(&hop.name);
                next = hop.via.as_ref();
            }
        }
        Ok(())
    }

    /// The host that is typed like this: by its name, an alias or an address.
    pub fn find(&self, typed: &str) -> Option<&Host> {
        self.all.get(self.by_name.get(typed)?)
    }

    /// Every host, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.all.values()
    }

    /// Every name that may be typed: of each host its name, its aliases and addresses.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.values().flat_map(|host| {
            let typed = host.aliases.iter().chain(&host.addresses).map(String::as_str);
            std::iter::once(host.name.as_str()).chain(typed)
        })
    }

    /// Every tag that exists.
    pub fn tags(&self) -> &BTreeSet<TagName> {
        &self.tags
    }
}

/// What may be typed as a host: names and addresses, IPv6 among them.
fn typeable(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':')
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b':'))
}
