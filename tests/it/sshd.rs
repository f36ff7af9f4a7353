//! A stock sshd on loopback that trusts the CA and maps principals to one account of its own.
//!
//! It may run without root: then it can log in its own user only, so the account `deploy` is that
//! user under another name, by libnss-wrapper. So are `dev` and `jump`. `AuthorizedKeysFile none`, or a developer's own key
//! would make a test pass.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::ca::Ca;
use crate::process::{Daemon, Said, key_pair, run};

/// A server.
pub struct Sshd {
    dir: TempDir,
    daemon: Daemon,
    port: u16,
    name: String,
}

impl Sshd {
    /// A host of this name with the account `deploy`, which trusts what `hallpass trust --user` prints.
    pub fn start(ca: &Ca, name: &str) -> Self {
        let trusted = ca.operator(&["trust", "--user"]).ok();
        Self::start_with(name, &trusted, &format!("deploy@{name}\n"))
    }

    /// A host with other trusted keys and principals.
    pub fn start_with(name: &str, trusted: &str, principals: &str) -> Self {
        Self::start_more(name, trusted, principals, |_| String::new())
    }

    /// The same with more lines of configuration, whose files are made in the folder that is given.
    pub fn start_more(
        name: &str,
        trusted: &str,
        principals: &str,
        more: impl FnOnce(&Path) -> String,
    ) -> Self {
        let dir = tempfile::Builder::new().prefix("sshd-").tempdir().unwrap();
        let at = |file: &str| dir.path().join(file);
        key_pair(dir.path(), "host", &["ed25519"]);
        let host_key = std::fs::read_to_string(at("host.pub")).unwrap();
        std::fs::write(at("known_hosts"), format!("{name} {host_key}")).unwrap();
        std::fs::write(at("ca.pub"), trusted).unwrap();
        std::fs::write(at("principals"), principals).unwrap();
        let id = |what: &str| run(Command::new("id").arg(what)).ok().trim().to_owned();
        let (uid, gid) = (id("-u"), id("-g"));
        let mut passwd =
            "root:x:0:0::/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n".to_owned();
        for account in ["deploy", "dev", "jump", "logs"] {
            passwd += &format!("{account}:x:{uid}:{gid}::/:/bin/sh\n");
        }
        std::fs::write(at("passwd"), passwd).unwrap();
        std::fs::write(at("group"), format!("root:x:0:\nnogroup:x:65534:\ndeploy:x:{gid}:\n"))
            .unwrap();
        if uid == "0" {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let more = more(dir.path());
        // A port that was free a moment ago; sshd cannot tell which one it was given.
        for _ in 0..20 {
            let port =
                std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nTrustedUserCAKeys {}\n\
                 AuthorizedPrincipalsFile {}\nAuthorizedKeysFile none\nUsePAM no\nStrictModes no\nLogLevel VERBOSE\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 Subsystem sftp internal-sftp\nMaxStartups 200\n{more}",
                at("host").display(),
                at("ca.pub").display(),
                at("principals").display()
            );
            std::fs::write(at("config"), config).unwrap();
            let mut command = Command::new("/usr/sbin/sshd");
            command.args(["-D", "-e", "-f"]).arg(at("config"));
            command.env("LD_PRELOAD", "libnss_wrapper.so");
            command.env("NSS_WRAPPER_PASSWD", at("passwd")).env("NSS_WRAPPER_GROUP", at("group"));
            let mut daemon = Daemon::start(&mut command);
            let line = daemon.line("127.0.0.1");
            if line.starts_with("Server listening") {
                return Self { dir, daemon, port, name: name.to_owned() };
            }
        }
        panic!("no free port for sshd");
    }

    /// `ssh deploy@HOST WORDS` with a key and a certificate.
    pub fn login(&self, key: &Path, certificate: &Path, words: &[&str]) -> Said {
        run(self
            .client(key)
            .arg("-o")
            .arg(format!("CertificateFile={}", certificate.display()))
            .arg(format!("deploy@{}", self.name))
            .args(words))
    }

    /// Stock ssh that knows this host.
    pub fn client(&self, key: &Path) -> Command {
        let known = self.dir.path().join("known_hosts");
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "HostName=127.0.0.1",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
        ]);
        ssh.args(["-o", "BatchMode=yes", "-o", "IdentityAgent=none", "-o", "LogLevel=ERROR"]);
        ssh.arg("-p")
            .arg(self.port.to_string())
            .arg("-o")
            .arg(format!("HostKeyAlias={}", self.name));
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known.display())).arg("-i").arg(key);
        ssh
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its host key, as a line of a `.pub` file.
    pub fn host_key(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("host.pub")).unwrap()
    }

    /// Its folder: host keys, known_hosts.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for a line in its log.
    pub fn line(&mut self, text: &str) -> String {
        self.daemon.line(text)
    }

    /// Its log so far.
    pub fn log(&self) -> Vec<String> {
        self.daemon.log()
    }
}
