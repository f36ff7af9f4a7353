//! Named hours: when they are, around the days on which clocks change, and what is wrong with a file.

use super::hours::{Zones, read};
use super::snapshot::Text;
use crate::certificate::time::UnixTime;
use crate::decide::hours::Hours;

fn text(text: &str) -> Text {
    Text { path: "hours.toml".into(), name: "hours.toml".to_owned(), text: text.to_owned() }
}

/// The hours of a file with one entry.
fn hours(entry: &str) -> Hours {
    let all = read(&text(&format!("[hours.h]\n{entry}\n"))).unwrap();
    all.into_values().next().unwrap()
}

fn at(time: &str) -> UnixTime {
    time.parse().unwrap()
}

/// The first moment in the hours and the first one after them, from a moment before.
fn next(hours: &Hours, before: &str) -> (String, String) {
    let start = hours.begins(at(before)).unwrap();
    assert!(hours.contains(start) && !hours.contains(UnixTime::from_secs(start.secs() - 1)));
    let end = hours.ends(start).unwrap();
    assert!(!hours.contains(end) && hours.contains(UnixTime::from_secs(end.secs() - 1)));
    (start.to_string(), end.to_string())
}

const OFFICE: &str = "zone = \"Europe/Rome\"\ndays = [\"mon-fri\"]\nfrom = \"08:00\"\nuntil = \"18:30\"\n\
                      except = [\"2026-12-25\"]\nalso = [\"2026-12-26 08:00-12:00\"]";

