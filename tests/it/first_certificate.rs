//! From `ssh ca` to a login on a real sshd.

use std::process::Command;

use crate::ca::Ca;
use crate::process::{run, until};
use crate::sshd::Sshd;

#[test]
fn a_certificate_opens_its_account_on_its_host_for_its_time() {
    let ca = Ca::start();
    let (mut web01, mut web02) = (Sshd::start(&ca, "web01"), Sshd::start(&ca, "web02"));
    let certificate = ca.certificate("ana", &["deploy@web01", "OPS-7", "--ttl", "8s"]);
    let printed = run(Command::new("ssh-keygen").arg("-Lf").arg(&certificate)).ok();

    // What it says: one principal, the key ID with the grant's end, the serial of its entry, the proof.
    let lines: Vec<&str> = printed.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.starts_with("Principals:")).unwrap();
    assert_eq!(
        (lines[at + 1], lines[at + 2]),
        ("deploy@web01", "Critical Options: (none)"),
        "{printed}"
    );
    let extensions: Vec<&str> =
        lines[at + 4..].iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(extensions, ["log-proof@hallpass", "permit-pty"], "{printed}");
    let entry = ca.entries().into_iter().find(|entry| entry.has_certificate).unwrap();
    let facts = &entry.facts;
    assert!(lines.contains(&format!("Serial: {}", entry.index + 1).as_str()), "{printed}");
    let end = facts["grant_ends"].as_str().unwrap().replace(['-', ':'], "");
    let key_id = format!("{}/ana/OPS-7/{end}", facts["request"].as_str().unwrap());
    assert!(lines.contains(&format!("Key ID: \"{key_id}\"").as_str()), "{printed}");
    assert_eq!((&facts["ttl"], &facts["period"]), (&8.into(), &3600.into()));

    // Where it opens: web01, not web02, which trusts the same CA and has the same account.
    let key = ca.dir().join("ana");
    let said = web01.login(&key, &certificate, &["echo", "in"]);
    assert_eq!((said.code, said.out.as_str()), (0, "in\n"), "{said:?} {:#?}", web01.log());
    web01.line(&format!("ID {key_id} (serial {}) CA ED25519", entry.index + 1));
    assert_eq!(web02.login(&key, &certificate, &["true"]).code, 255);
    web02.line("Certificate does not contain an authorized principal");
    // Nobody else's key goes with it.
    assert_eq!(web01.login(&ca.dir().join("bob"), &certificate, &["true"]).code, 255);

    // Until when.
    until("the certificate's end", || web01.login(&key, &certificate, &["true"]).code == 255);
    web01.line("Certificate invalid: expired");
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}

#[test]
fn a_ticket_is_read_at_each_issue() {
    let ca = Ca::start();
    let ask = || ca.ssh("ana", &["deploy@web01", "OPS-7"]);
    assert_eq!(ask().code, 0);
    let path = ca.file("tickets/OPS-7.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"open\"", "\"resolved\"")).unwrap();
    let said = ask();
    assert_eq!(said.code, 1);
    // What there was ends with it, and there is nothing new.
    let told: Vec<&str> = said.err.lines().collect();
    assert!(
        told[0].starts_with("hallpass: refused: ticket OPS-7 is resolved; grant r")
            && told[1] == "hallpass: refused: ticket OPS-7 is resolved, needs open"
            && told[2].starts_with("hint: "),
        "{said:?}"
    );
    std::fs::write(&path, text.replace("assignee = \"ana\"", "assignee = \"bob\"")).unwrap();
    assert!(ask().err.contains("ticket OPS-7 is bob's, not yours"), "{:?}", ask());
    std::fs::write(&path, text.replace("\"web01\", \"web02\"", "\"db01\"")).unwrap();
    assert!(ask().err.contains("ticket OPS-7 names db01, not web01"), "{:?}", ask());
    // A host that is not known any more does not turn a ticket for it into one for every host.
    std::fs::write(&path, text.replace("\"web01\", \"web02\"", "\"web99\"")).unwrap();
    assert!(ask().err.contains("ticket OPS-7 names web99, not web01"), "{:?}", ask());
    std::fs::remove_file(&path).unwrap();
    assert!(ask().err.contains("there is no ticket OPS-7"), "{:?}", ask());
    std::fs::write(&path, text).unwrap();
    assert_eq!(ask().code, 0);
}

#[test]
fn refusals_are_entries_and_bounded() {
    let ca = Ca::start();
    for _ in 0..15 {
        assert_eq!(ca.ssh("bob", &["deploy@web01", "OPS-9"]).code, 1);
    }
    assert_eq!(ca.ssh("bob", &["frobnicate"]).code, 2);
    until("ten refusals", || {
        ca.entries().iter().filter(|entry| entry.kind == "refusal").count() == 10
    });
    let entries = ca.entries();
    let refusal = entries.iter().find(|entry| entry.kind == "refusal").unwrap();
    assert_eq!(refusal.facts["person"], "bob");
    assert_eq!(refusal.facts["account"], "deploy@web01");
    assert!(
        refusal.facts["reasons"][0].as_str().unwrap().starts_with("ticket OPS-9 is "),
        "{refusal:?}"
    );
    // Whoever is known to nobody leaves no entry.
    assert_eq!(ca.ssh("mallory", &["deploy@web01", "OPS-9"]).code, 255);
    assert_eq!(ca.entries().len(), entries.len());
}

