//! The promises of the design, each with a test of its name.

use std::process::Command;

use serde_json::Value;

use crate::ca::{Ca, hallpass};
use crate::process::{children, python, repository, run, signal, until};
use crate::sshd::Sshd;

/// The signer is a child of the daemon in a trial.
fn signer_of(ca: &Ca) -> u32 {
    let all = children(ca.daemon.pid());
    assert_eq!(all.len(), 1, "{all:?}");
    all[0]
}

/// How many entries stand in the database, read beside the daemon.
fn rows(ca: &Ca) -> usize {
    let script = "import sqlite3,sys; print(sqlite3.connect(f'file:{sys.argv[1]}?mode=ro',uri=True).execute('select count(*) from entry').fetchone()[0])";
    let said = run(Command::new("python3").arg("-c").arg(script).arg(ca.file("state/ledger.db")));
    said.ok().trim().parse().unwrap()
}

#[test]
fn promise_logged_first() {
    // The signer is stopped in the middle: the entry is durable, and there is no certificate yet.
    let ca = Ca::start();
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0);
    let before = rows(&ca);
    signal(signer_of(&ca), "STOP");
    let mut waiting = ca
        .client("ana")
        .args(["ca", "deploy@web01", "OPS-7"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("the entry of a certificate", || rows(&ca) == before + 1);
    assert!(
        waiting.try_wait().unwrap().is_none(),
        "there is an answer before there can be a signature"
    );
    signal(signer_of(&ca), "CONT");
    let said = waiting.wait_with_output().unwrap();
    assert!(
        said.status.success() && said.stdout.starts_with(b"ssh-ed25519-cert-v01@openssh.com "),
        "{said:?}"
    );

    // A crash between the two leaves a logged certificate that nobody holds, never the reverse.
    signal(signer_of(&ca), "STOP");
    let signer = signer_of(&ca);
    let mut lost = ca
        .client("ana")
        .args(["ca", "deploy@web01", "OPS-7"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("one more entry", || rows(&ca) == before + 2);
    let mut ca = ca;
    signal(signer, "KILL");
    ca.kill_and_restart();
    assert!(!lost.wait().unwrap().success());
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0, "recovery is the ordinary start");
    let indexes: Vec<u64> = ca
        .entries()
        .iter()
        .filter(|entry| entry.has_certificate)
        .map(|entry| entry.index)
        .collect();
    let listed = std::fs::read_to_string(ca.file("state/signer/list")).unwrap();
    let signed: Vec<u64> =
        listed.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!((indexes.len(), signed.len()), (4, 3));
    assert!(signed.iter().all(|index| indexes.contains(index)), "{signed:?} {indexes:?}");
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}

#[test]
fn while_the_signer_hangs_refusals_are_recorded_and_it_catches_up() {
    let ca = Ca::start();
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0);
    let before = rows(&ca);
    let signer = signer_of(&ca);
    signal(signer, "STOP");
    for more in 1..=8 {
        assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-9"]).code, 1);
        until("the refusal's entry", || rows(&ca) == before + more);
    }
    assert_eq!(
        std::fs::read_to_string(ca.file("state/checkpoint")).unwrap().lines().nth(1),
        Some(before.to_string().as_str())
    );
    signal(signer, "CONT");
    let all = (before + 8).to_string();
    until("the cosigned checkpoint of all of it", || {
        std::fs::read_to_string(ca.file("state/checkpoint")).unwrap().lines().nth(1) == Some(&all)
    });
    until("the signer's return", || ca.ssh("ana", &["deploy@web01", "OPS-7"]).code == 0);
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}

#[test]
fn promise_proof_travels() {
    let ca = Ca::start();
    for _ in 0..3 {
        ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    }
    let certificate = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    // The CA is gone; two public keys are enough.
    drop_daemon(&ca);
    let said = run(python()
        .arg(repository("tests/checker/check_certificate.py"))
        .arg("--ca")
        .arg(ca.file("keys/user_ca.pub"))
        .arg("--ledger")
        .arg(ca.file("keys/ledger.vkey"))
        .arg("--signer")
        .arg(ca.file("keys/signer.vkey"))
        .arg(&certificate));
    // Three texts, a grant, and four certificates from it.
    assert!(said.out.starts_with("valid: serial 8 is entry 7 of ca.example/1"), "{said:?}");
}

fn drop_daemon(ca: &Ca) {
    signal(ca.daemon.pid(), "TERM");
}

#[test]
fn promise_serial_is_index() {
    let ca = Ca::start();
    let mut web01 = Sshd::start(&ca, "web01");
    let mut seen = Vec::new();
    for _ in 0..5 {
        let said = ca.ssh("ana", &["deploy@web01", "OPS-7", "--json"]).ok();
        let issued: Value = serde_json::from_str(&said).unwrap();
        let (serial, request) =
            (issued["serial"].as_u64().unwrap(), issued["request"].as_str().unwrap().to_owned());
        let path = ca.dir().join("cert.pub");
        std::fs::write(&path, issued["certificate"].as_str().unwrap()).unwrap();
        assert_eq!(web01.login(&ca.dir().join("ana"), &path, &["true"]).code, 0);
        web01.line(&format!("(serial {serial})"));
        seen.push((serial, request));
    }
    // What sshd logged is the entry to look up.
    let entries = ca.entries();
    for (serial, request) in seen {
        let entry = &entries[usize::try_from(serial - 1).unwrap()];
        assert_eq!(
            (entry.kind.as_str(), entry.facts["request"].as_str()),
            ("certificate", Some(request.as_str()))
        );
    }
}

#[test]
fn promise_never_wide() {
    // Whatever is typed and whoever asks, no certificate is wider than the accounts on the hosts that
    // were named.
    let ca = Ca::start();
    for words in [
        "*@web01",
        "deploy@*",
        "deploy@",
        "@web01",
        "deploy",
        "root@web01",
        "deploy@web01,root@web01",
        "deploy@tag:*",
        "root@tag:prod",
        "request deploy@web01 --offer bot-deploy",
        "deploy@web01 OPS-7 --ttl 0s",
        "deploy@web01 OPS-7 --for 10000h",
    ] {
        let said = ca.ssh("ana", &[&format!("{words} --ticket OPS-7")]);
        assert!(said.code == 1 || said.code == 2, "{words}: {said:?}");
        assert!(said.out.is_empty(), "{words}: {said:?}");
    }
    // A tag is expanded when it is typed: no tag and no pattern is ever a principal.
    let certificate = ca.certificate("ana", &["deploy@tag:prod", "OPS-7"]);
    let printed = run(Command::new("ssh-keygen").arg("-Lf").arg(&certificate)).ok();
    let principals = printed.split("Principals:").nth(1).unwrap();
    let principals = principals.split("Critical").next().unwrap().split_whitespace();
    assert_eq!(principals.collect::<Vec<_>>(), ["deploy@web01", "deploy@web02"]);

    // More time than the offer gives is cut to what it gives, and said.
    let said = ca.ssh("ana", &["deploy@web01", "OPS-7", "--ttl", "50m", "--for", "5h"]);
    assert!(
        said.err
            .contains("the certificate's life is 10m, not 50m: offer deploy-prod gives no more"),
        "{said:?}"
    );
    assert!(
        said.err.contains("the grant is 1h, not 5h: offer deploy-prod gives no more"),
        "{said:?}"
    );

    // The signer checks again by itself: a daemon whose policy lost its senses is not followed.
    let ca = Ca::start_with(|dir| {
        let policy = dir.join("ca/policy.cedar");
        let text = std::fs::read_to_string(&policy).unwrap();
        std::fs::write(&policy, format!("{text}\n@id(\"mad\") @ttl(\"7d\") @period(\"7d\")\npermit (principal, action == Action::\"login\", resource);\n")).unwrap();
        let signer = dir.join("ca/signer.toml");
        let text = std::fs::read_to_string(&signer).unwrap();
        std::fs::write(&signer, text.replace("never = []", "never = [\"root@db*\"]")).unwrap();
    });
    let said = ca.ssh("bob", &["logs@web01", "--offer", "mad"]);
    assert_eq!(said.code, 75, "{said:?}");
    ca_line(&ca, "it lives too long");
    let said = ca.ssh("bob", &["root@db01", "--offer", "mad", "--ttl", "5m"]);
    assert_eq!(said.code, 1, "the guards still stand: {said:?}");
    let said = ca.ssh("ana", &["root@db01", "OPS-8", "--reason", "'the disk of db01 is full'"]);
    assert_eq!(said.code, 75, "{said:?}");
    ca_line(&ca, "signer.toml never allows root@db01");
    let listed = std::fs::read_to_string(ca.file("state/signer/list")).unwrap();
    assert_eq!(listed, "", "the signer signed something");
}

fn ca_line(ca: &Ca, text: &str) {
    until(text, || ca.daemon.log().iter().any(|line| line.contains(text)));
}

#[test]
fn promise_fault_is_no() {
    let mut ca = Ca::start();
    let ask = |ca: &Ca| ca.ssh("ana", &["deploy@web01", "OPS-7"]);
    let fault = |ca: &Ca, what: &str| {
        let said = ask(ca);
        assert_eq!((said.code, said.out.as_str()), (75, ""), "{said:?}");
        let first = said.err.lines().next().unwrap();
        assert!(first.starts_with("hallpass: fault r") && first.ends_with(what), "{said:?}");
        assert!(said.err.contains("\nhint: try again; if it stays, give r"), "{said:?}");
        let id = first["hallpass: fault ".len()..].split(':').next().unwrap().to_owned();
        until("the journal's line", || ca.daemon.log().iter().any(|line| line.contains(&id)));
    };
    // The tracker is down, or does not make sense.
    let (tickets, away) = (ca.file("tickets"), ca.file("tickets.away"));
    std::fs::rename(&tickets, &away).unwrap();
    fault(&ca, "the ticket tracker did not answer");
    std::fs::rename(&away, &tickets).unwrap();
    let ticket = tickets.join("OPS-7.toml");
    let text = std::fs::read_to_string(&ticket).unwrap();
    for broken in
        ["state = ", &text.replace("\"open\"", "\"perhaps\""), &text.replace("title", "titel")]
    {
        std::fs::write(&ticket, broken).unwrap();
        fault(&ca, "the ticket could not be read; whoever keeps it must mend it");
    }
    std::fs::write(&ticket, &text).unwrap();
    assert_eq!(ask(&ca).code, 0);

    // The signer cannot be reached: its program is moved away, and it is killed.
    signal(signer_of(&ca), "STOP");
    let signer = signer_of(&ca);
    let config = ca.file("signer.toml");
    std::fs::rename(&config, ca.file("signer.away")).unwrap();
    signal(signer, "KILL");
    fault(&ca, "the signer is away");
    std::fs::rename(ca.file("signer.away"), &config).unwrap();
    until("the signer's return", || ask(&ca).code == 0);

    // The mark is ahead of the ledger: an old copy was restored.
    assert_eq!(ca.daemon.stop(), 0);
    let database = ca.file("state/ledger.db");
    let copy = std::fs::read(&database).unwrap();
    ca.restart_after_stop();
    assert_eq!(ask(&ca).code, 0);
    assert_eq!(ca.daemon.stop(), 0);
    std::fs::write(&database, copy).unwrap();
    ca.restart_after_stop();
    fault(
        &ca,
        "the ledger is not the one the signer has seen; an operator has to run hallpass ledger recover",
    );
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 1);
}

