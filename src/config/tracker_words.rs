//! `[[tracker]]` as it is written, in `ca.toml` and in a preset: everything may be left out, and what
//! `ca.toml` says stands above what the preset says, table by table and key by key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use super::base::{Authority, Base};
use super::pointer::Pointer;
use super::presets;
use super::template::Template;
use super::ticket_id::TicketPattern;
use super::ticket_url::TicketUrl;
use super::tracker_http::{Check, Follow, Says, States};
use crate::certificate::cidr::Cidr;
use crate::certificate::names::HostName;
use crate::certificate::time::Span;

/// All keys that any kind has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    pub(super) name: HostName,
    pub(super) kind: KindWord,
    #[serde(default)]
    pub(super) ids: Vec<TicketPattern>,
    pub(super) url: Option<TicketUrl>,
    pub(super) poll: Option<Span>,
    pub(super) path: Option<PathBuf>,
    pub(super) command: Option<Vec<String>>,
    pub(super) asks: Option<BTreeSet<Asked>>,
    pub(super) preset: Option<PresetName>,
    base: Option<Base>,
    deadline: Option<Span>,
    at_once: Option<usize>,
    redirects: Option<Vec<Authority>>,
    networks: Option<Vec<Cidr>>,
    ca_file: Option<PathBuf>,
    auth: Option<AuthWords>,
    headers: Option<BTreeMap<String, String>>,
    read: Option<ReadWords>,
    fields: Option<FieldWords>,
    states: Option<States>,
    hosts: Option<HostWords>,
    follow: Option<Vec<Follow>>,
    check: Option<Check>,
    search: Option<SearchWords>,
    pub(super) write: Option<WriteWords>,
}

/// The kinds of trackers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum KindWord {
    Folder,
    Http,
    Command,
}

/// What a command can be asked besides `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asked {
    /// A ticket: always.
    Read,
    /// Somebody's open tickets.
    OpenOf,
    /// To write a comment.
    Comment,
}

/// The name of a preset that there is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct PresetName(pub(super) String);

impl TryFrom<String> for PresetName {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        presets::text(&name).map(|_| Self(name))
    }
}

/// The keys of `kind = "http"`, which a preset has too.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpWords {
    pub(super) base: Option<Base>,
    pub(super) deadline: Option<Span>,
    pub(super) at_once: Option<usize>,
    pub(super) redirects: Option<Vec<Authority>>,
    pub(super) networks: Option<Vec<Cidr>>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) auth: Option<AuthWords>,
    pub(super) headers: Option<BTreeMap<String, String>>,
    pub(super) read: Option<ReadWords>,
    pub(super) fields: Option<FieldWords>,
    pub(super) states: Option<States>,
    pub(super) hosts: Option<HostWords>,
    pub(super) follow: Option<Vec<Follow>>,
    pub(super) check: Option<Check>,
    pub(super) search: Option<SearchWords>,
    pub(super) write: Option<WriteWords>,
}

/// `[tracker.auth]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthWords {
    pub(super) bearer: Option<PathBuf>,
    pub(super) basic: Option<BasicWords>,
    pub(super) header: Option<HeaderWords>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BasicWords {
    pub(super) user: String,
    pub(super) password: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderWords {
    pub(super) name: String,
    pub(super) value: PathBuf,
    #[serde(default)]
    pub(super) prefix: String,
}

/// `[tracker.read]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadWords {
    pub(super) request: Option<Template>,
    pub(super) found: Option<Pointer>,
    pub(super) absent: Option<BTreeSet<u16>>,
    pub(super) hidden: Option<BTreeSet<u16>>,
}

/// `[tracker.fields]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldWords {
    pub(super) id: Option<Pointer>,
    pub(super) title: Option<Pointer>,
    pub(super) state: Option<Pointer>,
    pub(super) said: Option<Pointer>,
    pub(super) assignee: Option<Pointer>,
    pub(super) priority: Option<Pointer>,
    pub(super) labels: Option<Pointer>,
    pub(super) hosts: Option<Pointer>,
    pub(super) window_from: Option<Pointer>,
    pub(super) window_until: Option<Pointer>,
    pub(super) key: Option<Pointer>,
}

/// `[tracker.hosts]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostWords {
    pub(super) label: Option<String>,
}

/// `[tracker.search]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchWords {
    pub(super) request: Option<Template>,
    pub(super) ids: Option<Pointer>,
    pub(super) form: Option<String>,
}

/// `[tracker.write]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteWords {
    pub(super) method: Option<Method>,
    pub(super) request: Option<Template>,
    #[serde(rename = "type")]
    pub(super) content: Option<WriteType>,
    pub(super) body: Option<String>,
    pub(super) done: Option<BTreeSet<u16>>,
    pub(super) says: Option<Says>,
    pub(super) on: Option<BTreeSet<Occasion>>,
}

impl WriteWords {
    /// What is told, where nothing else is to be said: in a folder.
    pub(super) fn only_on(self) -> Result<BTreeSet<Occasion>, String> {
        match self {
            Self {
                method: None,
                request: None,
                content: None,
                body: None,
                done: None,
                says: None,
                on,
            } => Ok(on.unwrap_or_else(|| Occasion::ALL.into())),
            _ => Err("write has on and nothing else in this kind of tracker".to_owned()),
        }
    }
}

/// The methods that write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `POST`.
    #[default]
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
}

impl Method {
    /// As it is sent.
    pub fn word(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }
}

/// What a comment's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum WriteType {
    /// JSON, in which `{text}` is a string with its quotes.
    #[default]
    #[serde(rename = "application/json")]
    Json,
    /// Text, in which `{text}` is the text.
    #[serde(rename = "text/plain")]
    Text,
}

impl WriteType {
    /// As it is sent.
    pub fn word(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

/// What a ticket is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// A grant for this ticket.
    Grant,
    /// The end of a grant.
    End,
}

impl Occasion {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Grant, Self::End];
}

impl Words {
    /// The keys that only `kind = "http"` has; the name of one that is there, for the other kinds.
    pub(super) fn http(self) -> (HttpWords, Option<&'static str>) {
        let there = [
            ("base", self.base.is_some()),
            ("redirects", self.redirects.is_some()),
            ("networks", self.networks.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("auth", self.auth.is_some()),
            ("headers", self.headers.is_some()),
            ("read", self.read.is_some()),
            ("fields", self.fields.is_some()),
            ("states", self.states.is_some()),
            ("hosts", self.hosts.is_some()),
            ("follow", self.follow.is_some()),
            ("check", self.check.is_some()),
            ("search", self.search.is_some()),
            ("write", self.write.is_some()),
            ("preset", self.preset.is_some()),
        ];
        let first = there.into_iter().find(|(_, there)| *there).map(|(name, _)| name);
        let words = HttpWords {
            base: self.base,
            deadline: self.deadline,
            at_once: self.at_once,
            redirects: self.redirects,
            networks: self.networks,
            ca_file: self.ca_file,
            auth: self.auth,
            headers: self.headers,
            read: self.read,
            fields: self.fields,
            states: self.states,
            hosts: self.hosts,
            follow: self.follow,
            check: self.check,
            search: self.search,
            write: self.write,
        };
        (words, first)
    }
}
