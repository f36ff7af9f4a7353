//! `hallpass ticket test` and `ticket presets`: what a newcomer configures a tracker with.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::ca::{Ca, hallpass};
use crate::hostile_tracker::server::{Does, Server, json};
use crate::process::{Said, repository, run};

/// The code block of the README that begins so.
fn readme(beginning: &str) -> String {
    let text = std::fs::read_to_string(repository("README.md")).unwrap();
    let from = text.find(beginning).unwrap_or_else(|| panic!("README has no {beginning}"));
    text[from..].split("```").next().unwrap().to_owned()
}

/// The README's tracker of a kind that is not shipped, at this server, with changes.
fn connect(dir: &Path, server: &Server, change: impl Fn(String) -> String) {
    std::fs::create_dir_all(dir.join("ca/secrets")).unwrap();
    let mut key = std::fs::OpenOptions::new();
    let key = key
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(dir.join("ca/secrets/desk.key"));
    key.unwrap().write_all(b"k3y-of-the-desk\n").unwrap();
    let mapping = readme("[[tracker]]\nname = \"desk\"");
    let there = format!("http://{}/v1", server.address);
    let mapping = change(mapping.replace("https://desk.example.com/v1", &there));
    let file = dir.join("ca/ca.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, _) = text.split_once("\n[[tracker]]").unwrap();
    let own = "[[tracker]]\nname = \"tickets\"\nkind = \"folder\"\npath = \"tickets\"\n";
    std::fs::write(file, format!("{before}\n{mapping}\n{own}")).unwrap();
}

/// A server that answers as the README's does.
fn desk() -> Server {
    let shown = readme("$ curl -H");
    let mut answers = shown.lines().filter(|line| line.starts_with('{'));
    let (case, agent) = (answers.next().unwrap().to_owned(), answers.next().unwrap().to_owned());
    let lines = [
        ("GET /v1/cases/71".to_owned(), json(&case)),
        ("GET /v1/agents/17".to_owned(), json(&agent)),
    ];
    Server::start(Does::Lines(lines.to_vec()))
}

fn test(dir: &Path, words: &[&str]) -> Said {
    run(hallpass().args(["ticket", "test"]).args(words).arg("--config").arg(dir.join("ca/ca.toml")))
}

/// Times and the server's port are different each time, and so is what differs with the example's hosts.
fn steady(text: &str, server: &Server) -> String {
    let text = text.replace(&format!("http://{}", server.address), "https://desk.example.com");
    let words = text.split(' ').collect::<Vec<_>>();
    let mut shown = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let ms = words.get(at + 1).is_some_and(|next| next.starts_with("ms"));
        shown.push(if ms { "~" } else { word });
    }
    shown.join(" ")
}

#[test]
fn a_tracker_that_is_not_shipped_is_connected_as_the_readme_says() {
    let (dir, server) = (Ca::make(), desk());
    // The README's CA knows no ana of that alias and no web02: this one is made to be alike.
    connect(dir.path(), &server, |text| text);
    let hosts = dir.path().join("ca/hosts.toml");
    let text = std::fs::read_to_string(&hosts).unwrap();
    std::fs::write(&hosts, text.replace("[host.web02]", "[host.web-2]")).unwrap();
    let said = test(dir.path(), &["CASE-71"]);
    assert_eq!(said.code, 0, "{said:?}");
    let shown = readme("$ hallpass ticket test CASE-71");
    let (_, shown) = shown.split_once('\n').unwrap();
    assert_eq!(steady(&said.out, &server), steady(shown, &server));

    let checked = run(hallpass().arg("check").arg("--config").arg(dir.path().join("ca/ca.toml")));
    assert!(checked.err.contains("tracker desk: CASE-NUMBER: http://127.0.0.1"), "{checked:?}");
    assert!(checked.err.contains("secrets/desk.key; 3s a call, 8 at once\n"), "{checked:?}");

    let object: Value =
        serde_json::from_str(&test(dir.path(), &["CASE-71", "--json"]).out).unwrap();
    assert_eq!(
        (&object["outcome"], &object["understood"]["state"]),
        (&"ok".into(), &"open".into())
    );
    assert_eq!(object["understood"]["alias"], "a.ivanova");
    assert_eq!(object["requests"][1]["outcome"], "200", "{object}");
    assert!(!object.to_string().contains("k3y"), "{object}");
}

