//! The CA under load: its folder, its daemon, and the auditor that shares no code with it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use russh::keys::PublicKey;

use crate::client::Person;
use crate::plan::Plan;
use crate::process::{Daemon, LONG, children, python, repository, run};

/// How many hosts there are to ask for.
pub const HOSTS: usize = 64;

/// A CA.
pub struct House {
    /// The folder around it.
    pub dir: PathBuf,
    /// The door's port, which changes with each start.
    pub port: Arc<AtomicU16>,
    /// The door's key.
    pub door: PublicKey,
    programs: PathBuf,
    daemon: Option<Daemon>,
}

impl House {
    /// A new CA with these people, and the limits that whoever runs it for them would set.
    pub fn make(dir: &Path, plan: &Plan, people: &[Arc<Person>]) -> Self {
        let built = Path::new(env!("CARGO_BIN_EXE_hallpass")).parent().unwrap();
        let programs =
            std::env::var_os("HALLPASS_PROGRAMS").map_or_else(|| built.to_owned(), PathBuf::from);
        let ca = dir.join("ca");
        std::fs::create_dir_all(dir.join("held")).unwrap();
        let mut init = Command::new(programs.join("hallpass"));
        run(init.args(["init", "--listen", "127.0.0.1:0"]).arg(&ca)).ok();

        let mut text = String::from("groups = [\"staff\"]\n");
        for person in people {
            let (name, key) = (&person.name, person.public_key());
            writeln!(text, "[person.{name}]\ngroups = [\"staff\"]\nkeys = [{key:?}]").unwrap();
        }
        std::fs::write(ca.join("people.toml"), text).unwrap();
        let mut text = String::from("tags = [\"prod\"]\n");
        for host in 0..HOSTS {
            let accounts = "tags = [\"prod\"]\naccounts = [\"deploy\", \"logs\"]";
            writeln!(text, "[host.web{host}]\n{accounts}").unwrap();
        }
        std::fs::write(ca.join("hosts.toml"), text).unwrap();
        std::fs::write(ca.join("policy.cedar"), POLICY).unwrap();
        std::fs::write(ca.join("tickets/OPS-7.toml"), "title = \"4.2\"\nstate = \"open\"\n")
            .unwrap();

        let all = plan.sessions + plan.unauthenticated + 16;
        change(&ca.join("ca.toml"), "connections", all);
        change(&ca.join("ca.toml"), "unauthenticated", plan.unauthenticated);
        change(&ca.join("ca.toml"), "total", 60_000);
        change(&ca.join("ca.toml"), "grants", 60_000);
        change(&ca.join("signer.toml"), "total", 60_000);
        change(&ca.join("signer.toml"), "account", 6_000);
        let door = std::fs::read_to_string(ca.join("keys/ssh_host_ed25519.pub")).unwrap();
        Self {
            dir: dir.to_owned(),
            port: Arc::default(),
            door: PublicKey::from_openssh(&door).unwrap(),
            programs,
            daemon: None,
        }
    }

    /// Starts the daemon; how long it took until it listened. What it said if it ended instead.
    pub fn serve(&mut self) -> Result<Duration, Vec<String>> {
        let begun = Instant::now();
        let mut command = Command::new(self.programs.join("hallpass"));
        let mut daemon =
            Daemon::start(command.arg("serve").arg("--config").arg(self.dir.join("ca/ca.toml")));
        let line = loop {
            if let Some(line) = daemon.log().into_iter().find(|line| line.contains("listens on")) {
                break line;
            }
            if daemon.ended() || begun.elapsed() > LONG {
                return Err(daemon.log());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let took = begun.elapsed();
        let port = line.rsplit(':').next().unwrap().parse().unwrap();
        self.port.store(port, Ordering::SeqCst);
        self.daemon = Some(daemon);
        Ok(took)
    }

    /// The daemon's process.
    pub fn daemon(&self) -> u32 {
        self.daemon.as_ref().unwrap().pid()
    }

    /// The signer's process, unless it is just being started.
    pub fn signer(&self) -> Option<u32> {
        children(self.daemon()).first().copied()
    }

    /// Kills the daemon, as a power cut would.
    pub fn kill(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    /// Asks the daemon to end; its status.
    pub fn stop(&mut self) -> i32 {
        self.daemon.take().unwrap().stop()
    }

    /// What the daemon wrote since it started.
    pub fn log(&self) -> Vec<String> {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// What `hallpass ledger verify` finds wrong.
    pub fn verify(&self) -> Option<String> {
        let mut verify = Command::new(self.programs.join("hallpass"));
        verify.args(["ledger", "verify", "--config"]).arg(self.dir.join("ca/ca.toml"));
        let said = run(&mut verify);
        println!("verify: {}", said.out.trim());
        (said.code != 0).then(|| format!("ledger verify: {said:?}"))
    }
}

/// What an auditor finds wrong with the CA in a folder and the certificates of a round, or of all.
/// The daemon has stopped.
pub fn audit(dir: &Path, round: &str) -> Vec<String> {
    let mut audit = python();
    audit.arg(repository("tests/auditor/audit.py"));
    audit.arg(dir.join("ca")).arg(dir.join("held").join(round));
    // It may take longer than a test's patience.
    let said = audit.output().unwrap();
    let out = String::from_utf8_lossy(&said.stdout);
    println!("audit: {}", out.trim().lines().last().unwrap_or("nothing said"));
    if said.status.success() {
        return Vec::new();
    }
    let why = String::from_utf8_lossy(&said.stderr);
    let lines = out.lines().chain(why.lines()).filter(|line| !line.contains(" problems: "));
    let mut problems: Vec<String> = lines.map(|line| format!("audit: {line}")).collect();
    if problems.is_empty() {
        problems.push(format!("the auditor ended with {}", said.status));
    }
    problems
}

/// Sets a number in a file that `init` wrote.
fn change(file: &Path, name: &str, number: usize) {
    let text = std::fs::read_to_string(file).unwrap();
    let at = text.find(&format!("\n{name} = ")).unwrap_or_else(|| panic!("{name} in {text}"));
    let line = text[at + 1..].lines().next().unwrap();
    let changed = text.replacen(&format!("\n{line}\n"), &format!("\n{name} = {number}\n"), 1);
    std::fs::write(file, changed).unwrap();
}

const POLICY: &str = r#"
@id("logs") @ttl("15m") @period("8h") @force_command("journalctl -f")
permit (principal in Group::"staff", action == Action::"login", resource in Tag::"prod")
when { resource.login == "logs" };

@id("deploy") @ttl("10m") @period("1h")
permit (principal in Group::"staff", action == Action::"login", resource in Tag::"prod")
when { resource.login == "deploy" }
when { context has ticket && context.ticket.state == "open" };
"#;
