//! The units: well-formed, as closed as promised, and what they start works under a real systemd, in
//! the very commands that `systemd/README.md` prints.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::booted::{ADDRESS, Machine, blocks, can_boot};
use crate::ca::{Ca, hallpass};
use crate::process::{Daemon, LONG, Said, key_pair, repository, run, until};

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
    let closed = |unit: &str, tenths: u32| {
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--offline=true", "--no-pager"]);
        run(security.arg(format!("--threshold={tenths}")).arg(units.join(unit)))
    };
    for (unit, tenths) in [("hallpass.service", 13), ("hallpass-signer.service", 5)] {
        let said = closed(unit, tenths);
        assert_eq!(said.code, 0, "{}", said.out);
        // That it can fail.
        assert_ne!(closed(unit, 1).code, 0);
    }
    std::fs::write(
        units.join(UNITS[0]),
        "[Service]\nExecStart=/usr/bin/hallpass\nDinamicUser=yes\n",
    )
    .unwrap();
    assert!(verify().err.contains("Unknown key"));
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

/// The machine of `systemd/README.md`, which is CA and server at once, and ana outside.
struct Site {
    machine: Machine,
    dir: TempDir,
}

impl Site {
    /// Follows the page to its end.
    fn install() -> Self {
        let dir = tempfile::Builder::new().prefix("site-").tempdir().unwrap();
        key_pair(dir.path(), "ana", &["ed25519"]);
        let machine = Machine::boot(&[
            (env!("CARGO_BIN_EXE_hallpass").into(), "target/release/hallpass"),
            (env!("CARGO_BIN_EXE_hallpass-signer").into(), "target/release/hallpass-signer"),
            (repository("systemd"), "systemd"),
            (dir.path().join("ana.pub"), "ana.pub"),
        ]);
        machine
            .run(
                "mkdir -p /media/offline; useradd -m -s /bin/sh -p '*' deploy
                 echo AuthorizedKeysFile none > /etc/ssh/sshd_config.d/test.conf",
            )
            .ok();
        let steps = blocks(&repository("systemd/README.md"));
        assert_eq!(steps.len(), 7, "{steps:#?}");
        let mut printed = String::new();
        for step in &steps[..6] {
            if step.starts_with("systemd/install") {
                it_stops_at_a_surprise_and_goes_on_from_there(&machine, step);
            }
            let said = machine.run(step);
            assert_eq!(said.code, 0, "{step}\n{said:?}");
            printed += &said.err;
        }
        let site = Self { machine, dir };
        site.write_client(&printed);
        site
    }

    fn write_client(&self, printed: &str) {
        let mut known = printed.lines().filter_map(|line| line.split_once("known_hosts: "));
        let door = known.next().unwrap().1;
        let server = self.machine.run("cat /etc/ssh/ssh_host_ed25519_key.pub").ok();
        let path = self.dir.path().join("known_hosts");
        std::fs::write(&path, format!("{door}\nweb01 {server}")).unwrap();
        let config = format!(
            "Host ca\n  HostName {ADDRESS}\n  Port 2222\n\
             Host web01\n  HostName {ADDRESS}\n  HostKeyAlias web01\n\
             Host *\n  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  BatchMode yes\n  LogLevel ERROR\n\
             \x20 StrictHostKeyChecking yes\n  UserKnownHostsFile {}\n  ConnectTimeout 5\n",
            self.dir.path().join("ana").display(),
            path.display()
        );
        std::fs::write(self.dir.path().join("ssh_config"), config).unwrap();
    }

    fn ssh(&self, words: &[&str]) -> Said {
        run(self
            .machine
            .outside("ssh")
            .arg("-F")
            .arg(self.dir.path().join("ssh_config"))
            .args(words))
    }

    /// Asks until there is a certificate, and logs in with it.
    fn log_in(&self) {
        let mut said = self.ssh(&["ca", "deploy@web01"]);
        until("a certificate", || {
            said.code == 0 || {
                said = self.ssh(&["ca", "deploy@web01"]);
                false
            }
        });
        let certificate = self.dir.path().join("web01-cert.pub");
        std::fs::write(&certificate, said.out).unwrap();
        let option = format!("CertificateFile={}", certificate.display());
        let said = self.ssh(&["-o", &option, "deploy@web01", "id", "-un"]);
        assert_eq!(said.out, "deploy\n", "{said:?}");
        assert_ne!(self.ssh(&["deploy@web01", "true"]).code, 0, "in without a certificate");
    }

