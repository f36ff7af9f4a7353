//! `policy_signers`: only what somebody signed with the real ssh-keygen decides, and nothing older than what
//! decided before. Each attack is mallory's, who can write to the folder of the files and to nothing else.

use std::path::Path;
use std::process::Command;

use crate::ca::{Ca, bend, hallpass};
use crate::laptop::SK;
use crate::process::{Said, key_pair, run, until};

/// Has what decides signed by ana or by carol, as `policy_signers` says.
fn with_signers(dir: &Path) {
    for name in ["signer", "expired", "elsewhere"] {
        key_pair(dir, name, &["ed25519"]);
    }
    for (name, more) in [("token", &[][..]), ("untouched", &["-O", "no-touch-required"])] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519-sk", "-w", SK, "-N", "", "-f"]).arg(dir.join(name));
        run(keygen.args(more)).ok();
    }
    let key = |name: &str| std::fs::read_to_string(dir.join(format!("{name}.pub"))).unwrap();
    let signers = format!(
        "# who signs\nana@example.com namespaces=\"policy@hallpass\" {}ana@example.com,token {}\
         carol@example.com {}bob@example.com valid-before=\"20200101Z\" {}\
         vera@example.com namespaces=\"file\" {}",
        key("signer"),
        key("token"),
        key("untouched"),
        key("expired"),
        key("elsewhere")
    );
    std::fs::write(dir.join("ca/policy_signers"), signers).unwrap();
    bend(
        dir,
        "hosts = \"hosts.toml\"",
        "hosts = \"hosts.toml\"\nsums = \"SHA256SUMS\"\npolicy_signers = \"policy_signers\"",
    );
}

/// The line of the README, with another key, namespace and number.
fn sign(dir: &Path, key: &str, namespace: &str, number: &str) -> Said {
    let line = format!(
        "printf '%s\\n' {number} > CHANGE && sha256sum policy.cedar hours.toml people.toml hosts.toml $(ls people.d/* \
         2>/dev/null) CHANGE > SHA256SUMS && \
         ssh-keygen -q -Y sign -n {namespace} -f ../{key} < SHA256SUMS > SHA256SUMS.sig"
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", &line]).current_dir(dir.join("ca")).env("SSH_SK_PROVIDER", SK);
    run(&mut shell)
}

fn started() -> Ca {
    Ca::start_with(|dir| {
        with_signers(dir);
        sign(dir, "signer", "policy@hallpass", "7").ok();
    })
}

/// What a reload answers, which must be a refusal that says this and leaves everything as it was.
fn refused(ca: &Ca, what: &str) {
    let said = ca.operator(&["reload"]);
    assert!(said.code == 1 && said.err.contains(what), "{what}: {said:?}");
    assert!(said.err.contains("what decided before goes on deciding"), "{said:?}");
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0, "after {what}");
    // A start, or whoever reads the same files, is told the same.
    let checked = ca.operator(&["check"]);
    if !what.contains("change") {
        assert!(checked.code == 75 && checked.err.contains(what), "{what}: {checked:?}");
    }
}

fn append(path: &Path, text: &str) {
    let before = std::fs::read_to_string(path).unwrap_or_default();
    std::fs::write(path, before + text).unwrap();
}

#[test]
fn what_was_signed_decides_and_who_signed_it_is_in_the_ledger() {
    let ca = started();
    let texts = || -> Vec<_> {
        let entries = ca.entries().into_iter();
        entries.filter(|entry| ["policy", "people", "hosts"].contains(&&*entry.kind)).collect()
    };
    until("what decides from the start", || texts().len() == 3);
    let first = &texts()[0].facts["signed"];
    assert_eq!((&first["by"], &first["number"]), (&"ana@example.com".into(), &7.into()));
    assert!(first["key"].as_str().unwrap().starts_with("SHA256:"));

    append(&ca.file("policy.cedar"), "// more\n");
    sign(ca.dir(), "signer", "policy@hallpass", "8").ok();
    let said = ca.operator(&["reload"]);
    assert!(
        said.code == 0 && said.err.contains("change 8 is signed by ana@example.com with SHA256:"),
        "{said:?}"
    );
    until("the change's leaf", || texts().len() == 4);
    assert_eq!(texts()[3].facts["signed"]["number"], 8);
    let checked = ca.operator(&["check"]);
    assert!(
        checked.code == 0 && checked.err.contains("change 8 is signed by ana@example.com"),
        "{checked:?}"
    );
    // A key on a token, which was touched.
    append(&ca.file("policy.cedar"), "// yet more\n");
    sign(ca.dir(), "token", "policy@hallpass", "9").ok();
    let said = ca.operator(&["reload"]);
    assert!(
        said.code == 0 && said.err.contains("signed by ana@example.com,token with"),
        "{said:?}"
    );
    assert!(ca.operator(&["ledger", "verify"]).out.starts_with("valid"));
}

