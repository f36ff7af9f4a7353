//! Jira's REST API, version 2, by an emulator of Data Center 8.20 that keeps state. It is not Atlassian's,
//! has no permissions and takes any credentials, so what is hidden and a wrong token are tried with
//! Request Tracker and Redmine alone.

use std::time::Duration;

use serde_json::json;

use super::parts::{Late, Part};
use super::{SOON, deadline, ends, fault, grant, granted, refused, team, tried};
use crate::process::until;

const FAULT: &str = "the ticket tracker did not answer";
const JSON: &str = "Content-Type: application/json";

fn trackers(jira: &Part, late: u16) -> String {
    let one = |name: &str, ids: &str, base: &str, request: &str| {
        let deadline = deadline(name);
        format!(
            "[[tracker]]\nname = \"{name}\"\nkind = \"http\"\npreset = \"jira-8\"\nbase = \"{base}\"\nids = [\"{ids}\"]\n\
             url = \"{base}/browse/{{id}}\"\n\
             deadline = \"{deadline}\"\npoll = \"1s\"\n[tracker.auth]\nbearer = \"secrets/bot\"\n[tracker.write]\n{request}\n"
        )
    };
    // The late one has ids of its own for the same issues.
    let request = "[tracker.read]\nrequest = \"/rest/api/2/issue/OPS-{number}\"\n";
    [
        one("jira", "OPS-{number}", &jira.base(), ""),
        one("jira-late", "LATE-{number}", &format!("http://127.0.0.1:{late}"), request),
    ]
    .concat()
}

/// A new issue, in this status.
pub fn issue(jira: &Part, assignee: &str, status: &str, labels: &[&str]) -> String {
    let fields = json!({"fields": {
        "project": {"key": "OPS"}, "summary": "Roll out 4.2", "issuetype": {"name": "Task"},
        "assignee": {"name": assignee}, "labels": labels, "priority": {"name": "High"},
    }});
    let made = jira.ask("POST", "/rest/api/2/issue", &[JSON], &fields.to_string()).json(&[201]);
    let key = made["key"].as_str().unwrap().to_owned();
    go(jira, &key, status);
    key
}

/// Brings an issue into a status.
pub fn go(jira: &Part, key: &str, status: &str) {
    let path = format!("/rest/api/2/issue/{key}/transitions");
    let known = jira.ask("GET", &path, &[], "").json(&[200]);
    let all = known["transitions"].as_array().unwrap();
    let Some(one) = all.iter().find(|one| one["to"]["name"] == status) else { return };
    let body = json!({"transition": {"id": one["id"]}}).to_string();
    let told = jira.ask("POST", &path, &[JSON], &body);
    assert_eq!(told.status, 204, "{told:?}");
}

#[test]
fn what_jira_says_decides() {
    let Some(mut jira) = Part::jira() else { return };
    let late = Late::before(jira.port, Duration::from_secs(20));
    let secrets = [("bot", "anything")];
    let ca = team("jira", &trackers(&jira, late.port), &secrets, ["a.ivanova", "b.okafor"]);

    let open = issue(&jira, "a.ivanova", "In Progress", &["rollout", "host:web01"]);
    let ticket = granted(&ca, &open);
    assert_eq!(
        (&ticket["tracker"], &ticket["state"], &ticket["said"], &ticket["assignee"]),
        (&"jira".into(), &"open".into(), &"In Progress".into(), &"ana".into()),
        "{ticket}"
    );
    assert_eq!(
        (&ticket["title"], &ticket["priority"], &ticket["hosts"]),
        (&"Roll out 4.2".into(), &"High".into(), &json!(["web01"]))
    );
    // By the address that people copy.
    let said = ca.ssh("ana", &["deploy@web01", &format!("{}/browse/{open}", jira.base())]);
    assert_eq!(said.code, 0, "{said:?}");

    let closed = issue(&jira, "a.ivanova", "Done", &[]);
    refused(&ca, &closed, &format!("ticket {closed} is Done, needs open"));
    let pending = issue(&jira, "a.ivanova", "Open", &[]);
    refused(&ca, &pending, &format!("ticket {pending} is Open, needs open"));
    let theirs = issue(&jira, "b.okafor", "In Progress", &[]);
    refused(&ca, &theirs, &format!("ticket {theirs} is bob's, not yours"));
    let elsewhere = issue(&jira, "a.ivanova", "In Progress", &["host:db01"]);
    refused(&ca, &elsewhere, &format!("ticket {elsewhere} names db01, not web01"));
    refused(&ca, "OPS-99999", "there is no ticket OPS-99999");

    tried(&ca, &open, 0, &["In Progress", "a.ivanova", "ana", "web01"]);
    tried(&ca, &closed, 0, &["Done"]);
    tried(&ca, "OPS-99999", 1, &["there is no ticket"]);

    let number = open.strip_prefix("OPS-").unwrap();
    fault(&ca, &format!("LATE-{number}"), FAULT, SOON);
    jira.stop();
    fault(&ca, &open, FAULT, SOON);
    tried(&ca, &open, 75, &[]);
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}

#[test]
fn an_issue_that_is_done_in_jira_ends_its_grant() {
    let Some(jira) = Part::jira() else { return };
    let trackers = trackers(&jira, jira.port);
    let ca = team("jira", &trackers, &[("bot", "anything")], ["a.ivanova", "b.okafor"]);
    let key = issue(&jira, "a.ivanova", "In Progress", &[]);
    let request = grant(&ca, &key);
    let comments = || {
        let path = format!("/rest/api/2/issue/{key}/comment");
        jira.ask("GET", &path, &[], "").json(&[200])["comments"].to_string()
    };
    let told = format!("hallpass: grant {request}: ana may log in as deploy on web01");
    until("the comment on the grant", || comments().contains(&told));
    go(&jira, &key, "Done");
    ends(&ca, &request, &key, "Done");
    let told = format!("hallpass: grant {request} of ana");
    until("the comment on the end", || comments().contains(&told));
}
