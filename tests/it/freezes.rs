//! Freezes: a word to policy that the moment is not an ordinary one, set by people, operators, files and
//! webhooks; and what nobody can do with one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use crate::ca::Ca;
use crate::process::Said;

fn add(ca: &Path, file: &str, text: &str) {
    let path = ca.join("ca").join(file);
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, before + text).unwrap();
}

fn ok(said: &Said, text: &str) {
    assert!(said.code == 0 && said.err.contains(text), "{text}: {said:?}");
}

fn refused(said: &Said, text: &str) {
    assert!(
        said.code == 1 && said.err.contains(text) && said.err.contains("\nhint: "),
        "{text}: {said:?}"
    );
}

#[test]
fn a_freeze_is_a_fact_for_policy_until_it_is_lifted_or_over() {
    let mut ca = Ca::start();
    let deploy = ["deploy@web01", "OPS-7"];
    assert_eq!(ca.ssh("ana", &deploy).code, 0);
    refused(
        &ca.ssh("bob", &["freeze", "black-friday", "--reason", "mine"]),
        "no policy lets bob freeze black-friday",
    );
    let said = ca.ssh(
        "ana",
        &[
            "freeze",
            "black-friday",
            "--tag",
            "prod",
            "--for",
            "72h",
            "--reason",
            "'the busiest days'",
        ],
    );
    ok(&said, "hallpass: tag prod is frozen by black-friday from now on until ");
    assert!(said.err.contains("hint: what a freeze stops is the policy's to say"), "{said:?}");
    let no = "policy freeze-deploys forbids it: during a freeze only urgent tickets are deployed (web01 is frozen by black-friday)";
    // Renewals are decided anew.
    refused(&ca.ssh("ana", &deploy), no);
    refused(&ca.ssh("ana", &["renew"]), no);
    assert_eq!(ca.ssh("ana", &["ensure", "deploy@web01"]).code, 1);
    // What policy does not stop goes on.
    assert_eq!(ca.ssh("ana", &["logs@web01"]).code, 0);
    let shown = ca.ssh("bob", &["freezes"]);
    assert!(
        shown.code == 0 && shown.out.starts_with("black-friday over tag prod since "),
        "{shown:?}"
    );
    assert!(
        shown.out.contains(" by ana until ") && shown.out.ends_with(": the busiest days\n"),
        "{shown:?}"
    );

    // It stands after a kill.
    ca.kill_and_restart();
    refused(&ca.ssh("ana", &deploy), no);
    let explained = ca.ssh("ana", &["explain", "deploy@web01", "OPS-7"]);
    assert!(format!("{}{}", explained.out, explained.err).contains("frozen"), "{explained:?}");
    let explained = ca.operator(&["explain", "ana", "deploy@web01", "--ticket", "OPS-7"]);
    assert!(format!("{}{}", explained.out, explained.err).contains("frozen"), "{explained:?}");

    refused(
        &ca.ssh("ana", &["thaw", "black-fridy", "--reason", "over"]),
        "there is no freeze black-fridy",
    );
    ok(
        &ca.ssh("ana", &["thaw", "black-friday", "--reason", "over"]),
        "black-friday freezes nothing any more",
    );
    assert_eq!(ca.ssh("ana", &deploy).code, 0);

    // The operator's, for a moment.
    ok(
        &ca.operator(&["freeze", "drill", "--for", "2s", "--reason", "a drill"]),
        "everything is frozen by drill",
    );
    refused(&ca.ssh("ana", &deploy), "web01 is frozen by drill");
    crate::process::until("the drill's end", || ca.ssh("ana", &deploy).code == 0);
    let listed = ca.operator(&["freezes"]);
    assert!(listed.code == 0 && listed.err.contains("nothing is frozen"), "{listed:?}");

    let kinds: Vec<_> = ca.entries().into_iter().filter(|entry| entry.kind == "freeze").collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    assert_eq!(kinds[0].facts["name"], "black-friday");
    assert_eq!(kinds[0].facts["tags"], serde_json::json!(["prod"]));
    assert_eq!(kinds[2].facts["operator"]["uid"], 0);
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}

#[test]
fn a_file_freezes_while_it_is_there_and_one_that_cannot_be_read_is_a_fault() {
    let ca = Ca::start();
    let deploy = ["deploy@web01", "OPS-7"];
    assert_eq!(ca.ssh("ana", &deploy).code, 0);
    let file = ca.file("freezes/alert.toml");
    std::fs::write(&file, "reason = \"db01 is down\"\ntags = [\"dev\"]\n").unwrap();
    assert_eq!(ca.ssh("ana", &deploy).code, 0, "a freeze of another tag");
    std::fs::write(&file, "reason = \"db01 is down\"\n").unwrap();
    refused(&ca.ssh("ana", &deploy), "web01 is frozen by ");
    assert!(ca.ssh("bob", &["freezes"]).out.contains(" by file: db01 is down\n"));
    // Half written: nobody knows what it would say.
    std::fs::write(&file, "reason = \"db01 is").unwrap();
    let said = ca.ssh("ana", &["logs@web01"]);
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.err.contains("the folder of freezes cannot be read"), "{said:?}");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ca.ssh("ana", &deploy).code, 0);
}

