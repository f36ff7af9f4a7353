//! Checkers that share no code with hallpass: Python from the published formats, Go's libraries,
//! asyncssh and paramiko.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::ca::Ca;
use crate::process::{oracle, python, repository, run, run_with_input};

fn check_certificate(ca: &Ca, certificate: &Path, more: &[&str]) -> crate::process::Said {
    let mut check = python();
    check.arg(repository("tests/checker/check_certificate.py"));
    for name in ["user_ca", "bare_ca"] {
        check.arg("--ca").arg(ca.file(&format!("keys/{name}.pub")));
    }
    check
        .arg("--ledger")
        .arg(ca.file("keys/ledger.vkey"))
        .arg("--signer")
        .arg(ca.file("keys/signer.vkey"));
    run(check.args(more).arg(certificate))
}

#[test]
fn an_independent_checker_accepts_the_certificate_and_no_flipped_bit_of_it() {
    let ca = Ca::start();
    let root = ["root@db01", "OPS-8", "--reason", "'the disk of db01 is full'"];
    for words in [&["deploy@web01", "OPS-7"][..], &["logs@web01"], &root] {
        let certificate = ca.certificate("ana", words);
        let said = check_certificate(&ca, &certificate, &["--flip-all", "--flip-proof"]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.starts_with("valid: serial "), "{said:?}");
        let flipped: Vec<&str> =
            said.out.lines().filter(|line| line.starts_with("flipped ")).collect();
        assert_eq!(flipped.len(), 2, "{said:?}");
        for line in flipped {
            let numbers: Vec<&str> =
                line.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
            assert!(
                numbers.len() == 2
                    && numbers[0] == numbers[1]
                    && numbers[0].parse::<u64>().unwrap() > 4000,
                "{line}"
            );
        }
    }
    // Another ledger's key, another signer's, another CA's: no.
    let certificate = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    let other = Ca::make();
    for name in ["ledger.vkey", "signer.vkey"] {
        let (ours, theirs) =
            (ca.file(&format!("keys/{name}")), other.path().join("ca/keys").join(name));
        let kept = std::fs::read(&ours).unwrap();
        std::fs::copy(theirs, &ours).unwrap();
        assert_eq!(check_certificate(&ca, &certificate, &[]).code, 1, "{name}");
        std::fs::write(&ours, kept).unwrap();
    }
    assert_eq!(check_certificate(&ca, &certificate, &[]).code, 0);
}

#[test]
fn other_parsers_accept_the_certificate() {
    let ca = Ca::start();
    let certificate = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    let said = run(python().arg(repository("tests/checker/parse_others.py")).arg(&certificate));
    assert!(
        said.code == 0 && said.out.contains("asyncssh") && said.out.contains("paramiko"),
        "{said:?}"
    );
    let said =
        run(oracle("cert").arg(&certificate).arg(ca.file("keys/user_ca.pub")).arg("deploy@web01"));
    assert!(said.code == 0 && said.out.starts_with("go: accepted serial "), "{said:?}");
    let said =
        run(oracle("cert").arg(&certificate).arg(ca.file("keys/user_ca.pub")).arg("root@web01"));
    assert_ne!(said.code, 0, "{said:?}");
    let said =
        run(oracle("cert").arg(&certificate).arg(ca.file("keys/bare_ca.pub")).arg("deploy@web01"));
    assert_ne!(said.code, 0, "{said:?}");
    let printed = run(Command::new("ssh-keygen").arg("-Lf").arg(&certificate));
    assert_eq!(printed.code, 0, "{printed:?}");
}

