//! A calendar (iCalendar, RFC 5545), as rota programs and groupware give it: each event is a shift of its
//! attendees, or of whom its summary names.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use calcard::common::timezone::Tz;
use calcard::icalendar::dates::TimeOrDelta;
use calcard::icalendar::{
    ICalendar, ICalendarComponent, ICalendarComponentType, ICalendarProperty, ICalendarStatus,
    ICalendarValue, Uri,
};

use super::fetch::fetch;
use super::{Shift, ShiftFault, Shifts, Who};
use crate::certificate::time::UnixTime;
use crate::config::on_call::Calendar;
use crate::decide::facts::Window;

/// A calendar in a file or at an address, read anew each time.
#[derive(Debug)]
pub struct CalendarFeed {
    from: Calendar,
    token: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

/// The most bytes of a calendar.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The most events, and how often one may come again: a shift a day for sixteen years.
const MOST: usize = 6000;

impl CalendarFeed {
    /// A calendar; of an address also the file with its token, and that with the authorities that vouch
    /// for it.
    pub fn new(from: Calendar, (token, ca_file): (Option<PathBuf>, Option<PathBuf>)) -> Self {
        Self { from, token, ca_file }
    }

    fn text(&self) -> Result<String, ShiftFault> {
        match &self.from {
            Calendar::File(path) => {
                let say =
                    |why: &dyn std::fmt::Display| ShiftFault(format!("{}: {why}", path.display()));
                let mut text = String::new();
                let file = std::fs::File::open(path).map_err(|why| say(&why))?;
                let length =
                    file.take(LONGEST + 1).read_to_string(&mut text).map_err(|why| say(&why))?;
                if u64::try_from(length).unwrap_or(u64::MAX) > LONGEST {
                    return Err(say(&"longer than 4 MiB"));
                }
                Ok(text)
            }
            Calendar::Address(address) => {
                fetch(address, self.token.as_deref(), self.ca_file.as_deref(), LONGEST)
                    .map_err(|why| ShiftFault(format!("{}: {why}", shown(address))))
            }
        }
    }
}

impl Shifts for CalendarFeed {
    fn within(&self, window: Window) -> Result<Vec<Shift>, ShiftFault> {
        let name = match &self.from {
            Calendar::File(path) => path.display().to_string(),
            // What follows a `?` may be a secret.
            Calendar::Address(address) => address.split('?').next().unwrap_or_default().to_owned(),
        };
        read(&self.text()?, window).map_err(|why| ShiftFault(format!("{name}: {why}")))
    }
}

/// An address for the journal. Feeds are often kept private by a path that nobody guesses: the host is
/// enough to know which it is.
fn shown(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{}/...", host.rsplit('@').next().unwrap_or_default())
}

fn read(text: &str, window: Window) -> Result<Vec<Shift>, String> {
    let calendar = ICalendar::parse(text).map_err(|_| "not a calendar (RFC 5545)".to_owned())?;
    let is = |one: &ICalendarComponent, kind| one.component_type == kind;
    let all = || calendar.components.iter().filter(|one| is(one, ICalendarComponentType::VEvent));
    if all().count() > MOST {
        return Err(format!("more than {MOST} events"));
    }
    // An event and the changes to single ones of its repetitions have one UID.
    let mut events: BTreeMap<String, Vec<ICalendarComponent>> = BTreeMap::new();
    for event in all() {
        let uid = texts(event, &ICalendarProperty::Uid).join(" ");
        events.entry(uid).or_default().push(event.clone());
    }
    let zones = calendar.components.iter().filter(|one| !is(one, ICalendarComponentType::VEvent));
    let zones: Vec<ICalendarComponent> = zones.cloned().collect();
    let mut shifts = Vec::new();
    for event in events.into_values() {
        shifts.extend(one(&zones, event, window)?);
    }
    Ok(shifts)
}

/// The shifts of one event, each time that it comes again.
fn one(
    zones: &[ICalendarComponent],
    event: Vec<ICalendarComponent>,
    window: Window,
) -> Result<Vec<Shift>, String> {
    let whose = event.iter().flat_map(called).collect::<Vec<_>>().join(", ");
    if let Some(wrong) = event.iter().find_map(not_understood) {
        return Err(format!("an event of {whose}: its {wrong} cannot be understood"));
    }
    let components = [zones, event.as_slice()].concat();
    let calendar = ICalendar { components };
    let expanded = calendar.expand_dates(Tz::UTC, MOST);
    // One that cannot be understood may be anybody's shift at any time.
    if let Some(wrong) = expanded.errors.first() {
        return Err(format!("an event of {whose}: {:?}", wrong.error));
    }
    let secs = |secs: i64| UnixTime::from_secs(u64::try_from(secs).unwrap_or(0));
    let begins = expanded.events.iter().map(|event| secs(event.start.timestamp()));
    if expanded.events.len() >= MOST && begins.max().is_none_or(|last| last < window.until) {
        return Err(format!("an event of {whose} comes again more than {MOST} times"));
    }
    let mut shifts = Vec::new();
    for event in &expanded.events {
        let from = event.start.timestamp();
        let until = match &event.end {
            TimeOrDelta::Time(end) => end.timestamp(),
            TimeOrDelta::Delta(length) => from.saturating_add(length.num_seconds()),
        };
        let shift = Window { from: secs(from), until: secs(until) };
        let id = usize::try_from(event.comp_id).unwrap_or(usize::MAX);
        let component = calendar.components.get(id).filter(|one| !is_cancelled(one));
        if let Some(component) = component
            && shift.until > window.from
            && shift.from < window.until
        {
            // Each attendee has the shift.
            shifts.extend(
                called(component)
                    .into_iter()
                    .map(|one| Shift { who: Who::Called(vec![one]), window: shift }),
            );
        }
    }
    Ok(shifts)
}

/// What of an event's times is not what it should be: the library keeps it as text.
fn not_understood(event: &ICalendarComponent) -> Option<&'static str> {
    use ICalendarProperty as Property;
    let entries = event.entries.iter();
    let mut wrong = entries.filter_map(|entry| {
        let name = match entry.name {
            Property::Dtstart => "DTSTART",
            Property::Dtend => "DTEND",
            Property::Duration => "DURATION",
            Property::Rrule => "RRULE",
            Property::Rdate => "RDATE",
            Property::Exdate => "EXDATE",
            Property::RecurrenceId => "RECURRENCE-ID",
            _ => return None,
        };
        let text = |value: &ICalendarValue| matches!(value, ICalendarValue::Text(_));
        (entry.values.is_empty() || entry.values.iter().any(text)).then_some(name)
    });
    wrong.next()
}

