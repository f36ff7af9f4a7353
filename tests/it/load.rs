//! A CA under load: stock clients in parallel that keep whatever certificate they got, and an auditor
//! that compares all of them with what is on the CA's disk.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::ca::Ca;
use crate::process::{Daemon, LONG, Said, python, repository, run};

/// What the clients ask for, in turn.
const ASKED: [&[&str]; 3] = [
    &["deploy@web01", "OPS-7"],
    &["logs@web01"],
    &["root@db01", "OPS-8", "--reason", "'the disk of db01 is full'"],
];

/// Lets the desk issue as many certificates as a crowd asks for.
pub fn unlimited(config: &Path) {
    let text = std::fs::read_to_string(config).unwrap();
    let (usual, many) = ("total = 550\nperson = 55\n", "total = 1000000\nperson = 1000000\n");
    let (grants, more) = ("grants = 200\n", "grants = 1000000\n");
    assert!(text.contains(usual) && text.contains(grants), "{text}");
    std::fs::write(config, text.replace(usual, many).replace(grants, more)).unwrap();
}

/// A CA's folder, the programs that serve it, and what clients hold.
pub struct Rig {
    _dir: Option<tempfile::TempDir>,
    root: PathBuf,
    programs: PathBuf,
    asked: AtomicU64,
}

/// Where the programs are: where cargo put them, or in `HALLPASS_PROGRAMS` (a release's, say).
pub fn programs() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_hallpass")).parent().unwrap();
    std::env::var_os("HALLPASS_PROGRAMS").map_or_else(|| built.to_owned(), PathBuf::from)
}

impl Rig {
    /// The example team in a new folder, with these programs.
    pub fn new(programs: PathBuf) -> Self {
        let dir = Ca::make();
        let root = dir.path().to_owned();
        Self::over(Some(dir), root, programs)
    }

    /// A folder that [`Ca::make`] made, perhaps moved elsewhere since.
    pub fn over(dir: Option<tempfile::TempDir>, root: PathBuf, programs: PathBuf) -> Self {
        // The load is more than a team's.
        let limits = root.join("ca/signer.toml");
        let text = std::fs::read_to_string(&limits).unwrap();
        let (before, _) = text.split_once("[rate]").unwrap();
        let rate = "[rate]\ntotal = 1000000\nperson = 1000000\naccount = 1000000\n";
        std::fs::write(&limits, format!("{before}{rate}")).unwrap();
        unlimited(&root.join("ca/ca.toml"));
        let rig = Self { _dir: dir, root, programs, asked: AtomicU64::new(0) };
        for folder in ["held", "torn"] {
            std::fs::create_dir_all(rig.held(folder)).unwrap();
        }
        rig
    }

    /// The folder of what clients hold whole, or `torn`.
    pub fn held(&self, folder: &str) -> PathBuf {
        self.root.join(folder)
    }

