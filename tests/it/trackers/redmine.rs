//! Redmine 5. The issues are those of `tests/trackers/redmine_seed.rb`; its settings are those that it
//! comes with, but for the REST API, which is switched on.

use std::time::Duration;

use super::parts::{Late, Part};
use super::{SOON, deadline, ends, fault, grant, granted, refused, team, tried};
use crate::ca::Ca;
use crate::process::until;

const FAULT: &str = "the ticket tracker did not answer";
const LOCKED_OUT: &str = "the ticket tracker does not let the CA in";

fn trackers(redmine: &Part, late: u16) -> String {
    let one = |name: &str, ids: &str, base: &str, key: &str| {
        let deadline = deadline(name);
        format!(
            "[[tracker]]\nname = \"{name}\"\nkind = \"http\"\npreset = \"redmine\"\nbase = \"{base}\"\nids = [\"{ids}\"]\n\
             deadline = \"{deadline}\"\npoll = \"1s\"\n[tracker.auth]\n\
             header = {{ name = \"X-Redmine-API-Key\", value = \"secrets/{key}\" }}\n[tracker.write]\n\n"
        )
    };
    [
        one("redmine", "RM-{number}", &redmine.base(), "bot"),
        one("redmine-wrong", "WRONG-{number}", &redmine.base(), "wrong"),
        one("redmine-late", "LATE-{number}", &format!("http://127.0.0.1:{late}"), "bot"),
    ]
    .concat()
}

fn start(redmine: &Part) -> Ca {
    let late = Late::before(redmine.port, Duration::from_secs(20));
    let bot = redmine.secret("hallpass");
    let secrets = [("bot", bot.as_str()), ("wrong", "00000000000000000000000000000000000000ff")];
    team("redmine", &trackers(redmine, late.port), &secrets, ["a.ivanova", "b.okafor"])
}

#[test]
fn what_redmine_says_decides() {
    let Some(mut redmine) = Part::redmine() else { return };
    let ca = start(&redmine);

    let ticket = granted(&ca, "RM-1");
    assert_eq!(
        (&ticket["tracker"], &ticket["state"], &ticket["said"], &ticket["assignee"]),
        (&"redmine".into(), &"open".into(), &"In Progress".into(), &"ana".into()),
        "{ticket}"
    );
    assert_eq!((&ticket["title"], &ticket["priority"]), (&"Roll out 4.2".into(), &"Low".into()));

    refused(&ca, "RM-2", "ticket RM-2 is Closed, needs open");
    refused(&ca, "RM-3", "ticket RM-3 is bob's, not yours");
    refused(&ca, "RM-5", "ticket RM-5 is assigned to nobody you are mapped to");
    // A group has it.
    refused(&ca, "RM-6", "ticket RM-6 is assigned to nobody you are mapped to");
    refused(&ca, "RM-99", "there is no ticket RM-99");
    // There is one, in a project that is not for the CA's eyes.
    refused(&ca, "RM-4", "redmine does not show ticket RM-4 to the CA");

    tried(&ca, "RM-1", 0, &["In Progress", "a.ivanova", "ana"]);
    tried(&ca, "RM-2", 0, &["Closed"]);
    tried(&ca, "RM-99", 1, &["there is no ticket"]);
    tried(&ca, "RM-4", 1, &["does not show"]);

    // The CA's key was revoked, say. Redmine takes the CA for anybody then, and shows anybody what is
    // public: the ticket is there, open, and ana's. That is no answer to the CA.
    let told = redmine.ask("GET", "/issues/1.json", &["X-Redmine-API-Key: wrong"], "");
    assert_eq!(told.json(&[200])["issue"]["status"]["is_closed"], false);
    fault(&ca, "WRONG-1", LOCKED_OUT, SOON);
    tried(&ca, "WRONG-1", 75, &["401"]);

    fault(&ca, "LATE-1", FAULT, SOON);
    redmine.stop();
    fault(&ca, "RM-1", FAULT, SOON);
    tried(&ca, "RM-1", 75, &[]);
    let said = ca.ssh("ana", &["renew", "deploy@web01"]);
    assert_eq!(said.code, 75, "{said:?}");
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}

/// The notes of an issue.
fn notes(redmine: &Part, issue: u32) -> Vec<String> {
    let key = format!("X-Redmine-API-Key: {}", redmine.secret("a.ivanova"));
    let path = format!("/issues/{issue}.json?include=journals");
    let found = redmine.ask("GET", &path, &[&key], "").json(&[200]);
    let journals = found["issue"]["journals"].as_array().unwrap().iter();
    journals.filter_map(|one| one["notes"].as_str()).map(str::to_owned).collect()
}

#[test]
fn an_issue_that_is_closed_in_redmine_ends_its_grant() {
    let Some(redmine) = Part::redmine() else { return };
    let ca = start(&redmine);
    let request = grant(&ca, "RM-1");
    until("the note on the grant", || !notes(&redmine, 1).is_empty());
    let told = notes(&redmine, 1).concat();
    assert!(
        told.contains(&format!("hallpass: grant {request}: ana may log in as deploy on web01")),
        "{told}"
    );

    let key = format!("X-Redmine-API-Key: {}", redmine.secret("a.ivanova"));
    let json = "Content-Type: application/json";
    // 5 is "Closed".
    let closed =
        redmine.ask("PUT", "/issues/1.json", &[&key, json], "{\"issue\":{\"status_id\":5}}");
    assert_eq!(closed.status, 204, "{closed:?}");
    ends(&ca, &request, "RM-1", "Closed");
    until("the note on the end", || {
        notes(&redmine, 1).len() >= 2 && {
            notes(&redmine, 1).concat().contains(&format!("hallpass: grant {request} of ana"))
        }
    });
}
