//! Messages at the wrong time, and bytes that are no messages.

use std::path::Path;

use super::{Scene, nobodys, spare, who};
use crate::ca::{Ca, bend};

#[test]
fn no_message_before_the_login_starts_anything() {
    // Servers have run commands for whoever sent the messages of a later stage (CVE-2018-10933,
    // CVE-2025-32433).
    // 1. Mallory sends each of the 256 kinds of message, with and without content: in the clear in
    //    the place of the key exchange; encrypted before she asked for a service; and after.
    // 2. Each time she goes on to a channel and commands on 32 channel numbers.
    let mut scene = Scene::set();
    nobodys(&scene.tell("order", "every_message"), 255 * 2 * 3);
    scene.nothing_happened();
}

#[test]
fn what_was_sent_before_the_login_does_not_wait_for_it() {
    // 1. Mallory sends all of a session in advance: success, a forwarding, a channel, its confirmation,
    //    commands, data. Then a signature that does not count.
    // 2. Then ana logs in over that connection. The commands must not run now.
    let mut scene = Scene::set();
    assert_eq!(who(&scene.tell("order", "channels_before_the_login")), [("ana", 1)]);
    scene.nothing_happened();
}

#[test]
fn a_key_exchange_without_a_secret_fails() {
    // Mallory sends points of small order for her half of the key exchange, alone (CVE-2026-73430 was
    // a panic) and beside ML-KEM (CVE-2026-102824), and halves of the wrong length.
    let mut scene = Scene::set();
    nobodys(&scene.tell("order", "no_shared_secret"), 2 * (5 + 5 + 3));
    scene.nothing_happened();
}

#[test]
fn nothing_weaker_is_spoken_than_what_is_offered() {
    // Mallory, in the middle, removes all but the weak algorithms from ana's list: Diffie-Hellman in
    // number groups, NIST's curves, ciphers that need a MAC or are none, compression.
    let mut scene = Scene::set();
    nobodys(&scene.tell("order", "weaker_algorithms"), 11);
    scene.nothing_happened();
}

#[test]
fn a_message_slipped_into_the_key_exchange_ends_it() {
    // Terrapin (CVE-2023-48795): Mallory, in the middle, adds a message before the encryption starts,
    // to remove one after it without a gap in the numbers. A server of strict key exchange hangs up.
    let mut scene = Scene::set();
    nobodys(&scene.tell("order", "cut_off"), 6);
    scene.nothing_happened();
}

#[test]
fn bytes_that_are_not_ssh_cost_nothing() {
    // 1. Ten thousand lines before the version, or a version without an end (CVE-2026-48108); HTTP,
    //    TLS, SSH 1.
    // 2. Packets of 4 GiB, of nothing, of more padding than packet (CVE-2024-43410), in the clear and
    //    after the key exchange; a packet changed on its way.
    let mut scene = Scene::set();
    nobodys(&scene.tell("order", "not_even_ssh"), 2 + 4 + 9 + 8 + 8 + 1);
    scene.nothing_happened();
}

#[test]
fn lists_and_strings_without_end_cost_nothing() {
    // Lists of a quarter of a megabyte, and strings that claim four gigabytes, in each message that
    // is read before the login (CVE-2026-48110).
    let mut scene = Scene::set();
    nobodys(&scene.tell("order", "lists_without_end"), 3 + 14);
    scene.nothing_happened();
}

#[test]
fn messages_that_are_almost_right_are_wrong() {
    // Mallory has ana's signed request and may change a byte of it; she has keys whose numbers are
    // negative, even or a thousand bytes long (CVE-2026-39829), points on no curve, certificates
    // of CAs with such keys, and messages of every kind with bytes changed, lost and added. Bob does
    // the same to his channels. Nothing logs in, nothing panics, nothing is issued.
    let mut scene = Scene::set();
    let visits = scene.tell("bent", "bent");
    let strangers = visits.iter().filter(|visit| visit.person == "-").count();
    nobodys(&visits[..strangers], strangers);
    assert!(visits[strangers..].iter().all(|visit| visit.person == "bob"), "{visits:?}");
    assert_eq!((strangers > 450, visits.len() - strangers), (true, 60));
    scene.nothing_happened();
}

#[test]
fn whoever_does_not_log_in_is_gone_at_the_deadline() {
    // Ten connections stop at each step of the way, or go on for ever: one with a byte now and then,
    // one with messages that mean nothing, one in the middle of a second key exchange. All are closed
    // at the deadline, which nothing they send puts off. Ana, who is in, stays.
    let mut scene = Scene::of(Ca::start_with(short_deadline));
    let visits = scene.tell("order", "after_two_seconds");
    nobodys(&visits[..10], 10);
    for visit in &visits[..10] {
        assert!(visit.why.contains("not logged in by the deadline"), "{visit:?}");
    }
    assert_eq!(who(&visits[10..]), [("ana", 1)]);
    scene.nothing_happened();
}

fn short_deadline(dir: &Path) {
    bend(dir, "login_deadline = \"20s\"", "login_deadline = \"2s\"");
    spare(dir);
}
