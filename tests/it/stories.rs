//! Attacks, each told step by step and then tried on a running CA.
//!
//! Mallory is nobody. Bob has a key and may next to nothing; ana has the ticket. Both attackers have
//! everybody's public keys, and a client that says anything in any order (`tests/stories/raw.py`).
//! A story's script is strict about every answer of the server. Afterwards, whatever the story was:
//! the daemon and the signer live, it grew by no more than it may, each line of the journal is one
//! record, the ledger verifies and holds nothing but what the story says, and ana gets in.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ca::{Ca, Entry};
use crate::process::{children, key_pair, python, repository, run, until};

/// How many bytes the daemon may grow by, whatever is thrown at it.
const GROWTH: u64 = 64 << 20;

/// A CA, and what it was like before the story.
struct Scene {
    ca: Ca,
    signer: u32,
    memory: u64,
    entries: usize,
    visits: usize,
}

/// One connection, as the journal has it.
#[derive(Debug, PartialEq, Eq)]
struct Visit {
    person: String,
    commands: u64,
    why: String,
}

impl Scene {
    fn set() -> Self {
        Self::of(Ca::start())
    }

    fn of(ca: Ca) -> Self {
        let visits = visits_in(&ca).len() + 1;
        assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0);
        until("the end of ana's visit", || visits_in(&ca).len() == visits);
        let (signer, memory) = (children(ca.daemon.pid()), peak(ca.daemon.pid()));
        let [signer] = signer[..] else { panic!("one signer: {signer:?}") };
        let entries = ca.entries().len();
        Self { ca, signer, memory, entries, visits }
    }

    /// Tells a story of `tests/stories/FILE.py`; its connections, in the order of their ends.
    fn tell(&mut self, file: &str, story: &str) -> Vec<Visit> {
        let script = repository("tests/stories").join(file).with_extension("py");
        let port = self.ca.port().to_string();
        let said = run(python().arg(script).args([story, &port]).arg(self.ca.dir()));
        assert_eq!(said.code, 0, "{}\n{:#?}", said.err, self.ca.daemon.log());
        let number: usize = said.out.trim().parse().unwrap();
        until("the end of every connection", || visits_in(&self.ca).len() == self.visits + number);
        let visits = visits_in(&self.ca).split_off(self.visits);
        self.visits += number;
        visits
    }

    /// What the story left in the ledger. Everything that must be so after each story is checked.
    fn afterwards(self) -> Vec<Entry> {
        let Self { ca, signer, memory, entries, .. } = self;
        // The ledger has one writer and one queue: what came before ana's certificate is in it.
        let said = ca.ssh("ana", &["deploy@web01", "OPS-7"]);
        assert_eq!(said.code, 0, "ana does not get in: {said:?}");
        let mut all = ca.entries();
        assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
        let listed = std::fs::read_to_string(ca.file("state/signer/list")).unwrap();
        assert_eq!(
            listed.lines().count(),
            all.iter().filter(|entry| entry.has_certificate).count()
        );

        assert_eq!(children(ca.daemon.pid()), [signer], "the signer is another one");
        let grown = peak(ca.daemon.pid()).saturating_sub(memory);
        assert!(grown < GROWTH, "the daemon grew by {grown} bytes");
        let log = ca.daemon.log();
        let begun = log.iter().position(|line| line.contains(" listens on ")).unwrap();
        for line in &log[begun + 1..] {
            if line == "hallpass-signer: serving a peer with uid 0" {
                continue;
            }
            let record: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
            assert!(record.get("forged").is_none(), "{line}");
            assert!(record["level"] != "ERROR", "{line}");
        }
        let anas = all.split_off(all.len() - 2);
        assert_eq!((anas[0].kind.as_str(), anas[1].kind.as_str()), ("grant", "certificate"));
        all.split_off(entries)
    }

    /// The same, for stories that leave nothing.
    fn nothing_happened(self) {
        let left = self.afterwards();
        assert!(left.is_empty(), "{left:#?}");
    }
}

/// The most memory a process ever had.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

fn visits_in(ca: &Ca) -> Vec<Visit> {
    let log = ca.daemon.log();
    let records = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ended = records.filter(|record| record["message"] == "connection ended");
    ended
        .map(|record| Visit {
            person: record["person"].as_str().unwrap().to_owned(),
            commands: record["commands"].as_u64().unwrap(),
            why: record["why"].as_str().unwrap().to_owned(),
        })
        .collect()
}

