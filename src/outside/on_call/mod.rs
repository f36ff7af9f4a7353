//! Whose shift it is: rotas and calendars, read again and again, so that a decision finds at hand what was
//! read last. What cannot be read any more counts for a while, then nobody is on call.

mod calendar;
mod fetch;
mod rota;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::certificate::names::{GroupName, PersonName};
use crate::certificate::time::{Span, UnixTime};
use crate::config::on_call::OnCall as Configured;
use crate::config::people::People;
use crate::decide::facts::Window;
use crate::decide::{LONGEST, close};

pub use self::calendar::CalendarFeed;
pub use self::rota::RotaFile;

/// Where it is written whose shift it is.
pub trait Shifts: Send + Sync {
    /// The shifts that touch this window. Blocks for a bounded time and in bounded memory; retries
    /// nothing. An error says nothing about whose shift it is.
    fn within(&self, window: Window) -> Result<Vec<Shift>, ShiftFault>;
}

/// A turn of one person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// Whose.
    pub who: Who,
    /// From when until when.
    pub window: Window,
}

/// Whom a shift is given to, as it is written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// By the name in `people.toml`.
    Name(PersonName),
    /// By address, or whatever else the calendar's provider calls them.
    Called(Vec<String>),
}

/// Why nobody knows whose shift it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftFault(pub String);

impl std::fmt::Display for ShiftFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every group that people are in by shift.
#[derive(Default)]
pub struct OnCall(Vec<Source>);

struct Source {
    group: GroupName,
    aliases: Option<String>,
    every: Span,
    stale: Span,
    shifts: Box<dyn Shifts>,
    held: Mutex<Held>,
}

/// What was read last.
#[derive(Default)]
struct Held {
    shifts: Vec<Shift>,
    /// When that was.
    read: Option<UnixTime>,
    /// When it was last tried.
    tried: Option<UnixTime>,
    fault: Option<ShiftFault>,
}

/// How one group stands, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The group.
    pub group: GroupName,
    /// Who is in it now, and until when.
    pub now: Vec<(PersonName, UnixTime)>,
    /// The names in a rota that are nobody's, a sentence each.
    pub unknown: Vec<String>,
    /// What is wrong, if anything is.
    pub fault: Option<String>,
}

impl OnCall {
    /// Puts together what `ca.toml` says; nothing is read yet.
    pub fn open(configured: &[Configured]) -> Self {
        let source = |one: &Configured| {
            let shifts: Box<dyn Shifts> = match (&one.rota, &one.calendar) {
                (Some(path), _) => Box::new(RotaFile::new(path.clone())),
                (None, Some(calendar)) => {
                    let at = (one.token.clone(), one.ca_file.clone());
                    Box::new(CalendarFeed::new(calendar.clone(), at))
                }
                // Kept out when `ca.toml` was read.
                (None, None) => Box::new(RotaFile::new("rota.toml".into())),
            };
            Source {
                group: one.group.clone(),
                aliases: one.aliases.as_ref().map(ToString::to_string),
                every: one.every,
                stale: one.stale,
                shifts,
                held: Mutex::default(),
            }
        };
        Self(configured.iter().map(source).collect())
    }

    /// Whether there is no such group.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what is due. Blocks.
    pub fn refresh(&self, now: UnixTime) {
        self.0.iter().filter(|source| source.is_due(now)).for_each(|source| source.read(now));
    }

    /// Reads everything, due or not: somebody changed it and waits. Blocks.
    pub fn reread(&self, now: UnixTime) {
        self.0.iter().for_each(|source| source.read(now));
    }

    /// The groups that a person is in because of a shift at this moment, and when that shift ends.
    pub fn shifts(
        &self,
        people: &People,
        person: &PersonName,
        now: UnixTime,
    ) -> BTreeMap<GroupName, UnixTime> {
        let of = |source: &Source| Some((source.group.clone(), source.until(people, person, now)?));
        self.0.iter().filter_map(of).collect()
    }

    /// The groups that a person is in at other times, each with when it begins next, if that is known.
    pub fn off_shift(
        &self,
        people: &People,
        person: &PersonName,
        now: UnixTime,
    ) -> BTreeMap<GroupName, Option<UnixTime>> {
        let of = |source: &Source| Some((source.group.clone(), source.next(people, person, now)?));
        self.0.iter().filter_map(of).collect()
    }