fn is_cancelled(event: &ICalendarComponent) -> bool {
    let status = event.property(&ICalendarProperty::Status);
    let cancelled = |value: &ICalendarValue| {
        matches!(value, ICalendarValue::Status(ICalendarStatus::Cancelled))
    };
    status.is_some_and(|status| status.values.iter().any(cancelled))
}

/// The attendees' addresses; where there is no attendee, the summary: as a whole, and each word of it that
/// is an address.
fn called(event: &ICalendarComponent) -> Vec<String> {
    let attendees = texts(event, &ICalendarProperty::Attendee);
    if !attendees.is_empty() {
        let address = |uri: String| match uri.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => {
                uri.get(7..).unwrap_or_default().to_owned()
            }
            _ => uri,
        };
        return attendees.into_iter().map(address).collect();
    }
    let mut names = Vec::new();
    for summary in texts(event, &ICalendarProperty::Summary) {
        let word = |c: char| c.is_whitespace() || "()<>[],;".contains(c);
        names.extend(summary.split(word).filter(|word| word.contains('@')).map(str::to_owned));
        if names.is_empty() {
            names.push(summary);
        }
    }
    names
}

fn texts(event: &ICalendarComponent, property: &ICalendarProperty) -> Vec<String> {
    let values = event.entries.iter().filter(|entry| entry.name == *property);
    let text = |value: &ICalendarValue| match value {
        ICalendarValue::Text(text) | ICalendarValue::Uri(Uri::Location(text)) => {
            Some(text.trim().to_owned())
        }
        _ => None,
    };
    values.flat_map(|entry| &entry.values).filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//rota//EN\r\n\
        BEGIN:VEVENT\r\nUID:1\r\nDTSTART:20261120T080000Z\r\nDTEND:20261127T080000Z\r\n\
        SUMMARY:On Call - Ana - database\r\nATTENDEE;CN=Ana:mailto:ana@example.com\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nUID:2\r\nDTSTART;TZID=Europe/Rome:20261005T090000\r\nDURATION:PT8H\r\n\
        RRULE:FREQ=WEEKLY;BYDAY=MO,TU\r\nEXDATE;TZID=Europe/Rome:20261124T090000\r\n\
        SUMMARY:bob@example.com (backup)\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nUID:3\r\nDTSTART:20261120T080000Z\r\nDTEND:20261127T080000Z\r\n\
        STATUS:CANCELLED\r\nSUMMARY:eve@example.com\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nUID:4\r\nDTSTART;VALUE=DATE:20261128\r\nDTEND;VALUE=DATE:20261130\r\n\
        SUMMARY:U123\r\nEND:VEVENT\r\n\
        END:VCALENDAR\r\n";

    fn said(text: &str, from: &str, until: &str) -> Result<Vec<String>, String> {
        let window = Window { from: from.parse().unwrap(), until: until.parse().unwrap() };
        let mut shifts = read(text, window)?;
        shifts.sort_by_key(|shift| shift.window.from);
        let say = |shift: Shift| match shift.who {
            Who::Called(names) => {
                format!("{} {} {}", names.join("|"), shift.window.from, shift.window.until)
            }
            Who::Name(_) => String::new(),
        };
        Ok(shifts.into_iter().map(say).collect())
    }

    #[test]
    fn events_are_shifts_of_those_they_name() {
        assert_eq!(
            said(FEED, "2026-11-22T00:00:00Z", "2026-12-01T00:00:00Z").unwrap(),
            [
                "ana@example.com 2026-11-20T08:00:00Z 2026-11-27T08:00:00Z",
                "bob@example.com 2026-11-23T08:00:00Z 2026-11-23T16:00:00Z",
                "U123 2026-11-28T00:00:00Z 2026-11-30T00:00:00Z",
                "bob@example.com 2026-11-30T08:00:00Z 2026-11-30T16:00:00Z",
            ]
        );
        // In summer the same clock is an hour earlier.
        assert_eq!(
            said(FEED, "2026-10-05T00:00:00Z", "2026-10-06T00:00:00Z").unwrap(),
            ["bob@example.com 2026-10-05T07:00:00Z 2026-10-05T15:00:00Z"]
        );
        assert_eq!(said(FEED, "2026-09-01T00:00:00Z", "2026-09-02T00:00:00Z").unwrap(), [""; 0]);
    }

    #[test]
    fn what_cannot_be_understood_is_nobodys_shift_and_no_silence() {
        for (broken, why) in [
            ("", "not a calendar"),
            ("<html></html>", "not a calendar"),
            (&FEED.replace("DTSTART:20261120T080000Z", "DTSTART:yesterday"), "ana@example.com"),
            (&FEED.replace("FREQ=WEEKLY", "FREQ=SOMETIMES"), "bob@example.com"),
            (&FEED.replace("FREQ=WEEKLY;BYDAY=MO,TU", "FREQ=SECONDLY"), "more than 6000 times"),
        ] {
            let said = said(broken, "2026-11-22T00:00:00Z", "2026-12-01T00:00:00Z");
            assert!(said.as_ref().is_err_and(|said| said.contains(why)), "{why}: {said:?}");
        }
    }
}
