//! What the signer keeps and what it is given: mark, list, rate, disk and key files.

use std::path::Path;

use super::protocol::{Answer, Batch, Refusal};
use super::scene::{Scene, stands};
use super::trial::{Trial, private_key, write};
use crate::certificate::sample::{NOW, ed25519};
use crate::certificate::time::Span;
use crate::ledger::toy::{Order, Toy};

/// The daemon asks for as many as it can get, and has the signer restarted in between.
#[test]
fn a_restart_does_not_reset_the_rate() {
    let toml = "[rate]\ntotal = 5\nperson = 3\naccount = 100\n";
    let mut scene = Scene::new(toml);
    for _ in 0..3 {
        assert!(scene.order(Order::at(NOW)).is_ok());
    }
    let mut scene = scene.restart();
    assert!(scene.order(Order::at(NOW)).unwrap_err().contains("3 certificates a minute for ana"));
    let bob = || {
        let mut order = Order::at(NOW);
        order.says.key_id.person = "bob".parse().unwrap();
        order.facts.granted.person = "bob".parse().unwrap();
        order
    };
    assert!(scene.order(bob()).is_ok() && scene.order(bob()).is_ok());
    let mut scene = scene.restart();
    assert!(scene.order(bob()).unwrap_err().contains("limit of 5 certificates a minute is"));
    // What was refused is not on the list; a minute later there is room again.
    let list = std::fs::read_to_string(scene.trial.path("list")).unwrap();
    assert_eq!(list.lines().count(), 5);
    let later = NOW.plus(Span::secs(60));
    let batch = scene.toy.order(&[Order::at(later)]);
    let Answer::Signed { results, .. } = scene.witness.batch(&batch, later) else { panic!() };
    assert!(results[0].is_ok());
}

/// The power fails after the list was written and before the mark was.
#[test]
fn a_crash_between_list_and_mark_costs_one_batch_and_nothing_else() {
    let mut scene = Scene::new("");
    let before = std::fs::read(scene.trial.path("mark")).unwrap();
    let batch = scene.toy.order(&[Order::at(NOW), Order::at(NOW)]);
    assert!(scene.say(&batch).unwrap().iter().all(Result::is_ok));
    std::fs::write(scene.trial.path("mark"), before).unwrap();

    let mut scene = scene.restart();
    assert_eq!(scene.witness.hello().size, 1, "the mark is the one before");
    let results = scene.say(&batch).unwrap();
    assert!(results.iter().all(Result::is_err), "an index on the list was signed again");
    assert_eq!(scene.witness.hello().size, 3);
    stands(&scene.order(Order::at(NOW)).unwrap(), 3);
}

/// The other way round: the list is lost, the mark is not.
#[test]
fn the_mark_alone_keeps_an_index_from_being_signed_again() {
    let mut scene = Scene::new("");
    let batch = scene.toy.order(&[Order::at(NOW)]);
    assert!(scene.say(&batch).unwrap()[0].is_ok());
    std::fs::write(scene.trial.path("list"), b"").unwrap();
    let mut scene = scene.restart();
    let again = Batch { consistency: Vec::new(), ..batch };
    assert!(scene.say(&again).unwrap()[0].is_err());
}

/// A file whose disk fails when it is told to: memory, sealed against writing.
struct Failing(std::fs::File);

impl Failing {
    fn instead_of(path: &Path) -> Self {
        let memory = rustix::fs::memfd_create("disk", rustix::fs::MemfdFlags::ALLOW_SEALING);
        let mut file = std::fs::File::from(memory.unwrap());
        std::io::copy(&mut std::fs::File::open(path).unwrap(), &mut file).unwrap();
        std::fs::remove_file(path).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        std::os::unix::fs::symlink(format!("/proc/self/fd/{fd}"), path).unwrap();
        Self(file)
    }

    fn fail(&self) {
        rustix::fs::fcntl_add_seals(&self.0, rustix::fs::SealFlags::WRITE).unwrap();
    }
}

#[test]
fn a_disk_that_fails_gets_no_signature() {
    for file in ["mark", "list"] {
        let Scene { trial, witness, mut toy } = Scene::new("");
        drop(witness);
        let disk = Failing::instead_of(&trial.path(file));
        let mut scene = Scene { witness: trial.open(NOW).unwrap(), trial, toy: Toy::new() };
        let first = toy.order(&[Order::at(NOW)]);
        assert!(scene.say(&first).unwrap()[0].is_ok(), "{file}: while it works");

        disk.fail();
        let second = toy.order(&[Order::at(NOW)]);
        for _ in 0..2 {
            assert!(matches!(scene.say(&second), Err(Refusal::Disk(_))), "{file}");
            assert_eq!(scene.witness.hello().size, 2, "{file}: the mark moved in memory alone");
        }
        if file == "list" {
            // Without certificates nothing goes on the list, and the mark still moves.
            let none = Batch { entries: Vec::new(), ..second.clone() };
            assert_eq!(scene.say(&none), Ok(Vec::new()));
        } else {
            // With a new disk: what was on the list is not signed, what comes after it is.
            let copy = std::fs::read(scene.trial.path(file)).unwrap();
            std::fs::remove_file(scene.trial.path(file)).unwrap();
            std::fs::write(scene.trial.path(file), copy).unwrap();
            let mut scene = scene.restart();
            assert!(scene.say(&second).unwrap()[0].is_err());
            let third = toy.order(&[Order::at(NOW)]);
            stands(&scene.say(&third).unwrap()[0].clone().unwrap(), 3);
        }
    }
}

