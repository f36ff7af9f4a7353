//! The door with a toy desk behind it and the stock `ssh` in front.
#![cfg(unix)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command as Process, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ssh_key::public::KeyData;
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot};

use super::{Caller, Command, Commands, Config, Listener, Reply};
use crate::certificate::names::PersonName;

/// A desk that knows a few words.
#[derive(Default)]
struct Toy {
    people: Mutex<HashMap<KeyData, PersonName>>,
    begun: Notify,
    go: Notify,
    finished: AtomicU32,
}

impl Commands for Toy {
    fn owner(&self, key: &KeyData) -> Option<PersonName> {
        self.people.lock().unwrap().get(key).cloned()
    }

    async fn run(self: Arc<Self>, caller: Caller, command: Command) -> Reply {
        let words = match command {
            Command::Status => return reply("", &format!("hallpass: {}\n", caller.person), 0),
            Command::Words(words) => String::from_utf8(words).unwrap(),
        };
        match words.as_str() {
            "who" => {
                let print = caller.key.fingerprint(HashAlg::Sha256);
                reply(&format!("{} {} {print}\n", caller.person, caller.user), "", 0)
            }
            "refuse" => reply("half\n", "hallpass: no\nhint: ask bob\n", 1),
            "big" => reply(&"x".repeat(5 << 20), "", 0),
            "die" => panic!("of a broken heart"),
            "forget" => {
                self.people.lock().unwrap().clear();
                reply("", "", 0)
            }
            "wait" => {
                self.begun.notify_one();
                self.go.notified().await;
                self.finished.fetch_add(1, Ordering::SeqCst);
                reply("went\n", "", 0)
            }
            _ => reply(&format!("{words}\n"), "", 0),
        }
    }
}

fn reply(stdout: &str, stderr: &str, status: u32) -> Reply {
    Reply { stdout: stdout.into(), stderr: stderr.into(), status }
}

/// A door on a free port, in a folder of its own.
struct House {
    dir: PathBuf,
    port: u16,
    desk: Arc<Toy>,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<tokio::task::JoinHandle<()>>,
}

