//! A whole CA in a folder, made and served by the built program, with the example team: ana (sre),
//! bob (dev), vera (vendor) and deploy-bot have keys; mallory has one that nobody enrolled.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Daemon, Said, key_pair, run};

/// The program: the one that cargo built, or that in `HALLPASS_PROGRAMS` (a release's, say).
pub fn hallpass() -> Command {
    let programs = std::env::var_os("HALLPASS_PROGRAMS").map(PathBuf::from);
    let built = PathBuf::from(env!("CARGO_BIN_EXE_hallpass"));
    Command::new(programs.map_or(built, |programs| programs.join("hallpass")))
}

/// A running CA.
pub struct Ca {
    dir: TempDir,
    pub daemon: Daemon,
    port: u16,
}

impl Ca {
    /// The example team, served.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The example team, its files changed first.
    pub fn start_with(change: impl FnOnce(&Path)) -> Self {
        let dir = Self::make();
        change(dir.path());
        let (daemon, port) = serve(dir.path());
        let ca = Self { dir, daemon, port };
        ca.write_client();
        ca
    }

    /// The same, with so few files that the daemon may open at a time.
    pub fn start_with_files(files: u32) -> Self {
        let dir = Self::make();
        // What other tests' threads have open at this moment is not the daemon's to count.
        let alone = r#"for fd in /proc/$$/fd/*; do fd=${fd##*/}; [ "$fd" -le 2 ] || eval "exec $fd>&-"; done"#;
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(format!("{alone}; ulimit -n {files}; exec \"$@\"")).arg("bash");
        shell.arg(hallpass().get_program());
        let (daemon, port) = serve_by(&mut shell, dir.path());
        let ca = Self { dir, daemon, port };
        ca.write_client();
        ca
    }

    /// The example team's folder, not served.
    pub fn make() -> TempDir {
        let dir = tempfile::Builder::new().prefix("hallpass-").tempdir().unwrap();
        let ca = dir.path().join("ca");
        let made = run(hallpass().args(["init", "--example", "--listen", "127.0.0.1:0"]).arg(&ca));
        assert_eq!(made.code, 0, "{made:?}");
        let shown = "hallpass: passphrase of keys/emergency_ca, shown once: ";
        let passphrase = made.err.lines().find_map(|line| line.strip_prefix(shown)).unwrap();
        std::fs::write(dir.path().join("passphrase"), passphrase).unwrap();
        for (person, kind) in [
            ("ana", "ed25519"),
            ("bob", "ed25519"),
            ("vera", "ed25519"),
            ("deploy-bot", "ed25519"),
            ("mallory", "ed25519"),
        ] {
            key_pair(dir.path(), person, &[kind]);
            enroll(dir.path(), person, person);
        }
        dir
    }

    /// The daemon is asked to end, and started again on the same folder.
    pub fn restart(&mut self) {
        assert_eq!(self.daemon.stop(), 0, "{:#?}", self.daemon.log());
        self.restart_after_stop();
    }

    /// The daemon has ended; it is started again.
    pub fn restart_after_stop(&mut self) {
        (self.daemon, self.port) = serve(self.dir.path());
        self.write_client();
    }

    /// The daemon is killed, and started again.
    pub fn kill_and_restart(&mut self) {
        crate::process::signal(self.daemon.pid(), "KILL");
        crate::process::until("the daemon's end", || {
            run(Command::new("kill").args(["-0", &self.daemon.pid().to_string()])).code != 0
                || zombie(self.daemon.pid())
        });
        self.restart_after_stop();
    }

