//! `[[on_call]]` of `ca.toml`: groups that people are in while it is their shift.

use std::path::PathBuf;

use serde::Deserialize;

use crate::certificate::names::{GroupName, HostName};
use crate::certificate::time::Span;

/// A group, and where it is written whose shift it is. Who can change that decides who is in the group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnCall {
    /// The group, as policy names it: `Group::"on-call-db"`.
    pub group: GroupName,
    /// A rota as a TOML file; one of the two.
    pub rota: Option<PathBuf>,
    /// A calendar (RFC 5545): a file, or what is at an `https://` address; one of the two.
    pub calendar: Option<Calendar>,
    /// A file with the token that the calendar's address is asked with (`Authorization: Bearer`).
    pub token: Option<PathBuf>,
    /// A file with the authorities that vouch for the calendar's address; the system's, if it is not said.
    pub ca_file: Option<PathBuf>,
    /// What the calendar's provider calls people, by the name it has in their `aliases`; their e-mail
    /// addresses are tried first.
    pub aliases: Option<HostName>,
    /// How often it is read.
    #[serde(default = "OnCall::default_every")]
    pub every: Span,
    /// How long what was read counts when it cannot be read again; then nobody is on call.
    #[serde(default = "OnCall::default_stale")]
    pub stale: Span,
}

/// Where a calendar is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Calendar {
    /// A file.
    File(PathBuf),
    /// An address.
    Address(String),
}

impl From<String> for Calendar {
    fn from(text: String) -> Self {
        if text.contains("://") { Self::Address(text) } else { Self::File(text.into()) }
    }
}

impl OnCall {
    fn default_every() -> Span {
        Span::secs(60)
    }

    fn default_stale() -> Span {
        Span::secs(3600)
    }

    /// The paths in it, which are relative to the folder of `ca.toml`.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let calendar = match &mut self.calendar {
            Some(Calendar::File(path)) => Some(path),
            Some(Calendar::Address(_)) | None => None,
        };
        self.rota.iter_mut().chain(calendar).chain(&mut self.token).chain(&mut self.ca_file)
    }
}

/// What is wrong with them, if anything is.
pub(super) fn mistake(all: &[OnCall]) -> Option<String> {
    for (at, one) in all.iter().enumerate() {
        let group = &one.group;
        let say = |what: &str| Some(format!("on_call {group}: {what}"));
        if all.iter().take(at).any(|other| other.group == *group) {
            return say("is there twice");
        }
        match (&one.rota, &one.calendar) {
            (None, None) => return say("say where the shifts are: rota = FILE or calendar = FILE"),
            (Some(_), Some(_)) => return say("has a rota and a calendar: one of them decides"),
            (_, Some(Calendar::Address(address))) if !address.starts_with("https://") => {
                let loopback =
                    ["http://127.", "http://[::1]"].iter().any(|start| address.starts_with(start));
                if !loopback {
                    return say("a calendar's address begins with https://");
                }
            }
            _ => {}
        }
        let for_addresses = one.token.is_some() || one.ca_file.is_some();
        if for_addresses && !matches!(one.calendar, Some(Calendar::Address(_))) {
            return say("token and ca_file are for a calendar at an address");
        }
        if one.every.as_secs() == 0 || one.stale < one.every {
            return say("every is at least 1s, and stale no shorter than every");
        }
    }
    None
}
