//! `[webhook]` of `ca.toml`: who may set freezes over HTTP.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::certificate::names::{FreezeName, TagName};
use crate::certificate::time::Span;

/// Where webhooks are heard, and from whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The address: of this machine alone. What is sent from elsewhere comes over a proxy that ends TLS.
    pub listen: SocketAddr,
    /// Who may send.
    #[serde(default)]
    pub from: Vec<Sender>,
}

/// One that may send. Who has its token can stop what policy lets a freeze stop, on the hosts of its tags.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sender {
    /// Its name; its freezes are called `NAME.`...
    pub name: FreezeName,
    /// A secret file with its token, which comes as `Authorization: Bearer`.
    pub token: PathBuf,
    /// The tags it may freeze; none for everything.
    #[serde(default)]
    pub tags: BTreeSet<TagName>,
    /// How long a freeze of its stands if it never says that it is over.
    #[serde(default = "Sender::default_longest")]
    pub longest: Span,
}

impl Sender {
    fn default_longest() -> Span {
        Span::secs(12 * 3600)
    }
}

impl Webhook {
    /// The paths in it, which are relative to the folder of `ca.toml`.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.from.iter_mut().map(|sender| &mut sender.token)
    }

    /// What is wrong with it, if anything is.
    pub(super) fn mistake(&self) -> Option<String> {
        if !self.listen.ip().is_loopback() {
            return Some(format!(
                "webhook.listen is {}: tokens must not cross a network in clear; listen on 127.0.0.1 and \
                 put a proxy with TLS in front",
                self.listen
            ));
        }
        for (at, sender) in self.from.iter().enumerate() {
            if self.from.iter().take(at).any(|other| other.name == sender.name) {
                return Some(format!("webhook.from {} is there twice", sender.name));
            }
            if sender.longest.as_secs() == 0 {
                return Some(format!("webhook.from {}: longest is 0", sender.name));
            }
        }
        None
    }
}
