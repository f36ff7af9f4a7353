//! Configuration: files to types, once, with errors that say where.

pub mod backup;
pub mod base;
pub mod ca;
mod csv;
pub mod edit;
pub mod hosts;
pub mod hours;
#[cfg(test)]
mod hours_tests;
pub mod import;
pub mod init;
mod inventory;
pub mod keys;
pub mod on_call;
pub mod people;
pub mod pointer;
pub mod presets;
pub mod signers;
pub mod snapshot;
mod sums;
mod tables;
pub mod template;
#[cfg(test)]
mod tests;
pub mod ticket_id;
pub mod ticket_url;
pub mod tracker;
pub mod tracker_http;
mod tracker_over;
#[cfg(test)]
mod tracker_tests;
mod tracker_whole;
mod tracker_words;
pub mod trust;
pub(crate) mod unique;
pub mod webhook;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::ca::Ca;
use self::hosts::Hosts;
use self::people::{People, PersonKind};
use self::snapshot::{Snapshot, Text};
use crate::certificate::draft::Texts;
use crate::certificate::names::GroupName;
use crate::decide::{Policy, Saying, World};
use crate::ledger::facts::Signed;
use crate::ledger::tree::Hash;

/// What is wrong with a configuration, for its operator: file, line, column, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    /// Something is wrong in a file.
    pub fn in_file(path: &Path, what: &str) -> Self {
        Self(format!("{}: {what}", path.display()))
    }

    /// Something is wrong that no file shows.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for ConfigError {}

/// Everything that decides, as one consistent whole.
#[derive(Debug)]
pub struct Config {
    /// `ca.toml`.
    pub ca: Ca,
    /// What decides requests.
    pub deciding: Arc<Deciding>,
    /// The texts that it was read from.
    pub read: Snapshot,
}

/// People, hosts and policy, and the hashes of their texts.
#[derive(Debug)]
pub struct Deciding {
    /// People.
    pub people: People,
    /// Hosts.
    pub hosts: Hosts,
    /// The policy.
    pub policy: Policy,
    /// The hashes that every certificate's facts name.
    pub texts: Texts,
    /// The texts' lengths: policy, people, hosts.
    pub bytes: [usize; 3],
    /// Files beside them that were not read, for whoever put them there.
    pub unread: Vec<PathBuf>,
    /// Who signed them, where that is asked for.
    pub signed: Option<Signed>,
}

impl Config {
    /// Reads `ca.toml` and every file it names.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let ca = Ca::load(path)?;
        let read = Snapshot::take(&ca)?;
        let deciding = Arc::new(Deciding::parse(&ca, &read)?);
        Ok(Self { ca, deciding, read })
    }
}

impl Deciding {
    /// Reads people, hosts and policy as they are at one moment.
    pub fn load(ca: &Ca) -> Result<Self, ConfigError> {
        Self::parse(ca, &Snapshot::take(ca)?)
    }

    /// The same, from texts.
    pub fn parse(ca: &Ca, read: &Snapshot) -> Result<Self, ConfigError> {
        let by_shift = ca.on_call.iter().map(|one| one.group.clone());
        Self::of(read, by_shift, ca.reason.clone())
    }

    /// The same, of any CA: one where these groups exist too, and where reasons are to be like this.
    pub fn of(
        read: &Snapshot,
        more: impl IntoIterator<Item = GroupName>,
        saying: Saying,
    ) -> Result<Self, ConfigError> {
        let framed = read.framed();
        let bytes = framed.each_ref().map(String::len);
        let [policy, people, hosts] = framed.map(|text| Hash::of(text.as_bytes()));
        let texts = Texts { policy, people, hosts };
        let people = People::read(&read.people)?;
        let hosts = Hosts::read(&read.hosts)?;
        if let Some(host) = hosts
            .iter()
            .find(|host| host.owner.as_ref().is_some_and(|owner| !people.groups().contains(owner)))
        {
            let what = format!(
                "host {}: no person is in its owner's group, and people.toml's groups do not list it",
                host.name
            );
            return Err(ConfigError::in_file(&host.file, &what));
        }
        let name = read.policy.path.display().to_string();
        let hours = read.hours.as_ref().map(hours::read).transpose()?.unwrap_or_default();
        let mut world = World { hours, saying, ..world(&people, &hosts) };
        world.groups.extend(more);
        let policy = Policy::load(&name, &read.policy.text, &world)
            .map_err(|why| ConfigError(why.to_string()))?;
        let unread = read.unread.clone();
        let signed = read.signed.clone();
        Ok(Self { people, hosts, policy, texts, bytes, unread, signed })
    }
}

/// What a policy may name.
fn world(people: &People, hosts: &Hosts) -> World {
    let of = |kind| {
        people
            .iter()
            .filter(move |person| person.kind == kind)
            .map(|person| person.name.clone())
            .collect()
    };
    let accounts = hosts
        .iter()
        .flat_map(|host| host.accounts.iter().map(|login| (login.clone(), host.name.clone())));
    World {
        groups: people.groups().clone(),
        tags: hosts.tags().clone(),
        hosts: hosts.iter().map(|host| host.name.clone()).collect(),
        persons: of(PersonKind::Person),
        services: of(PersonKind::Service),
        accounts: accounts.collect(),
        ..World::default()
    }
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|why| ConfigError::in_file(path, &why.to_string()))
}

/// Parses TOML, or JSON in a file that is called so; the error carries line and column.
fn parse_either<T: serde::de::DeserializeOwned>(file: &Text) -> Result<T, ConfigError> {
    if file.path.extension().is_some_and(|ending| ending == "json") {
        let parsed = serde_json::from_str(&file.text);
        return parsed.map_err(|why| ConfigError::in_file(&file.path, &why.to_string()));
    }
    parse(&file.path, &file.text)
}

/// Parses TOML; the error carries line, column and caret.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    path: &Path,
    text: &str,
) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|why| ConfigError::in_file(path, &why.to_string()))
}
