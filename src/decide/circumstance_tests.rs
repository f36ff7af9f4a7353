//! What a person is told of hours, windows, freezes, shifts and budgets, and what these bound.

use super::example::{HOSTS, facts, grant, load, offer, refusal, said, span, with, world};
use super::facts::{Facts, Window};
use super::hours::{Between, Clock, Days, Hours};
use super::{Bound, Policy, World};
use crate::certificate::time::{Span, UnixTime};

/// 2026-11-21, a Saturday, 22:14 in Rome.
const SATURDAY: &str = "2026-11-21T21:14:00Z";

fn at(time: &str) -> UnixTime {
    time.parse().unwrap()
}

/// The example's world with office hours in Rome, and those of a night shift in UTC.
fn clocks() -> World {
    let hours = |zone: &str, days: &[&str], from: u16, until: u16| Hours {
        zone: jiff::tz::TimeZone::get(zone).unwrap(),
        zone_name: zone.to_owned(),
        weekly: Some((
            days.iter()
                .map(|days| {
                    let (from, to) = days.split_once('-').unwrap_or((days, days));
                    let day = |text| super::hours::weekday(text).unwrap();
                    Days { from: day(from), to: day(to) }
                })
                .collect(),
            Between { from: Clock(from), until: Clock(until) },
        )),
        except: Vec::new(),
        also: Vec::new(),
    };
    let all = [
        ("office", hours("Europe/Rome", &["mon-fri"], 8 * 60, 18 * 60 + 30)),
        ("night", hours("UTC", &["mon-sun"], 22 * 60, 6 * 60)),
    ];
    let hours = all.map(|(name, hours)| (name.parse().unwrap(), hours)).into();
    World { hours, ..world() }
}

fn policy(text: &str) -> Policy {
    Policy::load("policy.cedar", text, &clocks()).unwrap_or_else(|why| panic!("{why}"))
}

fn forbid(id: &str, rest: &str) -> String {
    format!("@id(\"{id}\") forbid (principal, action == Action::\"login\", resource) {rest};\n")
}

/// The sentence and the hint of a refusal, at a moment.
fn told(policy: &Policy, facts: &Facts) -> (String, String) {
    let no = refusal(policy, facts);
    (no.reasons[0].to_string(), no.hint.unwrap())
}

fn now(policy: &Policy, time: &str) -> Facts {
    let mut asked = facts("ana", "root@web01");
    asked.now = at(time);
    asked.around.hours = policy.hours_at(asked.now);
    asked
}

#[test]
fn hours_say_when_they_are_what_the_clock_shows_and_when_they_come_again() {
    let office = "context.hours.contains(Hours::\"office\")";
    let policy_of = |text: &str| policy(text);
    let offers = policy_of(&offer("deploy-prod", &format!("when {{ {office} }}")));
    assert_eq!(said(&offers, &now(&offers, "2026-11-23T07:00:00Z")), "granted by deploy-prod");
    assert_eq!(
        told(&offers, &now(&offers, SATURDAY)),
        (
            "offer deploy-prod is for office hours (mon-fri 08:00-18:30 Europe/Rome), it is sat 22:14 there"
                .to_owned(),
            "again from mon 08:00 Europe/Rome (2026-11-23T07:00:00Z)".to_owned()
        )
    );
    let outside = policy_of(&offer("batch", &format!("unless {{ {office} }}")));
    assert_eq!(
        told(&outside, &now(&outside, "2026-11-23T10:00:00Z")),
        (
            "offer batch is not for office hours (mon-fri 08:00-18:30 Europe/Rome), it is mon 11:00 there"
                .to_owned(),
            "again from mon 18:30 Europe/Rome (2026-11-23T17:30:00Z)".to_owned()
        )
    );
    // Of several the one that comes first.
    let either = format!("when {{ {office} || context.hours.contains(Hours::\"night\") }}");
    let either = policy_of(&offer("either", &either));
    assert_eq!(
        told(&either, &now(&either, SATURDAY)),
        (
            "offer either is for office hours (mon-fri 08:00-18:30 Europe/Rome) or night hours (mon-sun \
             22:00-06:00 UTC), it is sat 22:14 there"
                .to_owned(),
            "again from sat 22:00 UTC (2026-11-21T22:00:00Z)".to_owned()
        )
    );
    // A forbid, with words of its own and without.
    let text = offer("all", "") + &forbid("closed", &format!("unless {{ {office} }}"));
    let closed = policy_of(&text);
    let again = "again from mon 08:00 Europe/Rome (2026-11-23T07:00:00Z)".to_owned();
    assert_eq!(
        told(&closed, &now(&closed, SATURDAY)),
        (
            "policy closed forbids it: it is outside office hours (mon-fri 08:00-18:30 Europe/Rome), sat \
             22:14 there"
                .to_owned(),
            again.clone()
        )
    );
    let closed = policy_of(&text.replace("forbid", "@why(\"the team sleeps\") forbid"));
    assert_eq!(
        told(&closed, &now(&closed, SATURDAY)),
        ("policy closed forbids it: the team sleeps".to_owned(), again)
    );
    // Hours that nobody has are a mistake in the policy.
    let why = Policy::load(
        "p",
        &offer("a", "when { context.hours.contains(Hours::\"ofice\") }"),
        &clocks(),
    );
    let why = why.unwrap_err();
    let one = &why.problems()[0];
    assert_eq!(
        (one.message(), one.hint()),
        ("hours ofice does not exist", Some("the nearest is office"))
    );
}

