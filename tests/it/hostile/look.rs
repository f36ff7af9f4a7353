//! What a signed certificate must be, read by other people's code, held against `signer.toml` and
//! against what the ledger has.

use std::collections::BTreeSet;
use std::process::Command;

use hallpass::certificate::blob::Tbs;
use hallpass::certificate::time::UnixTime;
use hallpass::ledger::proof;
use hallpass::signer::protocol::Entry;
use ssh_key::certificate::CertType;

use super::forge::Keys;
use super::front::Front;
use crate::process::{python, repository, run};

/// Everything that it must be, from its bytes and the entry alone.
pub fn look(blob: &[u8], entry: &Entry, front: &Front, keys: &Keys) {
    let theirs = ssh_key::Certificate::from_bytes(blob).unwrap();
    assert_eq!(theirs.verify_signature(), Ok(()));
    assert_eq!((theirs.cert_type(), theirs.serial()), (CertType::User, entry.index + 1));
    let (after, before, now) = (theirs.valid_after(), theirs.valid_before(), front.now.secs());
    assert!(now - 60 <= after && after <= now + 5 && after < before && before <= now + 600);
    let facts: serde_json::Value = serde_json::from_slice(&entry.facts).unwrap();
    let time: UnixTime = facts["time"].as_str().unwrap().parse().unwrap();
    assert!(now - 65 <= time.secs() && time.secs() <= now + 65, "{time}");
    assert!(facts["v"] == 1 && facts["kind"] == "certificate");
    let accounts: Vec<&str> =
        facts["accounts"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    assert_eq!(theirs.valid_principals(), accounts);
    assert!((1..=3).contains(&accounts.len()), "{accounts:?}");
    assert_eq!(accounts.iter().collect::<BTreeSet<_>>().len(), accounts.len());
    let bare = accounts.iter().all(|name| !name.contains('@'));
    assert!(bare || accounts.iter().all(|name| name.contains('@')), "{accounts:?}");
    assert_eq!(theirs.signature_key(), if bare { &keys.bare_ca } else { &keys.user_ca });
    let never = |name: &&str| name.ends_with("@vault") || *name == "toor" || name.contains('*');
    assert!(!accounts.iter().any(never), "{accounts:?}");
    assert!(before.saturating_sub(now) <= facts["ttl"].as_u64().unwrap());
    assert!(before.saturating_sub(now) <= facts["terms"]["ttl"].as_u64().unwrap());
    let subject = theirs.public_key().fingerprint(ssh_key::HashAlg::Sha256).to_string();
    assert_eq!(facts["subject"].as_str(), Some(subject.as_str()));
    assert!(!keys.own.contains(theirs.public_key()), "one of the CA's own keys");
    for (name, data) in theirs.extensions().iter().filter(|(n, _)| *n != "log-proof@hallpass") {
        let granted = facts["terms"]["extensions"].as_array().unwrap();
        assert!(data.is_empty() && granted.iter().any(|one| one == name.as_str()), "{name}");
    }
    let critical = theirs.critical_options();
    let command = critical.get("force-command").map(String::as_str);
    assert_eq!(facts["terms"]["force_command"].as_str(), command);
    let bound: Vec<&str> = facts["terms"]["source_address"]
        .as_array()
        .unwrap()
        .iter()
        .map(|address| address.as_str().unwrap())
        .collect();
    assert_eq!(critical.get("source-address").map_or("", String::as_str), bound.join(","));
    let parts: Vec<&str> = theirs.key_id().split('/').collect();
    assert_eq!(parts[..2], [facts["request"].as_str().unwrap(), facts["person"].as_str().unwrap()]);
    let end: UnixTime = facts["grant_ends"].as_str().unwrap().parse().unwrap();
    assert!(parts[3] == end.compact() && before <= end.secs());

    let (view, _) = Tbs::parse_signed(blob).unwrap();
    let proved = proof::check(&blob[..view.len()], front.key.public(), &front.cosigner).unwrap();
    assert_eq!((proved.proof.index, proved.cosigned), (entry.index, front.now));
    let head = &proved.proof.checkpoint.head;
    assert_eq!((head.size, head.root), (front.size(), front.root(front.size())));
}

/// The same certificates before OpenSSH and the checker that shares no code with hallpass, under the
/// keys that are in use now.
pub fn have_others_look(some: &[Vec<u8>], front: &Front) {
    for (number, blob) in some.iter().enumerate() {
        let certificate = ssh_key::Certificate::from_bytes(blob).unwrap();
        let path = front.file(&format!("sample{number}-cert.pub"));
        std::fs::write(&path, certificate.to_openssh().unwrap() + "\n").unwrap();
        let shown = run(Command::new("ssh-keygen").args(["-L", "-f"]).arg(&path)).ok();
        let serial = format!("Serial: {}\n", certificate.serial());
        assert!(shown.contains("user certificate\n") && shown.contains(&serial), "{shown}");
        let names = certificate.valid_principals().join("\n                ");
        assert!(shown.contains(&format!("Principals: \n                {names}\n")), "{shown}");
        let bare = !certificate.valid_principals()[0].contains('@');
        let mut check = python();
        check.arg(repository("tests/checker/check_certificate.py"));
        let ca = if bare { "keys/bare_ca.pub" } else { "keys/user_ca.pub" };
        check.arg("--ca").arg(front.file(ca)).arg("--ledger").arg(front.file("keys/ledger.vkey"));
        let said = run(check.arg("--signer").arg(front.file("keys/signer.vkey")).arg(&path)).ok();
        assert!(said.starts_with("valid: "), "{said}");
    }
}