    /// The door's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The passphrase of the emergency key, as `init` showed it.
    pub fn passphrase(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("passphrase")).unwrap()
    }

    /// The folder around the CA: people's keys, the client's configuration.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file of the CA's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("ca").join(name)
    }

    /// `ssh ca WORDS...` as a person, with that person's key.
    pub fn ssh(&self, person: &str, words: &[&str]) -> Said {
        run(self.client(person).arg("ca").args(words))
    }

    /// Stock ssh with this CA's configuration and a person's key.
    pub fn client(&self, person: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F")
            .arg(self.dir.path().join("ssh_config"))
            .arg("-i")
            .arg(self.dir.path().join(person));
        ssh
    }

    /// A certificate for an account, saved in a file as a person would.
    pub fn certificate(&self, person: &str, words: &[&str]) -> PathBuf {
        let said = self.ssh(person, words);
        assert_eq!(said.code, 0, "{said:?}");
        let path = self.dir.path().join(format!("{person}-{}.cert", words[0].replace('@', "-")));
        std::fs::write(&path, said.out).unwrap();
        path
    }

    /// `hallpass WORDS... --config ca.toml`.
    pub fn operator(&self, words: &[&str]) -> Said {
        run(hallpass().args(words).arg("--config").arg(self.file("ca.toml")))
    }

    /// `hallpass-signer VERB WORDS... --config signer.toml`, as the signer's user.
    pub fn signer(&self, words: &[&str]) -> Said {
        let mut signer = Command::new(env!("CARGO_BIN_EXE_hallpass-signer"));
        run(signer.args(words).arg("--config").arg(self.file("signer.toml")))
    }

    /// The signer's user agrees to the ledger's next generation.
    pub fn succeed(&self, more: &[&str]) -> Said {
        let succession = self.file("state/succession");
        let words = ["succeed", "--checkpoint", succession.to_str().unwrap()];
        self.signer(&[&words, more].concat())
    }

    /// The ledger's entries: index, kind, facts.
    pub fn entries(&self) -> Vec<Entry> {
        let export = self.operator(&["ledger", "export"]).ok();
        export
            .lines()
            .skip(1)
            .map(|line| Entry::read(&serde_json::from_str(line).unwrap()))
            .collect()
    }

    fn write_client(&self) {
        let door = std::fs::read_to_string(self.file("keys/ssh_host_ed25519.pub")).unwrap();
        std::fs::write(self.dir.path().join("known_hosts"), format!("ca {door}")).unwrap();
        let config = format!(
            "Host ca\n  HostName 127.0.0.1\n  Port {}\n  HostKeyAlias ca\n  StrictHostKeyChecking yes\n  UserKnownHostsFile {}\n\
             Host *\n  IdentitiesOnly yes\n  IdentityAgent none\n  BatchMode yes\n  LogLevel ERROR\n  ConnectTimeout 20\n",
            self.port,
            self.dir.path().join("known_hosts").display()
        );
        std::fs::write(self.dir.path().join("ssh_config"), config).unwrap();
    }
}

/// An entry of the ledger, as exported.
#[derive(Debug)]
pub struct Entry {
    pub index: u64,
    pub kind: String,
    pub facts: Value,
    pub has_certificate: bool,
}

impl Entry {
    fn read(line: &Value) -> Self {
        use base64ct::Encoding as _;
        let facts = base64ct::Base64::decode_vec(line["facts"].as_str().unwrap()).unwrap();
        let facts: Value = serde_json::from_slice(&facts).unwrap();
        Self {
            index: line["index"].as_u64().unwrap(),
            kind: facts["kind"].as_str().unwrap().to_owned(),
            facts,
            has_certificate: !line["tbs"].is_null(),
        }
    }
}

/// Serves a folder; the daemon and its port.
fn serve(dir: &Path) -> (Daemon, u16) {
    serve_by(&mut hallpass(), dir)
}

/// The same, by a command that runs the program with its arguments.
fn serve_by(program: &mut Command, dir: &Path) -> (Daemon, u16) {
    let mut daemon =
        Daemon::start(program.arg("serve").arg("--config").arg(dir.join("ca/ca.toml")));
    let line = daemon.line("listens on");
    let port = line.rsplit(':').next().unwrap().parse().unwrap();
    (daemon, port)
}

/// Puts a public key file into the example's `people.toml`; nobody of that name: nothing.
pub fn enroll(dir: &Path, person: &str, key: &str) {
    let path = dir.join("ca/people.toml");
    let key = std::fs::read_to_string(dir.join(format!("{key}.pub"))).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let head = format!("[person.{person}]\n");
    let Some((before, after)) = text.split_once(&head) else { return };
    let after = after.replacen("keys = []", &format!("keys = [{:?}]", key.trim()), 1);
    std::fs::write(path, format!("{before}{head}{after}")).unwrap();
}

/// Changes a line of the example's `ca.toml`; the folder is the one around the CA.
pub fn bend(dir: &Path, from: &str, to: &str) {
    let file = dir.join("ca/ca.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from:?} in {text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

/// What these trackers call ana and bob.
pub fn aliases(dir: &Path, trackers: &[&str], people: [&str; 2]) {
    let file = dir.join("ca/people.toml");
    let mut text = std::fs::read_to_string(&file).unwrap();
    for (person, alias) in ["ana", "bob"].into_iter().zip(people) {
        let head = format!("[person.{person}]\n");
        assert_eq!(text.matches(&head).count(), 1, "{text}");
        let names: Vec<_> = trackers.iter().map(|name| format!("{name} = {alias:?}")).collect();
        text = text.replace(&head, &format!("{head}aliases = {{ {} }}\n", names.join(", ")));
    }
    std::fs::write(file, text).unwrap();
}

fn zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}