#[test]
fn a_window_says_from_when_and_until_when() {
    let policy = load(&offer("patch", "when { context has ticket && context.ticket.in_window }"));
    let window = Window { from: at("2026-11-22T23:00:00Z"), until: at("2026-11-23T03:00:00Z") };
    let asked = |time: &str| {
        let mut asked = with("ana", "root@web01", |ticket| ticket.window = Some(window));
        asked.now = at(time);
        asked
    };
    assert_eq!(
        told(&policy, &asked("2026-11-22T22:59:59Z")),
        (
            "the window of OPS-7 begins at 2026-11-22T23:00:00Z".to_owned(),
            "ask again from 2026-11-22T23:00:00Z on, or have the window moved in tickets"
                .to_owned()
        )
    );
    assert_eq!(
        told(&policy, &asked("2026-11-23T03:00:00Z")),
        (
            "the window of OPS-7 ended at 2026-11-23T03:00:00Z".to_owned(),
            "have the window moved in tickets, or name another ticket".to_owned()
        )
    );
    // A ticket bounds the grant it was given for, whatever the offer asks.
    let any = load(&offer("any", ""));
    assert_eq!(
        said(&any, &asked("2026-11-23T03:00:00Z")),
        "the window of OPS-7 ended at 2026-11-23T03:00:00Z"
    );
    for (time, ttl, period, ends) in [
        ("2026-11-22T23:00:00Z", "10m", "1h", "2026-11-23T00:00:00Z"),
        ("2026-11-23T02:15:00Z", "10m", "45m", "2026-11-23T03:00:00Z"),
        ("2026-11-23T02:57:00Z", "3m", "3m", "2026-11-23T03:00:00Z"),
        ("2026-11-23T02:59:59Z", "1s", "1s", "2026-11-23T03:00:00Z"),
    ] {
        let asked = asked(time);
        let grant = grant(&policy, &asked);
        assert_eq!((grant.ttl(), grant.period()), (span(ttl), span(period)), "{time}");
        assert_eq!((grant.ends(), grant.ends().minus(grant.period())), (at(ends), asked.now));
        let bound = (period != "1h").then(|| Bound::Window("OPS-7".parse().unwrap()));
        assert_eq!(grant.bound(), bound.as_ref(), "{time}");
        assert!(grant.ends() >= asked.now.plus(grant.ttl()));
    }
}

