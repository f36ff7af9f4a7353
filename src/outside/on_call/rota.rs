//! A rota: a TOML file that says who follows whom, and who stands in.

use std::io::Read as _;
use std::path::PathBuf;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span as Calendar, ToSpan as _, Zoned};
use serde::Deserialize;

use super::{Shift, ShiftFault, Shifts, Who};
use crate::certificate::names::PersonName;
use crate::certificate::time::UnixTime;
use crate::decide::facts::Window;

/// The file, read anew each time.
///
/// ```toml
/// zone = "Europe/Rome"
///
/// [[rotation]]                    # one after the other, from then on
/// people = ["ana", "bob"]
/// from = "2026-11-02 09:00"
/// every = "1 week"                # or days: "1 day"; by the clock of the zone
///
/// [[shift]]                       # stands in: nobody of a rotation is on call meanwhile
/// person = "bob"
/// from = "2026-11-24 18:00"
/// until = "2026-11-25 09:00"
/// ```
#[derive(Debug)]
pub struct RotaFile(PathBuf);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    zone: String,
    #[serde(default)]
    rotation: Vec<Rotation>,
    #[serde(default)]
    shift: Vec<Turn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    people: Vec<PersonName>,
    from: Local,
    every: Length,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    person: PersonName,
    from: Local,
    until: Local,
}

/// A time on the clock of the rota's zone.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Local(DateTime);

impl TryFrom<String> for Local {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let parsed = DateTime::strptime("%Y-%m-%d %H:%M", &text);
        parsed.map(Self).map_err(|_| format!("{text:?} is no time as \"2026-11-02 09:00\""))
    }
}

/// Whole days.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Length(i64);

impl TryFrom<String> for Length {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length as \"1 week\" or \"2 days\"");
        let (count, unit) = text.split_once(' ').ok_or_else(wrong)?;
        let count: i64 = count.parse().map_err(|_| wrong())?;
        let days = match unit {
            "day" | "days" => count,
            "week" | "weeks" => count.saturating_mul(7),
            _ => return Err(wrong()),
        };
        if (1..=366).contains(&days) { Ok(Self(days)) } else { Err(wrong()) }
    }
}

/// The most bytes of a rota.
const LONGEST: u64 = 256 * 1024;

impl RotaFile {
    /// A file.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Shifts for RotaFile {
    fn within(&self, window: Window) -> Result<Vec<Shift>, ShiftFault> {
        let say = |why: &dyn std::fmt::Display| ShiftFault(format!("{}: {why}", self.0.display()));
        let mut text = String::new();
        let file = std::fs::File::open(&self.0).map_err(|why| say(&why))?;
        let length = file.take(LONGEST + 1).read_to_string(&mut text).map_err(|why| say(&why))?;
        if u64::try_from(length).unwrap_or(u64::MAX) > LONGEST {
            return Err(say(&"longer than 256 KiB"));
        }
        read(&text, window).map_err(|why| say(&why))
    }
}

fn read(text: &str, window: Window) -> Result<Vec<Shift>, String> {
    let File { zone, rotation, shift } = toml::from_str(text).map_err(|why| why.to_string())?;
    let zone = TimeZone::get(&zone).map_err(|why| format!("zone {zone:?}: {why}"))?;
    let mut turns = Vec::new();
    for Turn { person, from, until } in shift {
        let window = Window { from: moment(&zone, from.0)?, until: moment(&zone, until.0)? };
        if window.from >= window.until {
            return Err(format!("{person}'s shift from {} ends before it begins", from.0));
        }
        turns.push(Shift { who: Who::Name(person), window });
    }
    let stands_in: Vec<Window> = turns.iter().map(|turn| turn.window).collect();
    for one in &rotation {
        turns.extend(one.turns(&zone, window, &stands_in)?);
    }
    turns.retain(|turn| turn.window.until > window.from && turn.window.from < window.until);
    Ok(turns)
}

impl Rotation {
    /// The turns that touch the window, less the time in which somebody stands in.
    fn turns(
        &self,
        zone: &TimeZone,
        within: Window,
        stands_in: &[Window],
    ) -> Result<Vec<Shift>, String> {
        let Some(count) = i64::try_from(self.people.len()).ok().filter(|count| *count > 0) else {
            return Err("a rotation has no people".to_owned());
        };
        let start = moment(zone, self.from.0)?;
        // By the clock: a week is one also where an hour was lost in it. A turn less, to be sure.
        let passed = within.from.since(start).as_secs() / 86_400;
        let passed = i64::try_from(passed).unwrap_or(0) / self.every.0;
        let mut turns = Vec::new();
        for turn in (passed - 1).max(0).. {
            let begins = self.begins(zone, turn)?;
            if begins >= within.until {
                break;
            }
            let window = Window { from: begins, until: self.begins(zone, turn + 1)? };
            let at = usize::try_from(turn % count).unwrap_or(0);
            let Some(person) = self.people.get(at) else { break };
            let left = less(window, stands_in);
            turns.extend(
                left.into_iter().map(|window| Shift { who: Who::Name(person.clone()), window }),
            );
        }
        Ok(turns)
    }

