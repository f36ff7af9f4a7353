//! `hours.toml`: named hours, each in a zone of its own.
//!
//! ```toml
//! [hours.office]
//! zone = "Europe/Rome"
//! days = ["mon-fri"]
//! from = "08:00"
//! until = "18:30"                          # not later than `from`: until then on the next day
//! except = ["2026-12-25"]                  # days on which it does not begin
//! also = ["2026-12-24 08:00-12:00"]        # windows of single days
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::snapshot::Text;
use crate::certificate::names::HoursName;
use crate::decide::hours::{Between, Clock, Days, Hours, weekday};
use crate::decide::{Problems, close};

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    hours: BTreeMap<HoursName, Spanned<Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    zone: Zone,
    #[serde(default)]
    days: Vec<DaysText>,
    from: Option<Spanned<ClockText>>,
    until: Option<Spanned<ClockText>>,
    #[serde(default)]
    except: Vec<DateText>,
    #[serde(default)]
    also: Vec<Also>,
}

/// Reads the file.
pub(crate) fn read(file: &Text) -> Result<BTreeMap<HoursName, Hours>, ConfigError> {
    let File { hours } = super::parse(&file.path, &file.text)?;
    let shown = file.path.display().to_string();
    let mut problems = Problems::new(&shown, &file.text);
    let mut all = BTreeMap::new();
    for (name, entry) in hours {
        let at = entry.span();
        let Entry { zone, days, from, until, except, also } = entry.into_inner();
        let weekly = match (days.is_empty(), from, until) {
            (true, None, None) if !also.is_empty() && except.is_empty() => None,
            (false, Some(from), Some(until)) => {
                let place = until.span();
                let (from, until) = (from.into_inner().0, until.into_inner().0);
                if from == until {
                    let hint = "for whole days write from = \"00:00\" and until = \"24:00\"";
                    problems.add(
                        &place,
                        format!("hours {name}: from and until are the same"),
                        hint.to_owned(),
                    );
                }
                Some((days.into_iter().map(|days| days.0).collect(), Between { from, until }))
            }
            _ => {
                let hint = "write days = [\"mon-fri\"], from = \"08:00\" and until = \"18:30\", or `also` alone";
                problems.add(
                    &at,
                    format!("hours {name}: days, from and until go together"),
                    hint.to_owned(),
                );
                continue;
            }
        };
        let hours = Hours {
            zone: zone.rules,
            zone_name: zone.name,
            weekly,
            except: except.into_iter().map(|date| date.0).collect(),
            also: also.into_iter().map(|one| (one.date, one.between)).collect(),
        };
        all.insert(name, hours);
    }
    match problems.none() {
        true => Ok(all),
        false => Err(ConfigError::new(problems.into_error().to_string())),
    }
}

/// Where the rules of zones come from: the system's files, which it keeps up to date, or, where there
/// are none, what is built in.
pub enum Zones {
    /// The system's.
    System(PathBuf, TimeZoneDatabase),
    /// Those of the day on which hallpass was built.
    BuiltIn(TimeZoneDatabase),
}

impl Zones {
    /// What this machine has. Looked up once: files that come later count from the next start.
    pub fn here() -> &'static Self {
        static HERE: OnceLock<Zones> = OnceLock::new();
        HERE.get_or_init(|| Self::in_folders(&DIRS.map(Path::new)))
    }

    /// What the first of these folders has.
    pub(super) fn in_folders(dirs: &[&Path]) -> Self {
        let read = |dir: &&Path| {
            let zones = TimeZoneDatabase::from_dir(dir).ok()?;
            // A folder of something else has no zones.
            zones.get("Europe/London").is_ok().then(|| Self::System(dir.to_path_buf(), zones))
        };
        let found = dirs.iter().find_map(read);
        found.unwrap_or_else(|| Self::BuiltIn(TimeZoneDatabase::bundled()))
    }

    fn database(&self) -> &TimeZoneDatabase {
        match self {
            Self::System(_, zones) | Self::BuiltIn(zones) => zones,
        }
    }

    /// The zone of this name, spelled as the database spells it.
    pub(super) fn get(&self, name: &str) -> Result<TimeZone, String> {
        let known = || -> Vec<String> {
            self.database().available().map(|name| name.as_str().to_owned()).collect()
        };
        // `right/` counts leap seconds, which no clock of ours does; the rest are no places.
        let place = !["right/", "posix/"].iter().any(|start| name.starts_with(start))
            && !["localtime", "posixrules", "Factory"].contains(&name);
        match self.database().get(name) {
            Ok(zone) if place && zone.iana_name() == Some(name) => Ok(zone),
            _ => {
                let known = known();
                let near = known.iter().find(|known| known.eq_ignore_ascii_case(name));
                let near = near.map(String::as_str);
                let near = near.or_else(|| close(name, known.iter().map(String::as_str)));
                let meant = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
                Err(format!("there is no zone {name:?} in {self}{meant}"))
            }
        }
    }
}

impl std::fmt::Display for Zones {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System(dir, _) => write!(f, "{}", dir.display()),
            Self::BuiltIn(_) => f.write_str("the zones that are built in"),
        }
    }
}

/// Where systems keep zones.
const DIRS: [&str; 3] = ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Zone {
    name: String,
    rules: TimeZone,
}

impl TryFrom<String> for Zone {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        Ok(Self { rules: Zones::here().get(&name)?, name })
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct DaysText(Days);

impl TryFrom<String> for DaysText {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (from, to) = text.split_once('-').unwrap_or((&text, &text));
        match (weekday(from), weekday(to)) {
            (Some(from), Some(to)) => Ok(Self(Days { from, to })),
            _ => Err(format!("{text:?} is no days of the week, as mon-fri or sat")),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct ClockText(Clock);

impl TryFrom<String> for ClockText {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        clock(&text).map(Self).ok_or_else(|| format!("{text:?} is no time of the day, as 08:00"))
    }
}

fn clock(text: &str) -> Option<Clock> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= 24 * 60).then_some(Clock(all))
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct DateText(Date);

impl TryFrom<String> for DateText {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        date(&text).map(Self).ok_or_else(|| format!("{text:?} is no day, as 2026-12-25"))
    }
}

fn date(text: &str) -> Option<Date> {
    let date: Date = text.parse().ok()?;
    (date.to_string() == text).then_some(date)
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Also {
    date: Date,
    between: Between,
}

impl TryFrom<String> for Also {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (day, times) = text.split_once(' ')?;
            let (from, until) = times.split_once('-')?;
            let between = Between { from: clock(from)?, until: clock(until)? };
            (between.from != between.until).then_some(Self { date: date(day)?, between })
        };
        read().ok_or_else(|| format!("{text:?} is no window of one day, as 2026-12-24 08:00-12:00"))
    }
}
