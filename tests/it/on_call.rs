//! On call: a group that somebody is in while it is their shift, and no longer.

use std::path::Path;

use crate::ca::Ca;
use crate::process::Said;

const POLICY: &str = "\n@id(\"on-call\")\n@ttl(\"10m\") @period(\"8h\")\n\
    permit (principal in Group::\"on-call-db\", action == Action::\"login\", resource in Tag::\"prod\")\n\
    when { resource.login == \"root\" && context has ticket };\n";

fn add(dir: &Path, file: &str, text: &str) {
    let path = dir.join("ca").join(file);
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, before + text).unwrap();
}

/// A time so many seconds from now, as `date` writes it.
fn from_now(secs: i64, format: &str) -> String {
    let at = format!("@{}", i64::try_from(now()).unwrap() + secs);
    let said =
        crate::process::run(std::process::Command::new("date").args(["-u", "-d", &at, format]));
    said.out.trim().to_owned()
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn denied(said: &Said) {
    assert!(said.code == 1 && format!("{}{}", said.out, said.err).contains("hint"), "{said:?}");
}

/// Bob is a developer. While it is his shift he may be root on the database, and not a moment longer.
#[test]
fn a_shift_is_a_group_that_ends() {
    let calendar = |until: i64| {
        format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//rota//EN\r\nBEGIN:VEVENT\r\nUID:1\r\n\
             DTSTART:{}\r\nDTEND:{}\r\nSUMMARY:On Call\r\nATTENDEE:mailto:bob@example.com\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            from_now(-3600, "+%Y%m%dT%H%M%SZ"),
            from_now(until, "+%Y%m%dT%H%M%SZ")
        )
    };
    let ca = Ca::start_with(|dir| {
        add(dir, "policy.cedar", POLICY);
        add(
            dir,
            "ca.toml",
            "\n[[on_call]]\ngroup = \"on-call-db\"\ncalendar = \"db.ics\"\nevery = \"1s\"\nstale = \"5s\"\n",
        );
        std::fs::write(dir.join("ca/db.ics"), calendar(1800)).unwrap();
    });
    let root = ["root@web01", "OPS-7", "--json"];
    let said = ca.ssh("bob", &root);
    assert_eq!(said.code, 0, "{said:?}");
    let issued: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(issued["offer"], "on-call");
    // Ana is no developer on call, vera nobody.
    denied(&ca.ssh("vera", &root));
    let checked = ca.operator(&["check"]);
    assert!(
        format!("{}{}", checked.out, checked.err).contains("on-call-db: bob until "),
        "{checked:?}"
    );

    // The shift is handed over: his renewals end with it.
    std::fs::write(ca.file("db.ics"), calendar(-60)).unwrap();
    crate::process::until("the shift's end", || ca.ssh("bob", &["renew"]).code == 1);
    denied(&ca.ssh("bob", &root));
    // It is his again, then the file is broken: what was read counts a little longer, then it is nobody's.
    std::fs::write(ca.file("db.ics"), calendar(1800)).unwrap();
    crate::process::until("the shift", || ca.ssh("bob", &root).code == 0);
    std::fs::write(ca.file("db.ics"), "<html>sign in</html>").unwrap();
    crate::process::until("nobody's shift", || ca.ssh("bob", &root).code == 1);
    assert!(
        ca.daemon.log().iter().any(|line| line.contains("whose shift it is cannot be read")),
        "{:?}",
        ca.daemon.log()
    );
}