#[test]
fn the_office_is_open_by_the_clock_on_its_wall() {
    let office = hours(OFFICE);
    for (time, open) in [
        ("2026-11-23T06:59:59Z", false),
        ("2026-11-23T07:00:00Z", true),
        ("2026-11-23T17:29:59Z", true),
        ("2026-11-23T17:30:00Z", false),
        // In summer the same clock is an hour earlier.
        ("2026-07-01T06:00:00Z", true),
        ("2026-07-01T16:30:00Z", false),
        // A Sunday.
        ("2026-11-22T10:00:00Z", false),
        // The holiday, a Friday, and the Saturday after, which has a morning of its own.
        ("2026-12-25T10:00:00Z", false),
        ("2026-12-26T10:59:59Z", true),
        ("2026-12-26T11:00:00Z", false),
    ] {
        assert_eq!(office.contains(at(time)), open, "{time}");
    }
    assert_eq!(office.to_string(), "mon-fri 08:00-18:30 Europe/Rome");
    assert_eq!(office.shown(at("2026-11-21T21:14:00Z")), "sat 22:14");
    assert_eq!(office.begins(at("2026-11-21T21:14:00Z")), Some(at("2026-11-23T07:00:00Z")));
    assert_eq!(office.ends(at("2026-11-23T10:00:00Z")), Some(at("2026-11-23T17:30:00Z")));
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_begins() {
    let night =
        hours("zone = \"Europe/Rome\"\ndays = [\"fri\"]\nfrom = \"22:00\"\nuntil = \"06:00\"");
    assert!(!night.contains(at("2026-11-20T02:00:00Z")), "the morning of Friday");
    assert!(
        night.contains(at("2026-11-20T21:00:00Z")) && night.contains(at("2026-11-21T04:59:59Z"))
    );
    assert!(
        !night.contains(at("2026-11-21T05:00:00Z")) && !night.contains(at("2026-11-21T22:00:00Z"))
    );
    // A week wraps around too; whole days end where the next one begins.
    let weekend = "zone = \"UTC\"\ndays = [\"sat-sun\"]\nfrom = \"00:00\"\nuntil = \"24:00\"";
    let weekend = hours(weekend);
    let both = ("2026-11-21T00:00:00Z".to_owned(), "2026-11-23T00:00:00Z".to_owned());
    assert_eq!(next(&weekend, "2026-11-18T00:00:00Z"), both);
    let always = hours("zone = \"UTC\"\ndays = [\"thu-wed\"]\nfrom = \"00:00\"\nuntil = \"24:00\"");
    assert!(
        always.contains(at("2026-11-21T12:00:00Z")) && always.contains(at("2026-11-25T23:59:59Z"))
    );
    assert_eq!(always.ends(at("2026-11-21T12:00:00Z")), None, "they never end");
    let past = hours("zone = \"UTC\"\nalso = [\"2020-01-01 08:00-12:00\"]");
    assert_eq!(past.begins(at("2026-11-21T12:00:00Z")), None, "they never begin again");
    assert_eq!(past.to_string(), "on single days, UTC");
}

/// Zone, from, until, and when they were on a day whose clocks changed: on the way, over an hour that
/// was skipped, over an hour that came twice.
#[test]
fn windows_on_days_when_clocks_change() {
    for (zone, from, until, before, start, end) in [
        // Rome, 29 March 2026: 02:00 to 03:00 does not happen. 25 October: it happens twice.
        (
            "Europe/Rome",
            "01:00",
            "04:00",
            "2026-03-28T23:00:00Z",
            "2026-03-29T00:00:00Z",
            "2026-03-29T02:00:00Z",
        ),
        (
            "Europe/Rome",
            "02:30",
            "04:00",
            "2026-03-28T23:00:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T02:00:00Z",
        ),
        (
            "Europe/Rome",
            "01:30",
            "02:30",
            "2026-03-28T23:00:00Z",
            "2026-03-29T00:30:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "Europe/Rome",
            "02:00",
            "02:30",
            "2026-10-24T22:00:00Z",
            "2026-10-25T00:00:00Z",
            "2026-10-25T00:30:00Z",
        ),
        (
            "Europe/Rome",
            "02:30",
            "03:00",
            "2026-10-24T22:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T02:00:00Z",
        ),
        (
            "Europe/Rome",
            "22:00",
            "06:00",
            "2026-10-24T12:00:00Z",
            "2026-10-24T20:00:00Z",
            "2026-10-25T05:00:00Z",
        ),
        // New York, 8 March and 1 November 2026.
        (
            "America/New_York",
            "02:15",
            "03:15",
            "2026-03-08T05:00:00Z",
            "2026-03-08T07:00:00Z",
            "2026-03-08T07:15:00Z",
        ),
        (
            "America/New_York",
            "00:00",
            "03:00",
            "2026-11-01T03:00:00Z",
            "2026-11-01T04:00:00Z",
            "2026-11-01T08:00:00Z",
        ),
        // Lord Howe, by half an hour: 5 April 2026 back, 4 October forward.
        (
            "Australia/Lord_Howe",
            "01:00",
            "03:00",
            "2026-04-04T13:30:00Z",
            "2026-04-04T14:00:00Z",
            "2026-04-04T16:30:00Z",
        ),
        (
            "Australia/Lord_Howe",
            "02:15",
            "03:00",
            "2026-10-03T14:00:00Z",
            "2026-10-03T15:30:00Z",
            "2026-10-03T16:00:00Z",
        ),
        // Kathmandu is five hours and three quarters ahead, and changes nothing.
        (
            "Asia/Kathmandu",
            "08:00",
            "18:30",
            "2026-11-22T00:00:00Z",
            "2026-11-22T02:15:00Z",
            "2026-11-22T12:45:00Z",
        ),
    ] {
        let entry = format!(
            "zone = \"{zone}\"\ndays = [\"mon-sun\"]\nfrom = \"{from}\"\nuntil = \"{until}\""
        );
        let found = next(&hours(&entry), before);
        assert_eq!(found, (start.to_owned(), end.to_owned()), "{zone} {from}-{until}");
    }
    // New York, 8 March: a window that lies within the hour that is skipped does not happen that day.
    let skipped =
        "zone = \"America/New_York\"\ndays = [\"sun\"]\nfrom = \"02:15\"\nuntil = \"02:45\"";
    let skipped = hours(skipped);
    assert!(!skipped.contains(at("2026-03-08T07:00:00Z")));
    // Samoa had no 30 December 2011, a Friday.
    let samoa =
        hours("zone = \"Pacific/Apia\"\ndays = [\"fri\"]\nfrom = \"08:00\"\nuntil = \"18:00\"");
    assert!((0..96).all(|n| !samoa.contains(UnixTime::from_secs(1_325_152_800 + 1800 * n))));
}

/// Every ten minutes of a year: `begins` and `ends` say when `contains` changes, and there is a window for
/// every working day.
#[test]
fn a_year_has_as_many_windows_as_working_days() {
    let office = hours(OFFICE);
    let (mut was, mut changes) = (false, 0);
    let first = at("2026-01-01T00:00:00Z").secs();
    for n in 0..365 * 24 * 6 {
        let now = UnixTime::from_secs(first + 600 * n);
        let is = office.contains(now);
        if is != was {
            let before = UnixTime::from_secs(now.secs() - 600);
            let said = if is { office.begins(before) } else { office.ends(before) };
            assert_eq!(said, Some(now));
            changes += 1;
        }
        was = is;
    }
    // 261 weekdays, less Christmas, and the Saturday after.
    assert_eq!(changes, 2 * (261 - 1 + 1));
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let good = format!("[hours.office]\n{OFFICE}\n");
    assert!(read(&text(&good)).is_ok() && read(&text("")).unwrap().is_empty());
    for (find, put, line, column, said) in [
        ("Europe/Rome", "Europe/Roma", 2, 8, "there is no zone \"Europe/Roma\" in"),
        ("Europe/Rome", "europe/rome", 2, 8, "did you mean \"Europe/Rome\"?"),
        ("Europe/Rome", "right/Europe/Rome", 2, 8, "there is no zone \"right/Europe/Rome\""),
        ("Europe/Rome", "../zoneinfo/Europe/Rome", 2, 8, "there is no zone"),
        ("Europe/Rome", "localtime", 2, 8, "there is no zone"),
        ("mon-fri", "mon-friday", 3, 8, "\"mon-friday\" is no days of the week, as mon-fri or sat"),
        ("08:00", "8:00", 4, 8, "\"8:00\" is no time of the day, as 08:00"),
        ("18:30", "24:01", 5, 9, "\"24:01\" is no time of the day"),
        ("18:30", "08:00", 5, 9, "hours office: from and until are the same"),
        ("\"2026-12-25\"", "\"2026-12-32\"", 6, 10, "\"2026-12-32\" is no day, as 2026-12-25"),
        ("08:00-12:00\"", "12:00\"", 7, 8, "is no window of one day, as 2026-12-24 08:00-12:00"),
        ("until = \"18:30\"\n", "", 1, 1, "hours office: days, from and until go together"),
        ("zone = \"Europe/Rome\"\n", "", 1, 1, "missing field `zone`"),
        ("except", "expect", 6, 1, "unknown field `expect`"),
        ("[hours.office]", "[hours.Office]", 1, 8, "hours: up to 63 of a-z"),
        ("[hours.office]", "[hours.office]\n[hours.office]", 2, 8, "duplicate key"),
        ("days = [", "days = ", 3, 17, ""),
    ] {
        let why = read(&text(&good.replacen(find, put, 1))).unwrap_err().to_string();
        assert!(why.contains(said), "{put}: {why}");
        let place = format!("hours.toml:{line}:{column}:");
        let other = format!("hours.toml: TOML parse error at line {line}, column {column}");
        assert!(why.contains(&place) || why.contains(&other), "{put}: {why}");
        assert!(why.contains('^'), "{put}: {why}");
    }
}

#[test]
fn zones_are_the_systems_or_else_those_that_are_built_in() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    for folders in [vec![], vec![nowhere.as_path()], vec![dir.path()]] {
        let zones = Zones::in_folders(&folders);
        assert_eq!(zones.to_string(), "the zones that are built in");
        assert!(zones.get("Europe/Rome").is_ok());
        assert!(zones.get("Europe/Roma").unwrap_err().contains("did you mean \"Europe/Rome\"?"));
    }
    // A system's file decides, though another is built in: here Rome's clocks show New York's time.
    std::fs::create_dir(dir.path().join("Europe")).unwrap();
    let other = std::path::Path::new("/usr/share/zoneinfo/America/New_York");
    if other.exists() {
        for name in ["Rome", "London"] {
            std::fs::copy(other, dir.path().join("Europe").join(name)).unwrap();
        }
        let zones = Zones::in_folders(&[dir.path()]);
        assert_eq!(zones.to_string(), dir.path().display().to_string());
        let rome = zones.get("Europe/Rome").unwrap();
        let noon = jiff::Timestamp::from_second(1_795_348_800).unwrap();
        assert_eq!(rome.to_datetime(noon).hour(), 7);
        assert!(zones.get("Asia/Kathmandu").is_err(), "a zone that the system does not have");
    }
}
