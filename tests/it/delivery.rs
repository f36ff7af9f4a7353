//! Certificates that go into a forwarded agent: what they open, and what they never do.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ca::{Ca, hallpass};
use crate::process::{Daemon, Said, key_pair, run};
use crate::sshd::Sshd;

/// A person's ssh-agent on a socket of its own.
struct Agent {
    dir: tempfile::TempDir,
    _daemon: Daemon,
}

impl Agent {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("agent-").tempdir().unwrap();
        let socket = dir.path().join("socket");
        let daemon = Daemon::start(Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket));
        crate::process::until("the agent's socket", || socket.exists());
        Self { dir, _daemon: daemon }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    fn add(&self, words: &[&str]) -> Said {
        run(Command::new("ssh-add").env("SSH_AUTH_SOCK", self.socket()).args(words))
    }

    /// What it shows, without what is over.
    fn list(&self) -> String {
        self.add(&["-L"]).out
    }

    /// Locks or unlocks it; the password is asked for by a program, as on a desktop.
    fn lock(&self, how: &str) {
        let ask = self.dir.path().join("ask");
        std::fs::write(&ask, "#!/bin/sh\necho secret\n").unwrap();
        run(Command::new("chmod").arg("700").arg(&ask)).ok();
        let mut lock = Command::new("ssh-add");
        lock.arg(how).env("SSH_AUTH_SOCK", self.socket()).env("SSH_ASKPASS", &ask);
        run(lock.env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":0")).ok();
    }
}

/// A CA and two servers that trust it and map principals alike, careless: they would let in whoever has
/// `deploy@web01`, as either account. What keeps a certificate to its place is the agent.
struct Site {
    ca: Ca,
    web01: Sshd,
    web02: Sshd,
    agent: Agent,
}

impl Site {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With more policy.
    fn start_with(more: &str) -> Self {
        let mut servers = Vec::new();
        let ca = Ca::start_with(|dir| {
            let trusted =
                run(hallpass().args(["trust", "--user", "--config"]).arg(dir.join("ca/ca.toml")))
                    .ok();
            for name in ["web01", "web02"] {
                servers.push(server(name, &trusted, &dir.join("ca")));
                declare(dir, name, servers.last().unwrap());
            }
            let policy = dir.join("ca/policy.cedar");
            let text = std::fs::read_to_string(&policy).unwrap();
            let hop = text.replace(
                "@ttl(\"10m\") @period(\"1h\")\npermit",
                "@ttl(\"10m\") @period(\"1h\") @extensions(\"permit-pty, permit-agent-forwarding\")\npermit",
            );
            assert_ne!(text, hop);
            std::fs::write(policy, hop + more).unwrap();
        });
        let web02 = servers.pop().unwrap();
        let web01 = servers.pop().unwrap();
        Self { ca, web01, web02, agent: Agent::start() }
    }

    /// `ssh -A ca WORDS...` as ana with her agent.
    fn ask(&self, words: &[&str]) -> Said {
        self.ask_by(&self.agent.socket(), words)
    }

    fn ask_by(&self, agent: &Path, words: &[&str]) -> Said {
        let mut ssh = self.ca.client("ana");
        ssh.env("SSH_AUTH_SOCK", agent).args(["-A", "-o", "IdentityAgent=SSH_AUTH_SOCK", "ca"]);
        run(ssh.args(words))
    }

    /// A login with what is in the agent and nothing else.
    fn login(&self, server: &Sshd, account: &str, options: &[&str], words: &[&str]) -> Said {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
        ssh.args(["-o", "IdentityFile=none", "-o", "HostName=127.0.0.1"]);
        let (_, name) = account.split_once('@').unwrap();
        let known = server.dir().join("known_hosts");
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
        ssh.arg("-o").arg(format!("HostKeyAlias={name}"));
        ssh.arg("-p").arg(server.port().to_string()).args(options);
        run(ssh.env("SSH_AUTH_SOCK", self.agent.socket()).arg(account).args(words))
    }
}

