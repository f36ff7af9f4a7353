//! Request Tracker 5. The tickets are those of `tests/trackers/rt_seed.pl`.

use std::time::Duration;

use super::parts::{Late, Part};
use super::{SOON, fault, granted, refused, team, tried};
use crate::ca::Ca;

const FAULT: &str = "the ticket tracker did not answer";
const LOCKED_OUT: &str = "the ticket tracker does not let the CA in";

fn trackers(rt: &Part, late: u16) -> String {
    let one = |name: &str, ids: &str, base: &str, token: &str| {
        format!(
            "[[tracker]]\nname = \"{name}\"\nkind = \"http\"\npreset = \"rt-5\"\nbase = \"{base}\"\nids = [\"{ids}\"]\n\
             deadline = \"4s\"\npoll = \"1s\"\n[tracker.auth]\n\
             header = {{ name = \"Authorization\", value = \"secrets/{token}\", prefix = \"token \" }}\n\
             [tracker.search]\nform = \"RT-{{id}}\"\n\n"
        )
    };
    [
        one("rt", "RT-{number}", &rt.base(), "bot"),
        one("rt-wrong", "WRONG-{number}", &rt.base(), "wrong"),
        one("rt-late", "LATE-{number}", &format!("http://127.0.0.1:{late}"), "bot"),
    ]
    .concat()
}

fn start(rt: &Part) -> Ca {
    let late = Late::before(rt.port, Duration::from_secs(20));
    let bot = rt.secret("hallpass");
    let secrets = [("bot", bot.as_str()), ("wrong", "1-31-00000000000000000000000000000000")];
    team("rt", &trackers(rt, late.port), &secrets, ["a.ivanova", "b.okafor"])
}

#[test]
fn what_request_tracker_says_decides() {
    let Some(mut rt) = Part::request_tracker() else { return };
    let ca = start(&rt);

    let ticket = granted(&ca, "RT-1");
    assert_eq!(
        (&ticket["tracker"], &ticket["state"], &ticket["said"], &ticket["assignee"]),
        (&"rt".into(), &"open".into(), &"open".into(), &"ana".into()),
        "{ticket}"
    );
    assert_eq!((&ticket["title"], &ticket["priority"]), (&"Roll out 4.2".into(), &"0".into()));

    refused(&ca, "RT-2", "ticket RT-2 is resolved, needs open");
    refused(&ca, "RT-3", "ticket RT-3 is bob's, not yours");
    refused(&ca, "RT-5", "ticket RT-5 is new, needs open");
    refused(&ca, "RT-99", "there is no ticket RT-99");
    // There is one, in a queue that is not for the CA's eyes.
    refused(&ca, "RT-4", "rt does not show ticket RT-4 to the CA");

    tried(&ca, "RT-1", 0, &["open", "a.ivanova", "ana"]);
    tried(&ca, "RT-2", 0, &["resolved", "closed"]);
    tried(&ca, "RT-99", 1, &["there is no ticket"]);
    tried(&ca, "RT-4", 1, &["does not show"]);

    // Ana merges a ticket that is closed into an open one of hers, and gives the closed one's number: it
    // is the other that is open.
    let token = format!("Authorization: token {}", rt.secret("a.ivanova"));
    let json = "Content-Type: application/json";
    let merged = rt.ask("PUT", "/REST/2.0/ticket/2", &[&token, json], "{\"MergeInto\": 6}");
    assert_eq!(merged.json(&[200])[0], "Merge Successful");
    refused(&ca, "RT-2", "ticket RT-2 is 6 now");

    fault(&ca, "WRONG-1", LOCKED_OUT, SOON);
    tried(&ca, "WRONG-1", 75, &["401"]);
    fault(&ca, "LATE-1", FAULT, SOON);
    tried(&ca, "LATE-1", 75, &[]);

    rt.stop();
    fault(&ca, "RT-1", FAULT, SOON);
    tried(&ca, "RT-1", 75, &[]);
    // What was granted meanwhile does not go on without its tracker.
    let said = ca.ssh("ana", &["renew", "deploy@web01"]);
    assert_eq!(said.code, 75, "{said:?}");
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}