    /// How each group stands.
    pub fn standing(&self, people: &People, now: UnixTime) -> Vec<Standing> {
        let of = |source: &Source| Standing {
            group: source.group.clone(),
            now: people
                .iter()
                .filter_map(|one| Some((one.name.clone(), source.until(people, &one.name, now)?)))
                .collect(),
            unknown: source.unknown(people),
            fault: source.held().fault.as_ref().map(ToString::to_string),
        };
        self.0.iter().map(of).collect()
    }
}

impl Source {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, now: UnixTime) -> bool {
        let tried = self.held().tried;
        tried.is_none_or(|tried| tried > now || now.since(tried) >= self.every)
    }

    fn read(&self, now: UnixTime) {
        // As far back as a shift may have begun that a grant of now ends with, and as far on.
        let window = Window { from: now.minus(AROUND), until: now.plus(AROUND) };
        let read = self.shifts.within(window);
        let mut held = self.held();
        held.tried = Some(now);
        match read {
            Ok(shifts) => {
                if held.fault.take().is_some() {
                    tracing::info!(group = %self.group, "whose shift it is can be read again");
                }
                (held.shifts, held.read) = (shifts, Some(now));
            }
            Err(fault) => {
                if held.fault.as_ref() != Some(&fault) {
                    tracing::error!(group = %self.group, why = %fault, "whose shift it is cannot be read");
                }
                held.fault = Some(fault);
            }
        }
    }

    /// When this person's shift ends, if it is theirs now. Turns without a gap between them are one.
    fn until(&self, people: &People, person: &PersonName, now: UnixTime) -> Option<UnixTime> {
        let held = self.held();
        held.read.filter(|read| now.since(*read) < self.stale)?;
        let theirs = |shift: &&Shift| self.person(people, &shift.who) == Some(person);
        let mut windows: Vec<Window> =
            held.shifts.iter().filter(theirs).map(|shift| shift.window).collect();
        windows.sort_by_key(|window| window.from);
        let mut until = None;
        for window in windows {
            let at = until.unwrap_or(now);
            // One that begins when the one before ends goes on with it.
            if window.from <= at && window.until > at {
                until = Some(window.until);
            }
        }
        until
    }

    /// The names of ours that nobody has. Of what a calendar calls people many may be no concern of ours.
    fn unknown(&self, people: &People) -> Vec<String> {
        let held = self.held();
        let names = held.shifts.iter().filter_map(|shift| match &shift.who {
            Who::Name(name) if people.get(name).is_none() => Some(name.to_string()),
            Who::Name(_) | Who::Called(_) => None,
        });
        let say = |name: String| {
            let near = close(&name, people.iter().map(|one| one.name.as_str()));
            let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            format!("{name} is nobody here{near}")
        };
        names.collect::<BTreeSet<_>>().into_iter().map(say).collect()
    }

    /// When this person's next shift begins, if they have any and it is not now.
    fn next(
        &self,
        people: &People,
        person: &PersonName,
        now: UnixTime,
    ) -> Option<Option<UnixTime>> {
        if self.until(people, person, now).is_some() {
            return None;
        }
        let held = self.held();
        let mut theirs = held
            .shifts
            .iter()
            .filter(|shift| self.person(people, &shift.who) == Some(person))
            .map(|shift| shift.window.from)
            .peekable();
        theirs.peek()?;
        Some(theirs.filter(|from| *from > now).min())
    }

    /// Who it is; nobody where two people answer to what is written there.
    fn person<'p>(&self, people: &'p People, who: &Who) -> Option<&'p PersonName> {
        let names = match who {
            Who::Name(name) => return people.get(name).map(|person| &person.name),
            Who::Called(names) => names,
        };
        let only = |is: &dyn Fn(&crate::config::people::Person) -> bool| {
            let mut all = people.iter().filter(|one| is(one));
            all.next().filter(|_| all.next().is_none()).map(|one| &one.name)
        };
        let address = |email: &String| names.iter().any(|name| name.eq_ignore_ascii_case(email));
        let by_address = only(&|one| one.email.as_ref().is_some_and(address));
        let provider = self.aliases.as_ref();
        by_address.or_else(|| {
            let provider = provider?;
            only(&|one| one.aliases.get(provider).is_some_and(|alias| names.contains(alias)))
        })
    }
}

