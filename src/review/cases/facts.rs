//! A case as the facts of a decision. A name that does not exist is said with its place in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use toml::Spanned;

use super::Subject;
use super::file::{Case, File, State, Ticket as Written, TicketGiven, parsed};
use crate::certificate::fingerprint;
use crate::certificate::names::{HostName, Login, Reason, TagName, TicketId};
use crate::certificate::time::UnixTime;
use crate::config::people::Person;
use crate::decide::facts::{Account, Around, Facts, History, Ticket, TicketState, Window};
use crate::decide::office::{Act, FreezeAct, LockAct, Matter};
use crate::decide::{Delivery, Problems, close};
use crate::desk::collect::{account_facts, person_facts};
use crate::desk::explaining::{At, bare};
use crate::desk::locks::Target;
use crate::desk::request::Place;
use crate::front::verbs;

/// A question, as it is put.
pub(super) enum Put {
    /// For an account.
    Login(Box<Facts>),
    /// Of the desk.
    Desk(Box<Matter>),
}

impl Put {
    /// What it is about.
    pub(super) fn about(&self) -> String {
        match self {
            Self::Login(facts) => facts.account.name(),
            Self::Desk(matter) => matter.act.to_string(),
        }
    }

    /// Who asks for what, and how.
    pub(super) fn asked(&self) -> String {
        let facts = match self {
            Self::Desk(matter) => return format!("{}: {}", matter.person.name, self.about()),
            Self::Login(facts) => facts,
        };
        let mut said = format!("{}: {}", facts.person.name, self.about());
        if let Some(ticket) = &facts.ticket {
            let whose = match &ticket.assignee {
                Some(name) if *name == facts.person.name => "their own".to_owned(),
                Some(name) => format!("{name}'s"),
                None => "nobody's".to_owned(),
            };
            said += &format!(" with {} ({}, {whose})", ticket.id, ticket.said);
        }
        if let Some(reason) = &facts.reason {
            said += &format!(", because {:?}", reason.as_str());
        }
        let spans = [("--for", facts.period), ("--ttl", facts.ttl)];
        for (word, span) in spans {
            said += &span.map_or(String::new(), |span| format!(" {word} {span}"));
        }
        if let Some(offer) = &facts.offer {
            said += &format!(" --offer {offer}");
        }
        said
    }
}

/// Makes the questions of a case.
pub(super) struct Builder<'b, 'p, 't> {
    pub(super) subject: &'b Subject<'b>,
    pub(super) file: &'b File,
    pub(super) case: &'b Case,
    pub(super) problems: &'p mut Problems<'t>,
}

