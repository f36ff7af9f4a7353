//! `person add` and `host add`: edits of a trial's files that are whole or not at all.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::ca::{Ca, Managed};
use super::snapshot::Snapshot;
use super::{ConfigError, Deciding};
use crate::certificate::names::{GroupName, HostName, Login, PersonName, TagName};

/// A person to add.
#[derive(Debug)]
pub struct NewPerson {
    /// The name.
    pub name: PersonName,
    /// A program, not a human being.
    pub service: bool,
    /// Groups.
    pub groups: Vec<GroupName>,
    /// The e-mail address.
    pub email: Option<String>,
    /// Public keys, one line each.
    pub keys: Vec<String>,
}

/// A host to add.
#[derive(Debug)]
pub struct NewHost {
    /// The canonical name.
    pub name: HostName,
    /// Addresses.
    pub addresses: Vec<String>,
    /// Other names.
    pub aliases: Vec<String>,
    /// Tags.
    pub tags: Vec<TagName>,
    /// Accounts.
    pub accounts: Vec<Login>,
    /// Public host keys, one line each.
    pub host_keys: Vec<String>,
    /// The group that owns it.
    pub owner: Option<GroupName>,
}

/// Adds a person to `people.toml`.
pub fn add_person(ca: &Ca, new: &NewPerson) -> Result<(), ConfigError> {
    ours(ca, "people")?;
    // What is wrong without the newcomer may be right with it: a policy that was written first.
    if let Ok(before) = Deciding::load(ca)
        && let Some(person) = before.people.get(&new.name)
    {
        let what = format!("{} is there already; add a key to it in the file", person.name);
        return Err(ConfigError::in_file(&ca.files.people, &what));
    }
    let mut table = format!("\n[person.{}]\n", quoted(&new.name));
    if new.service {
        table += "kind = \"service\"\n";
    }
    table += &list("groups", &new.groups);
    if let Some(email) = &new.email {
        table += &format!("email = {}\n", quoted(email));
    }
    table += &list("keys", &new.keys);
    append(ca, &ca.files.people, &table)
}

/// Adds a host to `hosts.toml`.
pub fn add_host(ca: &Ca, new: &NewHost) -> Result<(), ConfigError> {
    ours(ca, "hosts")?;
    if let Ok(before) = Deciding::load(ca)
        && let Some(host) = before.hosts.iter().find(|host| host.name == new.name)
    {
        let what = format!("{} is there already; change it in the file", new.name);
        return Err(ConfigError::in_file(&host.file, &what));
    }
    let mut table = format!("\n[host.{}]\n", quoted(&new.name));
    table += &list("addresses", &new.addresses);
    table += &list("aliases", &new.aliases);
    table += &list("tags", &new.tags);
    table += &list("accounts", &new.accounts);
    table += &list("host_keys", &new.host_keys);
    if let Some(owner) = &new.owner {
        table += &format!("owner = {}\n", quoted(owner));
    }
    append(ca, &ca.files.hosts, &table)
}

/// Appends a table to one of the files, if the whole configuration is valid with it.
fn append(ca: &Ca, path: &Path, table: &str) -> Result<(), ConfigError> {
    // Two edits at once: the second reads what the first wrote.
    let lock = File::open(path).map_err(|why| ConfigError::in_file(path, &why.to_string()))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|why| ConfigError::in_file(path, &why.to_string()))?;
    let mut files = Snapshot::take(ca)?;
    let kind = if path == ca.files.people { &mut files.people } else { &mut files.hosts };
    // The first is the file itself, what follows is in the folder beside it.
    let Some(main) = kind.first_mut() else { return Ok(()) };
    main.text.push_str(table);
    let whole = main.text.clone();
    Deciding::parse(ca, &files)?;
    replace(path, whole.as_bytes()).map_err(|why| ConfigError::in_file(path, &why.to_string()))
}

/// Files that are deployed from elsewhere are not edited here: the next deployment would undo it.
fn ours(ca: &Ca, what: &str) -> Result<(), ConfigError> {
    let kept = match (&ca.files.managed, &ca.files.sums) {
        (Some(Managed::Git), _) => "Git (managed = \"git\")".to_owned(),
        (None, Some(list)) => format!("what {} lists", list.display()),
        (None, None) => return Ok(()),
    };
    Err(ConfigError::in_file(
        &ca.source.path,
        &format!(
            "{what} are kept in {kept}: change them there, deploy, and run hallpass reload; \
             hallpass import {what} FILE prints what belongs into {what}.d"
        ),
    ))
}

/// Puts a file in place of another by rename: a reader sees the old or the new one, whole, and after
/// a crash there is one of the two.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mode = std::fs::metadata(path).map_or(0o600, |meta| meta.permissions().mode() & 0o777);
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(dir)?.sync_all()
}

/// A TOML list, nothing for an empty one.
fn list<T: Display>(name: &str, items: &[T]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: Vec<String> = items.iter().map(quoted).collect();
    format!("{name} = [{}]\n", items.join(", "))
}

/// A TOML basic string; JSON's escapes are a part of TOML's.
fn quoted(text: &impl Display) -> String {
    serde_json::Value::from(text.to_string()).to_string()
}
