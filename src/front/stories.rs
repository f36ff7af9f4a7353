//! How others were let in as somebody else, told against [`Identity`].

use ssh_encoding::Decode;
use ssh_key::public::{KeyData, RsaPublicKey};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, Mpint, PrivateKey};

use super::identity::{Budget, Identity, Proof, Refused};
use crate::certificate::names::PersonName;
use crate::certificate::subject::{Unfit, fit};

fn key() -> KeyData {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)
        .unwrap()
        .public_key()
        .key_data()
        .clone()
}

fn ana() -> Option<PersonName> {
    Some("ana".parse().unwrap())
}

fn mallory() -> Option<PersonName> {
    Some("mallory".parse().unwrap())
}

const ED25519: Algorithm = Algorithm::Ed25519;

#[test]
fn a_key_that_was_only_offered_makes_nobody() {
    // Mallory has Ana's public key, as everybody has. She asks whether it would do, hears yes,
    // and asks for a command.
    let identity = Identity::new();
    assert_eq!(identity.offered("ana", &key(), &ED25519, ana().as_ref()), Ok(()));
    assert_eq!(identity.proof(), &Proof::Nobody);
}

#[test]
fn a_victims_key_offered_after_her_own_was_proved_leaves_mallory_herself() {
    // Mallory proves her own key where a second step is still to come, then offers Ana's: a
    // server that keeps the last key it saw takes her for Ana.
    let mut identity = Identity::new();
    let own = key();
    identity.named("root");
    identity.proved("root", &own, &ED25519, mallory()).unwrap();
    identity.named("root");
    assert_eq!(identity.offered("root", &key(), &ED25519, ana().as_ref()), Ok(()));
    let hers = Proof::Key { user: "root".into(), person: mallory().unwrap(), key: own };
    assert_eq!(identity.proof(), &hers);
}

#[test]
fn another_user_name_takes_the_proof_away_whatever_the_method() {
    // Mallory proves her key as mallory, then goes on as root-admin with keyboard-interactive, or
    // with the same key: what she proved must not count for the other name.
    let mut identity = Identity::new();
    let own = key();
    identity.named("mallory");
    identity.proved("mallory", &own, &ED25519, mallory()).unwrap();
    identity.named("root-admin");
    assert_eq!(identity.proof(), &Proof::Nobody);
    let other = identity.proved("root-admin", &own, &ED25519, mallory());
    assert_eq!((other, identity.proof()), (Err(Refused::OtherUser), &Proof::Nobody));
    // Back under the first name she is herself again, by a new proof alone.
    identity.named("mallory");
    assert_eq!(identity.proof(), &Proof::Nobody);
    identity.proved("mallory", &own, &ED25519, mallory()).unwrap();
    assert!(matches!(identity.proof(), Proof::Key { .. }));
}

#[test]
fn a_second_proof_that_fails_does_not_leave_the_first_behind() {
    let mut identity = Identity::new();
    identity.proved("x", &key(), &ED25519, ana()).unwrap();
    assert_eq!(identity.proved("x", &key(), &ED25519, None), Err(Refused::NotEnrolled));
    assert_eq!(identity.proof(), &Proof::Nobody);
}

#[test]
fn user_names_are_short_and_printable_and_otherwise_anybodys() {
    let identity = Identity::new();
    let offered = |user: &str| identity.offered(user, &key(), &ED25519, ana().as_ref());
    for good in ["", "root", "CORP\\ana", "ana.ivanova@laptop", "анна", &"a".repeat(64)] {
        assert_eq!(offered(good), Ok(()), "{good:?}");
    }
    for bad in ["a\n", "\u{1b}[2J", "a\0", "\u{9b}1m", &"a".repeat(65)] {
        assert_eq!(offered(bad), Err(Refused::UserName), "{bad:?}");
    }
}

#[test]
fn a_connection_has_thirty_two_offers_and_six_of_them_welcome() {
    let mut budget = Budget::new();
    let offers: Vec<bool> = (0..40).map(|_| budget.offer()).collect();
    assert_eq!(offers.iter().filter(|in_time| **in_time).count(), 32);
    assert!(offers[..32].iter().all(|in_time| *in_time), "and it never comes back");
    assert_eq!((0..40).filter(|_| budget.welcome()).count(), 6);
}

