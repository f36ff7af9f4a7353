//! `hallpass import`: people and hosts that somebody else has a list of, as TOML for `people.d` or
//! `hosts.d`. It is printed, not put in its place: whoever imports reads it first.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::ca::Ca;
use super::hosts::Hosts;
use super::people::People;
use super::snapshot::{Snapshot, Text};
use super::{ConfigError, Deciding, inventory, tables};
use crate::certificate::names::{GroupName, HostName, Login, PersonName, TagName};

/// What is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// For `people.d`.
    People,
    /// For `hosts.d`.
    Hosts,
}

/// What the list looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Comma-separated values with a head line.
    Csv,
    /// JSON as in `people.d` and `hosts.d`.
    Json,
    /// What `ansible-inventory --list` prints.
    Ansible,
    /// What `terraform output -json` prints.
    Terraform,
}

/// A list to import, and what to add to each of its entries.
#[derive(Debug)]
pub struct Import {
    /// People or hosts.
    pub what: What,
    /// What it looks like.
    pub form: Form,
    /// What it is called in errors and in the comment above.
    pub name: String,
    /// What it says.
    pub text: String,
    /// Whether capital letters in names and tags become small ones.
    pub lower_case: bool,
    /// Groups that each person gets.
    pub groups: Vec<GroupName>,
    /// Tags that each host gets.
    pub tags: Vec<TagName>,
    /// Accounts that each host gets.
    pub logins: Vec<Login>,
    /// The file that what is printed is to replace.
    pub replaces: Option<PathBuf>,
}

/// The file that has what is imported already.
const HOLDER: &str = "FILE, where what is printed is to take the place of that file";

/// What an import gives.
#[derive(Debug)]
pub struct Imported {
    /// The TOML.
    pub toml: String,
    /// How many people or hosts.
    pub entries: usize,
    /// What was passed over, for whoever expects it there.
    pub passed_over: Vec<String>,
}

/// An entry of a list: where it is, what it is called, its fields as the files have them.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) place: String,
    pub(super) name: String,
    pub(super) fields: Map<String, Value>,
}

/// A list that was read.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// Groups or tags that exist even while nobody has them.
    pub(super) known: Vec<String>,
    pub(super) passed_over: Vec<String>,
}

impl What {
    /// The fields of an entry that are lists.
    pub(super) fn lists(self) -> &'static [&'static str] {
        match self {
            Self::People => &["groups", "keys"],
            Self::Hosts => &["addresses", "aliases", "tags", "accounts", "host_keys"],
        }
    }

    /// The fields that are text.
    pub(super) fn texts(self) -> &'static [&'static str] {
        match self {
            Self::People => &["kind", "email"],
            Self::Hosts => &["owner", "principals", "via"],
        }
    }

    /// The fields that are yes or no.
    pub(super) fn flags(self) -> &'static [&'static str] {
        match self {
            Self::People => &[],
            Self::Hosts => &["pool", "host_certificate"],
        }
    }

    /// The table that an entry is in.
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::People => "person",
            Self::Hosts => "host",
        }
    }
}

impl Import {
    /// Reads the list and holds it against the rest of the configuration.
    ///
    /// # Errors
    /// What the first thing is that is wrong, and where. Then there is nothing to print.
    pub fn run(&self, ca: &Ca) -> Result<Imported, ConfigError> {
        let say = |why: String| ConfigError::new(format!("{}: {why}", self.name));
        let mut read = match self.form {
            Form::Csv => tables::csv(self.what, &self.text).map_err(say)?,
            Form::Json => tables::json(self.what, &self.text).map_err(say)?,
            Form::Ansible => inventory::ansible(self.what, &self.text).map_err(say)?,
            Form::Terraform => inventory::terraform(self.what, &self.text).map_err(say)?,
        };
        if read.rows.is_empty() {
            return Err(say("there is nobody and nothing in it".to_owned()));
        }
        let mut toml = format!("# From {}, by hallpass import.\n", one_line(&self.name));
        if !read.known.is_empty() {
            let list = if self.what == What::People { "groups" } else { "tags" };
            toml += &format!("{list} = {}\n", quoted(&read.known.into()));
        }
        let mut names = std::collections::BTreeMap::new();
        for row in &mut read.rows {
            self.complete(row);
            let place = format!("{}, {}", self.name, row.place);
            let wrong = |why: &dyn std::fmt::Display| ConfigError::new(format!("{place}: {why}"));
            if let Err(why) = self.named(&row.name) {
                let lower = row.name.to_lowercase();
                let hint = if lower != row.name && self.named(&lower).is_ok() {
                    "; --lower-case makes capital letters small"
                } else {
                    ""
                };
                return Err(wrong(&format!("{:?} is {why}{hint}", row.name)));
            }
            if let Some(other) = names.insert(row.name.clone(), row.place.clone()) {
                return Err(wrong(&format!("{} is there twice, first in {other}", row.name)));
            }
            let entry = entry(self.what, row);
            // By itself first: then what is wrong is said of its line.
            let alone =
                Text { path: PathBuf::from(&place), name: String::new(), text: entry.clone() };
            match self.what {
                What::People => People::read(&[alone]).map(drop),
                What::Hosts => Hosts::read_alone(&alone),
            }?;
            toml.push('\n');
            toml += &entry;
        }
        let path = PathBuf::from(format!("{} (imported)", self.name));
        self.fits(ca, Text { path, name: self.name.clone(), text: toml.clone() })?;
        Ok(Imported { toml, entries: read.rows.len(), passed_over: read.passed_over })
    }

