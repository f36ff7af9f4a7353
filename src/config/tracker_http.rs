//! The mapping of a tracker that speaks HTTP and JSON: what is asked, and where in the answer is what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use super::base::{Authority, Base};
use super::pointer::Pointer;
use super::template::Template;
use super::tracker::Limits;
use super::tracker_words::{Method, Occasion, WriteType};
use crate::certificate::cidr::Cidr;

/// An HTTP tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where it is.
    pub base: Base,
    /// How long a call may take, and how many at a time.
    pub limits: Limits,
    /// Which hosts a redirect may lead to.
    pub redirects: Vec<Authority>,
    /// Where its addresses may be; anywhere if empty.
    pub networks: Vec<Cidr>,
    /// The authorities that vouch for it, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How the CA says who it is.
    pub auth: Option<Auth>,
    /// Headers that are no secret.
    pub headers: BTreeMap<String, String>,
    /// The request for a ticket.
    pub read: Read,
    /// Where in its answer is what.
    pub fields: Fields,
    /// What its words for states mean.
    pub states: States,
    /// The prefix of labels that name hosts.
    pub host_label: Option<String>,
    /// Second requests.
    pub follow: Vec<Follow>,
    /// The request that proves that the credentials are accepted.
    pub check: Option<Check>,
    /// The request for somebody's open tickets.
    pub search: Option<Search>,
    /// The request that writes a comment.
    pub write: Option<Write>,
}

/// How the CA says who it is; each secret in a file that others cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer ...`.
    Bearer(PathBuf),
    /// `Authorization: Basic ...`.
    Basic {
        /// The user.
        user: String,
        /// Its password, or token.
        password: PathBuf,
    },
    /// A header of the tracker's own.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: PathBuf,
        /// What stands before the value.
        prefix: String,
    },
}

impl Auth {
    /// The file with the secret.
    pub fn file(&self) -> &PathBuf {
        match self {
            Self::Bearer(file)
            | Self::Basic { password: file, .. }
            | Self::Header { value: file, .. } => file,
        }
    }

    pub(super) fn file_mut(&mut self) -> &mut PathBuf {
        match self {
            Self::Bearer(file)
            | Self::Basic { password: file, .. }
            | Self::Header { value: file, .. } => file,
        }
    }
}

/// The request for a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Its address.
    pub request: Template,
    /// What is there if there is such a ticket, where a search answers with an empty list.
    pub found: Option<Pointer>,
    /// Statuses that say that there is none.
    pub absent: BTreeSet<u16>,
    /// Statuses that say that the CA may not see it.
    pub hidden: BTreeSet<u16>,
}

/// Where in the answer is what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// The id, which must be the one that was asked for.
    pub id: Pointer,
    /// The state.
    pub state: Pointer,
    /// The rest, each where it is said.
    pub title: Option<Pointer>,
    /// What people see as the state.
    pub said: Option<Pointer>,
    /// Whom it is assigned to.
    pub assignee: Option<Pointer>,
    /// The priority.
    pub priority: Option<Pointer>,
    /// The labels.
    pub labels: Option<Pointer>,
    /// The hosts.
    pub hosts: Option<Pointer>,
    /// From when the work may be done.
    pub window_from: Option<Pointer>,
    /// Until when.
    pub window_until: Option<Pointer>,
    /// The tracker's own key, for `write`.
    pub key: Option<Pointer>,
}

/// What the tracker's words for states mean. A word in none of them is a fault.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct States {
    /// Work may go on.
    pub open: Vec<String>,
    /// Not started, or waiting.
    pub pending: Vec<String>,
    /// Done.
    pub closed: Vec<String>,
}

/// A second request, where the first gives only an id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follow {
    /// Whose value `{value}` is, and is replaced.
    pub field: Followed,
    /// Its address.
    pub request: Template,
    /// Where in its answer the value is.
    pub at: Pointer,
}

/// The fields that can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Followed {
    /// `title`.
    Title,
    /// `state`.
    State,
    /// `said`.
    Said,
    /// `assignee`.
    Assignee,
    /// `priority`.
    Priority,
    /// `window_from`.
    WindowFrom,
    /// `window_until`.
    WindowUntil,
}

/// The request that proves that the credentials are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its address.
    pub request: Template,
    /// What is there if they are.
    pub at: Pointer,
}

/// The request for somebody's open tickets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Its address.
    pub request: Template,
    /// Where in its answer the ids are.
    pub ids: Pointer,
    /// How an id is made of what is there.
    pub form: String,
}

/// The request that writes a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The method.
    pub method: Method,
    /// Its address.
    pub request: Template,
    /// What the body is.
    pub content: WriteType,
    /// The body, `{text}` standing for the comment.
    pub body: String,
    /// Statuses that say that it was taken.
    pub done: BTreeSet<u16>,
    /// What the answer must say besides.
    pub says: Option<Says>,
    /// What is told.
    pub on: BTreeSet<Occasion>,
}

/// What a tracker's answer must have, where a 200 may be a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Says {
    /// Where.
    pub at: Pointer,
    /// What is in the text there.
    pub has: String,
}

impl Fields {
    /// The pointer of a field that can be followed.
    pub fn of_followed(&self, field: Followed) -> Option<&Pointer> {
        match field {
            Followed::Title => self.title.as_ref(),
            Followed::State => Some(&self.state),
            Followed::Said => self.said.as_ref(),
            Followed::Assignee => self.assignee.as_ref(),
            Followed::Priority => self.priority.as_ref(),
            Followed::WindowFrom => self.window_from.as_ref(),
            Followed::WindowUntil => self.window_until.as_ref(),
        }
    }
}
