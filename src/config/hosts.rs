//! `hosts.toml`: which hosts there are, what they are called, and which accounts they have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;
use ssh_key::PublicKey;

use super::ConfigError;
use crate::certificate::names::{GroupName, HostName, Login, TagName};

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Tags that exist even while no host has them.
    #[serde(default)]
    tags: BTreeSet<TagName>,
    #[serde(default)]
    host: BTreeMap<HostName, Entry>,
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
    /// The group that owns it.
    pub owner: Option<GroupName>,
    /// Whether it is a pool.
    pub pool: bool,
    /// Which principals it takes.
    pub principals: Principals,
}

/// Every host, by each of its names.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    all: BTreeMap<HostName, Host>,
    tags: BTreeSet<TagName>,
    by_name: HashMap<String, HostName>,
}

impl Hosts {
    /// Reads `hosts.toml`'s text; `path` is for errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file: File = super::parse(path, text)?;
        let mut hosts = Self { tags: file.tags, ..Self::default() };
        for (name, entry) in file.host {
            let say = |why: String| ConfigError::in_file(path, &format!("host {name}: {why}"));
            let typed = std::iter::once(name.to_string())
                .chain(entry.aliases.iter().cloned())
                .chain(entry.addresses.iter().cloned());
            for text in typed {
                if !typeable(&text) {
                    return Err(say(format!(
                        "{text:?} cannot be typed as a host: a-z 0-9 . _ : -"
                    )));
                }
                if let Some(other) =
                    hosts.by_name.insert(text.clone(), name.clone()).filter(|other| *other != name)
                {
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
            hosts.tags.extend(entry.tags.iter().cloned());
            let Entry { addresses, aliases, tags, accounts, owner, pool, principals, .. } = entry;
            let host = Host {
                name: name.clone(),
                aliases,
                addresses,
                tags,
                accounts,
                host_keys,
                owner,
                pool,
                principals,
            };
            hosts.all.insert(name, host);
        }
        Ok(hosts)
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
