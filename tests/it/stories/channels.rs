//! What somebody does who is in.

use std::path::Path;

use super::{Scene, nobodys, who};

#[test]
fn a_channel_that_was_never_opened_runs_nothing() {
    // Bob sends terminals, shells, commands, data and window changes for 32 channel numbers that were
    // never opened, or were and are closed (CVE-2026-68930). None runs; he stays connected.
    let mut scene = Scene::set();
    assert_eq!(who(&scene.tell("channels", "never_opened")), [("bob", 1), ("bob", 2)]);
    scene.nothing_happened();
}

#[test]
fn a_channel_has_one_command() {
    // Bob sends three commands, a terminal and a subsystem for one channel, in one breath.
    let mut scene = Scene::set();
    assert_eq!(who(&scene.tell("channels", "one_command_each")), [("bob", 1)]);
    scene.nothing_happened();
}

#[test]
fn ten_channels_are_all_there_are_at_a_time() {
    // Bob opens channels without end. The eleventh waits until one of the ten is done, with 63 others; the
    // one after is refused.
    let mut scene = Scene::set();
    assert_eq!(who(&scene.tell("channels", "eleven")), [("bob", 73)]);
    scene.nothing_happened();
}

#[test]
fn a_channel_that_waits_for_its_turn_runs_nothing() {
    // Bob has as many channels as one may have, and three more that wait. He does not know their numbers,
    // guesses them, and sends commands.
    let mut scene = Scene::set();
    assert_eq!(who(&scene.tell("channels", "guessed")), [("bob", 0)]);
    scene.nothing_happened();
}

#[test]
fn the_door_leads_nowhere_else() {
    // Bob, who is in, wants a way into the network behind the CA: forwarded ports, sockets, displays
    // and agents in both directions, a tunnel, sftp, an environment for the daemon.
    let mut scene = Scene::set();
    assert_eq!(who(&scene.tell("channels", "other_services")), [("bob", 1)]);
    assert!(!Path::new("/tmp/hallpass-forwarded").exists());
    scene.nothing_happened();
}

#[test]
fn strange_words_are_answered_in_plain_text() {
    // Bob has somebody read what the CA answers, or prints it to a terminal that obeys. He sends
    // control characters, other scripts that look like ours, broken UTF-8, quotes without an end, and
    // words beyond every limit. Each is usage or a refusal, in printable ASCII, with a hint.
    let mut scene = Scene::set();
    let visits = scene.tell("channels", "strange_words");
    assert_eq!((visits.len(), visits[0].person.as_str()), (1, "bob"));
    for entry in scene.afterwards() {
        assert_eq!((entry.kind.as_str(), &entry.facts["person"]), ("refusal", &"bob".into()));
    }
}

#[test]
fn strange_user_names_reach_no_terminal_and_no_journal() {
    // 1. Mallory's user name is 32 KiB long, holds NUL, an escape sequence, a whole record of the
    //    journal between line ends, or no UTF-8. With such a name not even ana's key is welcome.
    // 2. Her method and her service have such names.
    // 3. Bob's are odd, and no more. They are nobody's business.
    let mut scene = Scene::set();
    let visits = scene.tell("channels", "strange_names");
    let strangers = 9 + 4 * 3 + 2;
    nobodys(&visits[..strangers], strangers);
    assert_eq!(who(&visits[strangers..]), [("bob", 2); 9]);
    let left = scene.afterwards();
    assert_eq!(left.len(), 9);
    assert!(left.iter().all(|entry| entry.kind == "refusal"), "{left:#?}");
}

#[test]
fn whatever_fills_a_channel_harms_nobody_else() {
    // Bob's terminal has 131 modes or more (a panic once, GHSA-cqjc-rmpq-xprq), his window grows by 4 GiB
    // twice (CVE-2025-54804), his data ignores our window, his environment has 3 MB, his answers are
    // confirmations of nothing; and he gives ten answers a window of no byte.
    let mut scene = Scene::set();
    let visits = scene.tell("channels", "too_large");
    assert!(visits.iter().all(|visit| visit.person == "bob"), "{visits:?}");
    scene.nothing_happened();
}

#[test]
fn a_key_exchange_that_never_ends_keeps_nothing() {
    // Mallory, and then bob, announces new keys, never finishes, and sends channels, commands and
    // logins by the hundred thousand meanwhile (CVE-2026-102821): the connection ends.
    let mut scene = Scene::set();
    let visits = scene.tell("channels", "half_a_rekey");
    nobodys(&visits[..3], 3);
    assert_eq!(who(&visits[3..]), [("bob", 0); 3]);
    scene.nothing_happened();
}