/// She writes herself into people.d; she changes a file after it was signed; she takes the signature away,
/// or makes one with her own key, or with a key whose time is over; she takes one that ana made for
/// something else.
#[test]
fn what_nobody_signed_leaves_the_old_in_force() {
    let ca = started();
    let policy = std::fs::read_to_string(ca.file("policy.cedar")).unwrap();
    let signature = std::fs::read(ca.file("SHA256SUMS.sig")).unwrap();
    let list = std::fs::read(ca.file("SHA256SUMS")).unwrap();

    append(&ca.file("policy.cedar"), "// changed\n");
    refused(&ca, "policy.cedar differs");
    // With the list made anew, and the true signature of the one before.
    let sums = "sha256sum policy.cedar hours.toml people.toml hosts.toml CHANGE > SHA256SUMS";
    run(Command::new("bash").args(["-c", sums]).current_dir(ca.file(""))).ok();
    refused(&ca, "something was changed after it was signed");
    std::fs::write(ca.file("policy.cedar"), &policy).unwrap();
    std::fs::write(ca.file("SHA256SUMS"), &list).unwrap();
    assert_eq!(ca.operator(&["reload"]).code, 0);

    std::fs::create_dir(ca.file("people.d")).unwrap();
    let added = ca.file("people.d/99-mallory.toml");
    std::fs::write(&added, "[person.mallory]\ngroups = [\"sre\"]\n").unwrap();
    refused(&ca, "99-mallory.toml is not on it");
    std::fs::remove_file(&added).unwrap();

    std::fs::remove_file(ca.file("SHA256SUMS.sig")).unwrap();
    refused(&ca, "SHA256SUMS.sig: what decides here must be signed");
    for cut in [0, 1, 40, signature.len() / 2, signature.len() - 30] {
        std::fs::write(ca.file("SHA256SUMS.sig"), &signature[..cut]).unwrap();
        refused(&ca, "it is no signature of ssh-keygen's");
    }
    // A list with the line ends of another system is another list, whoever has its hash.
    let crlf = String::from_utf8(list.clone()).unwrap().replace('\n', "\r\n");
    std::fs::write(ca.file("SHA256SUMS.sig"), &signature).unwrap();
    std::fs::write(ca.file("SHA256SUMS"), crlf).unwrap();
    let said = ca.operator(&["reload"]);
    assert!(said.code == 1, "{said:?}");
    std::fs::write(ca.file("SHA256SUMS"), &list).unwrap();

    for (key, namespace, why) in [
        ("mallory", "policy@hallpass", "is no policy signer's"),
        ("expired", "policy@hallpass", "bob@example.com may not sign since 2020-01-01T00:00:00Z"),
        ("elsewhere", "policy@hallpass", "vera@example.com may sign for \"file\" alone"),
        ("signer", "file", "it is for \"file\", not for policy@hallpass"),
        ("signer", "git", "it is for \"git\""),
        ("untouched", "policy@hallpass", "nobody touched the token"),
    ] {
        sign(ca.dir(), key, namespace, "8").ok();
        refused(&ca, why);
    }
    // ana's own key, without a number.
    let line = "sha256sum policy.cedar hours.toml people.toml hosts.toml > SHA256SUMS && ssh-keygen -q -Y sign -n \
                policy@hallpass -f ../signer < SHA256SUMS > SHA256SUMS.sig";
    run(Command::new("bash").args(["-c", line]).current_dir(ca.file(""))).ok();
    refused(&ca, "no CHANGE is on the list");
    for number in ["seven", "-1", "''"] {
        sign(ca.dir(), "signer", "policy@hallpass", number).ok();
        refused(&ca, "CHANGE holds no number");
    }
    sign(ca.dir(), "signer", "policy@hallpass", "8").ok();
    assert_eq!(ca.operator(&["reload"]).code, 0);
}