#[test]
fn promise_one_clock() {
    let ca = Ca::start();
    let before = crate::promises::now();
    let said = ca.ssh("ana", &["deploy@web01", "OPS-7", "--json"]).ok();
    let issued: Value = serde_json::from_str(&said).unwrap();
    let entry = ca.entries().into_iter().find(|entry| entry.has_certificate).unwrap();
    let seconds = |text: &Value| -> i64 {
        let said = run(Command::new("date").args(["-u", "+%s", "-d"]).arg(text.as_str().unwrap()));
        said.ok().trim().parse().unwrap()
    };
    // Every time in certificate and facts follows from one reading.
    let time = seconds(&entry.facts["time"]);
    assert!((before..=before + 60).contains(&time));
    assert_eq!(seconds(&entry.facts["grant_ends"]), time + 3600);
    assert_eq!(seconds(&issued["valid_before"]), time + 600);
    std::fs::write(ca.dir().join("c.pub"), issued["certificate"].as_str().unwrap()).unwrap();
    let printed =
        run(Command::new("ssh-keygen").env("TZ", "UTC").arg("-Lf").arg(ca.dir().join("c.pub")))
            .ok();
    let valid = printed.lines().find(|line| line.contains("Valid: from ")).unwrap().trim();
    let words: Vec<&str> = valid.split(' ').collect();
    let utc = |text: &str| seconds(&format!("{text}Z").into());
    assert_eq!((utc(words[2]), utc(words[4])), (time - 30, time + 600));
    // The grant before it says the same.
    let grant = &ca.entries()[usize::try_from(entry.index - 1).unwrap()];
    assert_eq!((grant.kind.as_str(), &grant.facts["time"]), ("grant", &entry.facts["time"]));
}

