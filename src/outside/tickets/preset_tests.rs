//! The presets against vendors' documented answers: what is asked, to the letter, and what is understood.
//! The answers are short ones of the documented shape. Those trackers that can be run are asked in
//! `tests/it/trackers.rs`.

use std::sync::Arc;

use super::http_tests::{Server, ok, server, status};
use super::{Answer, TicketSeen, Tracker, TrackerFault, Trackers};
use crate::certificate::names::TicketId;
use crate::config::tracker::Tracker as Configured;
use crate::decide::facts::TicketState;

/// A tracker by a preset, at a server.
fn by_preset(preset: &str, server: &Server, ids: &str, more: &str) -> Arc<dyn Tracker> {
    let text = format!(
        "name = \"t\"\nkind = \"http\"\npreset = {preset:?}\nbase = \"http://{}\"\nids = [{ids:?}]\n{more}",
        server.address
    );
    let one: Configured = toml::from_str(&text).unwrap_or_else(|why| panic!("{preset}: {why}"));
    let trackers = Trackers::open(&[one]).unwrap();
    let any = match ids {
        "OPS-{number}" => "OPS-7",
        "ops#{number}" => "ops#7",
        prefix => &format!("{prefix}1"),
    };
    Arc::clone(trackers.of(&id(any)).unwrap())
}

fn id(text: &str) -> TicketId {
    text.parse().unwrap()
}

fn read(tracker: &dyn Tracker, ticket: &str) -> TicketSeen {
    match tracker.read(&id(ticket)) {
        Ok(Answer::Ticket(seen)) => seen,
        other => panic!("{ticket}: {other:?}"),
    }
}

/// Its state, what people see as it, its assignee, and its priority.
fn short(seen: &TicketSeen) -> (TicketState, &str, Option<&str>, Option<&str>) {
    (seen.state, &seen.said, seen.assignee.as_deref(), seen.priority.as_deref())
}

/// What was written last: the request's line and its body.
fn written(server: &Server) -> (String, String) {
    let (line, _, body) = server.asked.lock().unwrap().pop().unwrap();
    (line, body)
}

fn found(tracker: &dyn Tracker, assignee: &str) -> Vec<String> {
    tracker.open_of(assignee).unwrap().unwrap().iter().map(ToString::to_string).collect()
}