    /// Sends a signal to a service's process; another one must take its place.
    fn strike(&self, service: &str, signal: &str) {
        let before = self.machine.pid(service);
        assert_ne!(before, 0, "{service} is not running: {}", self.journal(service));
        self.machine.run(&format!("kill -{signal} {before}")).ok();
        until(&format!("{service} after {signal}"), || {
            ![0, before].contains(&self.machine.pid(service))
        });
    }

    fn journal(&self, service: &str) -> String {
        self.machine.run(&format!("journalctl --no-pager -o cat -u {service}")).out
    }
}

#[test]
fn under_a_real_systemd_people_get_in_whatever_dies() {
    if !can_boot() {
        return;
    }
    let site = Site::install();
    site.log_in();
    each_process_has_its_own_and_nothing_else(&site);
    it_is_installed_once(&site);
    site.machine.run("hallpass backup /root/copy").ok();

    for service in ["hallpass-signer", "hallpass"] {
        site.strike(service, "KILL");
        site.log_in();
    }
    // A process that hangs is not one that ended: the watchdog sees it.
    for service in ["hallpass-signer", "hallpass"] {
        let folder = format!("/run/systemd/system/{service}.service.d");
        let drop_in = format!("printf '[Service]\\nWatchdogSec=4s\\n' > {folder}/short.conf");
        site.machine.run(&format!("mkdir -p {folder}; {drop_in}")).ok();
    }
    site.machine.run("systemctl daemon-reload; systemctl restart hallpass-signer hallpass").ok();
    site.log_in();
    let daemon = site.machine.pid("hallpass");
    for service in ["hallpass-signer", "hallpass"] {
        site.strike(service, "STOP");
        assert!(site.journal(service).contains("Watchdog timeout"), "{}", site.journal(service));
        site.log_in();
        if service == "hallpass-signer" {
            assert_eq!(site.machine.pid("hallpass"), daemon, "the signer's fate was the daemon's");
        }
    }
    a_passphrase_comes_from_the_manager(&site);
    a_ledger_that_was_rolled_back_gets_a_new_generation(&site);
    let said = site.machine.run("runuser -u hallpass -- hallpass ledger verify");
    assert!(said.code == 0 && said.out.starts_with("valid: "), "{said:?}");
}

fn each_process_has_its_own_and_nothing_else(site: &Site) {
    for service in ["hallpass", "hallpass-signer"] {
        let pid = site.machine.pid(service);
        let status = site.machine.run(&format!("cat /proc/{pid}/status")).ok();
        let uid = site.machine.run(&format!("id -u {service}")).ok();
        let uid = format!("Uid:\t{}\t", uid.trim());
        for line in [&uid, "NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000"] {
            assert!(status.contains(line), "{service}: {line} is not in {status}");
        }
    }
    let signer = site.machine.pid("hallpass-signer");
    let net = site.machine.run(&format!("cat /proc/{signer}/net/dev")).ok();
    assert!(net.contains("lo:") && !net.contains("eth0:"), "{net}");
    for (user, path) in [
        ("hallpass", "/etc/hallpass-signer/signer.toml"),
        ("hallpass", "/etc/hallpass-signer/keys/user_ca"),
        ("hallpass", "/var/lib/hallpass-signer/mark"),
        ("hallpass-signer", "/etc/hallpass/keys/ledger"),
        ("hallpass-signer", "/etc/hallpass/ca.toml"),
        ("hallpass-signer", "/var/lib/hallpass/ledger.db"),
        ("hallpass-signer", "/run/hallpass/signer.sock"),
        ("hallpass-signer", "/etc/hallpass-signer/keys/user_ca_next"),
        ("deploy", "/etc/hallpass/ca.toml"),
        ("deploy", "/run/hallpass/signer.sock"),
    ] {
        let said = site.machine.run(&format!("runuser -u {user} -- ls {path}"));
        let readable = site.machine.run(&format!("runuser -u {user} -- test -r {path}"));
        assert_ne!(readable.code, 0, "{user} can read {path}: {said:?}");
    }
    for (user, path) in
        [("hallpass", "/etc/hallpass/ca.toml"), ("hallpass", "/etc/hallpass/keys/ledger")]
    {
        let can =
            |what: &str| site.machine.run(&format!("runuser -u {user} -- test {what} {path}"));
        assert!(can("-r").code == 0 && can("-w").code != 0, "{user}: {path}");
    }
}

