//! Mistakes that authors of policies make, and what each is told.

use super::example::{POLICY, world};
use super::{LoadError, Policy, Problem, World};

/// Loads a policy that must not load.
fn refused(text: &str) -> LoadError {
    match Policy::load("policy.cedar", text, &world()) {
        Ok(_) => panic!("this was loaded: {text}"),
        Err(why) => why,
    }
}

/// `LINE:COLUMN message`.
fn said(problem: &Problem) -> String {
    format!("{}:{} {}", problem.line(), problem.column(), problem.message())
}

/// An offer without mistakes, to make one in.
const GOOD: &str = r#"@id("a")
@ttl("10m")
permit (
  principal in Group::"sre",
  action == Action::"login",
  resource in Tag::"prod"
)
when { context has ticket };
"#;

/// Makes each mistake in [`GOOD`]: what is replaced, by what; place and message; a part of the hint.
pub(super) fn check(mistakes: &[(&str, &str, &str, &str)]) {
    for (find, put, expected, hint) in mistakes {
        let text = GOOD.replacen(find, put, 1);
        let why = refused(&text);
        let all: Vec<String> = why.problems().iter().map(said).collect();
        assert_eq!(all, [*expected], "{text}");
        let got = why.problems()[0].hint().unwrap_or_default();
        assert!(got.contains(hint) && hint.is_empty() == got.is_empty(), "{text}: {got:?}");
    }
}

#[test]
fn every_policy_has_an_id_of_its_own() {
    check(&[
        ("@id(\"a\")\n", "", "2:1 this permit has no @id", "name it, as in @id(\"deploy-prod\")"),
        (
            "\"a\"",
            "\"Deploy Prod\"",
            "1:5 \"Deploy Prod\" is not an offer's id: up to 63 of a-z 0-9 . _ - and starts with a letter or digit",
            "",
        ),
        ("@id(\"a\")\n@ttl(\"10m\")\npermit", "\nforbid", "2:1 this forbid has no @id", "name it"),
    ]);
    let twice = refused(&format!("{GOOD}{GOOD}"));
    let all: Vec<String> = twice.problems().iter().map(said).collect();
    assert_eq!(all, ["9:5 the @id a is taken by a policy above"]);
}

#[test]
fn names_exist() {
    check(&[
        ("\"sre\"", "\"srre\"", "4:16 group srre does not exist", "the nearest is sre"),
        ("\"prod\"", "\"prd\"", "6:15 tag prd does not exist", "the nearest is prod"),
        (
            "in Group::\"sre\"",
            "== Person::\"anna\"",
            "4:16 person anna does not exist",
            "the nearest is ana",
        ),
        (
            "in Group::\"sre\"",
            "== Person::\"deploy-bot\"",
            "4:16 deploy-bot is no person",
            "write Service::\"deploy-bot\"",
        ),
        (
            "in Group::\"sre\"",
            "== Service::\"ana\"",
            "4:16 ana is no service",
            "write Person::\"ana\"",
        ),
        (
            "in Tag::\"prod\"",
            "in Host::\"web1\"",
            "6:15 host web1 does not exist",
            "the nearest is web01",
        ),
        (
            "in Tag::\"prod\"",
            "== Account::\"root@dev01\"",
            "6:15 account root@dev01 does not exist",
            "the nearest is root@db01",
        ),
        // In a condition, and in a forbid, where it would silently forbid nothing.
        (
            "context has ticket",
            "principal in Group::\"vendors\"",
            "8:21 group vendors does not exist",
            "the nearest is vendor",
        ),
        (
            "@ttl(\"10m\")\npermit (\n  principal in Group::\"sre\"",
            "forbid (principal in Group::\"venddor\"",
            "2:22 group venddor does not exist",
            "the nearest is vendor",
        ),
    ]);
    let nobody = Policy::load("p", GOOD, &World::default()).unwrap_err();
    assert_eq!(
        nobody.problems()[0].hint(),
        Some("no group exists yet; groups = [\"sre\"] in people.toml makes an empty one")
    );
}

#[test]
fn an_offer_is_for_one_action_and_is_no_template() {
    let hint = "write action == Action::\"login\"";
    check(&[
        ("action == Action::\"login\"", "action", "5:3 a permit is for one action", hint),
        (
            "action == Action::\"login\"",
            "action in [Action::\"login\"]",
            "5:3 a permit is for one action",
            hint,
        ),
        (
            "in Group::\"sre\"",
            "in ?principal",
            "1:5 a policy with ?principal or ?resource is a template, and nothing fills it in",
            "name the group",
        ),
    ]);
}

#[test]
fn what_the_schema_does_not_have_is_an_error() {
    check(&[
        (
            "context has ticket",
            "context.ticket.mine",
            "8:8 for policy `a`, unable to guarantee safety of access to optional attribute `ticket` in context for \
             Action::\"login\"",
            "context has ticket && ..",
        ),
        (
            "context has ticket",
            "context.tikket",
            "8:8 for policy `a`, attribute `tikket` in context for Action::\"login\" not found",
            "did you mean `ticket`?",
        ),
        (
            "context has ticket",
            "context.ttl > \"5\"",
            "8:22 for policy `a`, unexpected type: expected Long but saw String",
            "",
        ),
        // A warning of Cedar's is an error here: the policy could never apply.
        (
            "context has ticket",
            "false",
            "1:5 for policy `a`, policy is impossible: the policy expression evaluates to false for all valid requests",
            "",
        ),
        (
            "Tag::\"prod\"",
            "Group::\"sre\"",
            "1:5 for policy `a`, unable to find an applicable action given the policy scope constraints",
            "",
        ),
    ]);
}

