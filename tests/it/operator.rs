//! The operator's command line: what it makes, what it refuses, and what it says.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::ca::{Ca, hallpass};
use crate::process::{Said, key_pair, run};

fn operate(dir: &Path, words: &[&str]) -> Said {
    run(hallpass().args(words).arg("--config").arg(dir.join("ca.toml")))
}

/// Replaces text in a file that must hold it.
fn bend(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} does not hold {from:?}", path.display());
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_ca_is_made_once_and_its_secrets_are_its_owners() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca");
    let said = run(hallpass()
        .args(["init", "--name", "pass.example.com", "--listen", "127.0.0.1:2345"])
        .arg(&ca));
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{said:?}");
    assert!(
        said.err.contains("hallpass: known_hosts: [127.0.0.1]:2345 ssh-ed25519 AAAA"),
        "{said:?}"
    );
    assert!(said.err.contains("hallpass: fingerprint of all public keys: SHA256:"), "{said:?}");
    for name in [
        "user_ca",
        "user_ca_next",
        "bare_ca",
        "host_ca",
        "emergency_ca",
        "ledger",
        "signer",
        "ssh_host_ed25519",
    ] {
        let mode = std::fs::metadata(ca.join("keys").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let vkeys = operate(&ca, &["trust", "--ledger"]).ok();
    let names: Vec<&str> = vkeys.lines().map(|line| line.split('+').next().unwrap()).collect();
    assert_eq!(names, ["pass.example.com/1", "pass.example.com/signer"]);
    // Nobody, nothing, and a policy that permits nothing.
    let checked = operate(&ca, &["check"]);
    assert!(
        checked.code == 0 && checked.err.contains("pass.example.com: 0 people, 0 hosts, 0 offers"),
        "{checked:?}"
    );
    assert!(checked.err.contains("emergency_ca still lies here"), "{checked:?}");

    let key = std::fs::read(ca.join("keys/user_ca")).unwrap();
    let again = run(hallpass().arg("init").arg(&ca));
    assert!(again.code == 75 && again.err.contains("is not empty"), "{again:?}");
    assert_eq!(std::fs::read(ca.join("keys/user_ca")).unwrap(), key);
}

#[test]
fn a_first_certificate_from_an_empty_folder() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca");
    run(hallpass().args(["init", "--listen", "127.0.0.1:0"]).arg(&ca)).ok();
    key_pair(dir.path(), "eve", &["ed25519"]);
    let key = dir.path().join("eve.pub");
    let added = operate(
        &ca,
        &[
            "person",
            "add",
            "eve",
            "--group",
            "ops",
            "--email",
            "eve@example.com",
            "--key",
            key.to_str().unwrap(),
        ],
    );
    assert!(added.code == 0 && added.err.contains("fingerprint of all public keys"), "{added:?}");
    let added = operate(
        &ca,
        &[
            "host",
            "add",
            "web01",
            "--login",
            "deploy",
            "--tag",
            "prod",
            "--alias",
            "www.example.com",
            "--address",
            "192.0.2.7",
            "--owner",
            "ops",
        ],
    );
    assert_eq!(added.code, 0, "{added:?}");
    // The same again is refused, and leaves the files as they are.
    let people = std::fs::read_to_string(ca.join("people.toml")).unwrap();
    for words in [
        &["person", "add", "eve", "--key", key.to_str().unwrap()][..],
        &["person", "add", "eva", "--key", key.to_str().unwrap()],
        &["host", "add", "web01", "--login", "deploy"],
        &["host", "add", "web02", "--alias", "192.0.2.7"],
        &["host", "add", "web03", "--owner", "nobody"],
    ] {
        let said = operate(&ca, words);
        assert_eq!(said.code, 75, "{words:?}: {said:?}");
    }
    assert_eq!(std::fs::read_to_string(ca.join("people.toml")).unwrap(), people);
    std::fs::write(
        ca.join("policy.cedar"),
        "@id(\"deploy\") @ttl(\"5m\")\npermit (principal in Group::\"ops\", action == Action::\"login\", resource in Tag::\"prod\");\n",
    ).unwrap();
    assert_eq!(operate(&ca, &["check"]).code, 0);
}

