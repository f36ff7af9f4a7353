//! Trackers, started: each in a temporary folder, on a port of its own, ended with the value. What they
//! start from, `tests/trackers/prepare` makes.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Daemon, LONG, repository, run, until};

/// A tracker that runs.
pub struct Part {
    daemon: Daemon,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    dir: TempDir,
}

/// An answer of a tracker to the test itself.
#[derive(Debug)]
pub struct Told {
    pub status: u16,
    pub body: String,
}

impl Told {
    /// The JSON of an answer that must be one of these.
    pub fn json(&self, statuses: &[u16]) -> Value {
        assert!(statuses.contains(&self.status), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}

impl Part {
    /// Request Tracker 5, with what `tests/trackers/rt_seed.pl` put into it.
    pub fn request_tracker() -> Option<Self> {
        let prepared = prepared("HALLPASS_TRACKERS", "target/trackers")?;
        let start = |dir: &Path, port: u16| {
            let mut command = Command::new("/usr/share/request-tracker5/libexec/rt-server");
            command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
            command.args(["--max-workers", "2"]);
            command.env("HALLPASS_RT", dir).env("HALLPASS_RT_PORT", port.to_string());
            command.env("RT_SITE_CONFIG", repository("tests/trackers/rt_config.pm"));
            command.env("RT_SITE_CONFIG_DIR", dir.join("none"));
            command
        };
        Some(Self::start(&prepared.join("rt"), start))
    }

    /// Redmine 5, with what `tests/trackers/redmine_seed.rb` put into it.
    pub fn redmine() -> Option<Self> {
        let prepared = prepared("HALLPASS_TRACKERS", "target/trackers")?;
        let start = |dir: &Path, port: u16| {
            let database = format!(
                "production:\n  adapter: sqlite3\n  timeout: 20000\n  database: {}\n",
                dir.join("db.sqlite3").display()
            );
            std::fs::write(dir.join("config/database.yml"), database).unwrap();
            let mut command = Command::new("bundle");
            command.args(["exec", "puma", "-t", "2:4", "-b"]);
            command.arg(format!("tcp://127.0.0.1:{port}")).arg("config.ru");
            command.current_dir("/usr/share/redmine");
            command.env("REDMINE_INSTANCE", format!("../../../../../../..{}", dir.display()));
            command.env("RAILS_ENV", "production").env("HOME", dir).env("SCHEMA", "/dev/null");
            command.env("BUNDLE_GEMFILE", dir.join("Gemfile"));
            let bundler = std::fs::read_to_string(dir.join("bundler")).unwrap();
            command.env("BUNDLER_VERSION", bundler);
            command
        };
        Some(Self::start(&prepared.join("redmine"), start))
    }

    /// The emulator of Jira Data Center 8.20.
    pub fn jira() -> Option<Self> {
        let program = prepared("HALLPASS_JIRA", "target/jira-venv/bin/jira820")?;
        let start = |_: &Path, port: u16| {
            let mut command = Command::new(&program);
            command.env("JIRA820_HOST", "127.0.0.1").env("JIRA820_PORT", port.to_string());
            command.env("JIRA820_PROJECT_KEY", "OPS").env("PYTHONDONTWRITEBYTECODE", "1");
            command
        };
        Some(Self::start(Path::new("/nowhere"), start))
    }

    /// Prism, which answers as GitHub's published description says.
    pub fn github() -> Option<Self> {
        let prepared = prepared("HALLPASS_TRACKERS", "target/trackers")?.join("github");
        let start = |_: &Path, port: u16| {
            let mut command = Command::new("node");
            command.arg(prepared.join("node_modules/.bin/prism"));
            command.args(["mock", "-h", "127.0.0.1", "-p", &port.to_string()]);
            command.arg(prepared.join("issues.json"));
            command
        };
        Some(Self::start(Path::new("/nowhere"), start))
    }

    /// Starts one on a copy of a folder, if there is such a folder, and waits until it answers.
    fn start(from: &Path, command: impl Fn(&Path, u16) -> Command) -> Self {
        let dir = tempfile::Builder::new().prefix("hallpass-tracker-").tempdir().unwrap();
        if from.exists() {
            run(Command::new("cp").arg("-a").arg(from.join(".")).arg(dir.path())).ok();
        }
        // A port that was free a moment ago: whoever finds it taken since then is started again.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut daemon = Daemon::start(&mut command(dir.path(), port));
            let mut answers = false;
            until("a tracker's first answer", || {
                answers = request(port, "GET", "/", &[], "").is_some();
                answers || daemon.ended()
            });
            if answers && !daemon.ended() {
                return Self { daemon, port, dir };
            }
            eprintln!("started again: {:#?}", daemon.log());
        }
        panic!("no tracker in {}", dir.path().display());
    }

    /// The secret of an account, as the seed said it.
    pub fn secret(&self, account: &str) -> String {
        let accounts = std::fs::read_to_string(self.dir.path().join("accounts")).unwrap();
        let (_, secret) = accounts
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(name, _)| *name == account)
            .unwrap_or_else(|| panic!("nobody is called {account} in {accounts}"));
        secret.to_owned()
    }

    /// Where it is.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Asks it, as somebody else than the CA.
    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Told {
        request(self.port, method, path, headers, body)
            .unwrap_or_else(|| panic!("no answer to {method} {path}: {:#?}", self.daemon.log()))
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.daemon.stop();
        assert!(TcpStream::connect(("127.0.0.1", self.port)).is_err(), "somebody still listens");
    }
}

/// What `scripts/test` prepares. Where that was not run the test is not tried; where it was, all must
/// be there.
fn prepared(variable: &str, path: &str) -> Option<PathBuf> {
    let (path, said) = match std::env::var_os(variable) {
        Some(path) => (PathBuf::from(path), true),
        None => (repository(path), false),
    };
    assert!(path.exists() || !said, "{} is missing: scripts/test prepares it", path.display());
    if !path.exists() {
        let test = std::thread::current().name().unwrap_or("a tracker").to_owned();
        eprintln!("not tried: {test} ({} is missing: scripts/test prepares it)", path.display());
    }
    path.exists().then_some(path)
}

/// One request, on a connection of its own; `None` if there is no answer.
fn request(port: u16, method: &str, path: &str, headers: &[&str], body: &str) -> Option<Told> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n",
        body.len()
    );
    headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Told { status, body: body.to_owned() })
}

/// Stands before a tracker, and hands on its answers late.
pub struct Late {
    pub port: u16,
}

impl Late {
    /// Each answer comes that much later. What waits when the test is over ends with it.
    pub fn before(port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for asker in listener.incoming().take(100).map_while(Result::ok) {
                std::thread::spawn(move || late(asker, port, delay));
            }
        });
        Self { port: own }
    }
}

fn late(mut asker: TcpStream, port: u16, delay: Duration) -> Option<()> {
    let mut tracker = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let (mut from, mut to) = (asker.try_clone().ok()?, tracker.try_clone().ok()?);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    let mut bytes = [0; 4096];
    std::thread::sleep(delay);
    loop {
        let count = tracker.read(&mut bytes).ok().filter(|count| *count > 0)?;
        asker.write_all(bytes.get(..count)?).ok()?;
    }
}
