//! File descriptors: connections must never take the last one, which the signer's socket, the
//! ledger and the tickets need.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::ca::Limits;

/// Descriptors that are not for connections: about twenty are open always, and each request opens
/// a few for a moment.
const RESERVE: usize = 64;

/// Has the process open as many files as it may, and lowers the limits of the door to what leaves
/// the reserve; where there is hardly room for it, to half of what there is.
///
/// # Errors
/// The process may open so few files that nobody would get in.
pub fn fit(limits: &mut Limits) -> io::Result<()> {
    let mut now = getrlimit(Resource::Nofile);
    if now.current != now.maximum {
        let more = rustix::process::Rlimit { current: now.maximum, ..now };
        // Where that is not allowed, what there is has to do.
        if setrlimit(Resource::Nofile, more).is_ok() {
            now = more;
        }
    }
    let files =
        now.current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let (connections, unauthenticated) = (limits.connections, limits.unauthenticated);
    if !bound(limits, files) {
        let why = format!("the process may open only {files} files (ulimit -n); at least 16");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    if (limits.connections, limits.unauthenticated) != (connections, unauthenticated) {
        tracing::warn!(
            files,
            connections = limits.connections,
            unauthenticated = limits.unauthenticated,
            "fewer connections than ca.toml says: the process may not open more files (ulimit -n)"
        );
    }
    Ok(())
}

/// Lowers the limits to what so many descriptors allow. False if that is nobody.
fn bound(limits: &mut Limits, files: usize) -> bool {
    let room = files - RESERVE.min(files / 2);
    if files < 16 {
        return false;
    }
    limits.connections = limits.connections.min(room);
    // Strangers must not take everybody's places, and those that are cut keep theirs for a moment.
    limits.unauthenticated = limits.unauthenticated.min((limits.connections / 2).max(1));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        for (files, connections, unauthenticated) in [
            (usize::MAX, 1024, 128),
            (1088, 1024, 128),
            (1024, 960, 128),
            (256, 192, 96),
            (60, 30, 15),
            (16, 8, 4),
        ] {
            let mut limits = Limits::default();
            assert!(bound(&mut limits, files), "{files}");
            let bounded = (limits.connections, limits.unauthenticated);
            assert_eq!(bounded, (connections, unauthenticated), "{files}");
        }
        assert!(!bound(&mut Limits::default(), 15));
    }
}