/// A policy that names a group and a tag which nobody has yet.
#[test]
fn a_policy_may_be_written_before_people_and_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca");
    run(hallpass().args(["init", "--listen", "127.0.0.1:0"]).arg(&ca)).ok();
    let policy = |principal: &str| {
        let permit = format!(
            "@id(\"deploy\") @ttl(\"5m\")\npermit ({principal}, action == Action::\"login\", resource in Tag::\"prod\");\n"
        );
        std::fs::write(ca.join("policy.cedar"), permit).unwrap();
    };
    policy("principal");
    let said = operate(&ca, &["check"]);
    let hint = "hint: no tag exists yet; tags = [\"prod\"] in hosts.toml makes an unused one";
    assert!(said.code == 75 && said.err.contains(hint), "{said:?}");
    assert_eq!(operate(&ca, &["host", "add", "web01", "--login", "me"]).code, 75);
    let said = operate(&ca, &["host", "add", "web01", "--login", "me", "--tag", "prod"]);
    assert_eq!(said.code, 0, "{said:?}");
    policy("principal in Group::\"ops\"");
    key_pair(dir.path(), "eve", &["ed25519"]);
    let key = dir.path().join("eve.pub");
    let words = ["person", "add", "eve", "--group", "ops", "--key", key.to_str().unwrap()];
    let said = operate(&ca, &words);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(operate(&ca, &["check"]).code, 0);

    // A daemon that has ended issues nothing, whatever it wrote last.
    std::fs::write(ca.join("state/standing"), "issuing\n").unwrap();
    let said = operate(&ca, &["health"]);
    assert!(said.out.contains("FAIL  certificates: none are issued, nobody serves"), "{said:?}");
    let said = run(hallpass().args(["check", "--config"]).arg(dir.path().join("ca.toml")));
    assert!(said.code == 75 && said.err.contains("\nhint: --config FILE"), "{said:?}");
}

#[test]
fn surprises_are_refused_at_start_and_name_what_mends_them() {
    type Surprise = (&'static str, fn(&Path), &'static str);
    let cases: &[Surprise] = &[
        (
            "unknown key in ca.toml",
            |ca| bend(&ca.join("ca.toml"), "per_person", "per_pers"),
            "unknown field `per_pers`",
        ),
        (
            "ca.toml: line and column",
            |ca| bend(&ca.join("ca.toml"), "login_deadline = \"20s\"", "login_deadline = \"20\""),
            "line 19, column 18",
        ),
        (
            "unknown key in people.toml",
            |ca| bend(&ca.join("people.toml"), "email =", "mail ="),
            "unknown field `mail`",
        ),
        (
            "a key of two people",
            |ca| {
                let key = std::fs::read_to_string(ca.join("../bob.pub")).unwrap();
                let ana = std::fs::read_to_string(ca.join("../ana.pub")).unwrap();
                bend(
                    &ca.join("people.toml"),
                    &format!("{:?}", ana.trim()),
                    &format!("{:?}", key.trim()),
                );
            },
            "a key belongs to one person",
        ),
        (
            "one name for two hosts",
            |ca| bend(&ca.join("hosts.toml"), "web02.example.com", "web01.example.com"),
            "a name or address names one host",
        ),
        (
            "a policy with an unknown group",
            |ca| bend(&ca.join("policy.cedar"), "Group::\"sre\"", "Group::\"srre\""),
            "srre",
        ),
        (
            "a policy without ttl",
            |ca| bend(&ca.join("policy.cedar"), "@ttl(\"15m\") ", ""),
            "policy.cedar:",
        ),
        (
            "a secret that others can read",
            |ca| {
                std::fs::set_permissions(
                    ca.join("keys/ssh_host_ed25519"),
                    std::fs::Permissions::from_mode(0o644),
                )
                .unwrap();
            },
            "a secret that others can read (mode 0644); chmod 600",
        ),
        (
            "two keys that are one",
            |ca| {
                assert!(
                    std::fs::copy(ca.join("keys/user_ca.pub"), ca.join("keys/user_ca_next.pub"))
                        .is_ok()
                )
            },
            "two of the CA's keys are the same",
        ),
        (
            "another name",
            |ca| bend(&ca.join("ca.toml"), "name = \"ca.example\"", "name = \"other.example\""),
            "the name never changes",
        ),
    ];
    for (what, surprise, said) in cases {
        let dir = Ca::make();
        let ca = dir.path().join("ca");
        surprise(&ca);
        let checked = operate(&ca, &["check"]);
        assert!(checked.code == 75 && checked.err.contains(said), "{what}: {checked:?}");
        let served = operate(&ca, &["serve"]);
        assert!(served.code == 75 && served.err.contains(said), "{what}: {served:?}");
    }
}

#[test]
fn a_ledger_is_not_made_by_accident_and_not_served_twice() {
    let ca = Ca::start();
    let second = run(hallpass()
        .arg("serve")
        .arg("--config")
        .arg(ca.file("ca.toml"))
        .env("HALLPASS_LOG", "error")
        .stdin(std::process::Stdio::null()));
    // Port 0 is any port, so the second daemon is kept out by the ledger's lock.
    assert!(second.code == 75 && second.err.contains("is served already"), "{second:?}");
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0, "the first one goes on");
    let dir = Ca::make();
    std::fs::remove_file(dir.path().join("ca/state/ledger.db")).unwrap();
    let said = operate(&dir.path().join("ca"), &["serve"]);
    assert!(said.code == 75 && said.err.contains("hallpass init makes a ledger"), "{said:?}");
    assert!(!dir.path().join("ca/state/ledger.db").exists());
}

