//! Which keys get in, and that each gets a certificate that opens a real server.

use std::path::Path;
use std::process::Command;

use crate::ca::{Ca, enroll};
use crate::process::{key_pair, run};
use crate::sshd::Sshd;

/// OpenSSH's own FIDO middleware for tests, from Debian's openssh-tests.
const SK: &str = "/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so";

/// A CA where ana has one key, made like this.
fn ca_with_key(make: impl FnOnce(&Path)) -> Ca {
    Ca::start_with(|dir| {
        make(dir);
        let people = dir.join("ca/people.toml");
        let text = std::fs::read_to_string(&people).unwrap();
        let old = std::fs::read_to_string(dir.join("ana.pub")).unwrap();
        std::fs::write(&people, text.replace(&format!("keys = [{:?}]", old.trim()), "keys = []"))
            .unwrap();
        enroll(dir, "ana", "new");
    })
}

fn get_in(ca: &Ca, options: &[String]) {
    let key = ca.dir().join("new");
    let web01 = Sshd::start(ca, "web01");
    let said = run(ca.client("new").args(options).args(["ca", "deploy@web01", "OPS-7"]));
    assert_eq!(said.code, 0, "{said:?}");
    let certificate = ca.dir().join("certificate");
    std::fs::write(&certificate, said.out).unwrap();
    let mut ssh = web01.client(&key);
    let said = run(ssh
        .args(options)
        .arg("-o")
        .arg(format!("CertificateFile={}", certificate.display()))
        .args(["deploy@web01", "echo", "in"]));
    assert_eq!(said.out, "in\n", "{said:?} {:#?}", web01.log());
}

#[test]
fn each_software_key_gets_in() {
    for kind in
        [&["ed25519"][..], &["ecdsa", "-b", "256"], &["ecdsa", "-b", "384"], &["rsa", "-b", "3072"]]
    {
        get_in(&ca_with_key(|dir| drop(key_pair(dir, "new", kind))), &[]);
    }
}

#[test]
fn each_security_key_gets_in() {
    let provider = vec!["-o".to_owned(), format!("SecurityKeyProvider={SK}")];
    for kind in ["ed25519-sk", "ecdsa-sk"] {
        let ca = ca_with_key(|dir| {
            let mut keygen = Command::new("ssh-keygen");
            run(keygen.args(["-q", "-t", kind, "-w", SK, "-N", "", "-f"]).arg(dir.join("new")))
                .ok();
        });
        get_in(&ca, &provider);
    }
}

#[test]
fn a_login_with_a_security_key_is_no_proof_of_a_touch() {
    // A key made without the touch requirement signs untouched. The door cannot see that (the SSH
    // library hides the flags), so it takes no sk login for a touch; the target's sshd still checks.
    let provider = vec!["-o".to_owned(), format!("SecurityKeyProvider={SK}")];
    let ca = ca_with_key(|dir| {
        let mut keygen = Command::new("ssh-keygen");
        run(keygen
            .args(["-q", "-t", "ed25519-sk", "-O", "no-touch-required", "-w", SK, "-N", "", "-f"])
            .arg(dir.join("new")))
        .ok();
    });
    let mut web01 = Sshd::start(&ca, "web01");
    let said = run(ca.client("new").args(&provider).args(["ca", "deploy@web01", "OPS-7"]));
    let certificate = ca.dir().join("certificate");
    std::fs::write(&certificate, said.ok()).unwrap();
    let mut ssh = web01.client(&ca.dir().join("new"));
    let said = run(ssh
        .args(&provider)
        .arg("-o")
        .arg(format!("CertificateFile={}", certificate.display()))
        .args(["deploy@web01", "true"]));
    assert_eq!(said.code, 255, "{said:?}");
    web01.line("user presence");
}

#[test]
fn weak_keys_are_refused_where_they_are_enrolled() {
    let dir = Ca::make();
    let config = dir.path().join("ca/ca.toml");
    for (kind, why) in [
        (&["rsa", "-b", "2048"][..], "2048 bits is not taken"),
        (&["ecdsa", "-b", "521"], "keys of this type are not taken"),
    ] {
        let name = kind[0];
        key_pair(dir.path(), name, kind);
        let said = run(crate::ca::hallpass()
            .args(["person", "add", "weak", "--key"])
            .arg(dir.path().join(format!("{name}.pub")))
            .arg("--config")
            .arg(&config));
        assert!(
            said.code == 75 && said.err.contains("person weak: ") && said.err.contains(why),
            "{said:?}"
        );
    }
    assert!(
        !std::fs::read_to_string(dir.path().join("ca/people.toml")).unwrap().contains("weak"),
        "the file was changed"
    );
}
