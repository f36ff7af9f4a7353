//! Host certificates and known_hosts: a client that knows nothing but what `known-hosts` prints, a
//! server that shows what `host sign` signed, and the ledger's entry before it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::ca::{Ca, Entry};
use crate::process::{Said, key_pair, python, repository, run, until};

/// The example's CA; web01 shows a host certificate, the key of web02 is declared, `fleet` is a pool.
struct Scene {
    ca: Ca,
    dir: TempDir,
}

impl Scene {
    fn make() -> Self {
        let dir = tempfile::Builder::new().prefix("hosts-").tempdir().unwrap();
        for name in ["host", "web02", "me", "fresh"] {
            key_pair(dir.path(), name, &["ed25519"]);
        }
        let web02 = std::fs::read_to_string(dir.path().join("web02.pub")).unwrap();
        let ca = Ca::start_with(|around| {
            let file = around.join("ca/hosts.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            let head = |name: &str| format!("[host.{name}]\n");
            let more =
                "addresses = [\"192.0.2.7:2222\", \"2001:db8::7\"]\nhost_certificate = true\n";
            let text = text.replace(&head("web01"), &format!("{}{more}", head("web01")));
            let key = format!("host_keys = [{:?}]\n", web02.trim());
            let text = text.replace(&head("web02"), &format!("{}{key}", head("web02")));
            std::fs::write(file, text + "\n[host.fleet]\npool = true\naccounts = [\"deploy\"]\n")
                .unwrap();
        });
        let scene = Self { ca, dir };
        let known = scene.ca.operator(&["known-hosts"]).ok();
        assert_eq!(scene.ca.ssh("ana", &["known-hosts"]).ok(), known);
        std::fs::write(scene.at("known_hosts"), known).unwrap();
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `host sign NAME --key FILE.pub WORDS`.
    fn sign(&self, name: &str, key: &Path, words: &[&str]) -> Said {
        let key = key.with_extension("pub");
        let begin = ["host", "sign", name, "--key", key.to_str().unwrap()];
        self.ca.operator(&[&begin, words].concat())
    }

    /// A login on a server of this key and certificate, by whoever calls it this.
    fn login(&self, called: &str, key: &Path, certificate: Option<&str>) -> Said {
        let mut config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n",
            key.display(),
            self.at("me.pub").display()
        );
        if let Some(certificate) = certificate {
            std::fs::write(self.at("host-cert.pub"), certificate).unwrap();
            config += &format!("HostCertificate {}\n", self.at("host-cert.pub").display());
        }
        std::fs::write(self.at("sshd_config"), config).unwrap();
        if rustix::process::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let user = run(Command::new("id").arg("-un")).ok();
        let sshd =
            format!("ProxyCommand=/usr/sbin/sshd -i -f {}", self.at("sshd_config").display());
        let known = format!("UserKnownHostsFile={}", self.at("known_hosts").display());
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", &sshd, "-o", &known, "-o", "StrictHostKeyChecking=yes"]);
        ssh.args([
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "IdentityAgent=none",
            "-i",
        ]);
        run(ssh.arg(self.at("me")).args(["-l", user.trim(), called, "echo in"]))
    }

    fn certified(&self) -> Vec<Entry> {
        let entries = self.ca.entries().into_iter();
        entries.filter(|entry| entry.kind == "host-certificate").collect()
    }
}

/// What `ssh-keygen -L` shows of a certificate.
fn shown(scene: &Scene, certificate: &str) -> String {
    std::fs::write(scene.at("shown"), certificate).unwrap();
    run(Command::new("ssh-keygen").arg("-Lf").arg(scene.at("shown"))).ok()
}

#[test]
fn a_host_certificate_is_logged_first_and_clients_know_the_host_by_it_alone() {
    let scene = Scene::make();
    let (host, web02) = (scene.at("host"), scene.at("web02"));
    let certificate = scene.sign("web01", &host, &["--for", "30d"]).ok();
    // The export ends with the newest checkpoint, which follows the entry.
    until("the entry in an export", || !scene.certified().is_empty());
    let [entry] = &scene.certified()[..] else { panic!("{:?}", scene.certified()) };
    let text = shown(&scene, &certificate);
    for line in [
        "ssh-ed25519-cert-v01@openssh.com host certificate".to_owned(),
        format!("Serial: {}\n", entry.index + 1),
        "Key ID: \"host/web01\"".to_owned(),
        format!("Public key: ED25519-CERT {}", entry.facts["subject"].as_str().unwrap()),
        format!("Signing CA: ED25519 {} ", entry.facts["ca"].as_str().unwrap()),
        "Principals: \n                web01\n                web01.example.com\n                \
         192.0.2.7\n                2001:db8::7\n        Critical Options: (none)\n        Extensions: (none)"
            .to_owned(),
    ] {
        assert!(text.contains(&line), "{line:?} is not in {text}");
    }
    let names = ["web01", "web01.example.com", "192.0.2.7", "2001:db8::7"];
    assert_eq!(entry.facts["principals"], serde_json::json!(names));

    // Known by the host CA, by each of its names, and not without its certificate.
    for name in ["web01", "web01.example.com", "2001:db8::7"] {
        let said = scene.login(name, &host, Some(&certificate));
        assert_eq!(said.out, "in\n", "{said:?}");
    }
    assert_eq!(scene.login("web01", &host, None).code, 255);
    // Mallory has web01's key and certificate, and shows them where people look for somebody else.
    for name in ["web02", "fleet", "hop01"] {
        let said = scene.login(name, &host, Some(&certificate));
        assert_eq!(said.code, 255, "{name}: {said:?}");
    }
    // Known by its key.
    assert_eq!(scene.login("web02", &web02, None).out, "in\n");
    let find = |name: &str| {
        let mut keygen = Command::new("ssh-keygen");
        run(keygen.args(["-F", name, "-f"]).arg(scene.at("known_hosts"))).out
    };
    for (name, what) in [
        ("web01", "@cert-authority web01,"),
        ("[192.0.2.7]:2222", "@cert-authority web01,"),
        ("web02", "\nweb02,web02.example.com ssh-ed25519 "),
        ("fleet", "@cert-authority fleet ssh-ed25519 "),
    ] {
        assert!(find(name).contains(what), "{name}: {}", find(name));
    }
    assert_eq!(find("hop01"), "", "nothing is known of it");

    // Each machine of a pool has its own key, and its own name if it is given one.
    let fresh = scene.at("fresh");
    let machine = scene.sign("fleet", &fresh, &["--also", "i-0abc.fleet.example.com"]).ok();
    assert_eq!(scene.login("fleet", &fresh, Some(&machine)).out, "in\n");
    assert!(shown(&scene, &machine).contains("fleet\n                i-0abc.fleet.example.com\n"));
}

#[test]
fn what_is_no_hosts_key_is_not_certified_and_what_is_not_recorded_is_not_signed() {
    let mut scene = Scene::make();
    let (host, web02, fresh) = (scene.at("host"), scene.at("web02"), scene.at("fresh"));
    let weak = key_pair(scene.dir.path(), "weak", &["rsa", "-b", "2048"]);
    scene.sign("web01", &host, &[]).ok();
    let (ana, file) =
        (scene.ca.dir().join("ana"), |name: &str| scene.ca.file(&format!("keys/{name}")));
    until("the entry in an export", || !scene.certified().is_empty());
    let before = scene.ca.entries().len();
    for (name, key, words, why) in [
        ("web01", ana, &[][..], "the key is ana's, a user's"),
        ("web01", file("user_ca"), &[], "the key is one of the CA's own"),
        ("web01", file("emergency_ca"), &[], "the key is one of the CA's own"),
        ("web01", file("host_ca"), &[], "the key is one of the CA's own"),
        ("web01", file("ssh_host_ed25519"), &[], "the key is one of the CA's own"),
        // Declared for one host, certified for one host: no other's.
        ("web01", web02, &[], "the key is web02's"),
        ("web02", host, &[], "the key is web01's"),
        ("fleet", scene.at("host"), &[], "the key is web01's"),
        ("web01", weak, &[], "2048 bits"),
        ("nowhere", fresh.clone(), &[], "there is no host"),
        ("web01", fresh.clone(), &["--also", "web99"], "\"web99\" cannot be certified"),
        ("fleet", fresh.clone(), &["--also", "web02.example.com"], "cannot be certified"),
        ("fleet", fresh.clone(), &["--also", "*"], "cannot be certified"),
        ("fleet", fresh.clone(), &["--also", ""], "cannot be certified"),
        ("web01", fresh.clone(), &["--for", "2000d"], "three years at most"),
        ("web01", fresh.clone(), &["--for", "0d"], "three years at most"),
        ("web01", scene.at("missing"), &[], "missing.pub"),
    ] {
        let said = scene.sign(name, &key, words);
        assert!(
            said.code == 75 && said.out.is_empty() && said.err.contains(why),
            "{why}: {said:?}"
        );
    }
    assert_eq!(scene.ca.entries().len(), before);

    // Nobody serves: the command writes to the ledger itself, and signs nothing if it cannot.
    assert_eq!(scene.ca.daemon.stop(), 0);
    let database = rusqlite::Connection::open(scene.ca.file("state/ledger.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said = scene.sign("web01", &fresh, &[]);
    assert!(said.code == 75 && said.out.is_empty(), "{said:?}");
    drop(database);
    assert_eq!(scene.ca.entries().len(), before);
    let certificate = scene.sign("web01", &fresh, &[]).ok();
    // A daemon goes on from there, and everybody who verifies the ledger accepts it.
    scene.ca.restart_after_stop();
    let last = scene.certified().pop().unwrap();
    assert_eq!(last.index, u64::try_from(before).unwrap());
    assert!(shown(&scene, &certificate).contains(&format!("Serial: {}\n", last.index + 1)));
    scene.ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    scene.ca.operator(&["ledger", "verify"]).ok();
    let export = scene.at("export.jsonl");
    std::fs::write(&export, scene.ca.operator(&["ledger", "export"]).ok()).unwrap();
    let mut check = python();
    check.arg(repository("tests/checker/check_export.py")).arg(&export);
    check.arg("--ledger").arg(scene.ca.file("keys/ledger.vkey"));
    check.arg("--signer").arg(scene.ca.file("keys/signer.vkey"));
    run(&mut check).ok();
    let held = scene.at("held");
    std::fs::create_dir(&held).unwrap();
    run(python().arg(repository("tests/auditor/audit.py")).arg(scene.ca.file("")).arg(held)).ok();
}
