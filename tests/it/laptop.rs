//! A person's fresh laptop: a home of its own with nothing in it but a key, an agent of its own, and
//! stock clients. What DNS would know, ports are for: each name is an entry of `~/.ssh/config` and of
//! `~/.ssh/known_hosts`.
//!
//! ssh takes its home from the user database and from nowhere else, so that the laptop has one of its
//! own, by libnss-wrapper.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::ca::{Ca, hallpass};
use crate::process::{Daemon, Said, run, until};
use crate::sshd::Sshd;

/// OpenSSH's own FIDO middleware for tests, from Debian's openssh-tests.
pub const SK: &str = "/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so";

/// A running CA of the example team, and stock servers that it knows the host keys of.
pub struct Town {
    pub ca: Ca,
    pub servers: Vec<Sshd>,
    /// Every name, and the server that stands behind it.
    names: Vec<(String, usize)>,
}

impl Town {
    /// With a server for each of these accounts, `LOGIN@HOST`.
    pub fn with(accounts: &[&str]) -> Self {
        Self::with_changed(accounts, |_| {})
    }

    /// The same, the CA's files changed first.
    pub fn with_changed(accounts: &[&str], change: impl FnOnce(&Path)) -> Self {
        let mut servers = Vec::new();
        let ca = Ca::start_with(|dir| {
            for account in accounts {
                let (_, name) = account.split_once('@').unwrap();
                let server = Sshd::start_with(name, &trusted(dir), &format!("{account}\n"));
                know_host(dir, name, &server.host_key());
                servers.push(server);
            }
            change(dir);
        });
        let names = servers.iter().enumerate().map(|(at, server)| (server.name().to_owned(), at));
        Self { ca, names: names.collect(), servers }
    }

