//! `health`: for whoever is on call. What is well and what is not, a line each.

use std::io::ErrorKind;
use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use hallpass::certificate::safe::Safe;
use hallpass::config::ca::Ca;
use hallpass::config::trust::Trust;
use hallpass::desk::write_back::{Behind, Queue};
use hallpass::ledger::checkpoint::Checkpoint;
use hallpass::ledger::reserve;
use hallpass::ledger::store::Store;
use hallpass::outside::tickets::Trackers;

use crate::operate::size;
use crate::{Stop, count, print};

/// How long the door may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many entries the signer may be behind for a moment under load.
const BEHIND: u64 = 512;

pub(crate) fn health(path: &Path) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let door = door(&ca);
    // What the daemon said last, it said perhaps before it ended.
    let unserved = door.is_err() && unserved(&ca);
    let mut findings = vec![
        ("door".to_owned(), door),
        ("certificates".to_owned(), certificates(&ca, unserved)),
        ("ledger".to_owned(), ledger(&ca)),
        ("disk".to_owned(), disk(&ca)),
    ];
    let trackers = Trackers::open(&ca.tracker)?;
    findings.extend(trackers.told().map(|(tracker, on)| {
        let queue = Queue::new(&ca.ledger.database, tracker.name(), on);
        (format!("comments to {}", tracker.name()), comments(&queue))
    }));
    for (what, finding) in &findings {
        match finding {
            Ok(well) => print(&format!("ok    {what}: {well}\n")),
            Err(ill) => print(&format!("FAIL  {what}: {ill}\n")),
        }
    }
    if findings.iter().all(|(_, finding)| finding.is_ok()) { Ok(()) } else { Err(Stop::Invalid) }
}

/// Each address answers with our version.
fn door(ca: &Ca) -> Result<String, String> {
    for address in &ca.front.listen {
        let say = |why: std::io::Error| format!("{address}: {why}");
        let mut socket = TcpStream::connect_timeout(address, PATIENCE).map_err(say)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(say)?;
        let mut hello = [0; 16];
        socket.read_exact(&mut hello).map_err(say)?;
        if !hello.starts_with(b"SSH-2.0-hallpass") {
            return Err(format!("{address}: something else answers there"));
        }
    }
    Ok(count(ca.front.listen.len(), "address answers", "addresses answer"))
}

/// The daemon says that it issues certificates.
fn certificates(ca: &Ca, unserved: bool) -> Result<String, String> {
    let path = ca.ledger.standing();
    let text = std::fs::read_to_string(&path)
        .map_err(|why| format!("{}: {why}; hallpass serve writes it", path.display()))?;
    match text.trim_end() {
        "issuing" if unserved => Err("none are issued, nobody serves".to_owned()),
        "issuing" => Ok("are issued".to_owned()),
        fault => Err(Safe(fault).to_string()),
    }
}

/// Nobody listens on the operator's socket; whoever may not connect cannot tell.
fn unserved(ca: &Ca) -> bool {
    let connected = UnixStream::connect(ca.control_socket());
    connected
        .is_err_and(|why| matches!(why.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused))
}

/// How far a tracker's tickets are told. One that is away is no illness of the CA's.
fn comments(queue: &Queue) -> Result<String, String> {
    match queue.behind().map_err(|why| why.to_string())? {
        Behind { oldest: None, .. } => Ok("none wait".to_owned()),
        Behind { comments, oldest: Some(oldest) } => {
            let waiting = count(usize::try_from(comments).unwrap_or(usize::MAX), "waits", "wait");
            Ok(format!("{waiting}, the oldest since {oldest}"))
        }
    }
}

/// There is room beside the reserve.
fn disk(ca: &Ca) -> Result<String, String> {
    let free = reserve::free(&ca.ledger.database).map_err(|why| why.to_string())?;
    if free < ca.ledger.reserve_bytes() {
        return Err(format!("nearly full: {} left, certificates stop", size(free)));
    }
    Ok(format!("{} free besides the reserve", size(free)))
}

/// The newest checkpoint is signed and cosigned, and covers what is there.
fn ledger(ca: &Ca) -> Result<String, String> {
    let trust = Trust::load(ca).map_err(|why| why.to_string())?;
    let store = Store::open_to_read(&ca.ledger.database).map_err(|why| why.to_string())?;
    let size = store.size().map_err(|why| why.to_string())?;
    let path = ca.ledger.checkpoint.display();
    let text =
        std::fs::read_to_string(&ca.ledger.checkpoint).map_err(|why| format!("{path}: {why}"))?;
    let checkpoint = Checkpoint::parse(&text).map_err(|why| format!("{path}: {why}"))?;
    checkpoint.check(&trust.ledger).map_err(|why| format!("{path}: {why}"))?;
    let seen = checkpoint.check_cosigned(&trust.signer).map_err(|why| format!("{path}: {why}"))?;
    if checkpoint.head.size > size {
        return Err(format!("{size} entries, and the signer has seen {}", checkpoint.head.size));
    }
    if size - checkpoint.head.size > BEHIND {
        return Err(format!(
            "{size} entries, the signer has seen {} and is away",
            checkpoint.head.size
        ));
    }
    Ok(format!("{}, the last cosigned at {seen}", count(size, "entry", "entries")))
}