impl House {
    fn open() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::SeqCst);
        let dir = std::env::temp_dir().join(format!("hp-{}-{next}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let runtime = Runtime::new().unwrap();
        let host_key = PrivateKey::random(&mut rand::rng(), ssh_key::Algorithm::Ed25519).unwrap();
        let mut config = Config::new(vec!["127.0.0.1:0".parse().unwrap()], host_key.clone());
        change(&mut config);
        let listener = runtime.block_on(Listener::bind(config)).unwrap();
        let port = listener.addresses()[0].port();
        let known = format!("ca {}", host_key.public_key().to_openssh().unwrap());
        std::fs::write(dir.join("known"), known).unwrap();
        let desk = Arc::new(Toy::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = listener.run(desk.clone(), async { drop(stopped.await) });
        let running = Some(runtime.spawn(running));
        Self { dir, port, desk, runtime: Some(runtime), stop: Some(stop), running }
    }

    /// Makes a key; `kind` is what `ssh-keygen` takes, Ed25519 if nothing.
    fn key(&self, name: &str, kind: &[&str]) -> PublicKey {
        let file = self.dir.join(name);
        let mut made = Process::new("ssh-keygen");
        made.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).args(kind);
        assert!(done(&mut made).status.success());
        PublicKey::read_openssh_file(file.with_extension("pub")).unwrap()
    }

    /// Makes a key and enrols it.
    fn enrol(&self, name: &str, kind: &[&str]) -> KeyData {
        let key = self.key(name, kind).key_data().clone();
        self.desk.people.lock().unwrap().insert(key.clone(), "ana".parse().unwrap());
        key
    }

    /// `ssh ca WORDS` with one key and nothing of the developer's own.
    fn ssh(&self, key: &str, words: &[&str]) -> Process {
        self.ssh_with(&[], key, words)
    }

    /// The same with more options.
    fn ssh_with(&self, more: &[&str], key: &str, words: &[&str]) -> Process {
        let mut ssh = Process::new("ssh");
        ssh.args(["-F", "none", "-p", &self.port.to_string(), "-l", "anas-laptop"]).arg("-i");
        ssh.arg(self.dir.join(key)).arg("-o");
        ssh.arg(format!("UserKnownHostsFile={}", self.dir.join("known").display()));
        for option in [
            "IdentityAgent=none",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "HostKeyAlias=ca",
            "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=none",
            "ConnectTimeout=20",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(more).arg("127.0.0.1").args(words).stdin(Stdio::null());
        ssh
    }

    /// Its standard output, standard error and exit status.
    fn says(&self, key: &str, words: &[&str]) -> (String, String, i32) {
        text(done(&mut self.ssh(key, words)))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn done(process: &mut Process) -> Output {
    process.output().unwrap()
}

fn text(output: Output) -> (String, String, i32) {
    let text = |bytes| String::from_utf8(bytes).unwrap().replace('\r', "");
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

#[test]
fn every_kind_of_key_that_is_fit_logs_in_and_is_the_one_that_is_named() {
    let house = House::open();
    for kind in [
        &["-t", "ed25519"][..],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "rsa", "-b", "3072"],
    ] {
        let name = kind.concat();
        let key = house.enrol(&name, kind);
        let expected = format!("ana anas-laptop {}\n", key.fingerprint(HashAlg::Sha256));
        assert_eq!(house.says(&name, &["who"]), (expected, String::new(), 0), "{kind:?}");
    }
}

#[test]
fn an_unfit_key_stays_outside_though_somebody_enrolled_it() {
    let house = House::open();
    for kind in [&["-t", "rsa", "-b", "2048"][..], &["-t", "ecdsa", "-b", "521"]] {
        let name = kind.concat();
        house.enrol(&name, kind);
        let (out, err, status) = house.says(&name, &["who"]);
        assert_eq!((out.as_str(), status), ("", 255), "{kind:?}");
        assert!(err.contains("Permission denied (publickey)."), "{err}");
    }
}

#[test]
fn a_stranger_stays_outside() {
    let house = House::open();
    house.enrol("ana", &[]);
    house.key("mallory", &[]);
    let (out, err, status) = house.says("mallory", &["who"]);
    assert_eq!((out.as_str(), status), ("", 255));
    assert!(err.contains("Permission denied (publickey)."), "{err}");
}

#[test]
fn outputs_are_kept_apart_and_the_exit_status_arrives() {
    let house = House::open();
    house.enrol("ana", &[]);
    let refused = ("half\n".into(), "hallpass: no\nhint: ask bob\n".into(), 1);
    assert_eq!(house.says("ana", &["refuse"]), refused);
    let status = text(done(&mut house.ssh_with(&["-T"], "ana", &[])));
    assert_eq!(status, (String::new(), "hallpass: ana\n".into(), 0));
    assert_eq!(house.says("ana", &["a  'b"]), ("a  'b\n".into(), String::new(), 0));
}

#[test]
fn a_reply_larger_than_every_window_arrives_whole() {
    let house = House::open();
    house.enrol("ana", &[]);
    let (out, err, status) = house.says("ana", &["big"]);
    assert_eq!((out.len(), err.as_str(), status), (5 << 20, "", 0));
}

#[test]
fn a_terminal_gets_its_line_ends() {
    let house = House::open();
    house.enrol("ana", &[]);
    let output = done(&mut house.ssh_with(&["-tt"], "ana", &["refuse"]));
    assert_eq!(output.stdout, b"half\r\n");
    assert!(output.stderr.starts_with(b"hallpass: no\r\nhint: ask bob\r\n"), "{output:?}");
}

#[test]
fn an_interrupt_on_a_terminal_ends_the_answer() {
    let house = House::open();
    house.enrol("ana", &[]);
    let mut ssh = house.ssh_with(&["-tt"], "ana", &["wait"]);
    let mut client = ssh.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    house.runtime.as_ref().unwrap().block_on(house.desk.begun.notified());
    client.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(130));
}

#[test]
fn a_command_that_dies_is_a_fault_and_not_a_silence() {
    let house = House::open();
    house.enrol("ana", &[]);
    let (out, err, status) = house.says("ana", &["die"]);
    assert_eq!((out.as_str(), status), ("", 75));
    assert!(
        err.contains(": something broke while answering\n") && err.contains("\nhint: "),
        "{err}"
    );
    assert!(!err.contains("heart"), "the reason is the journal's: {err}");
}

#[test]
fn words_beyond_four_kibibytes_are_none() {
    let house = House::open();
    house.enrol("ana", &[]);
    let (most, more) = ("a".repeat(4096), "a".repeat(4097));
    assert_eq!(house.says("ana", &[&most]).2, 0);
    let (out, err, status) = house.says("ana", &[&more]);
    assert_eq!((out.as_str(), status), ("", 2));
    assert!(err.contains("hint: "), "{err}");
}

#[test]
fn a_second_command_goes_over_the_first_ones_connection_until_the_key_is_taken_away() {
    let house = House::open();
    house.enrol("ana", &[]);
    let shared = |words: &[&str]| {
        let path = format!("ControlPath={}", house.dir.join("mux").display());
        let more = ["-o", &path, "-o", "ControlMaster=auto", "-o", "ControlPersist=60"];
        text(done(&mut house.ssh_with(&more, "ana", words)))
    };
    assert_eq!(shared(&["one"]), ("one\n".into(), String::new(), 0));
    assert_eq!(shared(&["two"]), ("two\n".into(), String::new(), 0));
    assert_eq!(shared(&["forget"]).2, 0);
    // The master's connection was proved with a key that is nobody's now.
    assert_eq!((shared(&["three"]).0.as_str(), shared(&["three"]).2), ("", 255));
}

#[test]
fn work_goes_on_when_the_client_hangs_up() {
    let house = House::open();
    house.enrol("ana", &[]);
    let mut client = house.ssh("ana", &["wait"]).spawn().unwrap();
    let runtime = house.runtime.as_ref().unwrap();
    runtime.block_on(house.desk.begun.notified());
    client.kill().unwrap();
    client.wait().unwrap();
    house.desk.go.notify_one();
    let end = Instant::now() + Duration::from_secs(10);
    while house.desk.finished.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < end, "the work was cancelled");
        std::thread::yield_now();
    }
}

