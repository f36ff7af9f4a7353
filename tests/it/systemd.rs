//! The units as files: well-formed, and as closed as promised; and what the two programs tell whoever
//! manages them. Under a real systemd they run in `production`.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::ca::{Ca, hallpass};
use crate::process::{Daemon, LONG, repository, run};

const UNITS: [&str; 3] = ["hallpass.service", "hallpass-signer.service", "hallpass-signer.socket"];

#[test]
fn the_units_are_well_formed_and_as_closed_as_promised() {
    let root = tempfile::tempdir().unwrap();
    let (programs, units) = (root.path().join("usr/bin"), root.path().join("etc/systemd/system"));
    for folder in [&programs, &units] {
        std::fs::create_dir_all(folder).unwrap();
    }
    for program in ["hallpass", "hallpass-signer"] {
        std::fs::write(programs.join(program), "").unwrap();
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(programs.join(program), executable).unwrap();
    }
    let verify = || {
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--recursive-errors=no", "--root"]);
        run(verify.arg(root.path()).args(UNITS))
    };
    for unit in UNITS {
        std::fs::copy(repository("systemd").join(unit), units.join(unit)).unwrap();
    }
    let said = verify();
    assert!(said.code == 0 && said.err.is_empty(), "{said:?}");
    let page = std::fs::read_to_string(repository("systemd/README.md")).unwrap();
    let debian_12 =
        run(Command::new("systemctl").arg("--version")).ok().starts_with("systemd 252 ");
    for (unit, at_most, told) in [
        ("hallpass.service", 1.3, "the daemon "),
        ("hallpass-signer.service", 0.5, "gives the signer "),
    ] {
        let exposed = exposure(&units.join(unit));
        assert!(exposed <= at_most, "{unit}: {exposed}");
        if debian_12 {
            assert!(page.contains(&format!("{told}{exposed:.1}")), "{unit}: the page is not right");
        }
        // That it can fail: a unit that is as closed as systemd leaves it.
        let open = units.join("open.service");
        std::fs::write(&open, "[Service]\nExecStart=/usr/bin/hallpass\n").unwrap();
        assert!(exposure(&open) > 9.0);
    }
    std::fs::write(
        units.join(UNITS[0]),
        "[Service]\nExecStart=/usr/bin/hallpass\nDinamicUser=yes\n",
    )
    .unwrap();
    assert!(verify().err.contains("Unknown key"));
}

/// What systemd itself thinks of a unit: 0 is no exposure, 10 is all.
fn exposure(unit: &Path) -> f64 {
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager"]);
    let said = run(security.arg(unit)).ok();
    let last = said.lines().last().unwrap();
    let figure = last.split_once("exposure level for ").unwrap().1.split(' ').nth(1).unwrap();
    figure.parse().unwrap_or_else(|why| panic!("{last}: {why}"))
}

#[test]
fn a_manager_hears_when_it_listens_and_that_it_lives() {
    let dir = Ca::make();
    let heard = dir.path().join("notify");
    let socket = UnixDatagram::bind(&heard).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let word = || hear(&socket).unwrap();
    let config = dir.path().join("ca/ca.toml");
    let mut daemon = hallpass();
    daemon.arg("serve").arg("--config").arg(config);
    let mut daemon =
        Daemon::start(daemon.env("NOTIFY_SOCKET", &heard).env("WATCHDOG_USEC", "200000"));
    assert_eq!([word(), word(), word()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    assert!(daemon.log().iter().any(|line| line.contains("listens on")), "{:?}", daemon.log());
    // The ledger's writer waits for its database: the daemon answers, and issues nothing.
    let database = rusqlite::Connection::open(dir.path().join("ca/state/ledger.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let late = std::iter::repeat_with(|| hear(&socket)).take_while(Result::is_ok);
    assert!(late.take(9).count() < 9, "a daemon whose writer hangs shows life");
    database.execute_batch("ROLLBACK").unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(word(), "WATCHDOG=1");
    assert_eq!(daemon.stop(), 0);

    // The signer, which nobody asks anything, and which a peer keeps waiting.
    let address = dir.path().join("signer.sock");
    let listener = UnixListener::bind(&address).unwrap();
    while socket.set_nonblocking(true).is_ok() && socket.recv(&mut [0; 32]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    let mut signer = Command::new(env!("CARGO_BIN_EXE_hallpass-signer"));
    signer.arg("--config").arg(dir.path().join("ca/signer.toml"));
    signer.stdin(Stdio::from(std::os::fd::OwnedFd::from(listener))).stderr(Stdio::null());
    signer.env("NOTIFY_SOCKET", &heard).env("WATCHDOG_USEC", "200000");
    let mut signer = signer.spawn().unwrap();
    assert_eq!([word(), word(), word()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    let peer = std::os::unix::net::UnixStream::connect(&address).unwrap();
    assert_eq!([word(), word(), word()], ["WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]);
    drop(peer);
    signer.kill().unwrap();
    signer.wait().unwrap();
}

/// The next word on a socket.
fn hear(socket: &UnixDatagram) -> std::io::Result<String> {
    let mut bytes = [0; 32];
    loop {
        match socket.recv(&mut bytes) {
            Err(why) if why.kind() == std::io::ErrorKind::Interrupted => {}
            heard => return Ok(String::from_utf8(bytes[..heard?].to_vec()).unwrap()),
        }
    }
}
