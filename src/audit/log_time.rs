//! When a log line was written, as far as it says: syslog's own form has neither year nor zone.

use jiff::civil::DateTime;

use crate::certificate::time::{Span, UnixTime};

/// The time of a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTime {
    /// With its zone.
    Exact(UnixTime),
    /// Without: what the clock on the wall showed, in a year that may be left out.
    Wall {
        /// The year.
        year: Option<i16>,
        /// The month.
        month: i8,
        /// The day.
        day: i8,
        /// Hour, minute, second.
        clock: (i8, i8, i8),
    },
}

/// How far a line may be from the certificate's window: sshd looks at the clock first, logs later, and
/// PAM may take its time between.
pub const SLACK: Span = Span::secs(60);

/// No zone is further behind UTC, and none further ahead.
const BEHIND: Span = Span::secs(12 * 3600);
const AHEAD: Span = Span::secs(14 * 3600);

/// How sure it is that a time is outside a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// It is within.
    Yes,
    /// It is outside.
    No,
    /// It is within in some zone: nobody can say.
    Perhaps,
}

impl LogTime {
    /// Reads the words at the beginning of a line; how many of them it took.
    pub fn read(words: &[&str]) -> (Option<Self>, usize) {
        match words {
            // `<38>1 2026-11-22T05:40:01Z`, RFC 5424 as it is sent.
            [priority, rest @ ..] if priority.starts_with('<') && priority.ends_with(">1") => {
                let (time, used) = Self::read(rest);
                (time, used + usize::from(used > 0))
            }
            // `Sun 2026-11-22 05:40:01 UTC`, journalctl's short-full.
            [_weekday, date, clock, zone, ..] if is_date(date) => {
                let time = format!("{date}T{clock}");
                let exact = (*zone == "UTC").then(|| exact(&format!("{time}Z"))).flatten();
                (exact.or_else(|| wall(&time)), 4)
            }
            [time, ..] if time.get(..10).is_some_and(is_date) => {
                let read = exact(time).or_else(|| wall(time));
                (read.clone(), usize::from(read.is_some()))
            }
            [month, day, clock, ..] => {
                let month = month.split_once('>').map_or(*month, |(_, month)| month);
                let time = traditional(month, day, clock);
                (time.clone(), if time.is_some() { 3 } else { 0 })
            }
            _ => (None, 0),
        }
    }

    /// Whether it lies within a certificate's window. `zone`: the seconds that walls without a zone are
    /// ahead of UTC, if that was said.
    pub fn within(&self, from: UnixTime, to: UnixTime, zone: Option<i64>) -> Within {
        let (from, to) = (from.minus(SLACK), to.plus(SLACK));
        let inside = |time: UnixTime, before: Span, after: Span| {
            time >= from.minus(before) && time <= to.plus(after)
        };
        let year = match self {
            Self::Exact(time) => {
                return if inside(*time, Span::secs(0), Span::secs(0)) {
                    Within::Yes
                } else {
                    Within::No
                };
            }
            Self::Wall { year, .. } => *year,
        };
        // A year that is left out is the window's, or its neighbour around the end of one.
        let years = year.map_or_else(|| years_of(from), |year| vec![year]);
        let walls: Vec<UnixTime> =
            years.into_iter().filter_map(|year| self.in_utc(year, zone.unwrap_or(0))).collect();
        let none = Span::secs(0);
        if zone.is_some() {
            let yes = walls.iter().any(|wall| inside(*wall, none, none));
            return if yes { Within::Yes } else { Within::No };
        }
        let perhaps = walls.iter().any(|wall| inside(*wall, BEHIND, AHEAD));
        if perhaps { Within::Perhaps } else { Within::No }
    }

    fn in_utc(&self, year: i16, ahead: i64) -> Option<UnixTime> {
        let Self::Wall { month, day, clock: (hour, minute, second), .. } = self else {
            return None;
        };
        let wall = DateTime::new(year, *month, *day, *hour, *minute, *second, 0).ok()?;
        let utc = wall.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
        u64::try_from(utc.checked_sub(ahead)?).ok().map(UnixTime::from_secs)
    }
}

/// The year of a time, and those beside it.
fn years_of(time: UnixTime) -> Vec<i16> {
    let secs = i64::try_from(time.secs()).unwrap_or(i64::MAX);
    let Ok(time) = jiff::Timestamp::from_second(secs) else { return Vec::new() };
    let year = time.to_zoned(jiff::tz::TimeZone::UTC).year();
    vec![year.saturating_sub(1), year, year.saturating_add(1)]
}

/// A time with its zone, whole seconds of it.
fn exact(text: &str) -> Option<LogTime> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_second()).ok().map(|secs| LogTime::Exact(UnixTime::from_secs(secs)))
}

