//! Every no that the example can give, in one file for people to judge: `docs/refusals.md`. What policy says is
//! from the example's cases; what else there is, is provoked with the built daemon here.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::ca::{Ca, bend, enroll, hallpass};
use crate::process::{Said, key_pair, repository, run, until};

const FILE: &str = "docs/refusals.md";

const HEAD: &str = "\
# Every no

What a person is told when the answer is no, and what to do next, with the example's policy (`ca-config/`).
A test writes this file and compares it, so that it is what hallpass says. After a change:

```sh
HALLPASS_WRITE=1 cargo test --test it refusals
```

";

#[test]
fn every_no_is_in_one_file_that_people_can_judge() {
    let mut text = HEAD.to_owned();
    text += "## By policy\n\nFrom `ca-config/cases.toml`: who asked for what, and what they are told. Of several cases that \
             are\ntold the same, the first.\n";
    text += &by_policy();
    text += "\n## By the desk\n\nWhat does not come from policy, as the daemon says it. `TIME` and `REQUEST` stand for \
             what\ndiffers from day to day.\n";
    text += &by_the_desk();
    text += &of_the_limits();

    let path = repository(FILE);
    if std::env::var_os("HALLPASS_WRITE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    if stands != text {
        let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
            (stands.lines().collect(), text.lines().collect());
        panic!(
            "{FILE} is not what hallpass says; HALLPASS_WRITE=1 cargo test --test it refusals writes it anew\n\
             only in the file: {:#?}\nonly said: {:#?}",
            old.difference(&new).collect::<Vec<_>>(),
            new.difference(&old).collect::<Vec<_>>()
        );
    }
    // Said to somebody at three in the morning: not long, and never without the next step.
    for line in text.lines().filter(|line| line.starts_with("hallpass: refused: ")) {
        assert!(line.len() <= 160 && !line.ends_with('.'), "{line}");
    }
    let (noes, hints) =
        (text.matches("\n```\nhallpass: ").count(), text.matches("\nhint: ").count());
    assert!(noes >= 60 && noes == hints, "{noes} and {hints} hints");
}

/// The refusals of the example's cases.
fn by_policy() -> String {
    let mut test = hallpass();
    test.args(["policy", "test", "--json", "--config"]).arg(repository("ca-config/ca.toml"));
    let said = run(test.arg(repository("ca-config/cases.toml"))).ok();
    let object: Value = serde_json::from_str(&said).unwrap();
    let (mut text, mut told) = (String::new(), BTreeSet::new());
    let came = |one: &Value| one["came"].as_array().unwrap().clone();
    for one in object["results"].as_array().unwrap().iter().flat_map(came) {
        let Some(reasons) = one["reasons"].as_array() else { continue };
        let reasons: Vec<&str> = reasons.iter().map(|reason| reason.as_str().unwrap()).collect();
        if told.insert(reasons.join("\n")) {
            let asked = one["asked"].as_str().unwrap();
            write!(text, "\n{asked}\n\n```\n").unwrap();
            reasons
                .iter()
                .for_each(|reason| writeln!(text, "hallpass: refused: {reason}").unwrap());
            write!(text, "hint: {}\n```\n", one["hint"].as_str().unwrap()).unwrap();
        }
    }
    text
}

/// A tracker by command: tickets that moved, that are hidden, that cannot be read.
const TRACKER: &str = "#!/bin/sh\nread -r asked\ncase $asked in\n\
    *EXT-1*) echo '{\"v\":1,\"hidden\":true}';;\n*EXT-2*) echo '{\"v\":1,\"moved\":\"OPS-7\"}';;\n\
    *EXT-3*) echo 'sign in';;\n*) exit 1;;\nesac\n";

fn add(dir: &Path, file: &str, text: &str) {
    let path = dir.join("ca").join(file);
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, before + text).unwrap();
}