#[test]
fn status_shows_what_one_holds_also_after_a_restart() {
    let mut ca = Ca::start();
    assert!(ca.ssh("ana", &["status"]).err.contains("hallpass: no live grant\n"));
    let issued = ca.ssh("ana", &["deploy@web01", "OPS-7", "--for", "20m", "--json"]).ok();
    let issued: serde_json::Value = serde_json::from_str(&issued).unwrap();
    let request = issued["request"].as_str().unwrap();
    for _ in 0..2 {
        let said = ca.ssh("ana", &[]);
        assert!(
            said.err.contains(&format!("hallpass: grant {request} deploy@web01 OPS-7: ")),
            "{said:?}"
        );
        assert!(ca.ssh("bob", &["status"]).err.contains("no live grant"));
        ca.restart();
    }
    // A restart with the same files writes no further policy, people and hosts entries.
    assert_eq!(ca.entries().iter().filter(|entry| entry.kind == "policy").count(), 1);
}

#[test]
fn a_bare_account_name_comes_from_the_ca_that_only_such_hosts_trust() {
    let ca = Ca::start_with(|dir| {
        let path = dir.join("ca/hosts.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(
            &path,
            text.replace("[host.web02]\n", "[host.web02]\nprincipals = \"login\"\n"),
        )
        .unwrap();
    });
    let bare_trust = ca.operator(&["trust", "--bare"]).ok();
    let appliance = Sshd::start_with("web02", &bare_trust, "deploy\n");
    let web01 = Sshd::start_with(
        "web01",
        &ca.operator(&["trust", "--user"]).ok(),
        "deploy@web01\ndeploy\n",
    );
    let key = ca.dir().join("ana");
    let bare = ca.certificate("ana", &["deploy@web02", "OPS-7"]);
    assert_eq!(appliance.login(&key, &bare, &["true"]).code, 0, "{:#?}", appliance.log());
    // A careless principals file does not make the bare certificate good elsewhere: another CA signed it.
    assert_eq!(web01.login(&key, &bare, &["true"]).code, 255);
    let mapped = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    assert_eq!(web01.login(&key, &mapped, &["true"]).code, 0);
    assert_eq!(appliance.login(&key, &mapped, &["true"]).code, 255);
}

#[test]
fn terms_bind_what_a_certificate_can_do_on_a_real_server() {
    let ca = Ca::start_with(|dir| {
        let policy = "@id(\"forced\") @ttl(\"5m\") @force_command(\"echo forced\")\n\
             permit (principal, action == Action::\"login\", resource);\n\
             @id(\"here\") @ttl(\"5m\") @source_address(\"127.0.0.0/8, ::1/128\")\n\
             permit (principal, action == Action::\"login\", resource);\n\
             @id(\"elsewhere\") @ttl(\"5m\") @source_address(\"203.0.113.0/24\")\n\
             permit (principal, action == Action::\"login\", resource);\n\
             @id(\"hop\") @ttl(\"5m\") @extensions(\"permit-port-forwarding\")\n\
             permit (principal, action == Action::\"login\", resource);\n";
        std::fs::write(dir.join("ca/policy.cedar"), policy).unwrap();
    });
    let mut web01 = Sshd::start(&ca, "web01");
    let key = ca.dir().join("ana");
    let login = |offer: &str, words: &[&str]| {
        let certificate = ca.certificate("ana", &["deploy@web01", "--offer", offer]);
        web01.login(&key, &certificate, words)
    };
    assert_eq!(login("forced", &["echo", "free"]).out, "forced\n");
    assert_eq!(login("here", &["echo", "free"]).out, "free\n");
    assert_eq!(login("elsewhere", &["true"]).code, 255);
    assert_eq!(login("hop", &["echo", "free"]).out, "free\n");
    web01.line("not from a permitted source address");

    // A hop forwards ports; what has only a terminal does not, and was told so.
    let forward = |offer: &str, web01: &Sshd| {
        let said = ca.ssh("ana", &["deploy@web01", "--offer", offer]);
        let path = ca.dir().join("forward.pub");
        std::fs::write(&path, &said.out).unwrap();
        let mut ssh = web01.client(&key);
        ssh.arg("-o").arg(format!("CertificateFile={}", path.display()));
        let through = run(ssh.args(["-W", &format!("127.0.0.1:{}", web01.port()), "deploy@web01"]));
        (said.err.contains("without port forwarding"), through.out.starts_with("SSH-2.0-OpenSSH"))
    };
    assert_eq!(forward("hop", &web01), (false, true));
    assert_eq!(forward("here", &web01), (true, false));
}

#[test]
fn a_host_may_be_typed_by_any_of_its_names() {
    let ca = Ca::start_with(|dir| {
        let path = dir.join("ca/hosts.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let with = "[host.web01]\naddresses = [\"192.0.2.7\", \"2001:db8::7\"]\n";
        std::fs::write(&path, text.replace("[host.web01]\n", with)).unwrap();
    });
    for typed in ["web01", "web01.example.com", "192.0.2.7", "2001:db8::7"] {
        let said = ca.ssh("ana", &[&format!("deploy@{typed}"), "OPS-7", "--json"]).ok();
        let issued: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(issued["accounts"], serde_json::json!(["deploy@web01"]), "{typed}");
    }
}
