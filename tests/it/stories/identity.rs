//! Those who want to be somebody else.

use std::process::Command;

use super::{Scene, nobodys, visits_in, who};
use crate::ca::Ca;
use crate::process::{key_pair, run, until};

#[test]
fn a_key_that_was_only_offered_is_nobodys_login() {
    // Mallory has ana's public key, as everybody has.
    // 1. She asks as ana whether it would do, and hears yes.
    // 2. She opens a channel and asks for root@db01, as if she were in. A server that took the key it
    //    saw last for the key that was proved would go along (CVE-2024-45337, CVE-2023-43660).
    // 3. She tells the server that the login succeeded (CVE-2018-10933), and tries again.
    // 4. She signs with her own key, below ana's key, and below her own.
    let mut scene = Scene::set();
    nobodys(&scene.tell("identity", "only_offered"), 1);
    scene.nothing_happened();
}

#[test]
fn a_victims_key_offered_beside_her_own_leaves_bob_himself() {
    // Bob is in the team, but the ticket is ana's.
    // 1. He offers ana's key and signs with his own; or both, in either order, or ana's again last.
    // 2. After the login he offers ana's once more.
    // 3. He asks for what ana may, and for what he may himself.
    let mut scene = Scene::set();
    let visits = scene.tell("identity", "offered_beside_her_own");
    assert_eq!(who(&visits), [("bob", 3); 4]);
    let left = scene.afterwards();
    let kinds: Vec<&str> = left.iter().map(|entry| entry.kind.as_str()).collect();
    // The later certificates come from the grant that is there.
    let later = ["refusal", "certificate"].repeat(3);
    assert_eq!(kinds, [&["refusal", "grant", "certificate"][..], &later].concat());
    for entry in left {
        assert_eq!(entry.facts["person"], "bob", "{entry:?}");
        assert!(entry.kind == "refusal" || entry.facts["accounts"][0] == "logs@web01", "{entry:?}");
    }
}

#[test]
fn another_user_name_begins_anew() {
    // Mallory has seen ana's signature for the name ana, or ana is careless with names.
    // 1. She offers ana's key as ana, hears yes, and sends the signature as root-admin, and as bob: a
    //    server that keeps the welcome and forgets the name lets her in (CVE-2026-46705).
    // 2. Ana signs for another name: she is ana, for no name is a right.
    // 3. Logged in, she goes on as bob: nothing changes any more.
    let mut scene = Scene::set();
    assert_eq!(who(&scene.tell("identity", "under_another_name")), [("ana", 3)]);
    let left = scene.afterwards();
    assert_eq!(left.iter().filter(|entry| entry.has_certificate).count(), 1);
    assert!(left.iter().all(|entry| entry.facts["person"] == "ana"), "{left:#?}");
}

#[test]
fn a_colleagues_user_name_is_refused_with_a_sentence() {
    // Somebody at ana's keyboard types `ssh bob@ca`: the key says ana, the name says bob. Whoever
    // reads the ledger later must not wonder whose request it was.
    let mut scene = Scene::set();
    assert_eq!(who(&scene.tell("identity", "as_another_person")), [("ana", 1)]);
    let left = scene.afterwards();
    assert_eq!(left.len(), 1);
    let (kind, facts) = (left[0].kind.as_str(), &left[0].facts);
    assert_eq!((kind, &facts["person"]), ("refusal", &"ana".into()));
    assert_eq!(facts["reasons"][0], "your key is ana's, the SSH user name is bob's");
}

#[test]
fn no_other_method_lets_anybody_in() {
    // The server says it takes keys alone, but what it says is advice: a client may ask for any method.
    // 1. As ana: nothing at all, a password, a new password, a dialogue, an answer to a question that
    //    was never asked, 268 million answers (CVE-2026-42189), host-based with ana's public key for
    //    the host's, GSSAPI.
    // 2. The same with ana's key welcomed before each, as a step that counts.
    let mut scene = Scene::set();
    nobodys(&scene.tell("identity", "other_methods"), 2);
    scene.nothing_happened();
}

