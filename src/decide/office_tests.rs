//! Who may lock what, and who may audit: the example's policy, and the rules of deciding it.

use super::example::{facts, load, policy, world};
use super::office::{Act, LockAct, Matter, Permission, permits};
use super::{Policy, Reason};

/// What this person wants to do at the desk.
fn matter(person: &str, act: Act) -> Matter {
    let asked = facts(person, "logs@web01");
    Matter { now: asked.now, source: asked.source, person: asked.person, act }
}

fn locking(target: &'static str, name: &str, lifting: bool) -> Act {
    let reason = "laptop lost".parse().ok();
    Act::Lock(LockAct { target, name: name.to_owned(), lifting, mine: false, reason })
}

/// The answer as one line.
fn said(policy: &Policy, matter: &Matter) -> String {
    match permits(policy, matter) {
        Permission::Permitted(by) => format!("permitted by {by}"),
        Permission::Refused(no) => {
            assert!(no.hint.is_some() && !no.reasons.is_empty(), "{no:?}");
            no.reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ")
        }
        Permission::Fault(fault) => format!("fault: {fault}"),
    }
}

#[test]
fn any_colleague_locks_a_person_and_few_lift_it() {
    let policy = policy();
    for (person, act, expected) in [
        ("bob", locking("person", "ana", false), "permitted by lock-person"),
        ("bob", locking("key", "SHA256:x", false), "permitted by lock-person"),
        ("ana", locking("person", "bob", false), "permitted by lock-anything"),
        ("ana", locking("person", "bob", true), "permitted by lock-anything"),
        ("ana", locking("everything", "", false), "permitted by lock-anything"),
        ("ana", locking("tag", "prod", true), "permitted by lock-anything"),
        ("bob", locking("person", "ana", true), "no policy lets bob unlock person ana"),
        ("bob", locking("host", "web01", false), "no policy lets bob lock host web01"),
        ("bob", locking("everything", "", false), "no policy lets bob lock everything"),
        ("vera", locking("person", "ana", false), "no policy lets vera lock person ana"),
        (
            "deploy-bot",
            locking("person", "ana", false),
            "no policy lets deploy-bot lock person ana",
        ),
        ("mallory", locking("person", "ana", false), "no policy lets mallory lock person ana"),
        ("ana", Act::Audit, "permitted by audit"),
        ("bob", Act::Audit, "no policy lets bob audit"),
        ("deploy-bot", Act::Audit, "no policy lets deploy-bot audit"),
    ] {
        assert_eq!(said(&policy, &matter(person, act.clone())), expected, "{person} {act}");
    }
    // Whoever was locked does not lift it, whatever group they are in.
    let Act::Lock(own) = locking("person", "ana", true) else { unreachable!() };
    let own = Act::Lock(LockAct { mine: true, ..own });
    assert_eq!(said(&policy, &matter("ana", own)), "no policy lets ana unlock person ana");
    let mut auditor = matter("vera", Act::Audit);
    auditor.person.groups.insert("auditors".parse().unwrap());
    assert_eq!(said(&policy, &auditor), "permitted by audit");
}

#[test]
fn a_forbid_wins_and_what_errs_is_a_fault() {
    let any = "@id(\"any\") permit (principal, action == Action::\"audit\", resource);";
    let night = "@id(\"night\") @why(\"not by night\") forbid (principal, action, resource) \
                 when { context.now > datetime(\"2026-01-01\") };";
    let audit = matter("ana", Act::Audit);
    assert_eq!(said(&load(any), &audit), "permitted by any");
    assert_eq!(
        said(&load(&format!("{any}{night}")), &audit),
        "policy night forbids it: not by night"
    );
    // Cedar passes over a policy that errs: neither one that forbids nor one that permits may.
    let lock = matter("ana", locking("person", "bob", false));
    let all = "@id(\"all\") permit (principal, action == Action::\"lock\", resource);";
    for effect in ["permit", "forbid"] {
        let err = format!(
            "@id(\"err\") {effect} (principal, action == Action::\"lock\", resource) \
             when {{ context.now.toTime().toMilliseconds() * 9223372036854775807 > 0 }};"
        );
        let fault = said(&load(&format!("{all}{err}")), &lock);
        assert!(fault.starts_with("fault: policy err could not be evaluated"), "{fault}");
    }
}

#[test]
fn what_is_missed_is_said_where_it_can_be_mended() {
    let policy = load(
        "@id(\"r\") permit (principal, action == Action::\"lock\", resource) \
         when { context has reason } when { context.source.isInRange(ip(\"203.0.113.0/24\")) };",
    );
    let Act::Lock(act) = locking("person", "bob", false) else { unreachable!() };
    let silent = Act::Lock(LockAct { reason: None, ..act.clone() });
    let Permission::Refused(no) = permits(&policy, &matter("ana", silent)) else { panic!() };
    assert_eq!(no.reasons[0].to_string(), "no reason was given, offer r needs one");
    assert_eq!(no.hint.unwrap(), "say why: ssh ca lock person bob --reason TEXT");
    let mut away = matter("ana", Act::Lock(act));
    away.source = "192.0.2.1".parse().unwrap();
    assert!(said(&policy, &away).ends_with("had 192.0.2.1"));
    // A login's permit is none for anything else, and the other way round.
    let logins =
        load("@id(\"a\") @ttl(\"1m\") permit (principal, action == Action::\"login\", resource);");
    assert_eq!(said(&logins, &matter("ana", Act::Audit)), "no policy lets ana audit");
    assert!(policy.offers().is_empty());
}

#[test]
fn a_permit_of_the_desk_is_checked_as_strictly_as_an_offer() {
    let good = "@id(\"a\") permit (principal in Group::\"sre\", action == Action::\"lock\", \
                resource == Desk::\"desk\") when { context.target == \"person\" };";
    assert!(Policy::load("p", good, &world()).is_ok());
    for (find, put, said) in [
        ("\"sre\"", "\"srre\"", "group srre does not exist"),
        ("\"desk\"", "\"dsk\"", "desk dsk does not exist"),
        ("@id(\"a\")", "", "this permit has no @id"),
        (
            "permit",
            "@ttl(\"1m\") permit",
            "@ttl is a term of logins, and this is for another action",
        ),
        ("permit", "@limit2 permit", "@limit2 is not known"),
        ("action == Action::\"lock\"", "action", "a permit is for one action"),
        ("Action::\"lock\"", "Action::\"revoke\"", "a permit is for one action"),
        (
            "context.target",
            "context.ticket",
            "attribute `ticket` in context for Action::\"lock\" not found",
        ),
        (
            "resource == Desk::\"desk\"",
            "resource in Tag::\"prod\"",
            "unable to find an applicable action",
        ),
    ] {
        let why = Policy::load("p", &good.replacen(find, put, 1), &world()).unwrap_err();
        let all: Vec<&str> = why.problems().iter().map(super::Problem::message).collect();
        assert!(all.iter().any(|one| one.contains(said)), "{put}: {all:?}");
    }
    // A forbid of every action that speaks of what only logins have.
    let bare = "@id(\"short\") forbid (principal, action, resource) when { context.ttl > 10 };";
    let why = Policy::load("p", bare, &world()).unwrap_err();
    let hint = why.problems()[0].hint().unwrap();
    assert!(hint.contains("action == Action::\"login\""), "{why}");
}
