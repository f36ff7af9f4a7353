//! The bytes of a certificate against other people's code, and the proof put in and taken out.

use std::cell::RefCell;

use ed25519_dalek::{Signer, SigningKey};
use ssh_key::certificate::{Builder, CertType};
use ssh_key::public::KeyData;

use super::blob::{Contents, PROOF, Tbs, staple, strip};
use super::sample::{Granted, INDEX, Parts, ed25519, option, subjects};
use super::wire::{Malformed, put_string};
use crate::signer::key;

/// A signer that keeps what it is asked to sign, and signs nothing.
struct Oracle {
    ca: KeyData,
    asked: RefCell<Vec<u8>>,
}

impl Signer<ssh_key::Signature> for Oracle {
    fn try_sign(
        &self,
        message: &[u8],
    ) -> Result<ssh_key::Signature, ed25519_dalek::SignatureError> {
        self.asked.replace(message.to_vec());
        Err(ed25519_dalek::SignatureError::new())
    }
}

impl From<&Oracle> for KeyData {
    fn from(oracle: &Oracle) -> Self {
        oracle.ca.clone()
    }
}

/// The to-be-signed bytes as ssh-key's builder makes them.
fn by_ssh_key(contents: &Contents, serial: u64, proof: Option<&str>) -> Vec<u8> {
    let (after, before) = (contents.valid_after.secs(), contents.valid_before.secs());
    let mut builder =
        Builder::new(contents.nonce, contents.subject.clone(), after, before).unwrap();
    builder.serial(serial).unwrap().cert_type(CertType::User).unwrap();
    builder.key_id(contents.key_id.as_str()).unwrap();
    for principal in &contents.principals {
        builder.valid_principal(principal.to_string()).unwrap();
    }
    for (name, value) in &contents.critical {
        builder.critical_option(*name, value.as_str()).unwrap();
    }
    for name in &contents.extensions {
        builder.extension(*name, "").unwrap();
    }
    if let Some(proof) = proof {
        builder.extension(PROOF, proof).unwrap();
    }
    let oracle = Oracle { ca: ed25519(1), asked: RefCell::default() };
    assert!(builder.sign(&oracle).is_err(), "the oracle signed");
    oracle.asked.into_inner()
}

#[test]
fn the_bytes_are_those_of_another_implementation() {
    for subject in subjects() {
        let name = subject.algorithm();
        let mut granted = Granted::to(&subject);
        for bend in [
            |_: &mut Granted| {},
            |g: &mut Granted| g.source_address.clear(),
            |g: &mut Granted| g.extensions.clear(),
            |g: &mut Granted| g.force_command = Some("uptime \"now\"".to_owned()),
            |g: &mut Granted| g.principals = vec!["deploy@web01".parse().unwrap()],
        ] {
            bend(&mut granted);
            let contents = granted.contents(&subject);
            for serial in [1, INDEX + 1, i64::MAX.unsigned_abs()] {
                let ours = contents.encode(serial).unwrap();
                assert_eq!(ours, by_ssh_key(&contents, serial, None), "{name}");
                // With the proof in it too: same place, same framing.
                let ours = staple(&ours, "a proof\n").unwrap();
                assert_eq!(ours, by_ssh_key(&contents, serial, Some("a proof\n")), "{name}");
            }
        }
    }
}

#[test]
fn the_proof_goes_in_and_comes_out_wherever_it_sorts() {
    let subject = ed25519(9);
    let good = Granted::to(&subject).tbs(&subject);
    for (names, at) in [
        (&[] as &[&str], 0),
        (&["permit-pty"], 0),
        (&["permit-port-forwarding", "permit-pty"], 0),
        (&["a@example.org", "permit-pty"], 1),
        (&["a@example.org", "log-proof@hallpas", "log-proof@hallpasst", "permit-pty"], 2),
        (&["a@example.org", "b@example.org"], 2),
    ] {
        let mut parts = Parts::of(&good, 1).unwrap();
        parts.extensions = names.iter().map(|name| option(name, "data")).collect();
        let tbs = parts.encode();
        for proof in ["", "c2sp.org/tlog-proof@v1\n...", &"x".repeat(8192)] {
            let stapled = staple(&tbs, proof).unwrap();
            let view = Tbs::parse(&stapled).unwrap();
            assert_eq!(view.extensions[at].0, PROOF, "{names:?}");
            assert_eq!(view.extensions[at].1[4..], *proof.as_bytes());
            assert!(view.extensions.is_sorted_by(|(a, _), (b, _)| a < b), "{names:?}");
            assert_eq!(strip(&stapled), Ok((tbs.clone(), proof)), "{names:?}");
            assert!(staple(&stapled, proof).is_err(), "two proofs");
        }
    }
}

#[test]
fn what_is_not_exactly_one_proof_is_none() {
    let subject = ed25519(9);
    let good = Granted::to(&subject).tbs(&subject);
    let with = |extensions: Vec<(Vec<u8>, Vec<u8>)>| {
        let mut parts = Parts::of(&good, 1).unwrap();
        parts.extensions = extensions;
        parts.encode()
    };
    let no = |bytes: &[u8]| strip(bytes).map(|_| ()).unwrap_err();
    let (one, mut long, mut binary) =
        (option(PROOF, "text"), option(PROOF, "text"), option(PROOF, ""));
    long.1.push(0);
    put_string(&mut binary.1, &[0xff]);
    binary.1.drain(..4);
    let raw = (PROOF.as_bytes().to_vec(), b"text".to_vec());
    assert_eq!(no(&good), Malformed("certificate: no proof"));
    assert_eq!(no(&with(vec![one.clone(), one.clone()])), Malformed("certificate: two proofs"));
    for bad in [long, binary, raw, (PROOF.as_bytes().to_vec(), Vec::new())] {
        assert_eq!(no(&with(vec![bad])), Malformed("proof extension"));
    }
    // Also with another order of the options nothing but the proof goes.
    let unsorted = with(vec![option("z", ""), one, option("a", "")]);
    let rest = with(vec![option("z", ""), option("a", "")]);
    assert_eq!(strip(&unsorted), Ok((rest, "text")));
}

#[test]
fn a_stapled_and_signed_certificate_is_one_for_others() {
    let ca = SigningKey::from_bytes(&[1; 32]);
    for subject in subjects() {
        let tbs = Granted::to(&subject).tbs(&subject);
        let stapled = staple(&tbs, "a proof\n").unwrap();
        let blob = key::certify(&ca, stapled.clone());

        let theirs = ssh_key::Certificate::from_bytes(&blob).unwrap();
        assert_eq!(theirs.verify_signature(), Ok(()), "{}", subject.algorithm());
        assert_eq!(theirs.to_bytes().unwrap(), blob);
        assert_eq!(theirs.public_key(), &subject);
        assert_eq!((theirs.serial(), theirs.cert_type()), (INDEX + 1, CertType::User));
        assert_eq!(theirs.valid_principals(), ["deploy@web01", "deploy@web02"]);
        assert_eq!(theirs.extensions().get(PROOF).map(String::as_str), Some("a proof\n"));

        let (view, signature) = Tbs::parse_signed(&blob).unwrap();
        assert_eq!((view.len(), signature.len()), (stapled.len(), 83));
        let mut longer = blob.clone();
        longer.push(0);
        assert!(Tbs::parse_signed(&longer).is_err(), "a byte after the signature");
        assert!(Tbs::parse_signed(&stapled).is_err(), "no signature");
    }
}