#[test]
fn every_mistake_in_a_mapping_tells_its_remedy() {
    let server = desk();
    for (from, to, code, what, hint) in [
        (
            "/case/phase/word",
            "/case/status",
            75,
            "state is not in the answer",
            "/case has no, subject, phase",
        ),
        (
            "/case/phase/word",
            "/case/phase",
            75,
            "state at /case/phase is an object",
            "/case/phase/NAME; /case/phase has word",
        ),
        (
            "open = [\"working\"]",
            "open = [\"open\"]",
            75,
            "state \"working\" means nothing here",
            "[tracker.states]",
        ),
        (
            "id = \"/case/no\"",
            "id = \"/case/agent\"",
            1,
            "the answer is of another ticket: 17",
            "fields.id points to the wrong thing",
        ),
        (
            "/cases/{number}",
            "/case/{number}",
            1,
            "there is no ticket CASE-71 in desk",
            "read.request, read.absent or read.found is wrong",
        ),
        ("absent = [404]", "absent = [410]", 0, "", ""),
        (
            "at = \"/login\"",
            "at = \"/user/login\"",
            75,
            "has no /user/login",
            "the answer has login, name",
        ),
        ("/agents/{value}", "/agents/x{value}", 0, "nobody", ""),
        (
            "/v1\"",
            "/v1\"\nnetworks = [\"10.0.0.0/8\"]",
            75,
            "is at 127.0.0.1, which is in none",
            "networks = [",
        ),
        ("CASE-{number}", "CSE-{number}", 1, "CASE-71 belongs to tickets", ""),
        ("secrets/desk.key", "secrets/none", 75, "secrets/none: No such file", ""),
    ] {
        let dir = Ca::make();
        connect(dir.path(), &server, |text| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        let said = test(dir.path(), &["CASE-71"]);
        let all = format!("{}{}", said.out, said.err);
        assert_eq!(said.code, code, "{to}: {said:?}");
        assert!(all.contains(what) && all.contains(hint), "{to}: {said:?}");
        assert!(code == 0 || hint.is_empty() || all.contains("\nhint: "), "{to}: {said:?}");
    }
    // What the server does instead of answering well.
    let dir = Ca::make();
    connect(dir.path(), &server, |text| text);
    let status = |status: u16| {
        Does::Bytes(
            format!("HTTP/1.1 {status} X\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n")
                .into_bytes(),
        )
    };
    for (does, code, what, hint) in [
        (
            status(401),
            75,
            "fault, the credentials': the tracker answers 401",
            "put a good token into the file",
        ),
        (status(403), 1, "desk does not show CASE-71 to the CA", "the right to read it"),
        (status(404), 1, "there is no ticket CASE-71", "read.absent"),
        (
            status(400),
            75,
            "fault, the tracker's or the way to it: the tracker answers 400",
            "list it in read.absent",
        ),
        (status(302), 75, "sends the CA to /login, which is not listed", "often base is wrong"),
        (status(503), 75, "the tracker answers 503", "the tracker's own log"),
        (
            Does::Bytes(
                b"HTTP/1.1 200 X\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n".to_vec(),
            ),
            75,
            "fault, the mapping's or the ticket's: the answer is no JSON but text/html",
            "it is the login page",
        ),
    ] {
        server.now(does);
        let said = test(dir.path(), &["CASE-71"]);
        assert!(
            said.code == code && said.out.contains(what) && said.out.contains(hint),
            "{said:?}"
        );
    }
    let unknown = test(dir.path(), &["nothing/at/all"]);
    assert!(unknown.code == 75 && unknown.err.contains("not a ticket id"), "{unknown:?}");
}

#[test]
fn a_secret_that_others_can_read_and_a_base_in_the_clear_are_errors_of_check() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, server) = (Ca::make(), desk());
    connect(dir.path(), &server, |text| text);
    let check = || run(hallpass().arg("check").arg("--config").arg(dir.path().join("ca/ca.toml")));
    let key = dir.path().join("ca/secrets/desk.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let said = check();
    assert!(said.code == 75 && said.err.contains("tracker desk: "), "{said:?}");
    assert!(said.err.contains("a secret that others can read (mode 0640); chmod 600 "), "{said:?}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    connect(dir.path(), &server, |text| text.replace("http://127.0.0.1", "http://192.0.2.7"));
    let said = check();
    assert!(said.code == 75 && said.err.contains("ca.toml: TOML parse error at line "), "{said:?}");
    assert!(said.err.contains("write https://"), "{said:?}");
}

#[test]
fn presets_are_listed_and_printed() {
    let presets = |name: &[&str]| run(hallpass().args(["ticket", "presets"]).args(name));
    let listed = presets(&[]).ok();
    assert!(listed.lines().any(|line| line.starts_with("jira-8")), "{listed}");
    for line in listed.lines() {
        let name = line.split(' ').next().unwrap();
        assert!(presets(&[name]).ok().contains("[fields]"), "{name}");
    }
    let unknown = presets(&["jra-8"]);
    assert!(unknown.code == 2 && unknown.err.contains("did you mean jira-8?"), "{unknown:?}");
}
