//! The command line's end of the operator's socket: `reload`, and others like it.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use hallpass::config::ca::Ca;
use hallpass::desk::reload::Change;
use hallpass::front::control::{Answer, Ended, Order, write_order};

use crate::{Stop, print, say};

/// How long the daemon may take: it may have to wait for a signer that hangs, and read thousands of hosts.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn reload(path: &Path, change: Option<Change>) -> Result<(), Stop> {
    order(&Ca::load(path)?, &Order::Reload { change })
}

/// Has the daemon carry out an order, and says what it said.
pub(crate) fn order(ca: &Ca, order: &Order) -> Result<(), Stop> {
    let Answer { outcome, said, hint, artefact } = ask(ca, order)?;
    let (last, before) = match said.split_last() {
        Some((last, before)) => (last.clone(), before),
        None => (String::new(), &[][..]),
    };
    before.iter().for_each(|line| say(line));
    if let Some(artefact) = artefact {
        print(&artefact);
    }
    if !last.is_empty() {
        say(&last);
    }
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    match outcome {
        Ended::Ok => Ok(()),
        Ended::Refused => Err(Stop::Invalid),
        Ended::Fault => Err(Stop::Told),
    }
}

/// One order, one answer.
pub(crate) fn ask(ca: &Ca, order: &Order) -> Result<Answer, String> {
    let socket = ca.control_socket();
    let at = socket.display();
    let mut stream = UnixStream::connect(&socket).map_err(|why| match why.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            let config = ca.source.path.display();
            format!(
                "no hallpass serves here: nobody answers at {at}\nhint: hallpass serve --config {config}"
            )
        }
        ErrorKind::PermissionDenied => format!("{at}: for root and the daemon's own user alone"),
        _ => format!("{at}: {why}"),
    })?;
    let broken = |why: std::io::Error| match why.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!(
            "{at}: no answer within {} s: whether it was done is not known, the journal says",
            PATIENCE.as_secs()
        ),
        _ => format!("{at}: {why}"),
    };
    stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(broken)?;
    // Whom root acts for: a claim, and recorded as one.
    let by = std::env::var("SUDO_USER").ok();
    let line = write_order(order, by.as_deref()).map_err(|why| why.to_string())?;
    stream.write_all(&line).map_err(broken)?;
    let mut told = String::new();
    BufReader::new(&stream).read_line(&mut told).map_err(broken)?;
    if told.is_empty() {
        return Err(format!(
            "{at}: it hung up: whether it was done is not known, the journal says"
        ));
    }
    serde_json::from_str(&told).map_err(|why| format!("{at}: an answer that is none: {why}"))
}
