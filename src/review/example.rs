//! Moments for the tests, made of texts: a team that is smaller than the example's.

use std::path::PathBuf;

use super::moment::{Moment, Source};
use crate::certificate::time::UnixTime;
use crate::config::Deciding;
use crate::config::snapshot::{Snapshot, Text};
use crate::decide::{Policy, Saying};
use crate::desk::locks::Locks;
use crate::ledger::tree::Hash;

pub(super) const POLICY: &str = include_str!("../../tests/policy/small/policy.cedar");
pub(super) const PEOPLE: &str = include_str!("../../tests/policy/small/people.toml");
pub(super) const HOSTS: &str = include_str!("../../tests/policy/small/hosts.toml");

/// These files, without locks.
pub(super) fn moment(policy: &str, people: &str, hosts: &str) -> Moment {
    let text = |name: &str, text: &str| Text {
        path: PathBuf::from(name),
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let read = Snapshot {
        policy: text("policy.cedar", policy),
        hours: None,
        people: vec![text("people.toml", people)],
        hosts: vec![text("hosts.toml", hosts)],
        unread: Vec::new(),
        signed: None,
    };
    let deciding = match Deciding::of(&read, Policy::groups_in(policy), Saying::default()) {
        Ok(deciding) => deciding,
        Err(why) => panic!("{why}"),
    };
    let texts =
        ["policy", "people", "hosts"].map(|kind| (kind, Hash::of(kind.as_bytes()), Some(3)));
    let source = Source { name: "a test".to_owned(), time: UnixTime::from_secs(0), texts };
    Moment { deciding, locks: Locks::default(), source }
}