    /// With so many hosts, `dev@n1`, `dev@n2` and so on, on a few servers.
    pub fn of_many(hosts: usize) -> Self {
        let names: Vec<String> = (1..=hosts).map(|number| format!("n{number}")).collect();
        let principals: String = names.iter().map(|name| format!("dev@{name}\n")).collect();
        let mut servers = Vec::new();
        let ca = Ca::start_with(|dir| {
            let start = |at| Sshd::start_with(&format!("server{at}"), &trusted(dir), &principals);
            servers.extend((0..4).map(start));
            let host = |(at, name): (usize, &String)| {
                let key = servers[at % servers.len()].host_key();
                format!(
                    "[host.{name}]\ntags = [\"dev\"]\naccounts = [\"dev\"]\nhost_keys = [{:?}]\n",
                    key.trim()
                )
            };
            let file = dir.join("ca/hosts.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            let more: String = names.iter().enumerate().map(host).collect();
            std::fs::write(file, text + &more).unwrap();
        });
        let behind = |(at, name)| (name, at % servers.len());
        Self { ca, names: names.into_iter().enumerate().map(behind).collect(), servers }
    }

    /// A server by its name.
    pub fn server(&mut self, name: &str) -> &mut Sshd {
        self.servers.iter_mut().find(|server| server.name() == name).unwrap()
    }

    /// How many certificates the ledger holds.
    pub fn certificates(&self) -> usize {
        self.ca.entries().iter().filter(|entry| entry.has_certificate).count()
    }
}

/// What the servers are to trust.
pub fn trusted(dir: &Path) -> String {
    run(hallpass().args(["trust", "--user", "--config"]).arg(dir.join("ca/ca.toml"))).ok()
}

/// Puts a host's key into the example's `hosts.toml`.
pub fn know_host(dir: &Path, name: &str, key: &str) {
    let file = dir.join("ca/hosts.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let head = format!("[host.{name}]\n");
    assert!(text.contains(&head), "{name}");
    let with = format!("{head}host_keys = [{:?}]\n", key.trim());
    std::fs::write(file, text.replace(&head, &with)).unwrap();
}

/// A laptop.
pub struct Laptop {
    dir: TempDir,
    agent: Option<Daemon>,
}

impl Laptop {
    /// A fresh one that can find the CA and the servers by their names, with this key on its disk.
    pub fn with_key(town: &Town, key: &Path) -> Self {
        let laptop = Self::bare(town);
        let kind = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let name = match kind.split(' ').next().unwrap() {
            "sk-ssh-ed25519@openssh.com" => "id_ed25519_sk",
            _ => "id_ed25519",
        };
        std::fs::copy(key, laptop.ssh(name)).unwrap();
        std::fs::copy(key.with_extension("pub"), laptop.ssh(&format!("{name}.pub"))).unwrap();
        laptop
    }

    /// Ana's, with her key on its disk and, as most have it, in its agent.
    pub fn of_ana(town: &Town) -> Self {
        let mut laptop = Self::with_key(town, &town.ca.dir().join("ana"));
        laptop.start_agent();
        laptop.sh("ssh-add -q").ok();
        laptop
    }

    /// The same, with the key in its agent alone.
    pub fn with_agent_only(town: &Town, key: &Path) -> Self {
        let mut laptop = Self::bare(town);
        laptop.start_agent();
        laptop.sh(&format!("ssh-add -q {}", key.display())).ok();
        laptop
    }

    fn bare(town: &Town) -> Self {
        let dir = tempfile::Builder::new().prefix("lap-").tempdir().unwrap();
        let laptop = Self { dir, agent: None };
        let id = |what: &str| run(Command::new("id").arg(what)).ok().trim().to_owned();
        let (uid, gid) = (id("-u"), id("-g"));
        let home = laptop.home();
        std::fs::create_dir_all(home.join(".ssh")).unwrap();
        run(Command::new("chmod").arg("700").arg(&home).arg(home.join(".ssh"))).ok();
        let user = format!("laptop:x:{uid}:{gid}::{}:/bin/sh\n", home.display());
        std::fs::write(laptop.dir.path().join("passwd"), user).unwrap();
        std::fs::write(laptop.dir.path().join("group"), format!("laptop:x:{gid}:\n")).unwrap();
        laptop.find(town);
        laptop
    }

    /// The names of CA and servers, where they are at this moment.
    pub fn find(&self, town: &Town) {
        let mut config = String::new();
        let mut known = String::new();
        for (name, at) in &town.names {
            let server = &town.servers[*at];
            let port = server.port();
            config += &format!(
                "Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias {name}\n"
            );
            known += &format!("{name} {}", server.host_key());
        }
        let door = std::fs::read_to_string(town.ca.file("keys/ssh_host_ed25519.pub")).unwrap();
        let port = town.ca.port();
        known += &format!("[127.0.0.1]:{port} {door}");
        config += &format!("Host ca\n  HostName 127.0.0.1\n  Port {port}\n");
        std::fs::write(self.ssh("names"), config).unwrap();
        std::fs::write(self.ssh("known_hosts"), known).unwrap();
        self.configure("");
    }

    /// `~/.ssh/config`: these lines, and then the names.
    pub fn configure(&self, lines: &str) {
        std::fs::write(self.ssh("config"), format!("{lines}Include names\n")).unwrap();
    }

    /// Does what `ssh ca config` says: saves the block and includes it. `flag` is `--agent` or `--file`.
    pub fn install_block(&self, flag: &str) {
        let save = "umask 077 && mkdir -p .ssh/hallpass && ssh ca config";
        self.sh(&format!("{save} {flag} > .ssh/hallpass/config")).ok();
        self.configure("Include hallpass/config\n");
    }

    /// Starts its agent.
    pub fn start_agent(&mut self) {
        let socket = self.dir.path().join("agent");
        let mut agent = self.command("ssh-agent");
        agent.arg("-D").arg("-a").arg(&socket);
        self.agent = Some(Daemon::start(&mut agent));
        // The socket is there a moment before anybody listens on it.
        until("the agent", || UnixStream::connect(&socket).is_ok());
    }

    /// The person's home.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A file of `~/.ssh`.
    pub fn ssh(&self, name: &str) -> PathBuf {
        self.home().join(".ssh").join(name)
    }

    /// A program on it, with nothing around it that is not the laptop's.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.home()).env("HOME", self.home());
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8");
        command.env("LD_PRELOAD", "libnss_wrapper.so");
        command.env("NSS_WRAPPER_PASSWD", self.dir.path().join("passwd"));
        command.env("NSS_WRAPPER_GROUP", self.dir.path().join("group"));
        if self.agent.is_some() {
            command.env("SSH_AUTH_SOCK", self.dir.path().join("agent"));
        }
        command
    }

    /// What somebody types at its prompt.
    pub fn sh(&self, line: &str) -> Said {
        run(self.command("sh").args(["-c", line]))
    }
}

impl Drop for Laptop {
    /// No connection of a `ControlMaster` outlives it.
    fn drop(&mut self) {
        let sockets = std::fs::read_dir(self.ssh("hallpass")).into_iter().flatten().flatten();
        let sockets = sockets.map(|entry| entry.path()).chain([self.ssh("master")]);
        for socket in sockets {
            use std::os::unix::fs::FileTypeExt as _;
            if std::fs::metadata(&socket).is_ok_and(|file| file.file_type().is_socket()) {
                run(self.command("ssh").arg("-S").arg(&socket).args(["-O", "exit", "any"]));
            }
        }
    }
}