#[test]
fn a_certificate_is_no_login_and_does_not_stand_in_its_keys_way() {
    let house = House::open();
    house.key("ca", &[]);
    house.key("mallory", &[]);
    house.enrol("ana", &[]);
    for name in ["ana", "mallory"] {
        let mut sign = Process::new("ssh-keygen");
        sign.args(["-q", "-I", "x", "-n", "ana", "-s"]).arg(house.dir.join("ca"));
        assert!(done(sign.arg(house.dir.join(name).with_extension("pub"))).status.success());
    }
    // `ssh` offers the certificate beside the key first.
    assert_eq!(house.says("ana", &["one"]), ("one\n".into(), String::new(), 0));
    assert_eq!(house.says("mallory", &["one"]).2, 255);
}

#[test]
fn the_tenth_key_of_a_client_still_gets_in_and_one_of_forty_is_told_what_to_do() {
    let house = House::open();
    house.enrol("ana", &[]);
    let files: Vec<String> = (0..40)
        .map(|n| {
            let key = PrivateKey::random(&mut rand::rng(), ssh_key::Algorithm::Ed25519).unwrap();
            let file = house.dir.join(format!("strange-{n}"));
            key.write_openssh_file(&file, LineEnding::LF).unwrap();
            format!("-i{}", file.display())
        })
        .collect();
    let offering = |number: usize| {
        // `-i` in order; the last one is hers.
        let mut keys: Vec<&str> = files[1..number].iter().map(String::as_str).collect();
        let ana = format!("-i{}", house.dir.join("ana").display());
        keys.push(&ana);
        text(done(&mut house.ssh_with(&keys, "strange-0", &["one"])))
    };
    assert_eq!(offering(9), ("one\n".into(), String::new(), 0));
    let (_, err, status) = offering(40);
    assert_eq!(status, 255);
    assert!(err.contains("too many keys were offered; name one with"), "{err}");
}

