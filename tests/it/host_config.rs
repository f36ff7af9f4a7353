//! `host config`: a server is put under the CA, only certificates open it, and all is undone, by the
//! printed lines alone. The true paths of a server, in a mount namespace of its own, under a real sshd.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::ca::Ca;
use crate::namespace::may_mount;
use crate::process::{Daemon, Said, key_pair, run, until};

/// A server with one account, `deploy`, that the key `old` opens; its name in principals is web01. It
/// is this process's mount namespace, so there is one at a time.
pub struct Server {
    pub dir: TempDir,
    pub port: u16,
    sshd: Option<Daemon>,
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
    fn boot(&mut self) {
        drop(self.sshd.take());
        let mut command = Command::new("/usr/sbin/sshd");
        self.accounts(command.args(["-D", "-e"]));
        let mut sshd = Daemon::start(&mut command);
        sshd.line("Server listening");
        until("sshd's process id in its file", || Path::new("/run/sshd.pid").exists());
        self.sshd = Some(sshd);
    }

    /// `sh FILE WORDS` as root on it, with a PATH in front.
    fn sh(&self, file: &Path, words: &[&str], path: &str) -> Said {
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
fn ca_with(hosts: &str) -> Ca {
    Ca::start_with(|dir| {
        let file = dir.join("ca/hosts.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, text + hosts).unwrap();
        std::fs::write(
            dir.join("ca/tickets/OPS-7.toml"),
            "title = \"x\"\nstate = \"open\"\nassignee = \"ana\"\n",
        )
        .unwrap();
    })
}

/// What `host config` prints, in a file.
fn printed(ca: &Ca, name: &str, words: &[&str]) -> PathBuf {
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

#[test]
fn a_server_is_put_under_the_ca_and_back_by_the_printed_lines_alone() {
    if !may_mount("host_config::a_server_is_put_under_the_ca_and_back_by_the_printed_lines_alone") {
        return;
    }
    let ca = Ca::start();
    let server = Server::make("");
    let before = state();
    let (ana, certificate) =
        (ca.dir().join("ana"), ca.certificate("ana", &["deploy@web01", "OPS-7"]));
    let other = ca.certificate("ana", &["deploy@web02", "OPS-7"]);
    let by_certificate = || server.opens(&ana, Some(&certificate));
    assert_eq!((server.by_old_key(), by_certificate()), (IN, OUT));

    let file = printed(&ca, "web01", &[]);
    let said = server.sh(&file, &[], "");
    assert!(said.code == 0 && said.out.is_empty(), "{said:?}");
    assert_eq!((server.by_old_key(), by_certificate()), (IN, IN), "{said:?}");
    // A certificate for another host that trusts the same CA.
    assert_eq!(server.opens(&ana, Some(&other)), OUT);
    // An account without a file, and the principals are no secret but nobody else's to change.
    let names = |dir: &str| {
        let entries = std::fs::read_dir(dir).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<BTreeSet<_>>()
    };
    let expected = ["deploy", "logs", "root"].map(str::to_owned);
    assert_eq!(names("/etc/ssh/hallpass_principals"), expected.into());
    run(Command::new("ssh-keygen").args(["-Q", "-l", "-f", "/etc/ssh/hallpass_revoked.krl"])).ok();

    // Again: nothing changes, and sshd hears nothing.
    let under = state();
    let said = server.sh(&file, &[], "");
    assert!(said.code == 0 && said.err.contains("nothing has changed"), "{said:?}");
    assert!(!said.err.contains("reloaded") && state() == under, "{said:?}");

    // The old keys are gone, come back, and go again; bringing a newer file leaves it so.
    server.sh(&file, &["only"], "").ok();
    assert_eq!((server.by_old_key(), by_certificate()), (OUT, IN));
    server.sh(&file, &["not-only"], "").ok();
    assert_eq!((server.by_old_key(), state()), (IN, under));
    server.sh(&file, &["only"], "").ok();
    server.sh(&file, &[], "").ok();
    assert_eq!((server.by_old_key(), by_certificate()), (OUT, IN));

    let said = server.sh(&file, &["undo"], "");
    assert!(said.code == 0, "{said:?}");
    assert_eq!((server.by_old_key(), by_certificate(), state()), (IN, OUT, before.clone()));
    let said = server.sh(&file, &["undo"], "");
    assert!(said.code == 0 && said.err.contains("nothing of hallpass is here"), "{said:?}");

    // The lines at the end of the file do the same by hand.
    server.sh(&file, &[], "").ok();
    let text = std::fs::read_to_string(&file).unwrap();
    let (_, undo) = text.split_once("# By hand, undo is these lines").unwrap();
    let lines: Vec<&str> = undo.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    let reload = "sshd -t && systemctl reload ssh";
    assert_eq!((lines.len(), lines[1]), (3, reload));
    let sshd = server.sshd.as_ref().unwrap().pid();
    let by_hand =
        lines.join("\n").replace("systemctl reload ssh", &format!("kill -HUP {sshd}; sleep 1"));
    run(Command::new("sh").args(["-euc", &by_hand]).env("PATH", "/usr/sbin:/usr/bin:/bin")).ok();
    assert_eq!((server.by_old_key(), by_certificate(), state()), (IN, OUT, before));
}

#[test]
fn a_pool_and_a_server_of_bare_names_are_put_under_it_and_newer_files_bring_what_changed() {
    if !may_mount(
        "host_config::a_pool_and_a_server_of_bare_names_are_put_under_it_and_newer_files_bring_what_changed",
    ) {
        return;
    }
    let ca = ca_with(
        "\n[host.fleet]\npool = true\ntags = [\"prod\"]\naccounts = [\"deploy\", \"logs\"]\n\
         \n[host.printer]\nprincipals = \"login\"\ntags = [\"prod\"]\naccounts = [\"deploy\"]\n\
         \n[host.empty]\ntags = [\"prod\"]\n",
    );
    let server = Server::make("");
    let ana = ca.dir().join("ana");
    let fleet = ca.certificate("ana", &["deploy@fleet", "OPS-7"]);
    server.sh(&printed(&ca, "fleet", &[]), &[], "").ok();
    assert_eq!(server.opens(&ana, Some(&fleet)), IN);

    // The machine leaves the pool and becomes web01: what opened it opens it no more.
    server.sh(&printed(&ca, "web01", &[]), &[], "").ok();
    assert_eq!(server.opens(&ana, Some(&fleet)), OUT);
    let web01 = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    assert_eq!(server.opens(&ana, Some(&web01)), IN);

    // A server of bare names trusts the other CA key, and no certificate that names a host.
    let printer = printed(&ca, "printer", &[]);
    server.sh(&printer, &[], "").ok();
    assert!(!Path::new("/etc/ssh/hallpass_principals/deploy").exists());
    let bare = ca.certificate("ana", &["deploy@printer", "OPS-7"]);
    assert_eq!((server.opens(&ana, Some(&bare)), server.opens(&ana, Some(&web01))), (IN, OUT));
    server.sh(&printer, &["undo"], "").ok();
    assert_eq!((server.opens(&ana, Some(&bare)), server.by_old_key()), (OUT, IN));

    for (words, why) in [
        (["empty", "--keep=%u"], "empty has no accounts"),
        (["nowhere", "--keep=%u"], "there is no host \"nowhere\""),
        (["printer", "--keep=legacy"], "printer takes bare account names"),
        (["web01", "--keep=%u@web02"], "would let certificates for web02 in"),
    ] {
        let said = ca.operator(&[&["host", "config"][..], &words].concat());
        assert!(said.code == 75 && said.err.contains(why) && said.out.is_empty(), "{said:?}");
    }
    for keep in
        ["", "-x", "a b", "a,b", "a\nb", "*", "%h", "50%", "command=\"x\"", "a'b", "$(x)", "=END="]
    {
        let said = ca.operator(&["host", "config", "web01", &format!("--keep={keep}")]);
        assert!(said.code == 2 && said.out.is_empty(), "{keep:?}: {said:?}");
    }
}

#[test]
fn names_of_every_shape_are_names_and_nothing_else() {
    if !may_mount("host_config::names_of_every_shape_are_names_and_nothing_else") {
        return;
    }
    // Mallory may name a host or an account, and knows where the names go: into a script that root runs.
    let long = "a".repeat(63);
    let names =
        ["0", "a-", "a..", "a_b", "hallpass.new", "end", "none", "done", "exit", "9--", &long];
    let host = |name| format!("\n[host.\"{name}\"]\naccounts = {names:?}\n");
    let ca = ca_with(&names.map(host).concat());
    let server = Server::make("");
    for host in ["0", "a..", "hallpass.new", &long] {
        let said = server.sh(&printed(&ca, host, &[]), &[], "");
        assert_eq!(said.code, 0, "{host}: {said:?}");
        for account in names {
            let path = format!("/etc/ssh/hallpass_principals/{account}");
            assert_eq!(std::fs::read_to_string(path).unwrap(), format!("{account}@{host}\n"));
        }
        assert_eq!(std::fs::read_dir("/etc/ssh/hallpass_principals").unwrap().count(), names.len());
    }
    // What is none is no host and no account.
    for bad in
        ["-a", ".a", "a b", "a'b", "a$b", "a`b", "a\\\\b", "a;b", "a/b", "=END=", "A", "a\\nb"]
    {
        let hosts = ca.file("hosts.toml");
        let good = std::fs::read_to_string(&hosts).unwrap();
        for table in [format!("[host.\"{bad}\"]"), format!("[host.x]\naccounts = [\"{bad}\"]")] {
            std::fs::write(&hosts, format!("{good}\n{table}\n")).unwrap();
            let said = ca.operator(&["host", "config", "web01"]);
            assert!(said.code == 75 && said.out.is_empty(), "{bad:?}: {said:?}");
        }
        std::fs::write(&hosts, good).unwrap();
    }
}

#[test]
fn an_older_ca_is_kept_or_refused_never_ended_by_the_way() {
    if !may_mount("host_config::an_older_ca_is_kept_or_refused_never_ended_by_the_way") {
        return;
    }
    let ca = Ca::start();
    let older = "TrustedUserCAKeys /etc/ssh/old_ca.pub\nAuthorizedPrincipalsFile /etc/ssh/old_principals\n\
                 RevokedKeys /etc/ssh/old.krl\n";
    // Before it reads its configuration for the first time.
    let mut server = Server::make("");
    let home = server.dir.path().to_owned();
    let at = |name: &str| home.join(name);
    let keygen = |words: &[&str]| run(Command::new("ssh-keygen").arg("-q").args(words)).ok();
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let ca_key = path(key_pair(server.dir.path(), "old_ca", &["ed25519"]));
    for (name, serial) in [("carl", "1"), ("lost", "2")] {
        let key = path(key_pair(server.dir.path(), name, &["ed25519"]));
        keygen(&[
            "-s",
            &ca_key,
            "-I",
            name,
            "-n",
            "legacy-deploy",
            "-z",
            serial,
            &format!("{key}.pub"),
        ]);
    }
    std::fs::copy(at("old_ca.pub"), "/etc/ssh/old_ca.pub").unwrap();
    std::fs::write("/etc/ssh/old_principals", "legacy-deploy\n").unwrap();
    std::fs::write(at("spec"), "serial: 2\n").unwrap();
    keygen(&["-k", "-f", "/etc/ssh/old.krl", "-s", "/etc/ssh/old_ca.pub", &path(at("spec"))]);
    let (carl, lost) = (at("carl"), at("lost"));
    let (carl_cert, lost_cert) = (at("carl-cert.pub"), at("lost-cert.pub"));
    let config = std::fs::read_to_string("/etc/ssh/sshd_config").unwrap();
    std::fs::write("/etc/ssh/sshd_config", config.clone() + older).unwrap();
    server.boot();
    let by_older =
        || [server.opens(&carl, Some(&carl_cert)), server.opens(&lost, Some(&lost_cert))];
    assert_eq!(by_older(), [IN, OUT]);
    let before = state();

    // Without a word about it: nothing is changed.
    let said = server.sh(&printed(&ca, "web01", &[]), &[], "");
    assert!(said.code == 1 && said.err.contains("--keep PRINCIPAL"), "{said:?}");
    for setting in older.lines() {
        assert!(said.err.contains(&format!("older than hallpass: {setting}")), "{said:?}");
    }
    assert_eq!((state(), by_older()), (before.clone(), [IN, OUT]));

    let file = printed(&ca, "web01", &["--keep", "legacy-%u"]);
    let said = server.sh(&file, &[], "");
    assert!(said.code == 0 && said.err.contains("/etc/ssh/old.krl stays the one KRL"), "{said:?}");
    let (ana, certificate) =
        (ca.dir().join("ana"), ca.certificate("ana", &["deploy@web01", "OPS-7"]));
    // What the older CA revoked stays revoked.
    assert_eq!((by_older(), server.opens(&ana, Some(&certificate))), ([IN, OUT], IN));
    let under = state();
    let said = server.sh(&file, &[], "");
    assert!(said.err.contains("nothing has changed") && state() == under, "{said:?}");
    // A newer file that says nothing of it any more.
    let said = server.sh(&printed(&ca, "web01", &[]), &[], "");
    assert!(
        said.code == 1 && said.err.contains("--keep PRINCIPAL") && state() == under,
        "{said:?}"
    );
    // Its keys are kept even when its own file is gone.
    let file = printed(&ca, "web01", &["--keep", "legacy-%u"]);
    std::fs::rename("/etc/ssh/old_ca.pub", "/etc/ssh/away").unwrap();
    server.sh(&file, &["only"], "").ok();
    assert_eq!((by_older(), server.by_old_key()), ([IN, OUT], OUT));
    std::fs::rename("/etc/ssh/away", "/etc/ssh/old_ca.pub").unwrap();
    server.sh(&file, &["undo"], "").ok();
    assert_eq!((state(), by_older(), server.by_old_key()), (before, [IN, OUT], IN));
    assert_eq!(server.opens(&ana, Some(&certificate)), OUT);

    // A command that maps principals would be asked after our files: it is never kept.
    let command =
        "AuthorizedPrincipalsCommand /bin/echo legacy\nAuthorizedPrincipalsCommandUser root\n";
    std::fs::write("/etc/ssh/sshd_config", config + command).unwrap();
    let before = state();
    let said = server.sh(&file, &[], "");
    assert!(
        said.code == 1 && said.err.contains("an AuthorizedPrincipalsCommand is in effect"),
        "{said:?}"
    );
    assert_eq!(state(), before);
}

#[test]
fn what_fails_is_put_back_and_a_list_of_revoked_keys_is_never_lost() {
    if !may_mount("host_config::what_fails_is_put_back_and_a_list_of_revoked_keys_is_never_lost") {
        return;
    }
    let ca = Ca::start();
    let server = Server::make("");
    let file = printed(&ca, "web01", &[]);
    let config = std::fs::read_to_string("/etc/ssh/sshd_config").unwrap();
    let refused = |change: &dyn Fn(), why: &str, hint: &str| {
        change();
        let before = state();
        let said = server.sh(&file, &[], "");
        assert!(said.code == 1 && said.err.contains(why) && said.err.contains(hint), "{said:?}");
        assert_eq!((state(), server.by_old_key()), (before, IN), "{said:?}");
        std::fs::write("/etc/ssh/sshd_config", &config).unwrap();
    };
    let write = |text: String| std::fs::write("/etc/ssh/sshd_config", text).unwrap();
    let include = "Include /etc/ssh/sshd_config.d/*.conf\n";
    refused(
        &|| write(config.replace(include, "")),
        "sshd_config does not include",
        "hint: put this line first into it: Include /etc/ssh/sshd_config.d/*.conf",
    );
    // Somebody's account has settings of its own, which win.
    refused(
        &|| write(format!("{config}Match User deploy\n  TrustedUserCAKeys /etc/ssh/x.pub\n")),
        "older than hallpass: TrustedUserCAKeys /etc/ssh/x.pub",
        "--keep PRINCIPAL",
    );
    refused(
        &|| write(format!("{config}Match User deploy\n  AuthorizedPrincipalsFile none\n")),
        "for deploy sshd has authorizedprincipalsfile none",
        "look for authorizedprincipalsfile",
    );
    let said = server.sh(&file, &["only"], "");
    assert!(said.code == 1 && said.err.contains("not under the CA yet"), "{said:?}");
    for words in [&["all"][..], &["undo", "now"]] {
        assert_eq!(server.sh(&file, words, "").code, 1);
    }
    let before = state();
    std::fs::write("/etc/ssh/sshd_config.d/x.conf", "Nonsense yes\n").unwrap();
    assert!(server.sh(&file, &[], "").err.contains("sshd -t fails before anything is changed"));
    std::fs::remove_file("/etc/ssh/sshd_config.d/x.conf").unwrap();
    assert_eq!(state(), before);

    // A KRL that somebody brought stays; a file that is none would keep everybody out.
    server.sh(&file, &[], "").ok();
    let krl = Path::new("/etc/ssh/hallpass_revoked.krl");
    let empty = std::fs::read(krl).unwrap();
    let old = server.dir.path().join("old.pub");
    run(Command::new("ssh-keygen").args(["-q", "-k", "-f"]).arg(krl).arg(old)).ok();
    let brought = std::fs::read(krl).unwrap();
    assert_eq!(server.by_old_key(), OUT);
    server.sh(&file, &[], "").ok();
    assert_eq!((std::fs::read(krl).unwrap(), server.by_old_key()), (brought.clone(), OUT));
    for (broken, keeps_out) in [(&brought[..20], true), (&b""[..], false)] {
        std::fs::write(krl, broken).unwrap();
        assert_eq!(server.by_old_key(), if keeps_out { OUT } else { IN });
        server.sh(&file, &[], "").ok();
        assert_eq!((std::fs::read(krl).unwrap(), server.by_old_key()), (empty.clone(), IN));
    }
    // sshd takes a list of public keys as well.
    std::fs::copy(server.dir.path().join("old.pub"), krl).unwrap();
    let list = std::fs::read(krl).unwrap();
    server.sh(&file, &[], "").ok();
    assert_eq!((std::fs::read(krl).unwrap(), server.by_old_key()), (list, OUT));
}

/// What is in place at a moment, but for staged files: names, modes, sizes.
const LISTING: &str =
    "cd /etc/ssh && ls -lR --time-style=+ sshd_config.d hallpass_* 2> /dev/null || :";

/// Stands before every command that the script starts: notes what is in place, or kills the script there.
struct Killer {
    dir: TempDir,
}

impl Killer {
    fn make() -> Self {
        let dir = tempfile::Builder::new().prefix("killer-").tempdir().unwrap();
        let wrapper = dir.path().join("wrapper");
        let text = format!(
            "#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nhere={}\nnow=$({LISTING})\n\
             if [ ! -e $here/target ]; then\n echo >> $here/count\n n=$(wc -l < $here/count)\n\
             \x20echo \"$now\" > $here/notes/$n\n\
             elif [ \"$now\" = \"$(cat $here/target)\" ]; then\n echo >> $here/count\n\
             \x20[ $(wc -l < $here/count) -lt $(cat $here/at) ] || {{ kill -KILL $(cat $here/victim); exit 1; }}\n\
             fi\nname=${{0##*/}}; [ \"$name\" != sleep ] || exit 0\n\
             exec \"$(command -v \"$name\")\" \"$@\"\n",
            dir.path().display()
        );
        std::fs::write(&wrapper, text).unwrap();
        run(Command::new("chmod").arg("+x").arg(&wrapper)).ok();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        for name in "base64 cat chmod cmp cp dirname flock grep head id mkdir mv rm rmdir sed sleep sort ssh-keygen \
                     sshd sync tr wc"
            .split_whitespace()
        {
            std::os::unix::fs::symlink(&wrapper, dir.path().join("bin").join(name)).unwrap();
        }
        Self { dir }
    }

    /// Every state that a whole run goes through, and how many of its commands begin in it.
    fn states(&self, server: &Server, file: &Path, words: &[&str]) -> Vec<(String, usize)> {
        let notes = self.dir.path().join("notes");
        std::fs::create_dir(&notes).unwrap();
        drop(std::fs::remove_file(self.dir.path().join("target")));
        assert!(!self.run(server, file, words), "it died by itself");
        let mut states: Vec<(String, usize)> = Vec::new();
        // Two commands of a pipeline may have the same number, or leave one out.
        for number in 1..1000 {
            let note = std::fs::read_to_string(notes.join(number.to_string()));
            let Some(state) = note.ok().filter(|state| !state.is_empty()) else { continue };
            match states.last_mut().filter(|last| last.0 == state) {
                Some(last) => last.1 += 1,
                None => states.push((state, 1)),
            }
        }
        std::fs::remove_dir_all(notes).unwrap();
        states
    }

    /// Kills a run at this one of the commands that begin in a state. Whether it came to that.
    fn kill(&self, server: &Server, file: &Path, words: &[&str], state: &str, at: usize) -> bool {
        std::fs::write(self.dir.path().join("target"), state).unwrap();
        std::fs::write(self.dir.path().join("at"), at.to_string()).unwrap();
        self.run(server, file, words)
    }

    fn run(&self, server: &Server, file: &Path, words: &[&str]) -> bool {
        let path = |name: &str| self.dir.path().join(name);
        std::fs::write(path("count"), "").unwrap();
        // The wrapper kills the shell that the script's own first line names.
        let script = format!("echo $$ > {}\n", path("victim").display())
            + &std::fs::read_to_string(file).unwrap();
        std::fs::write(path("script"), script).unwrap();
        let said = server.sh(&path("script"), words, &format!("{}:", path("bin").display()));
        assert!(said.code == 0 || said.code == -1, "{said:?}");
        said.code == -1
    }
}

#[test]
fn killed_at_any_of_its_commands_it_leaves_a_server_that_lets_people_in() {
    if !may_mount(
        "host_config::killed_at_any_of_its_commands_it_leaves_a_server_that_lets_people_in",
    ) {
        return;
    }
    let ca = ca_with("\n[host.fleet]\npool = true\ntags = [\"prod\"]\naccounts = [\"deploy\"]\n");
    let mut server = Server::make("");
    let killer = Killer::make();
    let ana = ca.dir().join("ana");
    let certificates =
        ["deploy@fleet", "deploy@web01"].map(|account| ca.certificate("ana", &[account, "OPS-7"]));
    let kept = server.dir.path().join("kept");
    let shell = |script: &str| run(Command::new("sh").args(["-euc", script])).ok();
    let mut kills = 0;
    // From nothing; to other accounts under another name; to certificates alone; back; all undone.
    for (name, word, expected) in [
        ("fleet", "", (IN, IN, OUT)),
        ("web01", "", (IN, OUT, IN)),
        ("web01", "only", (OUT, OUT, IN)),
        ("web01", "not-only", (IN, OUT, IN)),
        ("web01", "undo", (IN, OUT, OUT)),
    ] {
        let file = printed(&ca, name, &[]);
        let words: &[&str] = if word.is_empty() { &[] } else { &[word] };
        let opens = |server: &Server| {
            let [fleet, web01] = certificates.each_ref().map(|one| server.opens(&ana, Some(one)));
            (server.by_old_key(), fleet, web01)
        };
        shell(&format!("rm -rf {0}; cp -a /etc/ssh {0}", kept.display()));
        let reset = format!("rm -rf /etc/ssh/*; cp -a {}/. /etc/ssh/", kept.display());
        let states = killer.states(&server, &file, words);
        assert!(states.len() > 1, "{word:?} changes nothing: {states:?}");
        for (state, commands) in states {
            // At the first command that sees this state, and after all of them.
            for at in [1, commands] {
                shell(&reset);
                server.boot();
                if !killer.kill(&server, &file, words, &state, at) {
                    continue;
                }
                kills += 1;
                let what = format!("{name} {word:?} killed at the {at}. command with {state}");
                assert_eq!(run(Command::new("/usr/sbin/sshd").arg("-t")).code, 0, "{what}");
                names_nothing_that_is_missing(&what);
                let (old, fleet, web01) = opens(&server);
                let someone = [0, 1].map(|one| old[one] || fleet[one] || web01[one]);
                assert_eq!(someone, IN, "{what}");
                // Who used the old key before still does, until that is ended on purpose; and who got
                // in by certificate, until that is undone on purpose.
                assert!(old == IN || word.ends_with("only"), "{what}");
                assert!(web01 == IN || !word.ends_with("only"), "{what}");
                // Typed again, it goes on to its end.
                server.sh(&file, words, "").ok();
                assert_eq!(opens(&server), expected, "{what}");
            }
        }
        shell(&reset);
        server.boot();
        server.sh(&file, words, "").ok();
        assert_eq!(opens(&server), expected);
    }
    assert!(kills > 20, "killed {kills} times");
}

/// The drop-in, if it is there, and what it names.
fn names_nothing_that_is_missing(what: &str) {
    let Ok(text) = std::fs::read_to_string("/etc/ssh/sshd_config.d/hallpass.conf") else { return };
    assert_eq!(text.matches("\nRevokedKeys /etc/ssh/hallpass_revoked.krl\n").count(), 1, "{what}");
    run(Command::new("ssh-keygen").args(["-Q", "-l", "-f", "/etc/ssh/hallpass_revoked.krl"])).ok();
    run(Command::new("ssh-keygen").args(["-l", "-f", "/etc/ssh/hallpass_user_ca.pub"])).ok();
    let principals = std::fs::read_to_string("/etc/ssh/hallpass_principals/deploy").unwrap();
    assert!(["deploy@fleet\n", "deploy@web01\n"].contains(&principals.as_str()), "{what}");
}
