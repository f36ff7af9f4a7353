//! A server with the true paths (`/etc/ssh`, `/run`), in a mount namespace of its own, under a real sshd.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::ca::Ca;
use crate::process::{Daemon, Said, key_pair, run, until};

/// A server with one account, `deploy`, that the key `old` opens; its name in principals is web01. It
/// is this process's mount namespace, so there is one at a time.
pub struct Server {
    pub dir: TempDir,
    pub port: u16,
    pub sshd: Option<Daemon>,
}

impl Server {
    pub fn make(more: &str) -> Self {
        for (folder, what) in [("/etc/ssh", "etc"), ("/run", "run")] {
            run(Command::new("mount").args(["-t", "tmpfs", what, folder])).ok();
        }
        std::fs::create_dir_all("/run/sshd").unwrap();
        std::fs::create_dir_all("/etc/ssh/sshd_config.d").unwrap();
        let dir = tempfile::Builder::new().prefix("server-").tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        key_pair(Path::new("/etc/ssh"), "ssh_host_ed25519_key", &["ed25519"]);
        let key = std::fs::read_to_string("/etc/ssh/ssh_host_ed25519_key.pub").unwrap();
        std::fs::write(at("known_hosts"), format!("web01 {key}")).unwrap();
        key_pair(dir.path(), "old", &["ed25519"]);
        std::fs::create_dir_all(at("home/.ssh")).unwrap();
        std::fs::copy(at("old.pub"), at("home/.ssh/authorized_keys")).unwrap();
        let home = at("home");
        let passwd = format!(
            "root:x:0:0::/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n\
             deploy:x:0:0::{}:/bin/sh\n",
            home.display()
        );
        std::fs::write(at("passwd"), passwd).unwrap();
        std::fs::write(at("group"), "root:x:0:\nnogroup:x:65534:\n").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "Include /etc/ssh/sshd_config.d/*.conf\nPort {port}\nListenAddress 127.0.0.1\nUsePAM no\n\
             StrictModes no\nLogLevel VERBOSE\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n{more}"
        );
        std::fs::write("/etc/ssh/sshd_config", config).unwrap();
        let mut server = Self { dir, port, sshd: None };
        server.boot();
        server
    }

    /// Its accounts, for a program that runs on it.
    fn accounts(&self, command: &mut Command) {
        let at = |name: &str| self.dir.path().join(name);
        command.env("LD_PRELOAD", "libnss_wrapper.so");
        command.env("NSS_WRAPPER_PASSWD", at("passwd")).env("NSS_WRAPPER_GROUP", at("group"));
    }

    /// An sshd that has just read its configuration.
    pub fn boot(&mut self) {
        drop(self.sshd.take());
        let mut command = Command::new("/usr/sbin/sshd");
        self.accounts(command.args(["-D", "-e"]));
        let mut sshd = Daemon::start(&mut command);
        sshd.line("Server listening");
        until("sshd's process id in its file", || Path::new("/run/sshd.pid").exists());
        self.sshd = Some(sshd);
    }

    /// `sh FILE WORDS` as root on it, with a PATH in front.
    pub fn sh(&self, file: &Path, words: &[&str], path: &str) -> Said {
        let mut sh = Command::new("sh");
        self.accounts(sh.arg(file).args(words));
        let starts = || {
            let log = self.sshd.as_ref().unwrap().log();
            log.iter().filter(|line| line.contains("Server listening")).count()
        };
        let before = starts();
        let said = run(sh.env("PATH", format!("{path}/usr/sbin:/usr/bin:/sbin:/bin")));
        if said.err.contains("reloaded") {
            until("a reload", || starts() > before);
        }
        said
    }

    fn client(&self, identity: &Path) -> Command {
        let known = self.dir.path().join("known_hosts");
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "HostName=127.0.0.1", "-o", "HostKeyAlias=web01"]);
        ssh.args([
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "BatchMode=yes",
        ]);
        ssh.args(["-o", "IdentityAgent=none", "-p", &self.port.to_string()]);
        ssh.arg("-o")
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .arg("-i")
            .arg(identity);
        ssh
    }

    /// Whether the sshd that runs lets in; and one that starts at this moment, as after a reboot.
    pub fn opens(&self, identity: &Path, certificate: Option<&Path>) -> [bool; 2] {
        let login = |fresh: bool| {
            let mut ssh = self.client(identity);
            if let Some(certificate) = certificate {
                ssh.arg("-o").arg(format!("CertificateFile={}", certificate.display()));
            }
            if fresh {
                ssh.args(["-o", "ProxyCommand=/usr/sbin/sshd -i"]);
                self.accounts(&mut ssh);
            }
            run(ssh.args(["deploy@web01", "echo in"])).out == "in\n"
        };
        [login(false), login(true)]
    }

    pub fn by_old_key(&self) -> [bool; 2] {
        self.opens(&self.dir.path().join("old"), None)
    }
}

pub const IN: [bool; 2] = [true, true];
pub const OUT: [bool; 2] = [false, false];

/// The example's CA with more hosts, for which OPS-7 is a reason too.
pub fn ca_with(hosts: &str) -> Ca {
    Ca::start_with(|dir| {
        let file = dir.join("ca/hosts.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, text + hosts).unwrap();
        std::fs::write(
            dir.join("ca/tickets/OPS-7.toml"),
            "title = \"x\"\nstate = \"open\"\nassignee = \"ana\"\nlabels = [\"release\"]\n",
        )
        .unwrap();
    })
}

/// What `host config` prints, in a file.
pub fn printed(ca: &Ca, name: &str, words: &[&str]) -> PathBuf {
    let text = ca.operator(&[&["host", "config", name], words].concat()).ok();
    let path = ca.dir().join(format!("{name}.sh"));
    std::fs::write(&path, text).unwrap();
    path
}

/// Every file that decides who gets in, by name and content.
pub fn state() -> BTreeSet<(PathBuf, String)> {
    fn walk(dir: &Path, into: &mut BTreeSet<(PathBuf, String)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            // Staged files, which nobody reads.
            if path.ends_with("hallpass.new") || path.ends_with("hallpass.old") {
                continue;
            }
            if path.is_dir() {
                walk(&path, into);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                into.insert((path, String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }
    let mut all = BTreeSet::new();
    walk(Path::new("/etc/ssh"), &mut all);
    all
}
