//! Setting a freeze and lifting it, and which freezes stand over an account: those of the ledger, and
//! those of the folder that `ca.toml` names.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::entries::salt;
use super::freezes::{Freeze, Freezes};
use super::holdings::not_enrolled;
use super::locking::answer;
use super::outcome::Outcome;
use super::request::Asker;
use super::{Desk, Stop};
use crate::certificate::fingerprint;
use crate::certificate::names::{FreezeName, Reason, TagName};
use crate::certificate::safe::Safe;
use crate::certificate::time::{Span, UnixTime};
use crate::config::Deciding;
use crate::decide::close;
use crate::decide::office::{Act, FreezeAct};
use crate::ledger::facts::{self, Author, FreezeChange};
use crate::ledger::leaf::Kind;

/// A freeze that is to be set, or lifted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeAsk {
    /// Its name.
    pub name: FreezeName,
    /// Whether it is lifted.
    pub lifting: bool,
    /// The tags whose hosts it is over; none for every host.
    pub tags: BTreeSet<TagName>,
    /// How long it stands, if it is to end by itself.
    pub period: Option<Span>,
    /// Why.
    pub reason: Reason,
}

/// A freeze that was set or lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// Its name.
    pub name: FreezeName,
    /// The freeze, if it stands now.
    pub freeze: Option<Freeze>,
    /// The entry.
    pub entry: u64,
    /// Remarks: how it stood before.
    pub notes: Vec<String>,
}

impl Desk {
    /// Sets or lifts a freeze for whoever asks over SSH, if policy lets them.
    pub async fn freeze(&self, asker: &Asker, ask: FreezeAsk) -> Result<Frozen, Outcome> {
        let act = FreezeAct {
            name: ask.name.clone(),
            tags: ask.tags.clone(),
            lifting: ask.lifting,
            reason: Some(ask.reason.clone()),
        };
        let person = self.may(asker, Act::Freeze(act))?.person;
        let by = Changer {
            person: Some(person),
            key: Some(fingerprint(&asker.key)),
            source: Some(asker.source.ip().to_canonical().to_string()),
            ..Changer::default()
        };
        self.change_freeze(&ask, by).await.map_err(answer)
    }

    /// The same for an operator of the CA's machine, who needs nobody's leave.
    pub async fn freeze_by_operator(
        &self,
        operator: Author,
        ask: FreezeAsk,
    ) -> Result<Frozen, Outcome> {
        let by = Changer { operator: Some(operator), ..Changer::default() };
        self.change_freeze(&ask, by).await.map_err(answer)
    }