/// A server with plain keys of two types, and a host certificate for one of them on demand.
fn server(name: &str, trusted: &str, ca: &Path) -> Sshd {
    Sshd::start_more(name, trusted, "deploy@web01\n", |dir| {
        key_pair(dir, "host_ecdsa", &["ecdsa"]);
        let mut sign = Command::new("ssh-keygen");
        sign.arg("-qs")
            .arg(ca.join("keys/host_ca"))
            .args(["-I", name, "-h", "-n", name, "-V", "+1h"]);
        run(sign.arg(dir.join("host.pub"))).ok();
        let key = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap();
        let ca = std::fs::read_to_string(ca.join("keys/host_ca.pub")).unwrap();
        let known = format!(
            "{name} {}{name} {}@cert-authority {name} {ca}",
            key("host.pub"),
            key("host_ecdsa.pub")
        );
        std::fs::write(dir.join("known_hosts"), known).unwrap();
        format!(
            "HostKey {}\nHostCertificate {}\n",
            dir.join("host_ecdsa").display(),
            dir.join("host-cert.pub").display()
        )
    })
}

/// Writes a server's host keys into hosts.toml.
fn declare(dir: &Path, name: &str, server: &Sshd) {
    let path = dir.join("ca/hosts.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let key = |file: &str| std::fs::read_to_string(server.dir().join(file)).unwrap();
    let keys = [key("host.pub"), key("host_ecdsa.pub")].map(|key| format!("{:?}", key.trim()));
    let head = format!("[host.{name}]\n");
    let with = format!("{head}host_keys = [{}]\n", keys.join(", "));
    assert!(text.contains(&head));
    std::fs::write(path, text.replace(&head, &with)).unwrap();
}

/// `ssh -A ca deploy@web01 OPS-7`, and then `ssh deploy@web01`, whichever way the host shows who it is.
/// Mallory, who got hold of the use of ana's agent (she is root on web02, or on web01), cannot use it for
/// another host, another account, or from web01 onwards, though all these servers would let it in.
#[test]
fn a_certificate_in_an_agent_opens_its_account_on_its_host_and_nothing_else() {
    let mut site = Site::start();
    let said = site.ask(&["deploy@web01", "OPS-7"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{said:?}");
    assert!(said.err.contains("into your agent"), "{said:?}");
    assert!(said.err.ends_with("hint: ssh deploy@web01\n"), "{said:?}");

    for algorithm in ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-ed25519-cert-v01@openssh.com"] {
        let option = format!("HostKeyAlgorithms={algorithm}");
        let said = site.login(&site.web01, "deploy@web01", &["-o", &option], &["echo", "in"]);
        assert_eq!(said.out, "in\n", "{algorithm}: {said:?} {:#?}", site.web01.log());
    }
    // The same server under a name that only the client has: the key counts, not the name.
    site.web01.line("ID r");

    let other_host = site.login(&site.web02, "deploy@web02", &[], &["echo", "in"]);
    assert_eq!((other_host.code, other_host.out.as_str()), (255, ""), "{other_host:?}");
    let other_account = site.login(&site.web01, "logs@web01", &[], &["echo", "in"]);
    assert_eq!((other_account.code, other_account.out.as_str()), (255, ""), "{other_account:?}");
    // That these two servers do not refuse by themselves is what makes the test one of the agent.
    let file = site.ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    assert_eq!(site.web02.login(&site.ca.dir().join("ana"), &file, &["echo", "in"]).out, "in\n");

    let further = format!(
        "ssh-add -L; ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
         -p {} deploy@127.0.0.1 echo further",
        site.web02.port()
    );
    let hop = site.login(&site.web01, "deploy@web01", &["-A"], &[&further]);
    assert!(!hop.out.contains("further") && !hop.out.contains("cert-v01"), "{hop:?}");
    assert!(hop.out.contains("no identities"), "{hop:?}");

    // The facts say which key it is and where it went, and no plain key is beside the certificate.
    let entries = site.ca.entries();
    let facts = &entries.iter().find(|entry| entry.kind == "certificate").unwrap().facts;
    assert_eq!(
        (&facts["subject_kind"], &facts["delivery"]),
        (&"made-by-ca".into(), &"agent".into())
    );
    let listed = site.agent.list();
    assert_eq!(listed.lines().count(), listed.matches("ssh-ed25519-cert-v01").count(), "{listed}");
}

/// What is in the agent leaves it with the certificate.
#[test]
fn the_agent_forgets_a_certificate_when_it_is_over() {
    let site = Site::start();
    let said = site.ask(&["deploy@web01", "OPS-7", "--ttl", "3s"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(site.agent.list().contains("hallpass deploy@web01"), "{}", site.agent.list());
    crate::process::until("the certificate's end", || !site.agent.list().contains("cert-v01"));
}

/// An agent that will not take a certificate is found out before anything is written: a locked one, one
/// that knows no destinations (gpg-agent), and one that is gone. Nothing is issued, the ledger does not
/// grow, and the hint has the line that works without an agent.
#[test]
fn an_agent_that_refuses_costs_nothing_and_the_hint_has_the_other_form() {
    let site = Site::start();
    let before = site.ca.entries().len();
    let refused = |said: &Said, reason: &str| {
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(said.err.contains(reason), "{said:?}");
        let hint = said.err.lines().last().unwrap_or_default();
        assert!(hint.contains("ssh -a ca deploy@web01 OPS-7 --to stdout > FILE"), "{said:?}");
        assert_eq!(site.ca.entries().len(), before, "something was written");
    };
    let ask = ["deploy@web01", "OPS-7"];

    site.agent.lock("-x");
    refused(&site.ask(&ask), "your agent does not take the certificate: it is locked");
    site.agent.lock("-X");
    assert!(!site.agent.list().contains("cert-v01"), "{}", site.agent.list());

    let home = tempfile::Builder::new().prefix("gpg-").tempdir().unwrap();
    let mut gpg = Command::new("gpg-agent");
    gpg.env("GNUPGHOME", home.path()).args(["--enable-ssh-support", "--daemon", "sleep", "60"]);
    let _gpg = Daemon::start(&mut gpg);
    let socket = home.path().join("S.gpg-agent.ssh");
    crate::process::until("gpg-agent's socket", || socket.exists());
    refused(&site.ask_by(&socket, &ask), "your agent does not take the certificate");

    let hostile = home.path().join("hostile");
    hostile_agent(&hostile);
    refused(&site.ask_by(&hostile, &ask), "your agent was forwarded and does not answer");

    // Without host keys there is nothing to bind it to.
    let said = site.ask(&["logs@db01"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("the host keys of db01 are not known"), "{said:?}");
    assert!(said.err.contains("hint: ssh ca logs@db01 --to stdout > FILE"), "{said:?}");
    assert_eq!(site.ca.entries().len(), before, "something was written");

    // And then it works, by the line of the hint.
    let said = site.ca.ssh("ana", &["deploy@web01", "OPS-7", "--to", "stdout"]);
    assert!(said.out.starts_with("ssh-ed25519-cert-v01@openssh.com "), "{said:?}");
}

/// Several accounts in one request: those under one offer share a certificate, each with a destination of
/// its own; two offers make two, into the agent; on standard output that is a refusal which costs nothing.
#[test]
fn several_accounts_share_a_certificate_under_one_offer_and_take_two_under_two() {
    let site = Site::start();
    let said = site.ask(&["deploy@web01,deploy@web02", "OPS-7", "--json"]);
    let issued: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(issued["accounts"], serde_json::json!(["deploy@web01", "deploy@web02"]), "{said:?}");
    let certificates =
        |site: &Site| site.ca.entries().iter().filter(|entry| entry.kind == "certificate").count();
    assert_eq!(certificates(&site), 1);
    let said = site.login(&site.web01, "deploy@web01", &[], &["echo", "in"]);
    assert_eq!(said.out, "in\n", "{said:?}");

    let said = site.ask(&["deploy@web01,logs@web01", "OPS-7", "--json"]);
    let issued: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let all = issued["certificates"].as_array().unwrap();
    let offers: Vec<&str> = all.iter().map(|one| one["offer"].as_str().unwrap()).collect();
    assert_eq!(offers, ["deploy-prod", "logs-prod"], "{said:?}");
    assert_eq!(certificates(&site), 3);

    let said = site.ca.ssh("ana", &["deploy@web01,logs@web01", "OPS-7"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("these accounts take 2 certificates"), "{said:?}");
    assert!(said.err.contains("ssh -A ca deploy@web01,logs@web01 OPS-7"), "{said:?}");
    assert_eq!(certificates(&site), 3);

    // One no, and nothing is granted.
    let entries = site.ca.entries().len();
    let said = site.ask(&["deploy@web01,root@web01", "OPS-7"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("refused: root@web01: "), "{said:?}");
    crate::process::until("the refusal", || site.ca.entries().len() > entries);
    assert_eq!(site.ca.entries().len(), entries + 1, "the refusal, and nothing else");
}

/// With five identities in the agent servers may give up before ours is tried: the hint has a line that
/// works, and it does.
#[test]
fn with_many_identities_the_hint_picks_ours() {
    let site = Site::start();
    for n in 0..6 {
        let key = key_pair(site.ca.dir(), &format!("other-{n}"), &["ed25519"]);
        assert_eq!(site.agent.add(&["-q", key.to_str().unwrap()]).code, 0);
    }
    let said = site.ask(&["deploy@web01", "OPS-7"]);
    assert_eq!(said.code, 0, "{said:?}");
    let hint = said.err.lines().last().unwrap();
    assert!(hint.starts_with("hint: your agent has 6 other identities"), "{said:?}");
    let request = hint.split("grep ").nth(1).unwrap().split(' ').next().unwrap();
    let file = site.ca.dir().join("ours.pub");
    let ours = site.agent.list();
    let ours = ours.lines().find(|line| line.contains(request)).unwrap();
    std::fs::write(&file, format!("{ours}\n")).unwrap();
    let many = site.login(&site.web01, "deploy@web01", &[], &["echo", "in"]);
    let picked = ["-o", "IdentitiesOnly=yes", "-i", file.to_str().unwrap()];
    let one = site.login(&site.web01, "deploy@web01", &picked, &["echo", "in"]);
    assert_eq!(one.out, "in\n", "{one:?}; without the hint: {many:?}");
}

/// One that lists politely that it has nothing, and answers a certificate with a frame of 4 GiB.
fn hostile_agent(socket: &Path) {
    use std::io::{Read as _, Write as _};
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let serve = |mut stream: std::os::unix::net::UnixStream| {
        let mut length = [0; 4];
        while stream.read_exact(&mut length).is_ok() {
            let mut message = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut message).unwrap();
            let answer: &[u8] = match message[0] {
                11 => &[0, 0, 0, 5, 12, 0, 0, 0, 0],
                25 => &[0xff, 0xff, 0xff, 0xff, 6],
                _ => &[0, 0, 0, 1, 6],
            };
            stream.write_all(answer).unwrap();
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || serve(stream));
        }
    });
}

/// Which key is certified is a term: an offer for own keys is not one for fresh ones, whatever is asked
/// for, and the other way round; where one offer does not fit another one may.
#[test]
fn delivery_is_a_term_of_the_offer() {
    let own = r#"@id("own") @ttl("5m") @delivery("own-key")
        permit (principal == Person::"ana", action == Action::"login", resource == Account::"root@web01");"#;
    let made = r#"@id("made") @ttl("5m") @delivery("made-by-ca")
        permit (principal == Person::"ana", action == Action::"login", resource == Account::"root@web02");"#;
    // The example's guard asks for a ticket; OPS-7 is ana's.
    let site = Site::start_with(&format!("{own}\n{made}\n"));
    let refused = |said: Said, reason: &str, hint: &str| {
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(said.err.contains(reason) && said.err.contains(hint), "{said:?}");
    };

    // Both ways are open, and the offer says which one it is.
    let said = site.ask(&["root@web01", "OPS-7"]);
    assert!(
        said.code == 0 && said.out.starts_with("ssh-ed25519-cert-v01@openssh.com "),
        "{said:?}"
    );
    refused(
        site.ask(&["root@web01", "OPS-7", "--to", "agent"]),
        "offer own certifies your own key only",
        "ssh ca root@web01 OPS-7 --to stdout > FILE",
    );
    let said = site.ask(&["root@web02", "OPS-7"]);
    assert!(said.code == 0 && said.err.contains("into your agent"), "{said:?}");
    refused(
        site.ca.ssh("ana", &["root@web02", "OPS-7"]),
        "offer made puts a fresh key into your agent only",
        "ssh -A ca root@web02 OPS-7",
    );
    refused(
        site.ca.ssh("ana", &["root@web02", "OPS-7", "--to", "agent"]),
        "no agent is forwarded on this connection",
        "ssh -A ca root@web02 OPS-7",
    );
    // One here and one there is no answer.
    refused(
        site.ask(&["root@web01,root@web02", "OPS-7"]),
        "offer made goes into your agent and offer own to standard output",
        "ask for one at a time",
    );
    let facts =
        site.ca.entries().into_iter().find(|entry| entry.kind == "certificate").unwrap().facts;
    assert_eq!(facts["terms"]["delivery"], "own-key");
}

/// One connection that several commands share (`ControlMaster`): the agent is forwarded for those that
/// say so. A certificate that was asked for without it goes to standard output, not into the agent of
/// somebody else's command.
#[test]
fn an_agent_is_forwarded_for_the_command_that_says_so() {
    let site = Site::start();
    let socket = site.ca.dir().join("master");
    let shared = |options: &[&str], words: &[&str]| {
        let mut ssh = site.ca.client("ana");
        ssh.env("SSH_AUTH_SOCK", site.agent.socket()).arg("-o").arg("IdentityAgent=SSH_AUTH_SOCK");
        ssh.arg("-S").arg(&socket).args(options).arg("ca").args(words);
        run(&mut ssh)
    };
    let master = shared(&["-A", "-o", "ControlMaster=yes", "-o", "ControlPersist=30"], &["status"]);
    assert_eq!(master.code, 0, "{master:?}");
    let without = shared(&["-a"], &["deploy@web01", "OPS-7"]);
    assert!(without.out.starts_with("ssh-ed25519-cert-v01@openssh.com "), "{without:?}");
    assert!(!site.agent.list().contains("cert-v01"));
    let with = shared(&["-A"], &["deploy@web01"]);
    assert!(with.out.is_empty() && with.err.contains("into your agent"), "{with:?}");
    assert!(site.agent.list().contains("cert-v01"));
    // Over that connection ensure knows what is in the agent; another one finds out anew.
    let there = shared(&["-A"], &["ensure", "deploy@web01"]);
    assert_eq!((there.code, there.out.as_str(), there.err.as_str()), (0, "", ""), "{there:?}");
    let entries = site.ca.entries().len();
    assert_eq!(shared(&["-A"], &["ensure", "deploy@web01"]).code, 0);
    assert_eq!(site.ca.entries().len(), entries, "a certificate that nobody needed");
    // What it knows to be there is of no use any more when the grant has ended with its ticket.
    assert_eq!(shared(&["-A"], &["logs@web01", "OPS-7"]).code, 0);
    let entries = site.ca.entries().len();
    assert_eq!(shared(&["-A"], &["ensure", "logs@web01"]).code, 0);
    assert_eq!(site.ca.entries().len(), entries, "a certificate that nobody needed");
    let ticket = site.ca.file("tickets/OPS-7.toml");
    let text = std::fs::read_to_string(&ticket).unwrap();
    std::fs::write(&ticket, text.replace("\"open\"", "\"resolved\"")).unwrap();
    assert_eq!(shared(&["-A"], &["ensure", "logs@web01"]).code, 0);
    let last = site.ca.entries().pop().unwrap();
    assert_eq!((last.kind.as_str(), last.facts["ticket"].is_null()), ("certificate", true));
    assert_eq!(shared(&["-O", "exit"], &[]).code, 0);
}