fn it_stops_at_a_surprise_and_goes_on_from_there(machine: &Machine, install: &str) {
    let surprise = "/etc/hallpass/hosts.toml";
    machine.run(&format!("mkdir /etc/hallpass; echo mine > {surprise}")).ok();
    let said = machine.run(install);
    assert!(
        said.code == 1 && said.err.contains("is there already, and is another one"),
        "{said:?}"
    );
    // Half of it is in place, and nothing is lost.
    let kept = "test -e /etc/hallpass-signer/keys/user_ca -a -e /run/hallpass-init/keys/user_ca";
    machine.run(&format!("{kept}; rm {surprise}")).ok();
}

fn it_is_installed_once(site: &Site) {
    let key = "sha256sum /etc/hallpass-signer/keys/user_ca /var/lib/hallpass/ledger.db";
    let before = site.machine.run(key).ok();
    assert_ne!(site.machine.run("test -e /run/hallpass-init").code, 0, "the folder is still there");
    let again = "hallpass init /run/again --name pass.example.com --listen 192.0.2.10:2222";
    site.machine.run(again).ok();
    let said = site.machine.run("systemd/install /run/again");
    assert!(said.code == 1 && said.err.contains("emergency_ca still lies here"), "{said:?}");
    let said = site.machine.run("rm /run/again/keys/emergency_ca; systemd/install /run/again");
    assert!(
        said.code == 1 && said.err.contains("is there already, and is another one"),
        "{said:?}"
    );
    assert_eq!(site.machine.run(key).ok(), before);
}

fn a_passphrase_comes_from_the_manager(site: &Site) {
    let page = std::fs::read_to_string(repository("systemd/README.md")).unwrap();
    let sed = page.lines().find(|line| line.starts_with("sed -i 's/^# passphrase")).unwrap();
    let script = format!(
        "for key in user_ca bare_ca signer; do
             ssh-keygen -q -p -N 'correct horse' -f /etc/hallpass-signer/keys/$key
         done
         mkdir -p -m 700 /etc/credstore.encrypted
         echo 'correct horse' | systemd-creds encrypt --name=hallpass-signer.passphrase - \
             /etc/credstore.encrypted/hallpass-signer.passphrase
         {sed}
         systemctl restart hallpass-signer"
    );
    site.machine.run(&script).ok();
    let open = site.machine.run("ssh-keygen -y -P '' -f /etc/hallpass-signer/keys/user_ca");
    assert_ne!(open.code, 0, "{open:?}");
    site.log_in();
}

fn a_ledger_that_was_rolled_back_gets_a_new_generation(site: &Site) {
    let steps = blocks(&repository("systemd/README.md"));
    let recovery = steps[6].replace("BACKUP", "/root/copy");
    let (stop, rest) = recovery.split_once("runuser").unwrap();
    site.machine
        .run(&format!("{stop}systemctl start hallpass-signer.socket hallpass.service"))
        .ok();
    until("the door", || site.ssh(&["ca"]).code == 0);
    let said = site.ssh(&["ca", "deploy@web01"]);
    assert_eq!(said.code, 75, "a shorter ledger issues: {said:?}");

    let (seen, rest) = rest.split_once('\n').unwrap();
    let said = site.machine.run(&format!("{stop}runuser{seen}"));
    let number = said.err.trim().rsplit(' ').next().unwrap();
    assert!(number.parse::<u64>().is_ok(), "{said:?}");
    site.machine.run(&rest.replace("--seen N", &format!("--seen {number}"))).ok();
    site.log_in();
    let vkeys = site.machine.run("hallpass trust --ledger").ok();
    assert!(vkeys.starts_with("pass.example.com/2+"), "{vkeys}");
}