/// Two signers on one state would each sign an index once.
#[test]
fn a_second_signer_on_the_same_state_does_not_start() {
    let scene = Scene::new("");
    let why = scene.trial.open(NOW).err().unwrap();
    assert!(why.contains("another signer is running"), "{why}");
    drop(scene.restart());
}

#[test]
fn keys_that_others_can_read_or_change_are_not_used() {
    use std::os::unix::fs::symlink;
    let refuse = |what: &str, why: &str, bend: &dyn Fn(&Trial)| {
        let trial = Trial::with("");
        bend(&trial);
        let said = trial.open(NOW).err().unwrap_or_else(|| panic!("{what} was taken"));
        assert!(said.contains(why), "{what}: {said}");
    };
    for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
        refuse("a mode", "others can read", &|trial| {
            let pem = std::fs::read(trial.path("user_ca")).unwrap();
            write(&trial.path("user_ca"), &pem, mode);
        });
    }
    refuse("a link", "user_ca", &|trial| {
        std::fs::rename(trial.path("user_ca"), trial.path("elsewhere")).unwrap();
        symlink(trial.path("elsewhere"), trial.path("user_ca")).unwrap();
    });
    refuse("a pipe", "not a regular file", &|trial| {
        std::fs::remove_file(trial.path("bare_ca")).unwrap();
        let (path, mode) = (trial.path("bare_ca"), rustix::fs::Mode::from_raw_mode(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    });
    refuse("a folder", "not a regular file", &|trial| {
        std::fs::remove_file(trial.path("bare_ca")).unwrap();
        std::fs::create_dir(trial.path("bare_ca")).unwrap();
    });
    refuse("no file", "cosigning", &|trial| {
        std::fs::remove_file(trial.path("cosigning")).unwrap();
    });
    refuse("one key as both CAs", "are the same", &|trial| {
        std::fs::copy(trial.path("user_ca"), trial.path("bare_ca")).unwrap();
    });
    refuse("a CA's key that cosigns", "are the same", &|trial| {
        std::fs::copy(trial.path("user_ca"), trial.path("cosigning")).unwrap();
    });
    refuse("the ledger's key as the signer's", "are the same", &|trial| {
        let pem = private_key(3, "").to_openssh(ssh_key::LineEnding::LF).unwrap();
        write(&trial.path("cosigning"), pem.as_bytes(), 0o600);
    });
    refuse("the host key as a CA", "are the same", &|trial| {
        let pem = private_key(5, "").to_openssh(ssh_key::LineEnding::LF).unwrap();
        write(&trial.path("user_ca"), pem.as_bytes(), 0o600);
    });
    refuse("no mark", "mark", &|trial| std::fs::remove_file(trial.path("mark")).unwrap());
    refuse("no list", "list", &|trial| std::fs::remove_file(trial.path("list")).unwrap());
}

#[test]
fn an_encrypted_key_opens_with_its_passphrase_file_alone() {
    let trial = Trial::with("passphrase = \"passphrase\"\n");
    let sealed = private_key(1, "").encrypt(&mut rand::rng(), "correct horse").unwrap();
    let pem = sealed.to_openssh(ssh_key::LineEnding::LF).unwrap();
    write(&trial.path("user_ca"), pem.as_bytes(), 0o600);
    let why = |trial: &Trial| trial.open(NOW).err().unwrap();
    assert!(why(&trial).contains("passphrase"), "no file");
    write(&trial.path("passphrase"), b"wrong\n", 0o600);
    assert!(why(&trial).contains("does not open it"));
    write(&trial.path("passphrase"), b"correct horse\n", 0o644);
    assert!(why(&trial).contains("others can read"));
    write(&trial.path("passphrase"), b"correct horse\n", 0o600);
    let opened = trial.open(NOW).unwrap();
    assert_eq!(opened.hello().user_ca, crate::certificate::blob::key_blob(&ed25519(1)).unwrap());

    let unnamed = Trial::with("");
    write(&unnamed.path("user_ca"), pem.as_bytes(), 0o600);
    assert!(why(&unnamed).contains("names no passphrase file"));
}