/// She puts back what ana signed last spring, list, number and signature: all of it is true. And she waits
/// for a restart, at which nothing is compared with what decided a moment ago.
#[test]
fn what_was_signed_before_does_not_come_back() {
    let mut ca = started();
    let files = ["policy.cedar", "CHANGE", "SHA256SUMS", "SHA256SUMS.sig"];
    let spring = files.map(|file| std::fs::read(ca.file(file)).unwrap());
    append(&ca.file("policy.cedar"), "// without the vendor\n");
    sign(ca.dir(), "signer", "policy@hallpass", "8").ok();
    assert_eq!(ca.operator(&["reload"]).code, 0);
    let autumn = files.map(|file| std::fs::read(ca.file(file)).unwrap());
    let put = |ca: &Ca, what: &[Vec<u8>; 4]| {
        files
            .iter()
            .zip(what)
            .for_each(|(file, bytes)| std::fs::write(ca.file(file), bytes).unwrap());
    };
    put(&ca, &spring);
    refused(
        &ca,
        "change 7, signed by ana@example.com, is older than change 8, which decided before",
    );
    // The same number for something else.
    append(&ca.file("policy.cedar"), "// something else\n");
    sign(ca.dir(), "signer", "policy@hallpass", "8").ok();
    refused(&ca, "the number 8 was another change's");

    put(&ca, &spring);
    assert_eq!(ca.daemon.stop(), 0);
    let mut serve = hallpass();
    let said = run(serve.arg("serve").arg("--config").arg(ca.file("ca.toml")));
    assert!(said.code == 75 && said.err.contains("is older than change 8"), "{said:?}");
    // Nor with no signature at all.
    std::fs::remove_file(ca.file("SHA256SUMS.sig")).unwrap();
    let mut serve = hallpass();
    let said = run(serve.arg("serve").arg("--config").arg(ca.file("ca.toml")));
    assert!(
        said.code == 75 && said.err.contains("hint: ssh-keygen -Y sign -n policy@hallpass"),
        "{said:?}"
    );
    put(&ca, &autumn);
    ca.restart_after_stop();
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0);
}

/// She replaces the list of signers by one with her own key, and has the files read anew.
#[test]
fn the_signers_are_those_of_the_start() {
    let ca = started();
    let mallory = std::fs::read_to_string(ca.dir().join("mallory.pub")).unwrap();
    std::fs::write(ca.file("policy_signers"), format!("mallory {mallory}")).unwrap();
    append(&ca.file("policy.cedar"), "// hers\n");
    sign(ca.dir(), "mallory", "policy@hallpass", "8").ok();
    let said = ca.operator(&["reload"]);
    assert!(said.code == 1 && said.err.contains("is no policy signer's"), "{said:?}");
    sign(ca.dir(), "signer", "policy@hallpass", "9").ok();
    let said = ca.operator(&["reload"]);
    assert!(
        said.code == 0
            && said.err.contains("policy_signers has changed: that counts from the next start"),
        "{said:?}"
    );
}

#[test]
fn a_file_of_signers_that_is_not_one_is_told() {
    let dir = Ca::make();
    with_signers(dir.path());
    let check = || run(hallpass().args(["check", "--config"]).arg(dir.path().join("ca/ca.toml")));
    for (from, to, why) in [
        (
            "\npolicy_signers = \"policy_signers\"",
            "\npolicy_signers = \"deployed/policy_signers\"",
            "lies in ca.toml's own folder",
        ),
        ("\"deployed/policy_signers\"", "\"/etc/policy_signers\"", "lies in ca.toml's own folder"),
        ("\"/etc/policy_signers\"", "\"nobody\"", "nobody: No such file"),
        (
            "sums = \"SHA256SUMS\"\npolicy_signers = \"nobody\"",
            "policy_signers = \"policy_signers\"",
            "needs files.sums",
        ),
    ] {
        bend(dir.path(), from, to);
        let said = check();
        assert!(said.code == 75 && said.err.contains(why), "{why}: {said:?}");
    }
}
