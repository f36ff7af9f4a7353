//! The signer's door: who is let in, and what becomes of a peer that does not behave.

use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use super::protocol::{Answer, MAX_FRAME, Question, Refusal, receive, send};
use super::serve::serve_within;
use super::trial::Trial;
use crate::certificate::sample::NOW;
use crate::outside::manager::Manager;

const PATIENCE: Duration = Duration::from_millis(300);

/// A signer behind a socket.
fn open(toml: &str) -> Trial {
    let trial = Trial::with(toml);
    let listener = UnixListener::bind(trial.path("socket")).unwrap();
    let mut witness = trial.open(NOW).unwrap();
    std::thread::spawn(move || {
        serve_within(PATIENCE, &mut witness, &listener, &mut Manager::default(), || NOW, |_| ())
    });
    trial
}

fn connect(trial: &Trial) -> UnixStream {
    let stream = UnixStream::connect(trial.path("socket")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn ask(stream: &UnixStream, question: &[u8]) -> Option<Answer> {
    send(stream, question).ok()?;
    let answer = receive(BufReader::new(stream)).ok()??;
    Some(Answer::decode(&answer).unwrap())
}

fn served(trial: &Trial) -> bool {
    matches!(ask(&connect(trial), &Question::Hello.encode()), Some(Answer::Mark(_)))
}

#[test]
fn nobody_but_the_daemon_is_served() {
    assert!(served(&open("")), "its own user");
    let other = rustix::process::getuid().as_raw() + 1;
    let trial = open(&format!("front_uid = {other}\n"));
    assert!(!served(&trial), "a user that is not the daemon's");
    assert!(!served(&trial), "again");
}

/// A peer begins a question and never ends it.
#[test]
fn half_a_question_keeps_nobody_away_for_long() {
    let trial = open("");
    let slow = connect(&trial);
    (&slow).write_all(&[0, 0]).unwrap();
    assert!(served(&trial), "the next one waits for good");
    let mut rest = Vec::new();
    assert_eq!((&slow).read_to_end(&mut rest).unwrap_or(0), 0, "it was answered");
}

#[test]
fn a_peer_that_is_idle_may_stay() {
    let trial = open("");
    let daemon = connect(&trial);
    assert!(ask(&daemon, &Question::Hello.encode()).is_some());
    std::thread::sleep(3 * PATIENCE);
    assert!(ask(&daemon, &Question::Hello.encode()).is_some(), "it was dropped");
}

#[test]
fn nonsense_is_refused_and_too_much_of_it_ends_the_connection() {
    let trial = open("");
    let peer = connect(&trial);
    for bad in [&b""[..], b"\x00", b"\x01\x00", b"\x02", b"\xff", &[2; 1000]] {
        let refused = ask(&peer, bad);
        assert!(matches!(refused, Some(Answer::Refused(Refusal::Invalid(_)))), "{bad:?}");
    }
    assert!(ask(&peer, &Question::Hello.encode()).is_some(), "and goes on");
    let long = u32::try_from(MAX_FRAME + 1).unwrap();
    (&peer).write_all(&long.to_be_bytes()).unwrap();
    assert_eq!((&peer).read(&mut [0; 1]).unwrap(), 0, "a frame longer than the cap");
    assert!(served(&trial));
}
