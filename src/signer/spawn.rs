//! A trial's signer: a child process whose standard input is its listening socket.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::serve::PARENT;
use crate::outside::manager;

/// The least and the most time between two starts.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// A signer that lived so long did not fail to start.
const STAYED: Duration = Duration::from_secs(60);

/// Where the signer's program is: beside this one.
fn program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("hallpass-signer");
    if path.is_file() {
        return Ok(path);
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("{} is missing: it belongs beside hallpass", path.display()),
    ))
}

/// Binds the socket and starts the signer on it. It is started again whenever it ends, on the same
/// socket; it ends with this process. `ended` hears how it ended, each time.
pub fn spawn(socket: &Path, config: &Path, ended: Sender<Result<(), String>>) -> io::Result<()> {
    let program = program()?;
    // What a killed daemon left behind; a living one is kept out by the ledger's lock, which is taken first.
    match std::fs::remove_file(socket) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    let config = config.to_owned();
    std::thread::Builder::new()
        .name("keeper".to_owned())
        .spawn(move || keep(&program, &config, &listener, &ended))?;
    Ok(())
}

/// Starts the signer, and again when it ends: at once, then ever more slowly while it does not stay.
///
/// The kernel takes this thread for the child's parent (PR_SET_PDEATHSIG), so the child is started
/// here and the thread lives as long as the process.
fn keep(
    program: &Path,
    config: &Path,
    listener: &UnixListener,
    ended: &Sender<Result<(), String>>,
) {
    let mut pause = SHORTEST;
    loop {
        let started = Instant::now();
        let end = match start(program, config, listener).and_then(|mut child| child.wait()) {
            Ok(status) => format!("it ended ({status}); the line above says why"),
            Err(why) => format!("it cannot be started: {why}"),
        };
        // Nobody listens any more once the daemon serves: then the journal alone is told.
        if ended.send(Err(end.clone())).is_err() {
            tracing::error!(why = end, "the signer is started again");
        }
        if started.elapsed() > STAYED {
            pause = SHORTEST;
        }
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(LONGEST);
    }
}

fn start(program: &Path, config: &Path, listener: &UnixListener) -> io::Result<Child> {
    let stdin = Stdio::from(OwnedFd::from(listener.try_clone()?));
    let mut signer = Command::new(program);
    for name in manager::ENVIRONMENT {
        signer.env_remove(name);
    }
    // A group of its own: an interrupt at the terminal is for the daemon, which ends in order.
    signer
        .process_group(0)
        .arg("--config")
        .arg(config)
        .arg("--die-with-parent")
        .env(PARENT, std::process::id().to_string())
        .stdin(stdin)
        .stdout(Stdio::null())
        .spawn()
}