#[test]
fn the_signer_holds_to_its_own_file() {
    // A key file that others can read, and an encrypted one with its passphrase in a credential file.
    let dir = Ca::make();
    let ca = dir.path().join("ca");
    let user_ca = ca.join("keys/user_ca");
    run(Command::new("ssh-keygen").args(["-q", "-p", "-N", "correct horse", "-f"]).arg(&user_ca))
        .ok();
    let signer = Path::new(env!("CARGO_BIN_EXE_hallpass-signer"));
    let start = || run(Command::new(signer).arg("--config").arg(ca.join("signer.toml")));
    let said = start();
    assert!(
        said.code == 75
            && said.err.contains("the key is encrypted and signer.toml names no passphrase file"),
        "{said:?}"
    );
    let secret = ca.join("keys/passphrase");
    std::fs::write(&secret, "correct horse\n").unwrap();
    bend(
        &ca.join("signer.toml"),
        "# passphrase = \"credentials/passphrase\"",
        "passphrase = \"keys/passphrase\"",
    );
    let said = start();
    assert!(said.err.contains("passphrase: a secret that others can read"), "{said:?}");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let said = start();
    assert!(
        said.code == 75 && said.err.contains("standard input is no listening Unix socket"),
        "it got as far as its socket: {said:?}"
    );
    std::fs::set_permissions(&user_ca, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(
        start().err.contains("user_ca: a secret that others can read (mode 0640)"),
        "{:?}",
        start()
    );
    assert_eq!(run(&mut Command::new(signer)).code, 2);
}

#[test]
fn the_signer_answers_one_user_id() {
    // It is told that the daemon is somebody else: then this daemon is a stranger to it.
    let dir = Ca::make();
    let ca = dir.path().join("ca");
    bend(&ca.join("signer.toml"), "# front_uid = 990", "front_uid = 4242");
    let served = operate(&ca, &["serve"]);
    assert!(served.code == 75 && served.err.contains("hallpass: the signer: "), "{served:?}");
    assert!(served.err.contains("only uid 4242 may ask for signatures"), "{served:?}");
}

#[test]
fn check_reads_all_that_a_start_reads() {
    type Case = (&'static str, fn(&Path), &'static str);
    let cases: &[Case] = &[
        (
            "signer.toml",
            |ca| bend(&ca.join("signer.toml"), "principals = 64", "principle = 64"),
            "unknown field `principle`",
        ),
        (
            "a CA key's mode",
            |ca| {
                std::fs::set_permissions(
                    ca.join("keys/user_ca"),
                    std::fs::Permissions::from_mode(0o604),
                )
                .unwrap();
            },
            "user_ca: a secret that others can read (mode 0604)",
        ),
        (
            "no mark",
            |ca| std::fs::remove_file(ca.join("state/signer/mark")).unwrap(),
            "state/signer/mark: ",
        ),
        (
            "no folder of tickets",
            |ca| std::fs::remove_dir_all(ca.join("tickets")).unwrap(),
            "is not a folder",
        ),
    ];
    for (what, break_it, said) in cases {
        let dir = Ca::make();
        let ca = dir.path().join("ca");
        break_it(&ca);
        let checked = operate(&ca, &["check"]);
        assert!(checked.code == 75 && checked.err.contains(said), "{what}: {checked:?}");
    }
}

#[test]
fn a_signer_that_cannot_start_ends_the_start() {
    for (what, said) in [("keys/user_ca", "No such file"), ("state/signer/mark", "No such file")] {
        let dir = Ca::make();
        let ca = dir.path().join("ca");
        std::fs::remove_file(ca.join(what)).unwrap();
        let served = operate(&ca, &["serve"]);
        assert!(
            served.code == 75 && served.err.contains("hallpass: the signer: it ended"),
            "{what}: {served:?}"
        );
        assert!(
            served.err.contains("hallpass-signer: ") && served.err.contains(said),
            "{what}: {served:?}"
        );
        assert!(!served.err.contains("listens on"), "{what}: {served:?}");
    }
}

#[test]
fn mistakes_at_the_keyboard_are_named() {
    let dir = Ca::make();
    let ca = dir.path().join("ca");
    let key = dir.path().join("ana");
    let said = operate(&ca, &["person", "add", "eve", "--key", key.to_str().unwrap()]);
    assert!(
        said.code == 75 && said.err.contains("ana is a private key: give its public half, "),
        "{said:?}"
    );
    let public = dir.path().join("mallory.pub");
    let said = operate(&ca, &["person", "add", "ana", "--key", public.to_str().unwrap()]);
    assert!(said.code == 75 && said.err.contains("ana is there already"), "{said:?}");
    let said = operate(&ca, &["host", "add", "web01", "--login", "deploy"]);
    assert!(said.code == 75 && said.err.contains("web01 is there already"), "{said:?}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    bend(&ca.join("ca.toml"), "127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    let said = operate(&ca, &["serve"]);
    assert!(said.code == 75 && said.err.contains("does another hallpass serve there?"), "{said:?}");
}