/// `2026-11-22T06:40:01`: a time without a zone.
fn wall(text: &str) -> Option<LogTime> {
    let time: DateTime = text.parse().ok()?;
    Some(LogTime::Wall {
        year: Some(time.year()),
        month: time.month(),
        day: time.day(),
        clock: (time.hour(), time.minute(), time.second()),
    })
}

/// `Nov 22 06:40:01`
fn traditional(month: &str, day: &str, clock: &str) -> Option<LogTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let clock = clock.split('.').next()?;
    let mut parts = clock.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let time = LogTime::Wall {
        year: None,
        month: i8::try_from(month).ok()?,
        day: day.parse().ok()?,
        clock: (hour, minute, second),
    };
    // In a leap year every day there is is one.
    (parts.next().is_none() && time.in_utc(2028, 0).is_some()).then_some(time)
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// Reads `UTC`, `+01:00` or `-0330`: how many seconds ahead of UTC.
pub fn zone(text: &str) -> Option<i64> {
    if text == "UTC" || text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').or_else(|| rest.split_at_checked(2))?;
    let digits = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<i64>().ok())?
    };
    let (hours, minutes) = (digits(hours)?, if minutes.is_empty() { 0 } else { digits(minutes)? });
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> LogTime {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (time, used) = LogTime::read(&words);
        assert_eq!(used, words.len(), "{text}");
        time.unwrap()
    }

    fn at(text: &str) -> UnixTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_with_a_zone_is_exact() {
        let exact = LogTime::Exact(at("2026-11-22T05:40:01Z"));
        for text in [
            "2026-11-22T05:40:01Z",
            "2026-11-22T06:40:01+01:00",
            "2026-11-22T06:40:01.999999+01:00",
            "2026-11-22T06:40:01+0100",
            "<38>1 2026-11-22T05:40:01.5Z",
            "Sun 2026-11-22 05:40:01 UTC",
        ] {
            assert_eq!(read(text), exact, "{text}");
        }
        let (from, to) = (at("2026-11-22T05:30:00Z"), at("2026-11-22T05:40:00Z"));
        assert_eq!(exact.within(from, to, None), Within::Yes, "a second late in the log");
        let late = LogTime::Exact(at("2026-11-22T05:41:01Z"));
        assert_eq!(late.within(from, to, None), Within::No);
        assert_eq!(LogTime::Exact(at("2026-11-22T05:28:59Z")).within(from, to, None), Within::No);
    }

    #[test]
    fn a_time_without_a_zone_is_outside_only_if_it_is_in_every_zone() {
        let (from, to) = (at("2026-11-22T05:30:00Z"), at("2026-11-22T05:40:00Z"));
        for (text, alone, berlin) in [
            ("Nov 22 06:35:00", Within::Perhaps, Within::Yes),
            ("Nov 22 05:35:00", Within::Perhaps, Within::No),
            ("Nov 22 19:35:00", Within::Perhaps, Within::No),
            ("Nov 22 20:35:00", Within::No, Within::No),
            ("Nov 21 17:35:00", Within::Perhaps, Within::No),
            ("Nov 21 16:35:00", Within::No, Within::No),
            ("May 22 06:35:00", Within::No, Within::No),
            ("2026-11-22T06:35:00", Within::Perhaps, Within::Yes),
            ("2025-11-22T06:35:00", Within::No, Within::No),
            ("Sun 2026-11-22 06:35:00 CET", Within::Perhaps, Within::Yes),
        ] {
            assert_eq!(read(text).within(from, to, None), alone, "{text}");
            assert_eq!(read(text).within(from, to, zone("+01:00")), berlin, "{text} in Berlin");
        }
        // Around new year, in a zone that is ahead.
        let (from, to) = (at("2026-12-31T23:50:00Z"), at("2027-01-01T00:00:00Z"));
        assert_eq!(read("Jan 1 00:55:00").within(from, to, zone("+01:00")), Within::Yes);
        assert_eq!(read("Dec 31 22:55:00").within(from, to, zone("-01:00")), Within::Yes);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for bad in
            ["", "web01", "Nov 31 06:35:00", "Nov 22 25:00:00", "Nov 22 06:35", "22 Nov 06:35:00"]
        {
            let words: Vec<&str> = bad.split_whitespace().collect();
            assert_eq!(LogTime::read(&words), (None, 0), "{bad}");
        }
        for (text, ahead) in
            [("UTC", 0), ("+01:00", 3600), ("+0100", 3600), ("+01", 3600), ("-03:30", -12600)]
        {
            assert_eq!(zone(text), Some(ahead), "{text}");
        }
        for bad in ["", "CET", "1", "+1", "+25:00", "+01:60", "+ab", "01:00"] {
            assert_eq!(zone(bad), None, "{bad}");
        }
    }
}