#[test]
fn what_is_no_cedar_is_said_in_cedars_words() {
    check(&[
        (
            "context has ticket",
            "context.ttl = 5",
            "8:8 '=' is not a valid operator in Cedar",
            "try using '==' instead",
        ),
        ("};", "}", "8:28 unexpected end of input", "expected `;` or identifier"),
        ("when {", "when", "8:6 unexpected token `context`", "expected `{`"),
        ("when {", "whn {", "8:1 invalid policy condition: whn", "either `when` or `unless`"),
        ("@ttl(\"10m\")", "@id(\"b\")", "2:1 duplicate annotation: @id", ""),
    ]);
}

#[test]
fn what_is_not_part_of_the_request_cannot_be_looked_up() {
    let hint = "compare others with == or !=";
    let assignee = "8:27 the ticket's assignee cannot be looked up";
    check(&[
        (
            "context has ticket",
            "context has ticket.assignee && context.ticket.assignee in Group::\"sre\"",
            assignee,
            hint,
        ),
        (
            "context has ticket",
            "context has ticket.assignee && context.ticket.assignee.name == \"bob\"",
            assignee,
            hint,
        ),
        ("context has ticket", "context has ticket.assignee.email", assignee, hint),
        (
            "context has ticket",
            "Person::\"bob\" in Group::\"dev\"",
            "8:8 Person::\"bob\" cannot be looked up",
            hint,
        ),
        (
            "context has ticket",
            "Person::\"bob\".name == \"b\"",
            "8:8 Person::\"bob\" cannot be looked up",
            hint,
        ),
        (
            "context has ticket",
            "Person::\"bob\" has email",
            "8:8 Person::\"bob\" cannot be looked up",
            hint,
        ),
        (
            "context has ticket",
            "(if context has ticket then Person::\"ana\" else Person::\"bob\") in Group::\"dev\"",
            "8:36 Person::\"ana\" cannot be looked up",
            hint,
        ),
        (
            "context has ticket",
            "context has ticket && context.ticket.state == \"resolved\"",
            "8:54 no ticket is ever in the state \"resolved\"",
            "the states are open, pending, closed; the nearest is closed",
        ),
        (
            "context has ticket",
            "context has ticket && [\"open\", \"opn\"].contains(context.ticket.state)",
            "8:39 no ticket is ever in the state \"opn\"",
            "the nearest is open",
        ),
    ]);
    let fine = "context has ticket.assignee && context.ticket.assignee != Person::\"bob\" && \
                principal != Person::\"bob\"";
    let text = GOOD.replace("context has ticket", fine);
    assert!(Policy::load("p", &text, &world()).is_ok());
}

#[test]
fn all_problems_are_told_in_the_order_of_the_file() {
    let text = format!(
        "{}\n{}",
        GOOD.replace("\"sre\"", "\"srre\"").replace("\"10m\"", "\"10\""),
        "forbid (principal, action, resource in Tag::\"prd\") when { context.tikket };"
    );
    assert_eq!(
        refused(&text).to_string(),
        r#"policy.cedar:2:6: "10" is not a length of time
    2 | @ttl("10")
      |      ^^^^
hint: write it as 90s, 5m, 1h or 1h30m
policy.cedar:4:16: group srre does not exist
    4 |   principal in Group::"srre",
      |                ^^^^^^^^^^^^^
hint: the nearest is sre
policy.cedar:10:1: this forbid has no @id
   10 | forbid (principal, action, resource in Tag::"prd") when { context.tikket };
      | ^^^^^^
hint: name it, as in @id("deploy-prod")
policy.cedar:10:40: tag prd does not exist
   10 | forbid (principal, action, resource in Tag::"prd") when { context.tikket };
      |                                        ^^^^^^^^^^
hint: the nearest is prod
policy.cedar:10:59: for policy `statement 2`, attribute `tikket` in context for Action::"login" not found
   10 | forbid (principal, action, resource in Tag::"prd") when { context.tikket };
      |                                                           ^^^^^^^^^^^^^^
hint: did you mean `ticket`?"#
    );
}

#[test]
fn the_example_is_without_mistakes_and_knows_no_name_too_many() {
    assert!(Policy::load("policy.cedar", POLICY, &world()).is_ok());
    assert!(Policy::load("policy.cedar", "", &world()).is_ok());
    assert!(Policy::load("policy.cedar", "// nothing is permitted\n", &World::default()).is_ok());
    // Each of these names is in the example: without it, it does not load.
    let mut less = world();
    less.groups.remove(&"vendor".parse().unwrap());
    less.services.clear();
    less.tags.remove(&"hop".parse().unwrap());
    less.accounts.remove(&("dev".parse().unwrap(), "dev01".parse().unwrap()));
    let why = Policy::load("policy.cedar", POLICY, &less).unwrap_err();
    let all: Vec<&str> = why.problems().iter().map(Problem::message).collect();
    assert_eq!(
        all,
        [
            "tag hop does not exist",
            "group vendor does not exist",
            "account dev@dev01 does not exist",
            "service deploy-bot does not exist",
            "group vendor does not exist",
        ]
    );
}
