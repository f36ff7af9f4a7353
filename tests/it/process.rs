//! Programs started by tests: bounded in time, ended by pid.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
pub const LONG: Duration = Duration::from_secs(60);

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The output of a program that must have ended well.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Said {
    run_with_input(command, "")
}

/// Runs a program that may take longer than anything else.
pub fn run_for(command: &mut Command, limit: Duration) -> Said {
    run_bounded(command, "", limit)
}

/// Runs a program to its end, with text on its standard input.
pub fn run_with_input(command: &mut Command, input: &str) -> Said {
    run_bounded(command, input, LONG)
}

fn run_bounded(command: &mut Command, input: &str, limit: Duration) -> Said {
    let name = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|why| panic!("{name}: {why}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    std::thread::spawn(move || {
        use std::io::Write as _;
        stdin.write_all(input.as_bytes()).ok();
    });
    let (out, err) = (gather(child.stdout.take().unwrap()), gather(child.stderr.take().unwrap()));
    let code = wait(&mut child, &name, limit);
    Said { code, out: out.join().unwrap(), err: err.join().unwrap() }
}

fn gather(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, name: &str, limit: Duration) -> i32 {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if begun.elapsed() > limit {
            child.kill().ok();
            panic!("{name} takes too long");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "waited too long for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A program that runs beside the test; its standard error is kept. It ends with the value.
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Daemon {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|why| panic!("{command:?}: {why}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, kept) =
            (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line))
        });
        Self { child, log, reader }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it said so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Everything that it and its children said to their end.
    pub fn whole_log(&self) -> Vec<String> {
        until("the log's end", || self.reader.is_finished());
        self.log()
    }

    /// Waits for a line that holds this text, and gives it.
    pub fn line(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(line) = self.log().into_iter().find(|line| line.contains(text)) {
                return line;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < LONG,
                "no {text:?} in {:#?} ({ended:?})",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has ended. Its log is whole then, unless a child of its own still holds it.
    pub fn ended(&mut self) -> bool {
        let ended = self.child.try_wait().unwrap().is_some();
        let begun = Instant::now();
        while ended && !self.reader.is_finished() && begun.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(1));
        }
        ended
    }

    /// Waits for the end that it comes to by itself.
    pub fn end(&mut self) -> i32 {
        wait(&mut self.child, "a daemon that ends by itself", LONG)
    }

    /// Ends it as a power cut would, and waits.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) -> i32 {
        signal(self.pid(), "TERM");
        wait(&mut self.child, "a daemon that was asked to end", LONG)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            signal(self.pid(), "TERM");
            let begun = Instant::now();
            while self.child.try_wait().ok().flatten().is_none() {
                if begun.elapsed() > Duration::from_secs(5) {
                    self.child.kill().ok();
                    self.child.wait().ok();
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Sends a signal to one process.
pub fn signal(pid: u32, name: &str) {
    Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().ok();
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let said = run(Command::new("ps").args(["-o", "pid=", "--ppid", &pid.to_string()]));
    said.out.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A new key pair of this type in a folder; the private key's path.
pub fn key_pair(dir: &Path, name: &str, kind: &[&str]) -> PathBuf {
    let path = dir.join(name);
    run(Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", name, "-t"])
        .args(kind)
        .arg("-f")
        .arg(&path))
    .ok();
    path
}

/// What `scripts/test` prepares, where it says; else where it last left it.
fn prepared(variable: &str, path: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| repository(path), PathBuf::from);
    assert!(path.exists(), "{} is missing: scripts/test prepares it", path.display());
    path
}

/// The Python of the checkers' environment.
pub fn python() -> Command {
    let python = prepared("HALLPASS_CHECKER_PYTHON", "target/checker-venv/bin/python");
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Ansible's `ansible-playbook`.
pub fn ansible_playbook() -> Command {
    Command::new(prepared("HALLPASS_ANSIBLE", "target/ansible-venv/bin/ansible-playbook"))
}

/// The folder of programs that were built with the feature `fault-points`, from these very sources.
pub fn fault_points() -> PathBuf {
    let dir = prepared("HALLPASS_FAULT_POINTS", "target/fault-points");
    let built = std::fs::metadata(dir.join("hallpass")).unwrap().modified().unwrap();
    let newer = newest(&repository("src"));
    assert!(newer <= built, "{} is older than src: scripts/test builds it", dir.display());
    dir
}

/// The load generator, built from these very sources.
pub fn load_generator() -> Command {
    let program = prepared("HALLPASS_LOAD", "target/load-generator/load");
    let built = std::fs::metadata(&program).unwrap().modified().unwrap();
    let newer = newest(&repository("benches/load"));
    assert!(
        newer <= built,
        "{} is older than its source: scripts/test builds it",
        program.display()
    );
    Command::new(program)
}

/// When the newest file below a folder was written.
fn newest(dir: &Path) -> std::time::SystemTime {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let time = |path: PathBuf| match path.is_dir() {
        true => newest(&path),
        false => std::fs::metadata(&path).unwrap().modified().unwrap(),
    };
    entries.map(time).max().unwrap()
}

/// A command of the Go oracle.
pub fn oracle(name: &str) -> Command {
    Command::new(prepared("HALLPASS_ORACLE", "target/oracle").join(name))
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