    /// The same for a webhook, whose leave is what `ca.toml` says of it. What it sets again in the same
    /// words is not written again before half of its time is over.
    pub async fn freeze_by_webhook(
        &self,
        webhook: &str,
        ask: FreezeAsk,
    ) -> Result<Option<Frozen>, Outcome> {
        let now = self.clock.now();
        let by = format!("webhook {webhook}");
        let (before, foreign) = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let before = state.freezes.of(&ask.name, now).cloned();
            let foreign = before.as_ref().is_some_and(|before| before.by != by);
            (before, foreign)
        };
        if foreign {
            let whose = before.map_or(String::new(), |before| before.by);
            let why = format!("freeze {} was set by {}", ask.name, Safe(&whose));
            return Err(answer(Stop::no(why, "only a person changes what another set")));
        }
        let same = |before: &Freeze| {
            let lasts = match (before.until, ask.period) {
                (None, _) => true,
                (Some(until), Some(period)) => until.since(now).as_secs() > period.as_secs() / 2,
                (Some(_), None) => false,
            };
            before.tags == ask.tags && before.reason == ask.reason.as_str() && lasts
        };
        match (&before, ask.lifting) {
            (None, true) => return Ok(None),
            (Some(before), false) if same(before) => return Ok(None),
            _ => {}
        }
        let by = Changer { webhook: Some(webhook.to_owned()), ..Changer::default() };
        self.change_freeze(&ask, by).await.map(Some).map_err(answer)
    }

    async fn change_freeze(&self, ask: &FreezeAsk, by: Changer) -> Result<Frozen, Stop> {
        let deciding = self.in_force.now();
        let now = self.clock.now();
        let until = ask.period.map(|period| now.plus(period));
        let change = by.change(ask, until);
        let who = change.who();
        let settled = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if by.operator.is_none() && !state.freezes.may_change(&who, now) {
                return Err(Stop::no(
                    format!("{who} has changed as many freezes as one may in an hour"),
                    "on the CA's machine there is no such limit: hallpass freeze, hallpass thaw",
                ));
            }
            settle(&state.freezes, &deciding, ask, now)
        };
        let notes = settled.map_err(|(why, hint)| Stop::no(why, hint))?;
        let written = facts::write(Kind::Freeze, salt(), now, &self.node, &change);
        let bytes = written.ok_or_else(|| Stop::Broken {
            what: "the freeze could not be written",
            details: "facts of more than 64 KiB".to_owned(),
        })?;
        // From COMMIT on it stands; the fold has taken it in when this returns.
        let entry = self.ledger.append(Kind::Freeze, bytes).await?;
        tracing::info!(
            target: "hallpass::audit", outcome = "ok", act = if ask.lifting { "thaw" } else { "freeze" },
            what = %ask.name, by = %Safe(&who), reason = %Safe(&change.reason), entry
        );
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let freeze = state.freezes.of(&ask.name, now).filter(|_| !ask.lifting).cloned();
        drop(state);
        Ok(Frozen { name: ask.name.clone(), freeze, entry, notes })
    }

    /// Every freeze that stands now.
    pub fn freezes(&self, asker: &Asker) -> Result<Vec<Freeze>, Outcome> {
        let deciding = self.in_force.now();
        let own = deciding.people.owner(&asker.key);
        let own = own.ok_or_else(|| answer(not_enrolled()))?;
        if let Some(stop) = self.locked_out(own, asker) {
            return Err(answer(stop));
        }
        self.standing(self.clock.now()).map_err(answer)
    }

    /// The same for an operator.
    pub fn freezes_for_operator(&self) -> Result<Vec<Freeze>, Outcome> {
        self.standing(self.clock.now()).map_err(answer)
    }

    /// Every freeze that stands at this moment. A folder that cannot be read is a fault: what it would
    /// have said nobody knows.
    pub(super) fn standing(&self, now: UnixTime) -> Result<Vec<Freeze>, Stop> {
        let mut all: Vec<Freeze> = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.freezes.standing(now).cloned().collect()
        };
        if let Some(folder) = &self.freeze_files {
            let files = folder.read(now).map_err(|why| Stop::Broken {
                what: "the folder of freezes cannot be read; whoever runs the CA must mend it",
                details: why.to_string(),
            })?;
            all.extend(files.into_iter().filter(|freeze| freeze.stands(now)));
        }
        Ok(all)
    }
}

/// Who changes a freeze: one of the three.
#[derive(Debug, Default)]
struct Changer {
    person: Option<crate::certificate::names::PersonName>,
    key: Option<String>,
    source: Option<String>,
    operator: Option<Author>,
    webhook: Option<String>,
}

impl Changer {
    fn change(&self, ask: &FreezeAsk, until: Option<UnixTime>) -> FreezeChange {
        FreezeChange {
            name: ask.name.clone(),
            frozen: !ask.lifting,
            tags: ask.tags.clone(),
            until: until.filter(|_| !ask.lifting),
            person: self.person.clone(),
            key: self.key.clone(),
            source: self.source.clone(),
            operator: self.operator.clone(),
            webhook: self.webhook.clone(),
            reason: ask.reason.as_str().to_owned(),
        }
    }
}

/// Holds what is asked against what stands: the remarks, or why not and what may have been meant.
fn settle(
    freezes: &Freezes,
    deciding: &Deciding,
    ask: &FreezeAsk,
    now: UnixTime,
) -> Result<Vec<String>, (String, String)> {
    let before = freezes.of(&ask.name, now);
    if ask.period.is_some_and(|period| period.as_secs() == 0) {
        return Err(("a freeze of no time freezes nothing".to_owned(), "--for 4h".to_owned()));
    }
    if ask.lifting && before.is_none() {
        let near = close(ask.name.as_str(), freezes.standing(now).map(|one| one.name.as_str()));
        let hint = match near {
            Some(near) => format!("did you mean {near}? ssh ca freezes shows what is frozen"),
            None => {
                "ssh ca freezes shows what is frozen; one of a file is lifted by removing the file"
                    .to_owned()
            }
        };
        return Err((format!("there is no freeze {}", ask.name), hint));
    }
    let mut notes: Vec<String> =
        before.map(|before| format!("before: {before}")).into_iter().collect();
    for tag in ask.tags.iter().filter(|tag| !deciding.hosts.tags().contains(*tag)) {
        let near = close(tag.as_str(), deciding.hosts.tags().iter().map(TagName::as_str));
        let near = near.map_or(String::new(), |near| format!("; was {near} meant?"));
        notes.push(format!("there is no tag {tag}{near}"));
    }
    Ok(notes)
}
