//! The service manager: told that this process is ready, and that it lives (systemd's sd_notify(3)).
//!
//! Started by hand there is none, and nothing here does anything.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// What the environment names; a child must not inherit it, or it speaks for its parent.
pub const ENVIRONMENT: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// How long the manager may take to take a message.
const PATIENCE: Duration = Duration::from_secs(5);

/// The service manager, if there is one; by default there is none.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    every: Option<Duration>,
    shown: Option<Instant>,
}

impl Manager {
    /// The manager that this process's environment names.
    ///
    /// # Errors
    /// A manager with a name that is no socket's, or no socket to be had: it would wait for a word
    /// until it gives up.
    pub fn from_env() -> io::Result<Self> {
        Self::named_by(|name| std::env::var_os(name))
    }

    fn named_by(variable: impl Fn(&str) -> Option<OsString>) -> io::Result<Self> {
        let [socket, usec, pid] = ENVIRONMENT.map(variable);
        let Some(name) = socket else {
            return Ok(Self::default());
        };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let number = |text: Option<OsString>| text?.to_str()?.parse::<u64>().ok();
        let ours = pid.is_none() || number(pid) == Some(u64::from(std::process::id()));
        // A quarter: what is late three times is not yet taken for dead.
        let every = number(usec).filter(|_| ours).map(|usec| Duration::from_micros(usec / 4));
        let every = every.filter(|every| !every.is_zero());
        Ok(Self { socket: Some((socket, address)), every, shown: None })
    }

    /// How often the manager wants a sign of life; `None` if it does not watch.
    pub fn every(&self) -> Option<Duration> {
        self.every
    }

    /// Tells that this process serves from now on.
    pub fn ready(&self) -> io::Result<()> {
        self.tell("READY=1")
    }

    /// Gives a sign of life, if it is time for one. One that does not get through is followed by the
    /// next; who is not heard at all is started again, which the manager's own journal says.
    pub fn alive(&mut self) {
        let due = |every| self.shown.is_none_or(|shown| shown.elapsed() >= every);
        if self.every.is_some_and(due) && self.tell("WATCHDOG=1").is_ok() {
            self.shown = Some(Instant::now());
        }
    }

    fn tell(&self, state: &str) -> io::Result<()> {
        match &self.socket {
            Some((socket, address)) => socket.send_to_addr(state.as_bytes(), address).map(drop),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(variables: &[(&str, &str)]) -> io::Result<Manager> {
        Manager::named_by(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_at_a_path_and_one_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("hallpass-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, named) in [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap()),
            (UnixDatagram::bind_addr(&address).unwrap(), &format!("@{name}")),
        ] {
            let mut manager =
                manager(&[("NOTIFY_SOCKET", named), ("WATCHDOG_USEC", "4000000")]).unwrap();
            assert_eq!(manager.every(), Some(Duration::from_secs(1)));
            manager.ready().unwrap();
            manager.alive();
            manager.alive();
            assert_eq!((heard(&socket), heard(&socket)), ("READY=1".into(), "WATCHDOG=1".into()));
            socket.set_nonblocking(true).unwrap();
            assert!(socket.recv(&mut [0; 8]).is_err(), "a sign of life before it was time");
        }
        let gone = manager(&[("NOTIFY_SOCKET", path.with_extension("gone").to_str().unwrap())]);
        assert!(gone.unwrap().ready().is_err());
    }

    #[test]
    fn without_a_manager_or_with_another_process_watched_nothing_is_said() {
        let mut alone = manager(&[("WATCHDOG_USEC", "4000000")]).unwrap();
        assert!(alone.every().is_none() && alone.ready().is_ok());
        alone.alive();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _socket = UnixDatagram::bind(&path).unwrap();
        for (usec, pid, every) in [
            ("4000000", "1", None),
            ("4000000", &std::process::id().to_string(), Some(Duration::from_secs(1))),
            ("0", "", None),
            ("often", "", None),
        ] {
            let manager = manager(&[
                ("NOTIFY_SOCKET", path.to_str().unwrap()),
                ("WATCHDOG_USEC", usec),
                ("WATCHDOG_PID", pid),
            ]);
            assert_eq!(manager.unwrap().every(), every, "{usec} {pid}");
        }
    }
}