impl Builder<'_, '_, '_> {
    /// All of them; none where something is wrong, which is noted.
    pub(super) fn put(&mut self) -> Vec<Put> {
        let (case, deciding) = (self.case, self.subject.deciding);
        let now = case.at.or(self.file.at).unwrap_or(self.subject.now);
        let source = case.source.or(self.file.source).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let at = At { now, source, around: None };
        if let Some(by) = &case.by {
            let known = deciding.policy.statements();
            if !known.iter().any(|one| one.id == *by.get_ref()) {
                let known = known.iter().map(|one| one.id.as_str());
                self.unknown(&by.span(), "offer or permit", by.get_ref(), known);
            }
        }
        let Some(person) = deciding.people.get(case.person.get_ref()) else {
            let known = deciding.people.iter().map(|person| person.name.as_str());
            self.unknown(&case.person.span(), "person", case.person.get_ref(), known);
            return Vec::new();
        };
        match (&case.account, &case.act) {
            (Some(_), None) => self.logins(person, at),
            (None, Some(act)) => self.act(person, act, at).into_iter().collect(),
            _ => {
                let what = "a case is about an `account`, or an `act` at the desk";
                self.problems.add(&case.name.span(), what, None);
                Vec::new()
            }
        }
    }

    fn unknown<'k>(
        &mut self,
        at: &Range<usize>,
        what: &str,
        name: &impl Display,
        known: impl Iterator<Item = &'k str>,
    ) {
        let name = name.to_string();
        let near = close(&name, known).map(|near| format!("did you mean {near}?"));
        self.problems.add(at, format!("{what} {name:?} does not exist"), near);
    }

    fn logins(&mut self, person: &Person, at: At) -> Vec<Put> {
        let mut accounts: Vec<Account> = Vec::new();
        for text in self.case.account.iter().flat_map(|all| &all.0) {
            accounts.extend(self.accounts(text));
        }
        let ticket = self.ticket();
        let reason = self.reason();
        let around = self.around(at.now);
        let deliveries = match &self.case.delivery {
            None => Vec::new(),
            Some(text) => {
                let found = Delivery::ALL.into_iter().find(|one| one.as_str() == text.get_ref());
                if found.is_none() {
                    self.problems.add(&text.span(), "own-key or made-by-ca", None);
                }
                found.into_iter().collect()
            }
        };
        let mut shifts = BTreeMap::new();
        for (group, until) in &self.case.on_call.0 {
            let groups = self.subject.groups();
            if !groups.contains(group) {
                let known = groups.iter().map(|group| group.as_str());
                self.unknown(&until.span(), "group", group, known);
            }
            shifts.insert(group.clone(), *until.get_ref());
        }
        let asker = person_facts(person, shifts);
        let put = |account: Account| Facts {
            person: asker.clone(),
            ticket: ticket.clone(),
            reason: reason.clone(),
            ttl: self.case.ttl,
            period: self.case.period,
            offer: self.case.offer.as_ref().map(|offer| offer.get_ref().clone()),
            deliveries: deliveries.clone(),
            around: around.clone(),
            ..bare(person, account, at)
        };
        accounts.into_iter().map(|account| Put::Login(Box::new(put(account)))).collect()
    }

    /// `deploy@web01`, `deploy@tag:prod`, or `tag:prod` for every account of its hosts.
    fn accounts(&mut self, text: &Spanned<String>) -> Vec<Account> {
        let hosts = &self.subject.deciding.hosts;
        let target = match verbs::account(text.get_ref()) {
            Ok(target) => target,
            Err((what, hint)) => {
                self.problems.add(&text.span(), what, hint);
                return Vec::new();
            }
        };
        let found: Vec<_> = match &target.place {
            Place::Tag(tag) if !hosts.tags().contains(tag) => {
                let known = hosts.tags().iter().map(|tag| tag.as_str());
                self.unknown(&text.span(), "tag", tag, known);
                return Vec::new();
            }
            Place::Tag(tag) => hosts.iter().filter(|host| host.tags.contains(tag)).collect(),
            Place::Host(typed) => match (hosts.find(typed), &target.login) {
                (Some(host), Some(login)) if !host.accounts.contains(login) => {
                    let known = host.accounts.iter().map(Login::as_str);
                    self.unknown(&text.span(), &format!("on {} account", host.name), login, known);
                    return Vec::new();
                }
                (Some(host), Some(_)) => vec![host],
                (Some(_), None) => {
                    self.problems.add(
                        &text.span(),
                        "which account?",
                        "write LOGIN@HOST".to_owned(),
                    );
                    return Vec::new();
                }
                (None, _) => {
                    self.unknown(&text.span(), "host", typed, hosts.names());
                    return Vec::new();
                }
            },
        };
        let has = |login: &&Login| target.login.as_ref().is_none_or(|one| one == *login);
        let accounts = found.iter().flat_map(|host| {
            host.accounts.iter().filter(has).map(|login| account_facts(login, host))
        });
        let accounts: Vec<Account> = accounts.collect();
        if accounts.is_empty() {
            self.problems.add(&text.span(), "no host has such an account", None);
        }
        accounts
    }

    fn reason(&mut self) -> Option<Reason> {
        parsed(self.case.reason.as_ref()?, self.problems)
    }

    fn around(&mut self, now: UnixTime) -> Around {
        let said = self.case.history.as_ref().map(Spanned::get_ref);
        let history = History {
            // Given before, unless it is said.
            last_days: match said {
                Some(said) if said.first_time => None,
                Some(said) => Some(said.last_days.unwrap_or(1)),
                None => Some(1),
            },
            recent: said.map_or(0, |said| said.recent),
            recent_hosts: said.map_or(0, |said| said.recent_hosts),
            ..History::default()
        };
        let known = self.subject.deciding.policy.hours();
        let hours = match &self.case.hours {
            None => self.subject.deciding.policy.hours_at(now),
            Some(named) => {
                for name in named.iter().filter(|name| !known.contains_key(name.get_ref())) {
                    let known = known.keys().map(|name| name.as_str());
                    self.unknown(&name.span(), "hours", name.get_ref(), known);
                }
                named.iter().map(|one| one.get_ref().clone()).collect()
            }
        };
        Around {
            hours,
            freezes: self.case.freezes.iter().cloned().collect(),
            history,
            ..Around::default()
        }
    }

    fn ticket(&mut self) -> Option<Ticket> {
        let given = self.case.ticket.as_ref()?;
        let (id, written) = match given.get_ref() {
            TicketGiven::Here(written) => (written.id.clone(), written.as_ref()),
            TicketGiven::Id(name) => match self.file.ticket.0.get(name) {
                Some(written) => {
                    let place = Spanned::new(given.span(), name.clone());
                    let id = written.get_ref().id.clone();
                    (id.or_else(|| parsed(&place, self.problems)), written.get_ref())
                }
                None => {
                    let known = self.file.ticket.0.keys().map(String::as_str);
                    self.unknown(&given.span(), "[ticket.ID]", name, known);
                    return None;
                }
            },
        };
        let Some(id) = id else {
            self.problems.add(&given.span(), "the ticket has no id", None);
            return None;
        };
        self.mapped(id, written)
    }

    /// With assignee and hosts as the desk would have them.
    fn mapped(&mut self, id: TicketId, written: &Written) -> Option<Ticket> {
        let deciding = self.subject.deciding;
        let tracker = match &written.tracker {
            Some(named) => {
                let known = self.subject.trackers().iter().map(|tracker| tracker.name.as_str());
                if !self.subject.trackers().iter().any(|one| one.name == *named.get_ref()) {
                    self.unknown(&named.span(), "tracker", named.get_ref(), known);
                }
                named.get_ref().to_string()
            }
            None => self.subject.tracker(&id).map_or("tickets".to_owned(), HostName::to_string),
        };
        let mut assignee = None;
        if let Some(who) = &written.assignee {
            // By name too, whatever the tracker calls them.
            assignee = deciding.people.assignee(&tracker, who.get_ref(), false).cloned();
            let named =
                || deciding.people.get(&who.get_ref().parse().ok()?).map(|one| one.name.clone());
            assignee = assignee.or_else(named);
            if assignee.is_none() {
                let known = deciding.people.iter().map(|person| person.name.as_str());
                self.unknown(&who.span(), "person", who.get_ref(), known);
            }
        }
        let mut hosts: BTreeSet<HostName> = BTreeSet::new();
        for typed in &written.hosts {
            match deciding.hosts.find(typed.get_ref()) {
                Some(host) => drop(hosts.insert(host.name.clone())),
                None => {
                    self.unknown(&typed.span(), "host", typed.get_ref(), deciding.hosts.names())
                }
            }
        }
        let state = match written.state {
            State::Open => TicketState::Open,
            State::Pending => TicketState::Pending,
            State::Closed => TicketState::Closed,
        };
        let window = written.window.map(|[from, until]: [UnixTime; 2]| Window { from, until });
        Some(Ticket {
            tracker,
            id,
            state,
            said: written.said.clone().unwrap_or_else(|| state.word().to_owned()),
            title: written.title.clone(),
            assignee,
            priority: written.priority.clone(),
            labels: written.labels.iter().cloned().collect(),
            hosts,
            window,
        })
    }

    /// `audit`, `lock person bob`, `unlock everything`, `freeze black-friday tag:prod`, `thaw black-friday`.
    fn act(&mut self, person: &Person, text: &Spanned<String>, at: At) -> Option<Put> {
        let words: Vec<&str> = text.get_ref().split_whitespace().collect();
        let act = match words.as_slice() {
            ["audit"] => Act::Audit,
            [verb @ ("lock" | "unlock"), target @ ..] if (1..=2).contains(&target.len()) => {
                let target: Target = match target.join(":").parse() {
                    Ok(target) => target,
                    Err(why) => {
                        self.problems.add(&text.span(), why, None);
                        return None;
                    }
                };
                let mine = match &target {
                    Target::Person(name) => *name == person.name,
                    Target::Key(print) => person.keys.iter().any(|key| fingerprint(key) == *print),
                    Target::Everything | Target::Host(_) | Target::Tag(_) => false,
                };
                Act::Lock(LockAct {
                    target: target.kind(),
                    name: target.name().to_owned(),
                    lifting: *verb == "unlock",
                    mine,
                    reason: self.reason(),
                })
            }
            [verb @ ("freeze" | "thaw"), name, tags @ ..] => {
                let name = Spanned::new(text.span(), (*name).to_owned());
                let tag = |tag: &&str| tag.strip_prefix("tag:")?.parse().ok();
                let tags: Option<BTreeSet<TagName>> = tags.iter().map(tag).collect();
                let Some(tags) = tags else {
                    let hint = "write its tags as tag:prod".to_owned();
                    self.problems.add(&text.span(), "that is no freeze", hint);
                    return None;
                };
                Act::Freeze(FreezeAct {
                    name: parsed(&name, self.problems)?,
                    tags,
                    lifting: *verb == "thaw",
                    reason: self.reason(),
                })
            }
            _ => {
                let hint =
                    "write audit, lock person bob, unlock everything, freeze NAME tag:TAG, or thaw NAME"
                        .to_owned();
                self.problems.add(&text.span(), "that is nothing to do at the desk", hint);
                return None;
            }
        };
        let (now, source) = (at.now, at.source);
        let person = person_facts(person, BTreeMap::new());
        Some(Put::Desk(Box::new(Matter { now, source, person, act })))
    }
}
