//! Request Tracker 5. The tickets are those of `tests/trackers/rt_seed.pl`.

use std::time::Duration;

use super::parts::{Late, Part};
use super::{SOON, deadline, ends, fault, grant, granted, refused, team, tried};
use crate::ca::Ca;
use crate::process::until;

const FAULT: &str = "the ticket tracker did not answer";
const LOCKED_OUT: &str = "the ticket tracker does not let the CA in";

fn trackers(rt: &Part, late: u16) -> String {
    let one = |name: &str, ids: &str, base: &str, token: &str| {
        let deadline = deadline(name);
        format!(
            "[[tracker]]\nname = \"{name}\"\nkind = \"http\"\npreset = \"rt-5\"\nbase = \"{base}\"\nids = [\"{ids}\"]\n\
             deadline = \"{deadline}\"\npoll = \"1s\"\n[tracker.auth]\n\
             header = {{ name = \"Authorization\", value = \"secrets/{token}\", prefix = \"token \" }}\n\
             [tracker.search]\nform = \"RT-{{id}}\"\n[tracker.write]\n\n"
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

/// The comments of a ticket, as its history has them.
fn comments(rt: &Part, ticket: u32) -> Vec<String> {
    let token = format!("Authorization: token {}", rt.secret("a.ivanova"));
    let path = format!("/REST/2.0/ticket/{ticket}/history?fields=Type&per_page=100");
    let history = rt.ask("GET", &path, &[&token], "").json(&[200]);
    let all = history["items"].as_array().unwrap().iter();
    let text = |item: &serde_json::Value| {
        let path = format!("/REST/2.0/transaction/{}/attachments", item["id"].as_str().unwrap());
        let found = rt.ask("GET", &path, &[&token], "").json(&[200]);
        let id = found["items"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/REST/2.0/attachment/{id}");
        let content = rt.ask("GET", &path, &[&token], "").json(&[200])["Content"].clone();
        decoded(content.as_str().unwrap())
    };
    all.filter(|item| item["Type"] == "Comment").map(text).collect()
}

/// What is in an attachment: base64 in lines.
fn decoded(content: &str) -> String {
    use base64ct::Encoding as _;
    let content: String = content.split_whitespace().collect();
    let bytes = base64ct::Base64::decode_vec(&content).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_ticket_that_is_resolved_in_request_tracker_ends_its_grant() {
    let Some(rt) = Part::request_tracker() else { return };
    let ca = start(&rt);
    let request = grant(&ca, "RT-1");
    until("the comment on the grant", || !comments(&rt, 1).is_empty());
    let told = comments(&rt, 1).concat();
    assert!(
        told.contains(&format!("hallpass: grant {request}: ana may log in as deploy on web01")),
        "{told}"
    );

    let token = format!("Authorization: token {}", rt.secret("a.ivanova"));
    let json = "Content-Type: application/json";
    let resolved =
        rt.ask("PUT", "/REST/2.0/ticket/1", &[&token, json], "{\"Status\":\"resolved\"}");
    assert_eq!(resolved.json(&[200])[0], "Ticket 1: Status changed from 'open' to 'resolved'");
    ends(&ca, &request, "RT-1", "resolved");
    let told = format!("hallpass: grant {request} of ana");
    until("the comment on the end", || comments(&rt, 1).concat().contains(&told));
}

/// The CA's account may read tickets and not comment on them. Grants are made all the same, and the
/// journal says what was not written.
#[test]
fn a_refused_comment_holds_nothing_up() {
    let Some(rt) = Part::request_tracker() else { return };
    let mute = rt.secret("mute");
    let secrets = [("bot", mute.as_str()), ("wrong", "1-31-0")];
    let ca = team("rt", &trackers(&rt, rt.port), &secrets, ["a.ivanova", "b.okafor"]);
    granted(&ca, "RT-1");
    until("the refused comment", || {
        ca.daemon.log().iter().any(|line| line.contains("comment") && line.contains("400"))
    });
    assert!(comments(&rt, 1).is_empty());
    granted(&ca, "RT-1");
}