pub fn now() -> i64 {
    run(Command::new("date").arg("+%s")).ok().trim().parse().unwrap()
}

#[test]
fn promise_stock_ssh() {
    // Nothing of ours on either side: the distribution's client, with a key in the distribution's
    // agent, and the distribution's sshd.
    let ca = Ca::start();
    let web01 = Sshd::start(&ca, "web01");
    let socket = ca.dir().join("agent.sock");
    let agent =
        crate::process::Daemon::start(Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket));
    until("the agent", || socket.exists());
    run(Command::new("ssh-add").env("SSH_AUTH_SOCK", &socket).arg("-q").arg(ca.dir().join("ana")))
        .ok();
    let mut ssh = Command::new("ssh");
    ssh.arg("-F")
        .arg(ca.dir().join("ssh_config"))
        .arg("-o")
        .arg(format!("IdentityAgent={}", socket.display()));
    let said = run(ssh.args(["-o", "IdentitiesOnly=no", "ca", "deploy@web01", "OPS-7"]));
    let certificate = ca.dir().join("ana-cert.pub");
    std::fs::write(&certificate, said.ok()).unwrap();
    // The certificate beside the key is what ssh offers first, to the CA too: the plain key still gets in.
    assert_eq!(ca.ssh("ana", &["status"]).code, 0);
    let said = run(web01.client(&ca.dir().join("ana")).args(["deploy@web01", "echo", "in"]));
    assert_eq!(said.out, "in\n", "{said:?}");
    drop(agent);
}