/// Ana asks at 02:15 for work that may be done until 03:00, and renews. At 02:30 the window is moved: to
/// 02:45, and what is left is shorter; to 05:00, and nothing is longer than was granted.
#[test]
fn renewals_keep_to_the_bounds() {
    let policy = load(&offer("patch", "when { context has ticket && context.ticket.in_window }"));
    let began = at("2026-11-23T02:15:00Z");
    let asked = |now: &str, until: &str| {
        let from = at("2026-11-22T23:00:00Z");
        let mut asked = with("ana", "root@web01", |ticket| {
            ticket.window = Some(Window { from, until: at(until) });
        });
        asked.now = at(now);
        let ends = at("2026-11-23T03:00:00Z");
        asked.within = Some(super::facts::Within { began, ends, offer: "patch".parse().unwrap() });
        asked
    };
    for (now, until, ttl, ends) in [
        ("2026-11-23T02:30:00Z", "2026-11-23T03:00:00Z", "10m", "2026-11-23T03:00:00Z"),
        ("2026-11-23T02:30:00Z", "2026-11-23T05:00:00Z", "10m", "2026-11-23T03:00:00Z"),
        ("2026-11-23T02:55:00Z", "2026-11-23T05:00:00Z", "5m", "2026-11-23T03:00:00Z"),
        ("2026-11-23T02:40:00Z", "2026-11-23T02:45:00Z", "5m", "2026-11-23T02:45:00Z"),
    ] {
        let grant = grant(&policy, &asked(now, until));
        assert_eq!((grant.ttl(), grant.ends()), (span(ttl), at(ends)), "{now} {until}");
        assert_eq!(grant.ends().minus(grant.period()), began, "{now} {until}");
    }
    let over = asked("2026-11-23T02:50:00Z", "2026-11-23T02:45:00Z");
    assert_eq!(said(&policy, &over), "the window of OPS-7 ended at 2026-11-23T02:45:00Z");
}

/// Vera has the pager until eight. What is hers only because of that ends at eight; what is hers anyway
/// does not, and what two shifts open ends with the last of them.
#[test]
fn a_grant_ends_with_the_shift_that_it_is_owed_to() {
    let scope = |group: &str| {
        format!("principal in Group::\"{group}\", action == Action::\"login\", resource")
    };
    let one = |id: &str, group: &str| {
        format!("@id(\"{id}\") @ttl(\"10m\") @period(\"8h\") permit ({});\n", scope(group))
    };
    let exception = offer("all", "").replace("@ttl(\"10m\")", "@ttl(\"10m\") @period(\"8h\")")
        + &forbid("db", "unless { principal in Group::\"sre\" }");
    let either = "@id(\"either\") @ttl(\"10m\") @period(\"8h\") permit (principal, action == \
                  Action::\"login\", resource) when { principal in Group::\"sre\" || principal in \
                  Group::\"dev\" };"
        .to_owned();
    let eight = at("2026-11-22T08:00:00Z");
    let ten = at("2026-11-22T10:00:00Z");
    let six = at("2026-11-22T06:00:00Z");
    let shift = |group: &str| Some(Bound::Shift(group.parse().unwrap()));
    for (text, groups, shifts, ends, bound) in [
        (one("a", "sre"), &[][..], &[("sre", eight)][..], eight, shift("sre")),
        (one("a", "sre"), &["sre"][..], &[("dev", eight)][..], six.plus(span("8h")), None),
        // A shift that opens nothing here ends nothing.
        (one("a", "sre"), &[], &[("sre", ten), ("dev", eight)], ten, shift("sre")),
        // The exception of a forbid is owed to it as well.
        (exception.clone(), &[], &[("sre", eight)], eight, shift("sre")),
        (exception, &["sre"], &[("dev", eight)], six.plus(span("8h")), None),
        (either.clone(), &[], &[("sre", eight), ("dev", ten)], ten, shift("dev")),
        (either, &["dev"], &[("sre", eight)], six.plus(span("8h")), None),
    ] {
        let policy = load(&text);
        let mut asked = facts("vera", "root@db01");
        asked.now = six;
        asked.person.groups = groups.iter().map(|group| group.parse().unwrap()).collect();
        asked.person.shifts =
            shifts.iter().map(|(group, ends)| (group.parse().unwrap(), *ends)).collect();
        let grant = grant(&policy, &asked);
        assert_eq!((grant.ends(), grant.bound()), (ends, bound.as_ref()), "{text} {shifts:?}");
        assert_eq!(grant.period(), ends.since(six));
        // Renewed a minute before its end, within the same bounds.
        let within = super::facts::Within { began: six, ends, offer: grant.offer().clone() };
        let mut later = Facts { within: Some(within), now: ends.minus(Span::secs(60)), ..asked };
        later.person.shifts.retain(|_, ends| *ends > later.now);
        let again = super::example::grant(&policy, &later);
        assert_eq!(
            (again.ttl(), again.ends(), again.period()),
            (span("60s"), ends, ends.since(six))
        );
    }
}

