//! What the desk writes into the ledger besides certificates: refusals, bounded, and which texts decide.

use std::sync::PoisonError;

use rand::Rng as _;

use super::Desk;
use super::outcome::Refused;
use super::reload::By;
use super::request::{Ask, Asker};
use super::state::RefusalEntry;
use crate::certificate::names::PersonName;
use crate::certificate::time::UnixTime;
use crate::config::Deciding;
use crate::ledger::facts;
use crate::ledger::leaf::Kind;
use crate::ledger::record;
use crate::outside::clock::Reading;

impl Desk {
    /// A refusal is an entry too, bounded, and never waited for.
    pub(super) fn record_refusal(
        &self,
        asker: &Asker,
        person: &PersonName,
        ask: &Ask,
        refused: &Refused,
        now: UnixTime,
    ) {
        let entry = self.state.lock().unwrap_or_else(PoisonError::into_inner).refused(person, now);
        if entry == RefusalEntry::Counted {
            return;
        }
        self.append_refusal(
            now,
            &facts::Refusal {
                request: Some(refused.request.clone()),
                person: person.clone(),
                source: asker.source.ip().to_canonical().to_string(),
                account: ask.account(),
                ticket: ask.ticket_text(),
                reasons: refused.reasons.clone(),
                count: 1,
            },
        );
    }

    /// Writes the counts of refusals that are an hour old, and forgets grants that ended. To be called
    /// now and then.
    pub fn tend(&self) {
        let Reading { now, jump } = self.clock.read();
        let due = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            // By a clock that is not to be believed nothing has ended.
            if jump.is_none() {
                state.forget(now);
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).forget(now);
            }
            state.counts(now)
        };
        for (person, count) in due {
            self.append_refusal(
                now,
                &facts::Refusal {
                    request: None,
                    person,
                    source: String::new(),
                    account: String::new(),
                    ticket: None,
                    reasons: Vec::new(),
                    count,
                },
            );
        }
    }

    fn append_refusal(&self, now: UnixTime, refusal: &facts::Refusal) {
        let written = facts::write(Kind::Refusal, salt(), now, &self.node, refusal);
        if let Some(Err(why)) = written.map(|bytes| self.ledger.append_later(Kind::Refusal, bytes))
        {
            tracing::error!(%why, "a refusal could not be recorded");
        }
    }

    /// Records which policy, people and hosts decide from here on, where the ledger does not say so
    /// yet: which kinds those were. All of it is durable, or none of it stands there.
    pub(super) async fn record_texts(
        &self,
        deciding: &Deciding,
        by: &By,
    ) -> Result<Vec<Kind>, record::Fault> {
        let now = self.clock.now();
        let texts = deciding.texts;
        let hashes = [
            (Kind::Policy, texts.policy),
            (Kind::People, texts.people),
            (Kind::Hosts, texts.hosts),
        ];
        let (mut entries, mut kinds) = (Vec::new(), Vec::new());
        for ((kind, sha256), bytes) in hashes.into_iter().zip(deciding.bytes) {
            let known = self.state.lock().unwrap_or_else(PoisonError::into_inner).text(kind);
            if known == Some(sha256) {
                continue;
            }
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            let change = by.change.as_ref().map(ToString::to_string);
            let signed = deciding.signed.clone();
            let text = facts::Text { sha256, bytes, author: by.author.clone(), change, signed };
            // They are short: no file's length is in them.
            if let Some(facts) = facts::write(kind, salt(), now, &self.node, &text) {
                entries.push((kind, facts));
                kinds.push(kind);
            }
        }
        if !entries.is_empty() {
            self.ledger.append_all(entries).await?;
        }
        Ok(kinds)
    }
}

pub(super) fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    rand::rng().fill_bytes(&mut salt);
    salt
}
