//! The signer's loop: a listening socket on standard input, one peer at a time, one question at a
//! time.

use std::io::{self, BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};

use super::protocol::{Answer, Question, Refusal, receive, send};
use super::witness::Witness;
use crate::certificate::time::UnixTime;
use crate::fault_point;
use crate::outside::manager::Manager;

/// How long one answer may take to be taken, and the rest of a question to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the process give away as little as it can: no core dump, no tracing by other processes of
/// the same user; and ends it with its parent where a daemon spawned it.
pub fn harden(die_with_parent: bool) -> io::Result<()> {
    use rustix::process as p;
    p::setrlimit(p::Resource::Core, p::Rlimit { current: Some(0), maximum: Some(0) })?;
    p::set_dumpable_behavior(p::DumpableBehavior::NotDumpable)?;
    if die_with_parent {
        p::set_parent_process_death_signal(Some(p::Signal::TERM))?;
        // A parent that ended before the line above signals nothing any more, and an orphan would keep
        // the next signer from its state.
        let parent = p::getppid().map(|pid| pid.as_raw_nonzero().to_string());
        let orphan = std::env::var(PARENT).is_ok_and(|started_by| Some(started_by) != parent);
        if orphan {
            return Err(io::Error::other("the daemon that started it has ended"));
        }
    }
    Ok(())
}

/// The variable in which a daemon that spawns a signer says its process id.
pub const PARENT: &str = "HALLPASS_SIGNER_PARENT";

/// The listening socket that the process was started with as its standard input.
pub fn listener_from_stdin() -> io::Result<UnixListener> {
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.local_addr().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "standard input is no listening Unix socket; hallpass serve starts the signer",
        )
    })?;
    Ok(listener)
}

/// Serves one peer after the other until the socket fails. `manager` is told when that begins and
/// that it goes on; `now` reads the clock, once a batch; `log` gets one line an event.
pub fn serve(
    witness: &mut Witness,
    listener: &UnixListener,
    manager: &mut Manager,
    now: impl Fn() -> UnixTime,
    log: impl Fn(&str),
) -> io::Result<()> {
    serve_within(PATIENCE, witness, listener, manager, now, log)
}

/// [`serve`] with another patience.
pub(super) fn serve_within(
    patience: Duration,
    witness: &mut Witness,
    listener: &UnixListener,
    manager: &mut Manager,
    now: impl Fn() -> UnixTime,
    log: impl Fn(&str),
) -> io::Result<()> {
    let allowed = witness.front_uid().unwrap_or_else(|| rustix::process::getuid().as_raw());
    set_socket_timeout(listener, Timeout::Recv, manager.every())?;
    manager.ready()?;
    loop {
        manager.alive();
        let (stream, _) = match listener.accept() {
            Err(why) if nothing_yet(&why) => continue,
            accepted => accepted?,
        };
        let uid = socket_peercred(&stream)?.uid.as_raw();
        if uid != allowed {
            log(&format!(
                "refused a peer with uid {uid}: only uid {allowed} may ask for signatures"
            ));
            continue;
        }
        log(&format!("serving a peer with uid {uid}"));
        match converse(patience, witness, &stream, manager, &now) {
            Ok(()) => log("the peer closed"),
            Err(why) => log(&format!("the connection ended: {why}")),
        }
    }
}

fn converse(
    patience: Duration,
    witness: &mut Witness,
    stream: &UnixStream,
    manager: &mut Manager,
    now: impl Fn() -> UnixTime,
) -> io::Result<()> {
    stream.set_write_timeout(Some(patience))?;
    let mut from = BufReader::with_capacity(64 * 1024, stream);
    loop {
        // An idle peer may take its time. One that began a question and does not end it would keep
        // every other away.
        stream.set_read_timeout(manager.every())?;
        manager.alive();
        match from.fill_buf() {
            Err(why) if nothing_yet(&why) => continue,
            begun => {
                if begun?.is_empty() {
                    return Ok(());
                }
            }
        }
        stream.set_read_timeout(Some(patience))?;
        let Some(payload) = receive(&mut from)? else { return Ok(()) };
        let answer = match Question::decode(&payload) {
            Ok(Question::Hello) => Answer::Mark(witness.hello()),
            Ok(Question::Batch(batch)) => witness.batch(&batch, now()),
            Err(why) => Answer::Refused(Refusal::Invalid(why.to_string())),
        };
        fault_point::around(fault_point::ANSWER, || send(stream, &answer.encode()))?;
    }
}

/// Whether only time passed: a time-out, or what interrupts a read that has one (a stop, a freeze).
fn nothing_yet(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
