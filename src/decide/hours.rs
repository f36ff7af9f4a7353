//! Named hours: windows of the week in a zone of their own, with the days on which they differ. Pure: a
//! zone is its rules, read when the file was.

use std::fmt;

use jiff::civil::{Date, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

use crate::certificate::time::{Span, UnixTime};

/// Hours as `hours.toml` has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// The zone's rules.
    pub zone: TimeZone,
    /// The zone's name, `Europe/Rome`.
    pub zone_name: String,
    /// On which days of the week, and from when until when.
    pub weekly: Option<(Vec<Days>, Between)>,
    /// The days on which the weekly window does not begin.
    pub except: Vec<Date>,
    /// Windows of single days.
    pub also: Vec<(Date, Between)>,
}

/// Days of the week, from one to another: `mon-fri`, `sat`, `sat-mon`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub from: Weekday,
    /// The last.
    pub to: Weekday,
}

/// From one time of the day until another, which is the next day's where it is not later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Between {
    /// The first minute in it.
    pub from: Clock,
    /// The first minute after it.
    pub until: Clock,
}

/// A time of the day, in minutes since its start: `00:00` to `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock(pub u16);

impl Hours {
    /// Whether this moment is in them.
    pub fn contains(&self, now: UnixTime) -> bool {
        self.around(now).any(|(start, end)| start <= now && now < end)
    }

    /// When they begin next, after a moment that is not in them; `None` if they do not within a year.
    pub fn begins(&self, now: UnixTime) -> Option<UnixTime> {
        let from = self.date(now)?;
        let days = (-1..=400).filter_map(|n| from.checked_add(i64::from(n).days()).ok());
        let starts = days.flat_map(|day| self.windows(day)).map(|(start, _)| start);
        let also = self.also.iter().filter_map(|(day, between)| self.window(*day, *between));
        starts.chain(also.map(|(start, _)| start)).filter(|start| *start > now).min()
    }

    /// When they end, after a moment that is in them; `None` if they do not within a year.
    pub fn ends(&self, now: UnixTime) -> Option<UnixTime> {
        let mut end = now;
        // A window may begin before another has ended.
        while let Some(later) =
            self.around(end).filter(|(start, _)| *start <= end).map(|(_, end)| end).max()
            && later > end
        {
            end = later;
            if end.since(now) > YEAR {
                return None;
            }
        }
        Some(end)
    }

    /// What the clocks there show: `sat 22:14`.
    pub fn shown(&self, now: UnixTime) -> String {
        match Timestamp::from_second(i64::try_from(now.secs()).unwrap_or(i64::MAX)) {
            Ok(time) => {
                let local = time.to_zoned(self.zone.clone());
                let (day, time) = (name(local.weekday()), local.time());
                format!("{day} {:02}:{:02}", time.hour(), time.minute())
            }
            // Unreachable: jiff knows every UnixTime.
            Err(_) => now.to_string(),
        }
    }

    /// The windows that may hold a moment: those that begin on its day, on the days before, and, where
    /// the date line was moved, on the day after.
    fn around(&self, now: UnixTime) -> impl Iterator<Item = (UnixTime, UnixTime)> {
        let date = self.date(now);
        let days = (-2..=1).filter_map(move |n| date?.checked_add(i64::from(n).days()).ok());
        days.flat_map(|day| self.windows(day))
    }

    fn date(&self, now: UnixTime) -> Option<Date> {
        let time = Timestamp::from_second(i64::try_from(now.secs()).ok()?).ok()?;
        Some(self.zone.to_datetime(time).date())
    }

    /// The windows that begin on a day.
    fn windows(&self, day: Date) -> impl Iterator<Item = (UnixTime, UnixTime)> {
        let weekly = self.weekly.iter().filter(move |(days, _)| {
            !self.except.contains(&day) && days.iter().any(|days| days.have(day.weekday()))
        });
        let also = self.also.iter().filter(move |(one, _)| *one == day).map(|(_, between)| between);
        let all = weekly.map(|(_, between)| between).chain(also);
        all.filter_map(move |between| self.window(day, *between))
    }

    fn window(&self, day: Date, Between { from, until }: Between) -> Option<(UnixTime, UnixTime)> {
        let last = if until > from { day } else { day.tomorrow().ok()? };
        Some((self.moment(day, from)?, self.moment(last, until)?))
    }

    /// The first moment at which the clocks show this: where they are set back it comes twice, and where
    /// they are set forward over it, it is the moment at which they are.
    fn moment(&self, day: Date, Clock(minutes): Clock) -> Option<UnixTime> {
        let civil = day.at(0, 0, 0, 0).checked_add(i64::from(minutes).minutes()).ok()?;
        let time = match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset }
            | AmbiguousOffset::Fold { before: offset, .. } => offset.to_timestamp(civil).ok()?,
            AmbiguousOffset::Gap { before, .. } => {
                let late = before.to_timestamp(civil).ok()?.checked_add(1.second()).ok()?;
                self.zone.preceding(late).next()?.timestamp()
            }
        };
        u64::try_from(time.as_second()).ok().map(UnixTime::from_secs)
    }
}

impl fmt::Display for Hours {
    /// `mon-fri 08:00-18:30 Europe/Rome`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.weekly {
            Some((days, between)) => {
                let days: Vec<String> = days.iter().map(Days::to_string).collect();
                write!(f, "{} {between} {}", days.join(" "), self.zone_name)
            }
            None => write!(f, "on single days, {}", self.zone_name),
        }
    }
}

impl Days {
    fn have(self, day: Weekday) -> bool {
        self.from.until(day) <= self.from.until(self.to)
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from == self.to {
            true => f.write_str(name(self.from)),
            false => write!(f, "{}-{}", name(self.from), name(self.to)),
        }
    }
}

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from, self.until)
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// The day of the week of this name.
pub fn weekday(text: &str) -> Option<Weekday> {
    WEEK.into_iter().find(|day| name(*day) == text)
}

/// A day of the week as it is written.
pub fn name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "mon",
        Weekday::Tuesday => "tue",
        Weekday::Wednesday => "wed",
        Weekday::Thursday => "thu",
        Weekday::Friday => "fri",
        Weekday::Saturday => "sat",
        Weekday::Sunday => "sun",
    }
}

const WEEK: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

const YEAR: Span = Span::secs(366 * 86_400);