    /// A file of the CA's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join("ca").join(name)
    }

    /// The daemon's command.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.programs.join("hallpass"));
        command.arg("serve").arg("--config").arg(self.file("ca.toml"));
        command
    }

    /// An operator's command.
    pub fn operate(&self, words: &[&str]) -> Said {
        let mut command = Command::new(self.programs.join("hallpass"));
        run(command.args(words).arg("--config").arg(self.file("ca.toml")))
    }

    /// Serves; how long it took until it listened. `None` if it ended before.
    pub fn serve(&self, command: &mut Command) -> Result<(Daemon, Duration), Vec<String>> {
        let begun = Instant::now();
        let mut daemon = Daemon::start(command);
        let line = loop {
            if let Some(line) = daemon.log().into_iter().find(|line| line.contains("listens on")) {
                break line;
            }
            if daemon.ended() {
                return Err(daemon.whole_log());
            }
            assert!(begun.elapsed() < LONG, "it does not listen: {:#?}", daemon.log());
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = begun.elapsed();
        let port: String =
            line.rsplit(':').next().unwrap().chars().take_while(char::is_ascii_digit).collect();
        self.write_client(&port);
        Ok((daemon, took))
    }

    /// Serves; it must.
    pub fn start(&self) -> Daemon {
        self.serve(&mut self.command()).unwrap_or_else(|log| panic!("no start: {log:#?}")).0
    }

    /// Replaced by rename: clients read it all the time.
    fn write_client(&self, port: &str) {
        let put = |name: &str, text: String| {
            let new = self.root.join(format!("{name}.new"));
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, self.root.join(name)).unwrap();
        };
        let door = std::fs::read_to_string(self.file("keys/ssh_host_ed25519.pub")).unwrap();
        put("known_hosts", format!("ca {door}"));
        put(
            "ssh_config",
            format!(
                "Host ca\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias ca\n  StrictHostKeyChecking yes\n  \
                 UserKnownHostsFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  BatchMode yes\n  \
                 LogLevel ERROR\n  ConnectTimeout 20\n",
                self.root.join("known_hosts").display()
            ),
        );
    }

    /// Asks for a certificate and keeps what came, however the connection ended.
    pub fn ask(&self) -> Said {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        let said = self.ask_for(ASKED[usize::try_from(number % 3).unwrap()]);
        if !said.out.is_empty() {
            let whole = said.out.ends_with('\n');
            assert!(whole || said.code != 0, "half a certificate and no error: {said:?}");
            let folder = self.held(if whole { "held" } else { "torn" });
            std::fs::write(folder.join(number.to_string()), &said.out).unwrap();
        }
        said
    }

    /// Types something as ana and keeps nothing.
    pub fn ask_for(&self, words: &[&str]) -> Said {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.root.join("ssh_config")).arg("-i").arg(self.root.join("ana"));
        run(ssh.arg("ca").args(words))
    }

    /// Asks until a certificate comes.
    pub fn ask_until_served(&self, log: impl Fn() -> Vec<String>) {
        self.ask_until(|said| said.code == 0, log);
    }

    /// Asks until such an answer comes.
    pub fn ask_until(&self, fits: impl Fn(&Said) -> bool, log: impl Fn() -> Vec<String>) -> Said {
        let begun = Instant::now();
        loop {
            let said = self.ask();
            if fits(&said) {
                return said;
            }
            assert!(begun.elapsed() < LONG, "still another answer: {said:?} {:#?}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Three clients that ask for as long as `body` runs.
    pub fn under_load<T>(&self, body: impl FnOnce() -> T) -> T {
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !ended.load(Ordering::SeqCst) {
                        if self.ask().code != 0 {
                            std::thread::sleep(Duration::from_millis(10));
                        }
                    }
                });
            }
            // Ended even if the body panics, or the scope would wait for ever.
            struct End<'a>(&'a AtomicBool);
            impl Drop for End<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::SeqCst);
                }
            }
            let _end = End(&ended);
            body()
        })
    }

    /// How many certificates clients hold.
    pub fn holds(&self) -> usize {
        std::fs::read_dir(self.held("held")).unwrap().count()
    }

    /// The auditor finds nothing wrong; its last line.
    pub fn audit(&self) -> String {
        let said = self.audited();
        assert_eq!(said.code, 0, "{said:?}");
        said.out.lines().last().unwrap().to_owned()
    }

    /// What the auditor says.
    pub fn audited(&self) -> Said {
        let mut audit = python();
        audit.arg(repository("tests/auditor/audit.py"));
        run(audit.arg(self.root.join("ca")).arg(self.held("held")))
    }

    /// `hallpass ledger verify` finds nothing wrong; its line.
    pub fn verify(&self) -> String {
        let mut verify = Command::new(self.programs.join("hallpass"));
        verify.args(["ledger", "verify", "--config"]);
        run(verify.arg(self.file("ca.toml"))).ok().trim().to_owned()
    }
}

/// Random numbers from a seed that is printed, so that a round can be had again.
pub struct Dice(u64);

impl Dice {
    /// From `HALLPASS_SEED`, or from the clock; printed.
    pub fn new(test: &str) -> Self {
        let now = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            u64::try_from(since.unwrap().as_nanos() & 0xffff_ffff).unwrap()
        };
        let seed =
            std::env::var("HALLPASS_SEED").map_or_else(|_| now(), |text| text.parse().unwrap());
        eprintln!("{test}: HALLPASS_SEED={seed}");
        Self(seed)
    }

    /// A number from 0 to `below`, exclusive (SplitMix64).
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// A number of rounds from the environment, or the few that every run makes.
pub fn rounds(variable: &str, few: u64) -> u64 {
    std::env::var(variable).map_or(few, |text| text.parse().unwrap())
}