#[test]
fn promise_way_out() {
    // The CA is dead: its keys and its ledger are gone, but the emergency key was kept offline.
    let dir = tempfile::tempdir().unwrap();
    let made = run(hallpass().arg("init").arg(dir.path().join("ca")));
    let passphrase = made
        .err
        .lines()
        .find_map(|line| {
            line.strip_prefix("hallpass: passphrase of keys/emergency_ca, shown once: ")
        })
        .unwrap();
    let config = dir.path().join("ca/ca.toml");
    let trusted = run(hallpass().args(["trust", "--user", "--config"]).arg(&config)).ok();
    assert_eq!(trusted.lines().count(), 3, "the CA, the next and the emergency one");
    let web01 = Sshd::start_with("web01", &trusted, "deploy@web01\n");
    let key = crate::process::key_pair(dir.path(), "ana", &["ed25519"]);
    let emergency = dir.path().join("emergency_ca");
    std::fs::rename(dir.path().join("ca/keys/emergency_ca"), &emergency).unwrap();
    std::fs::remove_dir_all(dir.path().join("ca")).unwrap();
    // Stock ssh-keygen signs with it; the key file is of use to nobody without the passphrase.
    let sign = |passphrase: &str| {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-s"]).arg(&emergency).args([
            "-P",
            passphrase,
            "-I",
            "emergency",
            "-n",
            "deploy@web01",
            "-V",
            "-1m:+5m",
        ]);
        run(keygen.arg(dir.path().join("ana.pub"))).code
    };
    assert_ne!(sign("wrong"), 0);
    assert_eq!(sign(passphrase), 0);
    assert_eq!(
        web01.login(&key, &dir.path().join("ana-cert.pub"), &["true"]).code,
        0,
        "{:#?}",
        web01.log()
    );
}

#[test]
fn promise_proved_key() {
    let ca = Ca::start();
    // An agent offers bob's key before ana's own: whoever is proved is asked for, not whoever was offered.
    let said = run(ca.client("bob").arg("-i").arg(ca.dir().join("ana")).args(["ca", "status"]));
    assert!(said.err.starts_with("hallpass: you are bob,"), "{said:?}");
    // Bob's public key, and no private one: offered, welcomed, and never proved.
    let lent = ca.dir().join("lent.pub");
    std::fs::copy(ca.dir().join("bob.pub"), &lent).unwrap();
    let said = run(ca.client("ana").arg("-i").arg(&lent).args(["ca", "status"]));
    assert!(said.err.starts_with("hallpass: you are ana,"), "{said:?}");
    // The person is the key; the user name is anything but another person's.
    for user in ["root", "ana", "deploy", "nobody-at-all", "CORP\\ana"] {
        let said = run(ca.client("ana").args(["-l", user, "ca", "deploy@web01", "OPS-7"]));
        assert_eq!(said.code, 0, "{user}: {said:?}");
    }
    let said = run(ca.client("ana").args(["-l", "bob", "ca", "deploy@web01", "OPS-7"]));
    assert_eq!(said.code, 1);
    assert_eq!(
        said.err,
        "hallpass: refused: your key is ana's, the SSH user name is bob's\nhint: ssh -l ana ca ...  (or leave the user name out)\n"
    );
}