/// How far around the moment shifts are read: longer than any grant lives.
const AROUND: Span = Span::secs(LONGEST.as_secs() + 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    struct Written(Mutex<Result<Vec<Shift>, ShiftFault>>);

    impl Shifts for std::sync::Arc<Written> {
        fn within(&self, _window: Window) -> Result<Vec<Shift>, ShiftFault> {
            self.0.lock().unwrap().clone()
        }
    }

    fn people() -> People {
        let text = "[person.ana]\nemail = \"ana@example.com\"\nkeys = []\naliases = { duty = \"U1\" }\n\
                    [person.bob]\nemail = \"bob@example.com\"\nkeys = []\n\
                    [person.eve]\nemail = \"bob@example.com\"\nkeys = []\n";
        let (path, name) = ("people.toml".into(), "people.toml".to_owned());
        People::read(&[crate::config::snapshot::Text { path, name, text: text.to_owned() }])
            .unwrap()
    }

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(1_800_000_000 + secs)
    }

    fn shift(called: &str, from: u64, until: u64) -> Shift {
        let window = Window { from: at(from), until: at(until) };
        Shift { who: Who::Called(vec![called.to_owned()]), window }
    }

    #[test]
    fn a_shift_is_somebodys_until_it_ends_and_nobodys_when_nothing_is_known() {
        let written = std::sync::Arc::new(Written(Mutex::new(Ok(vec![
            shift("ANA@example.com", 0, 100),
            shift("U1", 100, 200),
            shift("ana@example.com", 300, 400),
            // Two people have this address: nobody knows whose it is.
            shift("bob@example.com", 0, 400),
            shift("nobody@example.com", 0, 400),
        ]))));
        let on_call = OnCall(vec![Source {
            group: "on-call-db".parse().unwrap(),
            aliases: Some("duty".to_owned()),
            every: Span::secs(10),
            stale: Span::secs(60),
            shifts: Box::new(std::sync::Arc::clone(&written)),
            held: Mutex::default(),
        }]);
        let people = people();
        let until = |person: &str, now: u64| {
            on_call.shifts(&people, &person.parse().unwrap(), at(now)).into_values().next()
        };
        assert_eq!(until("ana", 50), None, "nothing was read yet");
        on_call.refresh(at(50));
        // Two turns of hers without a gap are one.
        assert_eq!(until("ana", 50), Some(at(200)));
        assert_eq!(until("ana", 99), Some(at(200)));
        assert_eq!((until("bob", 50), until("eve", 50)), (None, None));
        *written.0.lock().unwrap() = Err(ShiftFault("away".to_owned()));
        on_call.refresh(at(55));
        assert!(on_call.standing(&people, at(55))[0].fault.is_none(), "read before it was due");
        on_call.refresh(at(100));
        assert_eq!(until("ana", 109), Some(at(200)), "what was read counts for a while");
        assert_eq!(until("ana", 110), None, "what was read an age ago counts");
        let standing = on_call.standing(&people, at(105));
        assert_eq!(standing[0].now, [("ana".parse().unwrap(), at(200))]);
        assert_eq!(standing[0].fault.as_deref(), Some("away"));
        *written.0.lock().unwrap() = Ok(vec![shift("ana@example.com", 300, 400)]);
        on_call.refresh(at(250));
        assert_eq!(
            (until("ana", 250), until("ana", 299), until("ana", 300)),
            (None, None, Some(at(400)))
        );
        assert_eq!(until("ana", 400), None);
        let off = |person: &str, now: u64| {
            on_call.off_shift(&people, &person.parse().unwrap(), at(now)).into_values().next()
        };
        assert_eq!(off("ana", 250), Some(Some(at(300))));
        *written.0.lock().unwrap() =
            Ok(vec![Shift { who: Who::Name("anna".parse().unwrap()), ..shift("", 300, 500) }]);
        on_call.reread(at(401));
        let standing = on_call.standing(&people, at(401));
        assert_eq!(standing[0].unknown, ["anna is nobody here; did you mean ana?"]);
        *written.0.lock().unwrap() = Ok(vec![shift("ana@example.com", 300, 400)]);
        on_call.reread(at(401));
        assert_eq!((off("ana", 300), off("ana", 400), off("eve", 300)), (None, Some(None), None));
    }
}
