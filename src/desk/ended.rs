//! Grants that ended before their time: remembered for as long as they would have lived, so that nothing
//! comes of them any more and their people are told why.

use std::collections::HashMap;

use serde::Deserialize;

use super::outcome::LiveGrant;
use crate::certificate::names::{PersonName, RequestId};
use crate::certificate::time::UnixTime;
use crate::ledger::record::Bar;

/// A grant that ended before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedGrant {
    /// What it was.
    pub grant: LiveGrant,
    /// Whose.
    pub person: PersonName,
    /// When it ended.
    pub at: UnixTime,
    /// Why, as a sentence.
    pub because: String,
}

/// All of them, by the request that they were made for.
#[derive(Debug, Default)]
pub struct EndedGrants(HashMap<RequestId, Vec<EndedGrant>>);

/// What is read of a certificate's facts.
#[derive(Deserialize)]
struct Of {
    request: RequestId,
}

impl EndedGrants {
    /// Takes one in.
    pub(super) fn push(&mut self, ended: EndedGrant) {
        self.0.entry(ended.grant.request.clone()).or_default().push(ended);
    }

    /// The first grant of a request that ended. A request has one ticket: with it all of them did.
    pub(super) fn of(&self, request: &RequestId) -> Option<&EndedGrant> {
        self.0.get(request)?.first()
    }

    /// A person's, the latest first.
    pub(super) fn person(&self, person: &PersonName, now: UnixTime) -> Vec<EndedGrant> {
        let all = self.0.values().flatten();
        let mut own: Vec<EndedGrant> =
            all.filter(|one| one.person == *person && one.grant.ends > now).cloned().collect();
        own.sort_by(|a, b| (b.at, &b.grant.request).cmp(&(a.at, &a.grant.request)));
        own
    }

    /// What stands against a certificate of an ended grant, from its facts: what the ledger's writer asks
    /// right before COMMIT.
    pub fn against_facts(&self, facts: &[u8]) -> Option<Bar> {
        if self.0.is_empty() {
            return None;
        }
        match serde_json::from_slice::<Of>(facts) {
            Ok(Of { request }) => {
                let ended = self.of(&request)?;
                Some(Bar { why: ended.sentence(), hint: ended.hint() })
            }
            // What cannot be read cannot be shown to be of a grant that lives.
            Err(_) => Some(Bar {
                why: "the facts cannot be held against the grants that ended".to_owned(),
                hint: "ssh ca status".to_owned(),
            }),
        }
    }

    /// Drops those that would have ended by now.
    pub(super) fn forget(&mut self, now: UnixTime) {
        self.0.retain(|_, all| {
            all.retain(|one| one.grant.ends > now);
            !all.is_empty()
        });
    }

    /// Nothing is known of any grant any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl EndedGrant {
    /// As whoever is told at that moment reads it: `ticket OPS-7 is resolved; grant r... ended`.
    pub(super) fn sentence(&self) -> String {
        format!("{}; grant {} ended", self.because, self.grant.request)
    }

    /// As whoever asks later reads it.
    pub fn told(&self) -> String {
        format!("grant {} ended at {}: {}", self.grant.request, self.at, self.because)
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        let account = self.grant.accounts.first().map_or("LOGIN@HOST", String::as_str);
        format!("name a ticket that is open: ssh ca {account} TICKET")
    }
}