#[test]
fn a_peer_that_says_nothing_or_little_is_gone_at_the_deadline() {
    let house = House::with(|config| config.login_deadline = Duration::from_millis(300));
    for trickle in [false, true] {
        let begun = Instant::now();
        let mut peer = TcpStream::connect(("127.0.0.1", house.port)).unwrap();
        if trickle {
            // A byte now and then would keep the library's own timeout from ever firing.
            let mut other = peer.try_clone().unwrap();
            other.write_all(b"SSH-2.0-").unwrap();
            std::thread::spawn(move || {
                while other.write_all(b"m").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).ok();
        let took = begun.elapsed();
        assert!(heard.starts_with(b"SSH-2.0-hallpass\r\n"), "{heard:?}");
        assert!((300..3000).contains(&took.as_millis()), "{took:?}, trickle {trickle}");
    }
}

#[test]
fn strangers_have_few_places_and_one_who_logs_in_gives_his_back() {
    let house = House::with(|config| config.limits.unauthenticated = 1);
    house.enrol("ana", &[]);
    let mut client = house.ssh("ana", &["wait"]).spawn().unwrap();
    let runtime = house.runtime.as_ref().unwrap();
    runtime.block_on(house.desk.begun.notified());
    assert_eq!(house.says("ana", &["one"]).2, 0, "a place is free again");
    let mut stranger = TcpStream::connect(("127.0.0.1", house.port)).unwrap();
    stranger.read_exact(&mut [0; 4]).unwrap();
    assert_eq!(house.says("ana", &["one"]).2, 255, "the only place is taken");
    drop(stranger);
    house.desk.go.notify_one();
    assert!(client.wait().unwrap().success());
}

#[test]
fn at_a_restart_everybody_is_told_and_the_door_closes() {
    let mut house = House::open();
    house.enrol("ana", &[]);
    let mut ssh = house.ssh("ana", &["wait"]);
    let client = ssh.stderr(Stdio::piped()).spawn().unwrap();
    let runtime = house.runtime.as_ref().unwrap();
    runtime.block_on(house.desk.begun.notified());
    // Somebody whose connection is kept open, and who asks for nothing just now.
    let mut idle = house.ssh_with(&["-N", "-v"], "ana", &[]);
    let mut idle = idle.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(idle.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.starts_with("Authenticated to ")));
    house.stop.take().unwrap().send(()).unwrap();
    let (_, err, status) = text(client.wait_with_output().unwrap());
    let told =
        "hallpass: the server is restarting\nhint: run the same command again: ssh ca wait\n";
    assert_eq!((err.as_str(), status), (told, 75));
    assert!(said.any(|line| line.contains("hallpass is restarting; run the same command again")));
    assert_eq!(idle.wait().unwrap().code(), Some(255));
    runtime.block_on(house.running.take().unwrap()).unwrap();
    assert!(TcpStream::connect(("127.0.0.1", house.port)).is_err());
}

#[test]
fn at_a_restart_an_answer_that_is_nearly_there_is_waited_for() {
    let mut house = House::open();
    house.enrol("ana", &[]);
    let mut ssh = house.ssh("ana", &["wait"]);
    let client = ssh.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let runtime = house.runtime.as_ref().unwrap();
    runtime.block_on(house.desk.begun.notified());
    house.stop.take().unwrap().send(()).unwrap();
    while TcpStream::connect(("127.0.0.1", house.port)).is_ok() {
        std::thread::yield_now();
    }
    house.desk.go.notify_one();
    assert_eq!(text(client.wait_with_output().unwrap()), ("went\n".into(), String::new(), 0));
    runtime.block_on(house.running.take().unwrap()).unwrap();
}