#[test]
fn a_shift_that_is_not_mine_now_is_named() {
    let text = "@id(\"pager\") @ttl(\"10m\") permit (principal in Group::\"sre\", action == \
                Action::\"login\", resource);";
    let policy = load(text);
    let mut asked = facts("vera", "root@db01");
    assert_eq!(said(&policy, &asked), "no offer lets vera log in as root on db01");
    asked.around.off_shift = [("sre".parse().unwrap(), Some(at("2026-11-23T08:00:00Z")))].into();
    let (sentence, hint) = told(&policy, &asked);
    assert_eq!(sentence, "sre is not your shift");
    assert_eq!(hint, "your shift begins at 2026-11-23T08:00:00Z; until then ask whoever has it");
    // What they can mend is said first, and a shift that opens nothing here is not said.
    let both = text.to_owned() + &offer("ticket", "when { context has ticket }");
    assert_eq!(
        said(&load(&both), &asked),
        "no ticket was given, offer ticket needs one; sre is not your shift"
    );
    asked.around.off_shift = [("dev".parse().unwrap(), None)].into();
    assert_eq!(said(&policy, &asked), "no offer lets vera log in as root on db01");
}

#[test]
fn a_freeze_is_named_by_offers_and_by_forbids() {
    let offers = load(&offer("deploy", "unless { context.frozen }"));
    let forbids = load(&(offer("all", "") + &forbid("freeze", "when { context.frozen }")));
    let why = forbid("freeze", "when { context.frozen }");
    let why = load(&(offer("all", "") + &why.replace("forbid", "@why(\"ask lena\") forbid")));
    let mut asked = facts("ana", "root@web01");
    assert_eq!(said(&offers, &asked), "granted by deploy");
    asked.around.freezes = ["black-friday".parse().unwrap()].into();
    for (policy, sentence) in [
        (&offers, "web01 is frozen by black-friday"),
        (&forbids, "web01 is frozen by black-friday"),
        (&why, "policy freeze forbids it: ask lena (web01 is frozen by black-friday)"),
    ] {
        let hint = "wait until it is lifted; ssh ca freezes says who set it and why".to_owned();
        assert_eq!(told(policy, &asked), (sentence.to_owned(), hint));
        assert_eq!(refusal(policy, &asked).reasons[0].name(), "frozen");
    }
    asked.around.freezes.extend(["audit".parse().unwrap(), "move".parse().unwrap()]);
    assert_eq!(said(&forbids, &asked), "web01 is frozen by audit, black-friday and 1 more");
}

#[test]
fn budgets_say_what_was_given() {
    let budget = |rest: &str| load(&(offer("all", "") + &forbid("budget", rest)));
    let mut asked = facts("ana", "root@web01");
    asked.around.history.recent_hosts = 11;
    asked.around.history.recent = 31;
    for (policy, sentence) in [
        (
            budget("when { context.history.recent_hosts > 10 }"),
            "policy budget forbids it: you had certificates for 11 hosts within the hour",
        ),
        (
            budget("unless { context.history.recent < 30 }"),
            "policy budget forbids it: you had 31 certificates within the hour",
        ),
        (
            load(&offer("few", "when { context.history.recent_hosts <= 10 }")),
            "you had certificates for 11 hosts within the hour, offer few needs \
             context.history.recent_hosts <= 10",
        ),
    ] {
        let (told, hint) = told(&policy, &asked);
        assert_eq!(told, sentence);
        assert!(hint.starts_with("what you were given counts for an hour"), "{hint}");
    }
    // Hosts that come before in the same request count, each once, and none that counts already.
    asked.around.history.recent_hosts = 9;
    asked.around.history.hosts =
        HOSTS[..2].iter().map(|(name, ..)| name.parse().unwrap()).collect();
    let before = ["web01", "db01", "dev01", "db01"].map(|name| name.parse().unwrap());
    asked.around.history.after(&before);
    assert_eq!(asked.around.history.recent_hosts, 11);
    // What cannot be read is a fault, and never "for the first time".
    asked.around.history.last_days = None;
    let known = load(&offer("known", "unless { context.history.first_time }"));
    assert_eq!(said(&known, &asked), "offer known needs !context.history.first_time");
    asked.around.history.fault = Some("the disk is gone".to_owned());
    for policy in [&known, &load(&offer("all", ""))] {
        assert!(said(policy, &asked).starts_with("fault: "), "{}", said(policy, &asked));
    }
}
