//! `lock`, `unlock` and `locks` on the CA's own machine: by the daemon where one serves, else straight
//! into the ledger. Whoever locked themselves out over SSH is let in again here.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;

use hallpass::certificate::names::Reason;
use hallpass::config::Config;
use hallpass::config::ca::Ca;
use hallpass::desk::locking::{LockAsk, canonical, settle};
use hallpass::desk::locks::{Locks, Target};
use hallpass::front::control::{Order, this_author};
use hallpass::ledger::facts::LockChange;
use hallpass::ledger::leaf::Kind;
use hallpass::ledger::recover::Offline;
use hallpass::ledger::store::Store;
use hallpass::outside::clock::{Clock as _, SystemClock};

use crate::control::order;
use crate::recover::unserved;
use crate::{Stop, print, say};

/// Sets a lock, or lifts one.
pub(crate) fn lock(path: &Path, target: Target, reason: Reason, lifting: bool) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let ask = LockAsk { target, lifting, reason };
    if served(&ca) {
        let LockAsk { target, lifting, reason } = ask;
        let (target, reason) = (target.typed(), reason.as_str().to_owned());
        return order(&ca, &Order::Lock { target, lifting, reason });
    }
    let (_lock, store) = unserved(&ca)?;
    // The names help with typing errors; files that cannot be read must not keep anybody from locking.
    let deciding = Config::load(path).ok().map(|config| config.deciding);
    let ask = match &deciding {
        Some(deciding) => LockAsk { target: canonical(deciding, ask.target), ..ask },
        None => ask,
    };
    let locks = standing(&store)?;
    let notes = match settle(&locks, deciding.as_deref(), &ask) {
        Ok(settled) if settled.needs_entry => settled.notes,
        Ok(settled) => {
            settled.notes.iter().for_each(|note| say(note));
            return Ok(());
        }
        Err((why, hint)) => {
            say(&format!("refused: {why}"));
            eprintln!("hint: {hint}");
            return Err(Stop::Invalid);
        }
    };
    let by = LockChange { operator: Some(this_author()), ..LockChange::from(&ask) };
    let mut offline = Offline::begin(&store, ca.name.as_str(), SystemClock.now())?;
    offline.append(Kind::Lock, &by)?;
    offline.commit()?;
    let now = if lifting { "is not locked any more" } else { "is locked" };
    say(&format!("{} {now}; no hallpass serves at the moment", ask.target));
    notes.iter().for_each(|note| say(note));
    Ok(())
}

/// What is locked.
pub(crate) fn list(path: &Path) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let locks = standing(&Store::open_to_read(&ca.ledger.database)?)?;
    locks.iter().for_each(|lock| print(&format!("{lock}\n")));
    if locks.iter().next().is_none() {
        say("nothing is locked");
    }
    Ok(())
}

/// Every lock that stands, as a start would find it.
fn standing(store: &Store) -> Result<Locks, Stop> {
    Ok(Locks::rebuild(store)?)
}

/// Whether a daemon answers.
fn served(ca: &Ca) -> bool {
    match UnixStream::connect(ca.control_socket()) {
        Ok(_) => true,
        Err(why) => !matches!(why.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused),
    }
}