    /// Whether the configuration is valid with what was imported.
    fn fits(&self, ca: &Ca, text: Text) -> Result<(), ConfigError> {
        // Whoever imports changes the files: they are not yet what a list of sums says.
        let mut ca = ca.clone();
        ca.files.sums = None;
        let mut files = Snapshot::take(&ca)?;
        let texts = if self.what == What::People { &mut files.people } else { &mut files.hosts };
        let before = texts.len();
        if let Some(replaced) = &self.replaces {
            let same = |text: &Text| same_file(&text.path, replaced);
            texts.retain(|text| !same(text));
        }
        let replaces_none = texts.len() == before;
        texts.push(text);
        let parsed = Deciding::parse(&ca, &files).map(drop);
        parsed.map_err(|why| match replaces_none && why.to_string().ends_with(" too") {
            true => ConfigError::new(format!("{why}\nhint: --replaces {HOLDER}")),
            false => why,
        })
    }

    fn named(&self, name: &str) -> Result<(), crate::certificate::names::BadName> {
        match self.what {
            What::People => name.parse::<PersonName>().map(drop),
            What::Hosts => name.parse::<HostName>().map(drop),
        }
    }

    /// Adds what each entry gets, and makes letters small where that was asked for. Accounts stay as they
    /// are: on a server `Deploy` is not `deploy`.
    fn complete(&self, row: &mut Row) {
        let text = |all: &[String]| all.iter().cloned().map(Value::from).collect::<Vec<_>>();
        let strings = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>();
        let more = match self.what {
            What::People => {
                vec![("groups", strings(&mut self.groups.iter().map(ToString::to_string)))]
            }
            What::Hosts => vec![
                ("tags", strings(&mut self.tags.iter().map(ToString::to_string))),
                ("accounts", strings(&mut self.logins.iter().map(ToString::to_string))),
            ],
        };
        for (field, more) in more.into_iter().filter(|(_, more)| !more.is_empty()) {
            let list = row.fields.entry(field).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.extend(text(&more));
            }
        }
        if self.lower_case {
            row.name = row.name.to_lowercase();
            for field in ["addresses", "aliases", "tags", "groups", "owner", "via"] {
                match row.fields.get_mut(field) {
                    Some(Value::String(text)) => *text = text.to_lowercase(),
                    Some(Value::Array(list)) => list.iter_mut().for_each(|one| {
                        if let Value::String(text) = one {
                            *text = text.to_lowercase();
                        }
                    }),
                    _ => {}
                }
            }
        }
        for field in self.what.lists() {
            if let Some(Value::Array(list)) = row.fields.get_mut(*field) {
                let mut seen = Vec::new();
                list.retain(|one| {
                    let new = !seen.contains(one);
                    seen.push(one.clone());
                    new
                });
            }
        }
    }
}

/// One table of TOML.
fn entry(what: What, row: &Row) -> String {
    let mut text = format!("[{}.{}]\n", what.table(), quoted(&row.name.as_str().into()));
    let order = [what.lists(), what.texts(), what.flags()].concat();
    let mut fields: Vec<(&String, &Value)> = row.fields.iter().collect();
    fields.sort_by_key(|(field, _)| {
        (order.iter().position(|known| known == field).unwrap_or(order.len()), *field)
    });
    for (field, value) in fields {
        let list = what.lists().contains(&field.as_str());
        if !(list && value.as_array().is_some_and(Vec::is_empty)) {
            text += &format!("{field} = {}\n", quoted(value));
        }
    }
    text
}

/// A value in TOML. JSON's escapes are a part of TOML's, and so are its lists; a null is nothing that
/// TOML has, and is not taken when it is read again.
fn quoted(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            format!("[{}]", list.iter().map(quoted).collect::<Vec<_>>().join(", "))
        }
        Value::Object(table) => {
            let pair = |(key, value): (&String, &Value)| {
                format!("{} = {}", quoted(&key.as_str().into()), quoted(value))
            };
            format!("{{ {} }}", table.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A name in a comment stays in it.
fn one_line(name: &str) -> String {
    crate::certificate::safe::Safe(name).to_string()
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
