//! A CA in production: installed by the commands that `systemd/README.md` prints, on a booted machine
//! that is a server too, and ana on the network outside.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use crate::booted::{ADDRESS, Machine, blocks};
use crate::process::{LONG, Said, key_pair, repository, run, run_with_input, until};

/// The commands of a section of the page.
fn page(section: &str) -> Vec<String> {
    blocks(&repository("systemd/README.md"), section)
}

/// The one block of a section.
pub fn block(section: &str) -> String {
    let [block] = &page(section)[..] else { panic!("{section}: more than one block") };
    block.clone()
}

/// The machine of the page, which is CA and server at once, and ana outside.
pub struct Site {
    pub machine: Machine,
    pub dir: TempDir,
}

impl Site {
    /// Follows the page to its end.
    pub fn install() -> Self {
        let dir = tempfile::Builder::new().prefix("site-").tempdir().unwrap();
        key_pair(dir.path(), "ana", &["ed25519"]);
        let machine = clean_machine(&[(dir.path().join("ana.pub"), "ana.pub")]);
        let steps = page("");
        assert_eq!(steps.len(), 8, "{steps:#?}");
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
        let mut known = printed.lines().filter_map(|line| line.split_once("known_hosts: "));
        site.know(known.next().unwrap().1);
        let said = site.laptop(&steps[6]);
        assert_eq!(said.code, 0, "{said:?}");
        // Once: newer sshds keep out for a while who fails again and again.
        assert_ne!(site.ssh(&["deploy@web01", "true"]).code, 0, "in without a certificate");
        site.machine.run(&steps[7]).ok();
        site
    }

    /// What ana knows of the door and of web01, and how she writes to both.
    pub fn know(&self, door: &str) {
        let server = self.machine.run("cat /etc/ssh/ssh_host_ed25519_key.pub").ok();
        let path = self.dir.path().join("known_hosts");
        std::fs::write(&path, format!("{door}\nweb01 {server}")).unwrap();
        let config = format!(
            "Host ca\n  HostName {ADDRESS}\n  Port 2222\n\
             Host web01\n  HostName {ADDRESS}\n  HostKeyAlias web01\n\
             Host *\n  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  BatchMode yes\n\
             \x20 LogLevel ERROR\n  StrictHostKeyChecking yes\n  UserKnownHostsFile {}\n\
             \x20 ConnectTimeout 5\n",
            self.dir.path().join("ana").display(),
            path.display()
        );
        std::fs::write(self.dir.path().join("ssh_config"), config).unwrap();
    }

    /// Runs the page's lines for a laptop; ana's own configuration stands for `~/.ssh/config`.
    fn laptop(&self, lines: &str) -> Said {
        let config = self.dir.path().join("ssh_config");
        let script = format!("ssh() {{ command ssh -F {} \"$@\"; }}\n{lines}", config.display());
        run(self.machine.outside("sh").args(["-euc", &script]).current_dir(self.dir.path()))
    }

    pub fn ssh_command(&self, words: &[&str]) -> Command {
        let mut ssh = self.machine.outside("ssh");
        ssh.arg("-F").arg(self.dir.path().join("ssh_config")).args(words);
        ssh
    }

    pub fn ssh(&self, words: &[&str]) -> Said {
        run(&mut self.ssh_command(words))
    }

    /// Asks until there is a certificate, logs in with it, and gives what the CA said.
    pub fn log_in(&self) -> String {
        let begun = Instant::now();
        let mut said = self.ssh(&["ca", "deploy@web01"]);
        while said.code != 0 {
            assert!(
                begun.elapsed() < LONG,
                "{said:?}\n{}\n{}",
                self.journal("hallpass"),
                self.journal("hallpass-signer")
            );
            said = self.ssh(&["ca", "deploy@web01"]);
        }
        std::fs::write(self.certificate(), said.out).unwrap();
        let option = format!("CertificateFile={}", self.certificate().display());
        let login = self.ssh(&["-o", &option, "deploy@web01", "id", "-un"]);
        assert_eq!(login.out, "deploy\n", "{login:?}");
        said.err
    }

    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("web01-cert.pub")
    }

    /// The serial of the last certificate.
    pub fn serial(&self) -> u64 {
        let shown = run(Command::new("ssh-keygen").arg("-Lf").arg(self.certificate())).ok();
        let line = shown.lines().find_map(|line| line.trim().strip_prefix("Serial: "));
        line.unwrap().parse().unwrap()
    }

    /// Sends a signal to a service's process; another one must take its place.
    pub fn strike(&self, service: &str, signal: &str) {
        let before = self.machine.pid(service);
        assert_ne!(before, 0, "{service} is not running: {}", self.journal(service));
        self.machine.run(&format!("kill -{signal} {before}")).ok();
        until(&format!("{service} after {signal}"), || {
            ![0, before].contains(&self.machine.pid(service))
        });
    }

    pub fn journal(&self, service: &str) -> String {
        self.machine.run(&format!("journalctl --no-pager -o cat -u {service}")).out
    }

    /// A folder of the machine's, brought to this one.
    pub fn fetch(&self, folder: &str, into: &str) -> PathBuf {
        let packed = self.machine.run(&format!("tar -cz -C {folder} . | base64")).ok();
        let path = self.dir.path().join(into);
        std::fs::create_dir(&path).unwrap();
        let unpack = format!("base64 -d | tar -xz --no-same-owner -C {}", path.display());
        run_with_input(Command::new("sh").args(["-euc", &unpack]), &packed).ok();
        path
    }
}

/// A machine on which hallpass was just built, with a server's account on it.
pub fn clean_machine(more: &[(PathBuf, &str)]) -> Machine {
    let mut files = vec![
        (env!("CARGO_BIN_EXE_hallpass").into(), "target/release/hallpass"),
        (env!("CARGO_BIN_EXE_hallpass-signer").into(), "target/release/hallpass-signer"),
        (repository("systemd"), "systemd"),
    ];
    files.extend_from_slice(more);
    let machine = Machine::boot(&files);
    let account = "mkdir -p /media/offline; useradd -m -s /bin/sh -p '*' deploy
        echo AuthorizedKeysFile none > /etc/ssh/sshd_config.d/test.conf";
    machine.run(account).ok();
    machine
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