/// Jira Cloud takes a wrong token for nobody: an issue is 404 then, as one that does not exist.
#[test]
fn jira_cloud() {
    const ISSUE: &str =
        "GET /rest/api/3/issue/OPS-7?fields=summary,status,assignee,priority,labels";
    let issue = r#"{"expand":"renderedFields","id":"10002","self":"https://acme.atlassian.net/rest/api/3/issue/10002",
        "key":"OPS-7","fields":{"summary":"Roll out 4.2","labels":["rollout","host:web01"],
        "priority":{"name":"High","id":"2"},
        "assignee":{"accountId":"5b10a2844c20165700ede21g","displayName":"Ana","active":true,"accountType":"atlassian"},
        "status":{"name":"In Progress","id":"3","statusCategory":{"id":4,"key":"indeterminate","name":"In Progress"}}}}"#;
    let server = server(move |line| match line {
        "GET /rest/api/3/myself" => ok(r#"{"accountId":"5b10ac8d82e05b22cc7d4ef5","active":true}"#),
        ISSUE => ok(issue),
        line if line.starts_with("GET /rest/api/3/search/jql") => {
            assert_eq!(
                line,
                "GET /rest/api/3/search/jql?jql=assignee%3D%225b10a2844c20165700ede21g%22%20AND%20\
                 statusCategory%3D%22In%20Progress%22&fields=status&maxResults=6"
            );
            ok(r#"{"issues":[{"id":"10002","key":"OPS-7","fields":{}}],"isLast":true}"#)
        }
        "POST /rest/api/3/issue/OPS-7/comment" => status(201, "", r#"{"id":"10000"}"#),
        _ => status(
            404,
            "",
            r#"{"errorMessages":["Issue does not exist or you do not have permission to see it."]}"#,
        ),
    });
    let tracker = by_preset("jira-cloud", &server, "OPS-{number}", "[write]\n");
    let seen = read(&*tracker, "OPS-7");
    let who = Some("5b10a2844c20165700ede21g");
    assert_eq!(short(&seen), (TicketState::Open, "In Progress", who, Some("High")));
    assert_eq!(seen.hosts.iter().collect::<Vec<_>>(), ["web01"]);
    assert_eq!(tracker.read(&id("OPS-8")), Ok(Answer::Absent));
    assert_eq!(found(&*tracker, "5b10a2844c20165700ede21g"), ["OPS-7"]);
    tracker.comment(&id("OPS-7"), "\"granted\"").unwrap();
    let (line, body) = written(&server);
    assert_eq!(line, "POST /rest/api/3/issue/OPS-7/comment");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body.pointer("/body/content/0/content/0/text").unwrap(), "\"granted\"");
    assert_eq!((&body["body"]["type"], &body["body"]["version"]), (&"doc".into(), &1.into()));

    let server = self::server(|line| match line {
        "GET /rest/api/3/myself" => status(401, "", "{}"),
        _ => status(404, "", "{}"),
    });
    let tracker = by_preset("jira-cloud", &server, "OPS-{number}", "");
    let answer = tracker.read(&id("OPS-7"));
    assert!(matches!(answer, Err(TrackerFault::Credentials(_))), "{answer:?}");
}

/// Jira Data Center answers 403 to everything while it wants a CAPTCHA solved: the CA may not come in,
/// and the ticket is not hidden.
#[test]
fn jira_8_with_a_captcha() {
    let server =
        server(|_| status(403, "x-authentication-denied-reason: CAPTCHA_CHALLENGE\r\n", ""));
    let tracker = by_preset("jira-8", &server, "OPS-{number}", "");
    let answer = tracker.read(&id("OPS-7"));
    assert!(matches!(answer, Err(TrackerFault::Credentials(_))), "{answer:?}");
}

#[test]
fn gitlab() {
    let issue = |state: &str, assignees: &str| {
        format!(
            r#"{{"id":41,"iid":7,"project_id":42,"title":"Roll out 4.2","state":"{state}","labels":["rollout","host:web01"],
            "assignees":{assignees},"author":{{"id":1,"username":"root"}},"weight":null}}"#
        )
    };
    let ana = r#"[{"id":9,"name":"Ana","username":"a.ivanova","state":"active"}]"#;
    let (opened, closed) = (issue("opened", ana), issue("closed", "[]"));
    let server = server(move |line| match line {
        "GET /issues/7" => ok(&opened),
        "GET /issues/8" => ok(&closed.replace("\"iid\":7", "\"iid\":8")),
        "GET /issues/9" => status(404, "", r#"{"message":"404 Project Not Found"}"#),
        "GET /issues/10" => status(403, "", r#"{"error":"insufficient_scope"}"#),
        "GET /issues?assignee_username=a.ivanova&state=opened&per_page=6" => {
            ok(r#"[{"id":41,"iid":7}]"#)
        }
        "POST /issues/7/notes" => status(201, "", r#"{"id":301,"body":"x"}"#),
        other => panic!("{other}"),
    });
    let tracker =
        by_preset("gitlab", &server, "ops#{number}", "[search]\nform = \"ops#{id}\"\n[write]\n");
    let seen = read(&*tracker, "ops#7");
    assert_eq!(short(&seen), (TicketState::Open, "opened", Some("a.ivanova"), None));
    assert_eq!(seen.hosts.iter().collect::<Vec<_>>(), ["web01"]);
    assert_eq!(short(&read(&*tracker, "ops#8")), (TicketState::Closed, "closed", None, None));
    assert_eq!(tracker.read(&id("ops#9")), Ok(Answer::Absent));
    assert!(matches!(tracker.read(&id("ops#10")), Err(TrackerFault::Away(_))));
    assert_eq!(found(&*tracker, "a.ivanova"), ["ops#7"]);
    tracker.comment(&id("ops#7"), "granted").unwrap();
    assert_eq!(written(&server), ("POST /issues/7/notes".into(), r#"{"body": "granted"}"#.into()));
}

/// ServiceNow leaves out a condition that it does not understand and answers with any record; and it
/// answers 200 with an empty list where the account may not see the record.
#[test]
fn servicenow() {
    let record = |number: &str, state: &str| {
        format!(
            r#"{{"result":[{{"sys_id":{{"display_value":"a9e3","value":"a9e3"}},
            "number":{{"display_value":"{number}","value":"{number}"}},
            "short_description":{{"display_value":"Disk full","value":"Disk full"}},
            "state":{{"display_value":"In Progress","value":"{state}"}},
            "priority":{{"display_value":"2 - High","value":"2"}},
            "assigned_to.user_name":{{"display_value":"a.ivanova","value":"a.ivanova"}},
            "cmdb_ci":{{"display_value":"WEB01","value":"b0c4"}}}}]}}"#
        )
    };
    let read_line = |number: &str| {
        format!(
            "GET /api/now/table/incident?sysparm_query=number%3D{number}&sysparm_limit=1&sysparm_display_value=all\
             &sysparm_exclude_reference_link=true&sysparm_fields=sys_id,number,short_description,state,\
             assigned_to.user_name,priority,cmdb_ci"
        )
    };
    let answers = [
        (read_line("INC0010002"), ok(&record("INC0010002", "2"))),
        (read_line("INC0010003"), ok(&record("INC0010003", "7"))),
        (read_line("INC0010004"), ok(r#"{"result":[]}"#)),
        (read_line("INC0010005"), ok(&record("INC0010002", "2"))),
        (read_line("INC0010006"), ok(&record("INC0010006", "42"))),
        (
            "GET /api/now/table/incident?sysparm_query=assigned_to.user_name%3Da.ivanova%5Estate%3D2&sysparm_limit=6\
             &sysparm_fields=number"
                .to_owned(),
            ok(r#"{"result":[{"number":"INC0010002"}]}"#),
        ),
        (
            "PATCH /api/now/table/incident/a9e3?sysparm_fields=number".to_owned(),
            ok(r#"{"result":{"number":"INC0010002"}}"#),
        ),
    ];
    let server = server(move |line| {
        let known = answers.iter().find(|(known, _)| known == line);
        known.unwrap_or_else(|| panic!("{line}")).1.clone()
    });
    let tracker = by_preset("servicenow", &server, "INC", "[write]\n");
    let seen = read(&*tracker, "INC0010002");
    assert_eq!(short(&seen), (TicketState::Open, "In Progress", Some("a.ivanova"), Some("2")));
    assert_eq!((seen.title.as_str(), seen.hosts.first().unwrap().as_str()), ("Disk full", "web01"));
    assert_eq!(read(&*tracker, "INC0010003").state, TicketState::Closed);
    assert_eq!(tracker.read(&id("INC0010004")), Ok(Answer::Absent));
    assert_eq!(tracker.read(&id("INC0010005")), Ok(Answer::Moved("INC0010002".to_owned())));
    // A state of the site's own means nothing until ca.toml says what.
    assert!(matches!(tracker.read(&id("INC0010006")), Err(TrackerFault::Unreadable(_))));
    assert_eq!(found(&*tracker, "a.ivanova"), ["INC0010002"]);
    tracker.comment(&id("INC0010002"), "granted").unwrap();
    let (line, body) = written(&server);
    assert_eq!(line, "PATCH /api/now/table/incident/a9e3?sysparm_fields=number");
    assert_eq!(body, r#"{"work_notes": "granted"}"#);
}

#[test]
fn servicenow_change_with_its_window() {
    let server = server(|line| {
        assert!(
            line.starts_with(
                "GET /api/now/table/change_request?sysparm_query=number%3DCHG0030001&"
            )
        );
        assert!(line.ends_with(",cmdb_ci,start_date,end_date"), "{line}");
        // The value is UTC; what is displayed is in the account's zone.
        ok(r#"{"result":[{"sys_id":{"value":"c1"},"number":{"value":"CHG0030001"},
            "short_description":{"display_value":"Upgrade"},"state":{"display_value":"Implement","value":"-1"},
            "assigned_to.user_name":{"value":"a.ivanova"},"priority":{"value":"4"},"cmdb_ci":{"display_value":"","value":""},
            "start_date":{"display_value":"2026-11-22 06:00:00","value":"2026-11-22 05:00:00"},
            "end_date":{"display_value":"2026-11-22 08:00:00","value":"2026-11-22 07:00:00"}}]}"#)
    });
    let tracker = by_preset("servicenow-change", &server, "CHG", "");
    let seen = read(&*tracker, "CHG0030001");
    assert_eq!(short(&seen), (TicketState::Open, "Implement", Some("a.ivanova"), Some("4")));
    let window = seen.window.unwrap();
    assert_eq!(window.from.to_string(), "2026-11-22T05:00:00Z");
    assert_eq!(window.until.to_string(), "2026-11-22T07:00:00Z");
    assert!(seen.hosts.is_empty());
    assert!(!tracker.takes_comments(), "without [tracker.write]");
}

#[test]
fn pagerduty() {
    let incident = |status: &str, assignments: &str| {
        format!(
            r#"{{"incident":{{"id":"PT4KHLK","type":"incident","incident_number":1234,"title":"The server is on fire.",
            "status":"{status}","urgency":"high","assignments":{assignments},
            "priority":{{"id":"P53ZZH5","type":"priority_reference","summary":"P2"}}}}}}"#
        )
    };
    let ana = r#"[{"at":"2015-11-10T00:31:52Z","assignee":{"id":"PXPGF42","type":"user_reference","summary":"Ana"}}]"#;
    let (open, closed) = (incident("acknowledged", ana), incident("resolved", "[]"));
    let server = server(move |line| match line {
        "GET /incidents/PT4KHLK" => ok(&open),
        "GET /incidents/PRESOLV" => ok(&closed.replace("PT4KHLK", "PRESOLV")),
        "GET /incidents/PNONE" => {
            status(404, "", r#"{"error":{"code":2100,"message":"Not Found"}}"#)
        }
        "GET /incidents/PBADKEY" => status(401, "", r#"{"error":{"code":2006}}"#),
        "GET /incidents?user_ids%5B%5D=PXPGF42&statuses%5B%5D=acknowledged&limit=6" => {
            ok(r#"{"incidents":[{"id":"PT4KHLK"}],"limit":6,"more":false}"#)
        }
        "POST /incidents/PT4KHLK/notes" => status(201, "", r#"{"note":{"id":"PWL7QXS"}}"#),
        other => panic!("{other}"),
    });
    let more = "[headers]\nFrom = \"hallpass@example.com\"\n[write]\n";
    let tracker = by_preset("pagerduty", &server, "P", more);
    let seen = read(&*tracker, "PT4KHLK");
    assert_eq!(short(&seen), (TicketState::Open, "acknowledged", Some("PXPGF42"), Some("P2")));
    assert_eq!(seen.labels.first().unwrap(), "high");
    assert_eq!(short(&read(&*tracker, "PRESOLV")).0, TicketState::Closed);
    assert_eq!(tracker.read(&id("PNONE")), Ok(Answer::Absent));
    assert!(matches!(tracker.read(&id("PBADKEY")), Err(TrackerFault::Credentials(_))));
    assert_eq!(found(&*tracker, "PXPGF42"), ["PT4KHLK"]);
    tracker.comment(&id("PT4KHLK"), "granted").unwrap();
    let asked = server.asked.lock().unwrap();
    let (line, headers, body) = asked.last().unwrap();
    assert_eq!(
        (line.as_str(), body.as_str()),
        ("POST /incidents/PT4KHLK/notes", r#"{"note": {"content": "granted"}}"#)
    );
    assert_eq!(headers["from"], "hallpass@example.com");
    assert_eq!(headers["accept"], "application/vnd.pagerduty+json;version=2");
}

#[test]
fn salesforce() {
    let found_one = |number: &str, closed: bool| {
        format!(
            r#"{{"totalSize":1,"done":true,"records":[{{"attributes":{{"type":"Case","url":"/services/data/v61.0/sobjects/Case/500A"}},
            "Id":"500A","CaseNumber":"{number}","Subject":"Printer on fire","Status":"Working","IsClosed":{closed},"Priority":"High",
            "Owner":{{"attributes":{{"type":"Name","url":"/services/data/v61.0/sobjects/User/005A"}},"Username":"ana@example.com"}}}}]}}"#
        )
    };
    let query = |number: &str| {
        format!(
            "GET /services/data/v61.0/query?q=SELECT%20Id,CaseNumber,Subject,Status,IsClosed,Priority,Owner.Username\
             %20FROM%20Case%20WHERE%20CaseNumber%3D%27{number}%27%20LIMIT%201"
        )
    };
    let answers = [
        (query("00001026"), ok(&found_one("00001026", false))),
        (query("00001027"), ok(&found_one("00001027", true))),
        (query("00001028"), ok(r#"{"totalSize":0,"done":true,"records":[]}"#)),
        (query("00001029"), status(403, "", r#"[{"errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#)),
        (query("00001030"), status(401, "", r#"[{"errorCode":"INVALID_SESSION_ID"}]"#)),
        ("PATCH /services/data/v61.0/sobjects/Case/500A".to_owned(), status(204, "", "")),
    ];
    let server = server(move |line| {
        let known = answers.iter().find(|(known, _)| known == line);
        known.unwrap_or_else(|| panic!("{line}")).1.clone()
    });
    let tracker = by_preset("salesforce", &server, "0", "[write]\n");
    let seen = read(&*tracker, "00001026");
    assert_eq!(short(&seen), (TicketState::Open, "Working", Some("ana@example.com"), Some("High")));
    assert_eq!(read(&*tracker, "00001027").state, TicketState::Closed);
    assert_eq!(tracker.read(&id("00001028")), Ok(Answer::Absent));
    assert!(matches!(tracker.read(&id("00001029")), Err(TrackerFault::Away(_))));
    tracker.comment(&id("00001026"), "granted").unwrap();
    let (line, body) = written(&server);
    assert_eq!(line, "PATCH /services/data/v61.0/sobjects/Case/500A");
    assert_eq!(body, r#"{"Comments": "granted"}"#);
    assert!(matches!(tracker.read(&id("00001030")), Err(TrackerFault::Credentials(_))));
}