    fn begins(&self, zone: &TimeZone, turn: i64) -> Result<UnixTime, String> {
        let later: Calendar = turn.saturating_mul(self.every.0).min(4_000_000).days();
        let at = self.from.0.checked_add(later).map_err(|why| why.to_string())?;
        moment(zone, at)
    }
}

/// What is left of a window without others.
fn less(window: Window, others: &[Window]) -> Vec<Window> {
    let mut left = vec![window];
    for other in others {
        left = left
            .into_iter()
            .flat_map(|one| {
                let before = Window { from: one.from, until: one.until.min(other.from) };
                let after = Window { from: one.from.max(other.until), until: one.until };
                [before, after]
            })
            .filter(|one| one.from < one.until)
            .collect();
    }
    left
}

/// When it is so late in a zone: the later side of an hour that is skipped, the earlier of one that comes
/// twice.
fn moment(zone: &TimeZone, at: DateTime) -> Result<UnixTime, String> {
    let zoned: Zoned = at.to_zoned(zone.clone()).map_err(|why| why.to_string())?;
    let secs = u64::try_from(zoned.timestamp().as_second());
    secs.map(UnixTime::from_secs).map_err(|_| format!("{at} is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROTA: &str = "zone = \"Europe/Rome\"\n\
        [[rotation]]\npeople = [\"ana\", \"bob\"]\nfrom = \"2026-10-19 09:00\"\nevery = \"1 week\"\n\
        [[shift]]\nperson = \"cleo\"\nfrom = \"2026-10-27 18:00\"\nuntil = \"2026-10-28 09:00\"\n";

    fn said(text: &str, from: &str, until: &str) -> Vec<String> {
        let window = Window { from: from.parse().unwrap(), until: until.parse().unwrap() };
        let mut shifts = read(text, window).unwrap();
        shifts.sort_by_key(|shift| shift.window.from);
        let say = |shift: Shift| match shift.who {
            Who::Name(name) => format!("{name} {} {}", shift.window.from, shift.window.until),
            Who::Called(_) => String::new(),
        };
        shifts.into_iter().map(say).collect()
    }

    #[test]
    fn one_follows_the_other_by_the_clock_and_who_stands_in_is_alone() {
        // Summer time ends in the first week: it has an hour more.
        assert_eq!(
            said(ROTA, "2026-10-20T00:00:00Z", "2026-11-03T00:00:00Z"),
            [
                "ana 2026-10-19T07:00:00Z 2026-10-26T08:00:00Z",
                "bob 2026-10-26T08:00:00Z 2026-10-27T17:00:00Z",
                "cleo 2026-10-27T17:00:00Z 2026-10-28T08:00:00Z",
                "bob 2026-10-28T08:00:00Z 2026-11-02T08:00:00Z",
                "ana 2026-11-02T08:00:00Z 2026-11-09T08:00:00Z",
            ]
        );
        // Years on, at once.
        assert_eq!(
            said(ROTA, "2046-10-22T12:00:00Z", "2046-10-22T12:00:01Z"),
            ["ana 2046-10-22T07:00:00Z 2046-10-29T08:00:00Z"]
        );
        assert_eq!(said(ROTA, "2026-10-01T00:00:00Z", "2026-10-19T07:00:00Z"), [""; 0]);
    }

    #[test]
    fn what_is_no_rota_is_said() {
        let window = Window { from: UnixTime::from_secs(0), until: UnixTime::MAX };
        for (text, why) in [
            ("", "missing field `zone`"),
            ("zone = \"Mars/Base\"", "Mars/Base"),
            ("zone = \"UTC\"\nrota = 1\n", "unknown field `rota`"),
            (
                "zone = \"UTC\"\n[[shift]]\nperson = \"ana\"\nfrom = \"soon\"\nuntil = \"later\"\n",
                "no time as",
            ),
            (
                "zone = \"UTC\"\n[[shift]]\nperson = \"ana\"\nfrom = \"2026-10-19 09:00\"\nuntil = \"2026-10-19 09:00\"\n",
                "ends before",
            ),
            (
                "zone = \"UTC\"\n[[rotation]]\npeople = []\nfrom = \"2026-10-19 09:00\"\nevery = \"1 day\"\n",
                "no people",
            ),
            (
                "zone = \"UTC\"\n[[rotation]]\npeople = [\"ana\"]\nfrom = \"2026-10-19 09:00\"\nevery = \"0 days\"\n",
                "no length",
            ),
            (
                "zone = \"UTC\"\n[[rotation]]\npeople = [\"ana\"]\nfrom = \"2026-10-19 09:00\"\nevery = \"1h\"\n",
                "no length",
            ),
        ] {
            let said = read(text, window).unwrap_err();
            assert!(said.contains(why), "{text:?}: {said}");
        }
    }
}