/// An RSA key with a modulus of so many bits (the number is composite; nobody calculates with it).
fn rsa(bits: usize, exponent: &[u8]) -> KeyData {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] >>= modulus.len() * 8 - bits;
    let (e, n) = (Mpint::from_positive_bytes(exponent), Mpint::from_positive_bytes(&modulus));
    KeyData::Rsa(RsaPublicKey::new(e, n).unwrap())
}

#[test]
fn rsa_keys_are_measured_in_bits_and_their_exponents_are_odd_and_short() {
    const F4: &[u8] = &[1, 0, 1];
    for bits in [3072, 3073, 4096, 8192] {
        assert_eq!(fit(&rsa(bits, F4)), Ok(()), "{bits}");
    }
    // 3065 bits fill 384 bytes: whoever counts bytes takes them for 3072.
    for bits in [1024, 2048, 3064, 3065, 3071, 8193, 16384] {
        assert_eq!(fit(&rsa(bits, F4)), Err(Unfit::Size { bits }), "{bits}");
    }
    for good in [&[3][..], &[17], F4, &[0xff; 4]] {
        assert_eq!(fit(&rsa(3072, good)), Ok(()), "{good:?}");
    }
    for bad in [&[1][..], &[2], &[1, 0, 0], &[1, 0, 0, 0, 1], &[0xff; 5], &[0xff; 384]] {
        assert_eq!(fit(&rsa(3072, bad)), Err(Unfit::Exponent), "{bad:?}");
    }
}

/// A public key from its wire form: the algorithm's name and the strings after it.
fn from_strings(strings: &[&[u8]]) -> KeyData {
    let mut blob = Vec::new();
    for string in strings {
        blob.extend(u32::try_from(string.len()).unwrap().to_be_bytes());
        blob.extend(*string);
    }
    KeyData::decode(&mut blob.as_slice()).unwrap()
}

#[test]
fn an_algorithm_signs_for_its_own_kind_of_key_and_never_with_sha1() {
    let point = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes();
    let sk = from_strings(&[b"sk-ssh-ed25519@openssh.com", &point, b"ssh:"]);
    let p256 = EcdsaCurve::NistP256;
    let rsa = rsa(3072, &[1, 0, 1]);
    let sha2 = |hash| Algorithm::Rsa { hash: Some(hash) };
    let identity = Identity::new();
    let offered = |key: &KeyData, algorithm| identity.offered("x", key, &algorithm, ana().as_ref());
    assert_eq!(offered(&sk, Algorithm::SkEd25519), Ok(()));
    assert_eq!(offered(&rsa, sha2(HashAlg::Sha256)), Ok(()));
    assert_eq!(offered(&rsa, sha2(HashAlg::Sha512)), Ok(()));
    for (key, algorithm) in [
        (&rsa, Algorithm::Rsa { hash: None }),
        (&rsa, ED25519),
        (&sk, ED25519),
        (&sk, sha2(HashAlg::Sha512)),
        (&sk, Algorithm::Ecdsa { curve: p256 }),
        (&key(), Algorithm::SkEd25519),
        (&key(), Algorithm::Dsa),
        (&key(), Algorithm::new("ed448@example.org").unwrap()),
    ] {
        assert_eq!(offered(key, algorithm.clone()), Err(Refused::Algorithm), "{algorithm}");
    }
}

#[test]
fn a_fido_key_is_known_by_its_application_too() {
    let with = |application| from_strings(&[b"sk-ssh-ed25519@openssh.com", &[7; 32], application]);
    assert_eq!(with(b"ssh:"), with(b"ssh:"));
    assert_ne!(with(b"ssh:"), with(b"ssh:other"), "the desk compares whole keys");
}

#[test]
fn kinds_that_are_not_named_are_refused() {
    let p521 = [&[4][..], &[1; 132]].concat();
    let p521 = from_strings(&[b"ecdsa-sha2-nistp521", b"nistp521", &p521]);
    let other = from_strings(&[b"ed448@example.org", &[7; 57]]);
    for key in [&p521, &other] {
        assert_eq!(fit(key), Err(Unfit::Kind));
    }
}
