//! Whose key a certificate may certify: the lint's cases about the subject.

use super::blob::key_blob;
use super::lint::Flaw;
use super::lint_tests::{check, malformed};
use super::sample::{P521, Parts, ed25519, openssh, rsa, subjects};
use super::subject::Unfit;
use super::wire::Reader;

const ED25519: &str = "ssh-ed25519-cert-v01@openssh.com";
const P256_TYPE: &str = "ecdsa-sha2-nistp256-cert-v01@openssh.com";

#[test]
fn the_subject_is_a_strong_plain_key_of_nobody_else() {
    let point = Some(Flaw::Subject(Unfit::Point));
    check(&[
        ("the user CA's key", |p, _| become_key(p, 1), Some(Flaw::OwnKey)),
        ("the bare CA's key", |p, _| become_key(p, 2), Some(Flaw::OwnKey)),
        ("the ledger's key", |p, _| become_key(p, 3), Some(Flaw::OwnKey)),
        ("the signer's key", |p, _| become_key(p, 4), Some(Flaw::OwnKey)),
        ("the host key", |p, _| become_key(p, 5), Some(Flaw::OwnKey)),
        ("another person's key", |p, _| become_key(p, 10), Some(Flaw::OtherKey)),
        ("a point of small order", |p, _| p.subject(ED25519, &[&[0; 32]]), point.clone()),
        ("no point of the curve", |p, _| p.subject(ED25519, &[&[2; 32]]), point.clone()),
        ("a key of 31 bytes", |p, _| p.subject(ED25519, &[&[9; 31]]), malformed("subject key")),
        (
            "a point off P-256",
            |p, _| p.subject(P256_TYPE, &[b"nistp256", &[&[4u8][..], &[7; 64]].concat()]),
            point.clone(),
        ),
        (
            "a compressed point, which OpenSSH does not read",
            |p, _| p.subject(P256_TYPE, &[b"nistp256", &compressed()]),
            point,
        ),
        (
            "P-521 under its own name",
            |p, _| p.subject("ecdsa-sha2-nistp521-cert-v01@openssh.com", &p521()),
            malformed("certificate type: not one that hallpass signs"),
        ),
        (
            "P-521 under another name",
            |p, _| p.subject(P256_TYPE, &p521()),
            malformed("subject key"),
        ),
        (
            "RSA of 2048 bits",
            |p, _| become_rsa(p, 2048),
            Some(Flaw::Subject(Unfit::Size { bits: 2048 })),
        ),
        (
            "RSA of 8200 bits",
            |p, _| become_rsa(p, 8200),
            Some(Flaw::Subject(Unfit::Size { bits: 8200 })),
        ),
        (
            "DSA",
            |p, _| p.subject("ssh-dss-cert-v01@openssh.com", &[&[1], &[1], &[1], &[1]]),
            malformed("certificate type: not one that hallpass signs"),
        ),
        (
            "a plain key's type",
            |p, _| p.algorithm = b"ssh-ed25519".to_vec(),
            malformed("certificate type"),
        ),
        (
            "a certificate's type in a certificate's",
            |p, _| p.algorithm = format!("{ED25519}-cert-v01@openssh.com").into_bytes(),
            malformed("certificate type: not one that hallpass signs"),
        ),
        (
            "a whole certificate as the key",
            |p, _| p.subject(ED25519, &[&p.encode()]),
            malformed("subject key"),
        ),
    ]);
}

fn become_key(parts: &mut Parts, seed: u8) {
    let blob = key_blob(&ed25519(seed)).unwrap();
    parts.subject(ED25519, &[&blob[blob.len() - 32..]]);
}

fn become_rsa(parts: &mut Parts, bits: usize) {
    let blob = key_blob(&rsa(bits)).unwrap();
    let mut r = Reader::new(&blob);
    let strings: [&[u8]; 3] = [(); 3].map(|()| r.string("rsa").unwrap());
    parts.subject("ssh-rsa-cert-v01@openssh.com", &strings[1..]);
}

/// P-256's generator, its y by its sign alone.
fn compressed() -> Vec<u8> {
    let ssh_key::public::KeyData::Ecdsa(key) = &subjects()[1] else { panic!("not p256") };
    let point = key.as_sec1_bytes();
    [&[2 + (point[64] & 1)], &point[1..33]].concat()
}

fn p521() -> [&'static [u8]; 2] {
    let blob: &'static [u8] = key_blob(&openssh(P521)).unwrap().leak();
    let mut r = Reader::new(blob);
    let strings: [&[u8]; 3] = [(); 3].map(|()| r.string("p521").unwrap());
    [strings[1], strings[2]]
}