fn by_the_desk() -> String {
    let ca = Ca::start_with(|dir| {
        let command = dir.join("ca/tracker");
        std::fs::write(&command, TRACKER).unwrap();
        std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o755)).unwrap();
        bend(
            dir,
            "path = \"tickets\"\n",
            "path = \"tickets\"\nids = [\"OPS-{number}\"]\nurl = \"https://tracker.example/browse/{id}\"\n",
        );
        add(
            dir,
            "ca.toml",
            "[[tracker]]\nname = \"external\"\nkind = \"command\"\ncommand = [\"./tracker\"]\nids = [\"EXT-\"]\n",
        );
        key_pair(dir, "dan", &["ed25519"]);
        enroll(dir, "dan", "dan");
        // Dan's shift is the day after tomorrow.
        let day = |day: &str| {
            let mut date = std::process::Command::new("date");
            run(date.args(["-u", "-d", day, "+%Y-%m-%d 09:00"])).ok().trim().to_owned()
        };
        let rota = format!(
            "zone = \"UTC\"\n[[shift]]\nperson = \"dan\"\nfrom = \"{}\"\nuntil = \"{}\"\n",
            day("2 days"),
            day("3 days")
        );
        std::fs::write(dir.join("ca/rota.toml"), rota).unwrap();
    });
    let mut all = All(String::new());
    let ask = |all: &mut All, person: &str, words: &str| {
        let said = ca.ssh(person, &[words]);
        all.told(person, &format!("ssh ca {words}"), &said);
    };
    for (person, words) in [
        ("ana", "deploy@wbe01 OPS-7"),
        ("ana", "deploy@elsewhere OPS-7"),
        ("ana", "postgres@web01 OPS-7"),
        ("ana", "deploy@tag:prd OPS-7"),
        ("ana", "dev@tag:prod OPS-7"),
        ("vera", "web01"),
        ("ana", "deploy@web01 OPS-404"),
        ("ana", "deploy@web01 ABC-1"),
        ("ana", "deploy@web01 https://evil.example/browse/OPS-7"),
        ("ana", "deploy@web01 EXT-1"),
        ("ana", "deploy@web01 EXT-2"),
        ("ana", "deploy@web01 EXT-3"),
        ("ana", "deploy@web01 EXT-4"),
        ("ana", "deploy@web01,root@web01 OPS-7"),
        ("dan", "root@web01 OPS-7"),
        ("ana", "renew"),
        ("ana", "renew r0123456789ab"),
        ("ana", "show r0123456789ab"),
        ("ana", "ensure deploy@web01"),
        ("ana", "deploy@web01 OPS-7 --to agent"),
        ("ana", "thaw black-friday --reason over"),
        ("ana", "unlock bob --reason 'he is back'"),
    ] {
        ask(&mut all, person, words);
    }
    let said = run(ca.client("ana").args(["-l", "bob", "ca", "deploy@web01", "OPS-7"]));
    all.told("ana", "ssh bob@ca deploy@web01 OPS-7", &said);

    // The ticket closes while its grant lives.
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0);
    let ticket = ca.file("tickets/OPS-7.toml");
    let open = std::fs::read_to_string(&ticket).unwrap();
    std::fs::write(&ticket, open.replace("state = \"open\"", "state = \"resolved\"")).unwrap();
    ask(&mut all, "ana", "renew");
    std::fs::write(&ticket, open).unwrap();

    for (target, words) in [
        ("host:web01", "logs@web01"),
        ("tag:prod", "logs@web02"),
        ("bob", "logs@web01"),
        ("everything", "dev@dev01"),
    ] {
        assert_eq!(
            ca.ssh("ana", &["lock", target, "--reason", "'laptop lost'"]).code,
            0,
            "{target}"
        );
        ask(&mut all, if target == "everything" { "ana" } else { "bob" }, words);
        assert_eq!(ca.ssh("ana", &["unlock", target, "--reason", "found"]).code, 0, "{target}");
    }
    // The tracker is away, and then what is frozen cannot be read.
    std::fs::rename(ca.file("tickets"), ca.file("away")).unwrap();
    ask(&mut all, "ana", "deploy@web01 OPS-7");
    std::fs::write(ca.file("freezes/half.toml"), "reason = \"db01 is").unwrap();
    ask(&mut all, "ana", "logs@web01");
    all.0
}

/// Who asks in a loop.
fn of_the_limits() -> String {
    let ca = Ca::start_with(|dir| {
        bend(dir, "person = 55\n", "person = 2\n");
        bend(dir, "grants = 200\n", "grants = 1\n");
    });
    let mut all = All(String::new());
    assert_eq!(ca.ssh("bob", &["logs@web01"]).code, 0);
    all.told("bob", "ssh ca dev@dev01", &ca.ssh("bob", &["dev@dev01"]));
    until("the limit", || ca.ssh("bob", &["renew"]).code == 1);
    all.told("bob", "ssh ca renew", &ca.ssh("bob", &["renew"]));
    all.0
}

/// What was told so far.
struct All(String);

impl All {
    fn told(&mut self, person: &str, typed: &str, said: &Said) {
        assert!([1, 75].contains(&said.code) && said.out.is_empty(), "{typed}: {said:?}");
        let calm: Vec<String> = said.err.lines().map(steady).collect();
        write!(self.0, "\n{person}: `{typed}`\n\n```\n{}\n```\n", calm.join("\n")).unwrap();
    }
}

/// A line without what differs from day to day.
fn steady(line: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let time = bare.len() == 20 && bare.starts_with("20") && bare.ends_with('Z');
        let id = bare.len() == 13
            && bare.starts_with('r')
            && bare != "r0123456789ab"
            && bare.chars().all(|c| c.is_ascii_alphanumeric());
        match (time, id) {
            (true, _) => word.replace(bare, "TIME"),
            (_, true) => word.replace(bare, "REQUEST"),
            _ => word.to_owned(),
        }
    };
    let calm = line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    // A moment, and how long it is until then.
    match calm.split_once(" TIME, in ") {
        Some((before, _)) => format!("{before} TIME, in SPAN"),
        None => calm,
    }
}