/// What a webhook answers: status and body.
fn send(port: u16, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    let status = said.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0);
    (status, said.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

fn http(method: &str, path: &str, token: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: ca\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The alerting system is broken into. Its token freezes and thaws its own, on the tags it was given, and
/// that is all: it lifts no other's freeze, fills no ledger, and nobody without a token is heard.
#[test]
fn a_webhook_freezes_its_own_and_nothing_else() {
    let token = "0123456789abcdef0123456789abcdef";
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let ca = Ca::start_with(|dir| {
        use std::os::unix::fs::OpenOptionsExt as _;
        add(
            dir,
            "ca.toml",
            &format!(
                "\n[webhook]\nlisten = \"127.0.0.1:{port}\"\n[[webhook.from]]\nname = \"alerts\"\n\
                 token = \"alerts.token\"\ntags = [\"prod\"]\nlongest = \"1h\"\n"
            ),
        );
        let mut file = std::fs::OpenOptions::new();
        let file = file.write(true).create_new(true).mode(0o600).open(dir.join("ca/alerts.token"));
        file.unwrap().write_all(format!("{token}\n").as_bytes()).unwrap();
    });
    let deploy = ["deploy@web01", "OPS-7"];
    let put =
        |name: &str, body: &str| send(port, &http("PUT", &format!("/freezes/{name}"), token, body));
    let (status, said) = put("failover", r#"{"reason":"db01 fails over","for":"2h"}"#);
    assert!(status == 200 && said.contains(r#""name":"alerts.failover""#), "{status} {said}");
    refused(&ca.ssh("ana", &deploy), "web01 is frozen by ");
    assert!(ca.ssh("ana", &["freezes"]).out.contains("alerts.failover over tag prod since "));
    // Said again it is not written again.
    let written = |ca: &Ca| ca.entries().iter().filter(|entry| entry.kind == "freeze").count();
    assert_eq!(put("failover", r#"{"reason":"db01 fails over","for":"2h"}"#).0, 200);
    assert_eq!(written(&ca), 1);
    let (status, said) = send(port, &http("DELETE", "/freezes/failover", token, ""));
    assert!(status == 200 && said.contains(r#""frozen":false"#), "{status} {said}");
    assert_eq!(ca.ssh("ana", &deploy).code, 0);

    let alert = |status: &str| {
        format!(
            r#"{{"version":"4","status":"{status}","alerts":[{{"status":"{status}","labels":{{"alertname":"HostDown"}},"annotations":{{"summary":"web01 does not answer"}}}}]}}"#
        )
    };
    assert_eq!(send(port, &http("POST", "/alertmanager", token, &alert("firing"))).0, 200);
    refused(&ca.ssh("ana", &deploy), "web01 is frozen by ");
    assert_eq!(send(port, &http("POST", "/alertmanager", token, &alert("resolved"))).0, 200);
    assert_eq!(ca.ssh("ana", &deploy).code, 0);

    // What it may not.
    ok(&ca.ssh("ana", &["freeze", "mine", "--reason", "drill"]), "everything is frozen by mine");
    let (status, said) = send(port, &http("DELETE", "/freezes/mine", token, ""));
    assert!(status == 200 && said.contains(r#""entry":null"#), "{status} {said}");
    refused(&ca.ssh("ana", &deploy), "web01 is frozen by ");
    ok(&ca.ssh("ana", &["thaw", "mine", "--reason", "over"]), "mine freezes nothing any more");
    for (request, expected) in [
        (http("PUT", "/freezes/x", "wrong", r#"{"reason":"r"}"#), 401),
        (http("PUT", "/freezes/x", "", r#"{"reason":"r"}"#), 401),
        (
            "PUT /freezes/x HTTP/1.1\r\nHost: ca\r\nContent-Length: 14\r\n\r\n{\"reason\":\"r\"}"
                .to_owned(),
            401,
        ),
        (http("PUT", "/freezes/x", token, r#"{"reason":"r","tags":["dev"]}"#), 400),
        (http("PUT", "/freezes/../../x", token, r#"{"reason":"r"}"#), 400),
        (http("PUT", "/freezes/%2e", token, r#"{"reason":"r"}"#), 400),
        (http("PUT", "/freezes/x", token, "{"), 400),
        (http("PUT", "/freezes/x", token, &"[".repeat(60_000)), 400),
        (http("PUT", "/freezes/x", token, &" ".repeat(70_000)), 413),
        (http("POST", "/freezes/x", token, r#"{"reason":"r"}"#), 404),
        (http("GET", "/", token, ""), 404),
        ("\r\n\r\nnonsense\r\n\r\n".to_owned(), 400),
    ] {
        let head: String = request.chars().take(60).collect();
        assert_eq!(send(port, &request).0, expected, "{head:?}");
    }
    assert_eq!(ca.ssh("ana", &deploy).code, 0);
    // A hundred an hour, then it is heard no more; people go on.
    let mut answers = Vec::new();
    for n in 0..110 {
        answers.push(put("flood", &format!(r#"{{"reason":"flood {n}"}}"#)).0);
    }
    assert!(answers.contains(&409), "{answers:?}");
    let written = ca.entries().iter().filter(|entry| entry.facts["webhook"] == "alerts").count();
    assert_eq!(written, 100);
    ok(&ca.ssh("ana", &["thaw", "alerts.flood", "--reason", "enough"]), "freezes nothing any more");
    assert_eq!(ca.ssh("ana", &deploy).code, 0);
    assert!(
        !ca.daemon.log().iter().any(|line| line.contains(token)),
        "the token is in the journal"
    );
}
