//! `people.toml` and `people.d`: who there is, and which keys are whose.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;
use ssh_key::PublicKey;
use ssh_key::public::KeyData;

use super::ConfigError;
use super::snapshot::Text;
use super::unique::Unique;
use crate::certificate::blob::key_blob;
use crate::certificate::names::{GroupName, PersonName};
use crate::certificate::subject::fit;

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Groups that exist even while nobody is in them.
    #[serde(default)]
    groups: BTreeSet<GroupName>,
    #[serde(default)]
    person: Unique<PersonName, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// `person` or `service`.
    #[serde(default)]
    kind: PersonKind,
    #[serde(default)]
    groups: BTreeSet<GroupName>,
    email: Option<String>,
    /// Public keys as in `id_ed25519.pub`.
    #[serde(default)]
    keys: Vec<String>,
    /// What a tracker calls this person.
    #[serde(default)]
    aliases: Unique<String, String>,
}

/// A human being or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonKind {
    /// A human being.
    #[default]
    Person,
    /// A program.
    Service,
}

/// A person or service.
#[derive(Debug, Clone)]
pub struct Person {
    /// The name.
    pub name: PersonName,
    /// Human or program.
    pub kind: PersonKind,
    /// The groups.
    pub groups: BTreeSet<GroupName>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The public keys.
    pub keys: Vec<KeyData>,
    /// Names by tracker.
    pub aliases: BTreeMap<String, String>,
}

/// What only has to be known while the files are read.
#[derive(Default)]
struct Known<'f> {
    files: BTreeMap<PersonName, &'f Path>,
    aliases: HashMap<(String, String), PersonName>,
}

/// Everybody, by name and by key.
#[derive(Debug, Clone, Default)]
pub struct People {
    all: BTreeMap<PersonName, Person>,
    groups: BTreeSet<GroupName>,
    by_key: HashMap<Vec<u8>, PersonName>,
}

impl People {
    /// Reads all files of people.
    pub fn read(files: &[Text]) -> Result<Self, ConfigError> {
        let mut people = Self::default();
        let mut known = Known::default();
        for file in files {
            people.add(file, &mut known)?;
        }
        Ok(people)
    }

    /// Reads one file.
    fn add<'f>(&mut self, file: &'f Text, known: &mut Known<'f>) -> Result<(), ConfigError> {
        let people = self;
        let path = &file.path;
        let File { groups, person } = super::parse_either(file)?;
        people.groups.extend(groups);
        for (name, entry) in person.0 {
            let say = |why: String| ConfigError::in_file(path, &format!("person {name}: {why}"));
            if let Some(other) = known.files.insert(name.clone(), path) {
                return Err(say(format!("is in {} too", other.display())));
            }
            let mut keys = Vec::new();
            for line in &entry.keys {
                let key = PublicKey::from_openssh(line)
                    .map_err(|why| say(format!("{line:?} is no public key: {why}")))?;
                let key = key.key_data().clone();
                fit(&key).map_err(|why| say(why.to_string()))?;
                let blob = key_blob(&key).map_err(|why| say(why.to_string()))?;
                if let Some(other) = people.by_key.insert(blob, name.clone()) {
                    return Err(say(format!(
                        "the key {} is {other}'s: a key belongs to one person",
                        crate::certificate::fingerprint(&key)
                    )));
                }
                keys.push(key);
            }
            for (tracker, alias) in &entry.aliases.0 {
                let alias_of = (tracker.clone(), alias.clone());
                if let Some(other) = known.aliases.insert(alias_of, name.clone()) {
                    return Err(say(format!(
                        "{tracker} calls {other} {alias:?} too: an alias belongs to one person"
                    )));
                }
            }
            people.groups.extend(entry.groups.iter().cloned());
            let Entry { kind, groups, email, aliases: Unique(aliases), .. } = entry;
            people.all.insert(name.clone(), Person { name, kind, groups, email, keys, aliases });
        }
        Ok(())
    }

    /// The person of this name.
    pub fn get(&self, name: &PersonName) -> Option<&Person> {
        self.all.get(name)
    }

    /// Everybody, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Person> {
        self.all.values()
    }

    /// Every group that exists.
    pub fn groups(&self) -> &BTreeSet<GroupName> {
        &self.groups
    }

    /// Whose key this is.
    pub fn owner(&self, key: &KeyData) -> Option<&PersonName> {
        self.by_key.get(&key_blob(key).ok()?)
    }

    /// Who an assignee is: the person whose alias in this tracker it is, or, where the tracker knows people
    /// by their names here (`names`), whose name it is. Never a display name.
    pub fn assignee(&self, tracker: &str, who: &str, names: bool) -> Option<&PersonName> {
        let aliased = self
            .all
            .values()
            .find(|person| person.aliases.get(tracker).is_some_and(|alias| alias == who));
        let named = || {
            let mut unaliased =
                self.all.values().filter(|person| !person.aliases.contains_key(tracker));
            unaliased.find(|person| person.name.as_str() == who).filter(|_| names)
        };
        aliased.or_else(named).map(|person| &person.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mallory takes the free user name `ana` in the tracker, and assigns the ticket to herself.
    #[test]
    fn whoever_is_called_ana_elsewhere_is_not_ana() {
        let text = "[person.ana]\nkeys = []\naliases = { jira = \"5f1a\" }\n\
                    [person.bob]\nkeys = []\n";
        let (path, name) = ("people.toml".into(), "people.toml".to_owned());
        let people = People::read(&[Text { path, name, text: text.to_owned() }]).unwrap();
        let who = |tracker: &str, called: &str, names| {
            people.assignee(tracker, called, names).map(PersonName::as_str)
        };
        assert_eq!(who("jira", "5f1a", false), Some("ana"));
        assert_eq!((who("jira", "ana", false), who("rt", "ana", false)), (None, None));
        assert_eq!((who("rt", "bob", false), who("rt", "5f1a", false)), (None, None));
        // In the folder of files the names are our own; who has an alias there goes by that alone.
        assert_eq!(
            (who("tickets", "bob", true), who("tickets", "ana", true)),
            (Some("bob"), Some("ana"))
        );
        assert_eq!(who("jira", "ana", true), None);
    }
}