#[test]
fn an_export_is_verified_by_others_and_by_hallpass() {
    let ca = Ca::start();
    for _ in 0..4 {
        ca.certificate("ana", &["deploy@web01", "OPS-7"]);
        assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-9"]).code, 1);
    }
    let export = ca.dir().join("export.jsonl");
    std::fs::write(&export, ca.operator(&["ledger", "export"]).ok()).unwrap();
    let check = || {
        let python = run(python()
            .arg(repository("tests/checker/check_export.py"))
            .arg(&export)
            .arg("--ledger")
            .arg(ca.file("keys/ledger.vkey"))
            .arg("--signer")
            .arg(ca.file("keys/signer.vkey")));
        let ours = ca.operator(&["ledger", "verify", export.to_str().unwrap()]);
        (python, ours)
    };
    let (theirs, ours) = check();
    assert!(theirs.code == 0 && theirs.out.starts_with("valid "), "{theirs:?}");
    assert!(ours.code == 0 && ours.out.starts_with("valid: "), "{ours:?}");

    // An auditor has the export and two public keys, and nothing of the CA's.
    let vkey = |name: &str| {
        std::fs::read_to_string(ca.file(&format!("keys/{name}.vkey"))).unwrap().trim().to_owned()
    };
    let alone = |ledger: &str, signer: &str| {
        let mut verify = crate::ca::hallpass();
        verify.args(["ledger", "verify"]).arg(&export);
        run(verify.args(["--ledger", ledger, "--signer", signer]).env_clear().current_dir("/"))
    };
    assert_eq!(alone(&vkey("ledger"), &vkey("signer")).code, 0);
    let other = Ca::make();
    let theirs = std::fs::read_to_string(other.path().join("ca/keys/signer.vkey")).unwrap();
    assert_eq!(alone(&vkey("ledger"), theirs.trim()).code, 1);

    // The checkpoint is a note that Go's library opens with the ledger's key.
    let said =
        run(oracle("note").arg(ca.file("state/checkpoint")).arg(ca.file("keys/ledger.vkey")));
    assert!(said.code == 0 && said.out.starts_with("ca.example/1\n"), "{said:?}");

    // A line less, a line twice, another ticket in the facts: both say no.
    let text = std::fs::read_to_string(&export).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let whole = |lines: Vec<&str>| lines.join("\n") + "\n";
    let mut without = lines.clone();
    without.remove(5);
    let mut twice = lines.clone();
    twice.insert(5, lines[5]);
    for (what, bent) in [
        ("a line less", whole(without)),
        ("a line twice", whole(twice)),
        ("the last line less", whole(lines[..lines.len() - 1].to_vec())),
    ] {
        std::fs::write(&export, bent).unwrap();
        let (theirs, ours) = check();
        assert!(theirs.code == 1 && ours.code == 1, "{what}: {theirs:?} {ours:?}");
    }
}

#[test]
fn gos_tree_is_our_tree() {
    // The ledger of a running CA, and Go's roots and proofs over the same leaves.
    let ca = Ca::start();
    for _ in 0..6 {
        assert_eq!(ca.ssh("ana", &["logs@web01"]).code, 0);
    }
    let export = ca.operator(&["ledger", "export"]).ok();
    let mut lines = export.lines();
    let checkpoint: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let checkpoint: Vec<&str> = checkpoint["checkpoint"].as_str().unwrap().lines().collect();
    let leaves: Vec<hallpass::ledger::leaf::Leaf> = lines
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["leaf"].as_str().unwrap().parse().unwrap()
        })
        .collect();
    let size = leaves.len() as u64;
    let input: String = leaves.iter().map(|leaf| format!("{}\n", serde_json::json!({ "leaf": hallpass::ledger::tree::base64(leaf.to_string().as_bytes()) }))).collect();
    let sizes: Vec<String> = (1..=size).map(|size| size.to_string()).collect();
    let said = run_with_input(oracle("tlog").args(&sizes), &input).ok();

    use hallpass::ledger::tree::{Hash, Nodes, climb, grew};
    struct Leaves(Vec<Hash>);
    impl Nodes for Leaves {
        type Error = std::convert::Infallible;
        fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
            if level == 0 {
                return Ok(self.0[index as usize]);
            }
            Ok(Hash::of_children(
                self.node(level - 1, 2 * index)?,
                self.node(level - 1, 2 * index + 1)?,
            ))
        }
    }
    let tree = Leaves(leaves.iter().map(|leaf| leaf.hash()).collect());
    let our_root = |size| hallpass::ledger::tree::root(&tree, size).unwrap();
    let ours = |path: Vec<(u64, u64)>| -> Vec<Hash> {
        path.into_iter()
            .map(|leaves| hallpass::ledger::tree::hash_of(&tree, leaves).unwrap())
            .collect()
    };
    let (mut roots, mut inclusions, mut consistencies) = (0, 0, 0);
    for line in said.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let n = line["size"].as_u64().unwrap();
        let hash = |value: &Value| Hash::from_base64(value.as_str().unwrap()).unwrap();
        let hashes =
            |value: &Value| -> Vec<Hash> { value.as_array().unwrap().iter().map(hash).collect() };
        if !line["root"].is_null() {
            assert_eq!(hash(&line["root"]), our_root(n));
            roots += 1;
        } else if !line["inclusion"].is_null() {
            let (index, proof) = (line["index"].as_u64().unwrap(), hashes(&line["inclusion"]));
            assert_eq!(proof, ours(hallpass::ledger::tree::inclusion(index, n)));
            assert_eq!(climb(tree.0[index as usize], index, n, &proof), Some(our_root(n)));
            inclusions += 1;
        } else {
            let (from, proof) = (line["from"].as_u64().unwrap(), hashes(&line["consistency"]));
            assert_eq!(proof, ours(hallpass::ledger::tree::consistency(from, n)), "{from} to {n}");
            assert!(grew(from, our_root(from), n, our_root(n), &proof));
            consistencies += 1;
        }
    }
    assert_eq!(checkpoint[1], size.to_string());
    assert_eq!(checkpoint[2], our_root(size).to_base64());
    assert!(
        roots == size && inclusions >= size * (size - 1) / 2 && consistencies > 0,
        "{roots} {inclusions} {consistencies}"
    );
}