#[test]
fn a_signature_is_good_for_one_connection() {
    // Mallory recorded ana's login, every byte of it, before it was encrypted.
    // 1. She sends ana's signed request over a connection of her own, also with ana's key welcomed.
    // 2. She has ana sign for the recorded session again.
    let mut scene = Scene::set();
    let visits = scene.tell("identity", "another_session");
    assert_eq!(who(&visits), [("-", 0), ("ana", 0)]);
    scene.nothing_happened();
}

#[test]
fn a_signature_is_made_the_way_that_was_announced_and_never_with_sha1() {
    // Ana has an RSA key, too, and Mallory can forge a SHA-1 signature.
    // 1. She announces ssh-rsa, or SHA-2 and sends SHA-1, or one SHA-2 and sends the other, or labels
    //    SHA-1 as SHA-2.
    // 2. She puts a key under another type's name.
    // Ana herself gets in with both kinds of SHA-2.
    let ca = Ca::start_with(|dir| {
        key_pair(dir, "ana-rsa", &["rsa", "-b", "3072"]);
        let people = dir.join("ca/people.toml");
        let text = std::fs::read_to_string(&people).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        let (old, rsa) = (read("ana.pub"), read("ana-rsa.pub"));
        let (old, both) = (old.trim(), format!("{}\", \"{}", old.trim(), rsa.trim()));
        std::fs::write(&people, text.replace(old, &both)).unwrap();
    });
    let mut scene = Scene::of(ca);
    let visits = scene.tell("identity", "another_algorithm");
    nobodys(&visits[..5], 5);
    assert_eq!(who(&visits[5..]), [("ana", 0), ("ana", 0)]);
    scene.nothing_happened();
}

#[test]
fn a_certificate_does_not_open_the_door_that_made_it() {
    // A certificate outlives the key it stands for, and whoever signs one could say who is in.
    // 1. Ana shows the door a certificate it has just issued for her.
    // 2. Mallory makes herself a CA, and shows certificates of hers: for ana's key, for her own key with
    //    ana's name, and a host's.
    // None is a login, proved or not; the plain key afterwards is judged as ever.
    let ca = Ca::start();
    ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    for (name, of, options) in [
        ("rogue-ana", "ana", &["-n", "ana,deploy@web01"][..]),
        ("rogue-mallory", "mallory", &["-n", "ana,deploy@web01"]),
        ("rogue-host", "mallory", &["-h", "-n", "ca"]),
    ] {
        let at = |name: &str| ca.dir().join(format!("{name}.pub"));
        std::fs::copy(at(of), at(name)).unwrap();
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-I", "ana", "-s"]).arg(ca.dir().join("mallory"));
        run(sign.args(options).arg(at(name))).ok();
    }
    until("the end of ana's first visit", || visits_in(&ca).len() == 1);
    let mut scene = Scene::of(ca);
    let visits = scene.tell("identity", "certificates");
    assert_eq!(who(&visits), [("-", 0), ("-", 0), ("ana", 1), ("ana", 1)]);
    scene.nothing_happened();
}

#[test]
fn a_list_of_public_keys_is_not_tried_out_on_one_connection() {
    // Mallory has ten thousand public keys and wants to know which are enrolled. After 32 the
    // connection ends, though the 33rd is ana's.
    let mut scene = Scene::set();
    let visits = scene.tell("identity", "too_many_offers");
    nobodys(&visits, 1);
    assert!(visits[0].why.contains("too many keys were offered"), "{visits:?}");
    scene.nothing_happened();
}

#[test]
fn six_signatures_are_all_that_one_connection_may_try() {
    // Mallory hopes that one of many bad signatures is taken. After six the connection ends, and even
    // the right one comes too late.
    let mut scene = Scene::set();
    let visits = scene.tell("identity", "too_many_proofs");
    nobodys(&visits, 1);
    assert!(visits[0].why.contains("too many attempts to prove a key"), "{visits:?}");
    scene.nothing_happened();
}

#[test]
fn a_refusal_does_not_say_who_is_known() {
    // Mallory tries names, with a key of her own, offered and signed, and with a password. All are
    // refused with the same bytes, and after the same while at least. Ana's key is welcome under every
    // name alike.
    let mut scene = Scene::set();
    nobodys(&scene.tell("identity", "who_is_there"), 5);
    scene.nothing_happened();
}