/// So many connections, all of nobody, and none had a command.
fn nobodys(visits: &[Visit], number: usize) {
    assert_eq!(visits.len(), number);
    for visit in visits {
        assert_eq!((visit.person.as_str(), visit.commands), ("-", 0), "{visit:?}");
    }
}

/// Person and commands of each.
fn who(visits: &[Visit]) -> Vec<(&str, u64)> {
    visits.iter().map(|visit| (visit.person.as_str(), visit.commands)).collect()
}

// --- somebody else ---------------------------------------------------------------------------

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
    assert_eq!(kinds, ["refusal", "grant", "certificate"].repeat(4));
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
    let mut visits = scene.tell("identity", "another_session");
    visits.sort_by(|a, b| a.person.cmp(&b.person));
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
    let mut visits = scene.tell("identity", "another_algorithm");
    visits.sort_by(|a, b| a.person.cmp(&b.person));
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
    assert_eq!(who(&visits), [("ana", 1), ("ana", 1), ("-", 0), ("-", 0)]);
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

// --- the wrong time --------------------------------------------------------------------------

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
fn whoever_does_not_log_in_is_gone_at_the_deadline() {
    // Ten connections stop at each step of the way, or go on for ever: one with a byte now and then,
    // one with messages that mean nothing, one in the middle of a second key exchange. All are closed
    // at the deadline, which nothing they send puts off. Ana, who is in, stays.
    let mut scene = Scene::of(Ca::start_with(short_deadline));
    let mut visits = scene.tell("order", "after_two_seconds");
    visits.sort_by(|a, b| a.person.cmp(&b.person));
    nobodys(&visits[..10], 10);
    for visit in &visits[..10] {
        assert!(visit.why.contains("not logged in by the deadline"), "{visit:?}");
    }
    assert_eq!(who(&visits[10..]), [("ana", 1)]);
    scene.nothing_happened();
}

fn short_deadline(dir: &Path) {
    let file = dir.join("ca/ca.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("login_deadline = \"20s\""));
    let text = text.replace("login_deadline = \"20s\"", "login_deadline = \"2s\"");
    std::fs::write(file, text).unwrap();
}

#[test]
fn a_crowd_of_strangers_is_survived() {
    // Mallory opens more connections than the daemon has file descriptors for, and says nothing. A
    // server that ends when it cannot accept ends here; ours goes on when they are gone, which they
    // are at the deadline, without her help.
    let scene = Scene::of(Ca::start_with(short_deadline));
    let limit = format!("--pid={}", scene.ca.daemon.pid());
    run(Command::new("prlimit").args([&limit, "--nofile=60:"])).ok();
    let begun = Instant::now();
    let mut crowd: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(("127.0.0.1", scene.ca.port())).unwrap()).collect();
    until("an accept that fails", || {
        scene.ca.daemon.log().iter().any(|line| line.contains("could not accept a connection"))
    });
    for (number, stranger) in crowd.iter_mut().enumerate() {
        stranger.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut heard = Vec::new();
        stranger.read_to_end(&mut heard).ok();
        assert!(heard.is_empty() || heard.starts_with(b"SSH-2.0-hallpass\r\n"), "{number}");
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "somebody was turned away too soon");
    run(Command::new("prlimit").args([&limit, "--nofile=1024:"])).ok();
    scene.nothing_happened();
}

// --- somebody who is in ----------------------------------------------------------------------

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
    // Bob opens channels without end. The eleventh is refused, until one of the ten is done.
    let mut scene = Scene::set();
    assert_eq!(who(&scene.tell("channels", "eleven")), [("bob", 9)]);
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
    let mut visits = scene.tell("channels", "strange_names");
    visits.sort_by(|a, b| a.person.cmp(&b.person));
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
    let mut visits = scene.tell("channels", "half_a_rekey");
    visits.sort_by(|a, b| a.person.cmp(&b.person));
    nobodys(&visits[..3], 3);
    assert_eq!(who(&visits[3..]), [("bob", 0); 3]);
    scene.nothing_happened();
}

#[test]
fn a_flood_is_not_kept() {
    // Mallory sends 80 MB of messages that mean nothing; bob sends questions and never reads an
    // answer, and types 80 MB into a channel that nobody reads.
    let mut scene = Scene::set();
    let mut visits = scene.tell("channels", "floods");
    visits.sort_by(|a, b| a.person.cmp(&b.person));
    assert_eq!(who(&visits), [("-", 0), ("bob", 0), ("bob", 0)]);
    scene.nothing_happened();
}
