//! `examples/`, run as they are: Ansible against a real sshd, cloud-init and a pool's image on a machine of
//! this distribution.

use std::path::{Path, PathBuf};

use crate::booted::{ADDRESS, Machine, can_boot};
use crate::ca::Ca;
use crate::namespace::may_serve;
use crate::process::{Said, ansible_playbook, key_pair, repository, run, until};
use crate::server::{IN, OUT, Server, ca_with, state};

#[test]
fn ansible_puts_servers_under_the_ca_and_back() {
    if !may_serve("examples::ansible_puts_servers_under_the_ca_and_back") {
        return;
    }
    let ca = Ca::start();
    let server = Server::make("");
    let before = state();
    let at = |name: &str| server.dir.path().join(name);
    let (ana, certificate) =
        (ca.dir().join("ana"), ca.certificate("ana", &["deploy@web01", "OPS-7"]));
    let ssh = ca.client("ana");
    let mut words = vec!["ssh".to_owned()];
    words.extend(ssh.get_args().map(|word| word.to_str().unwrap().to_owned()));
    words.push("ca".to_owned());
    // One server, called by one of its aliases; the account that Ansible uses is root under another name.
    let inventory = serde_json::json!({ "all": { "hosts": { "web01.example.com": {
        "ansible_host": "127.0.0.1", "ansible_port": server.port, "ansible_user": "deploy",
        "ansible_python_interpreter": "/usr/bin/python3", "ansible_become": false,
        "hallpass_command": words,
    } } } });
    std::fs::write(at("inventory.json"), inventory.to_string()).unwrap();
    let play = |key: &str, more: &[&str]| -> Said {
        let ssh = format!(
            "-F none -o ControlMaster=auto -o ControlPersist=3s -o IdentitiesOnly=yes -o IdentityAgent=none -o HostKeyAlias=web01 -o UserKnownHostsFile={} {key}",
            at("known_hosts").display()
        );
        let mut play = ansible_playbook();
        play.arg("-i").arg(at("inventory.json")).args(more).arg("site.yml");
        play.current_dir(repository("examples/ansible")).env("LC_ALL", "C.UTF-8");
        // A connection that lasts for one play, as is Ansible's way: the last play takes back what let it in.
        let control = tempfile::Builder::new().prefix("cp-").tempdir().unwrap();
        play.env("ANSIBLE_SSH_CONTROL_PATH_DIR", control.path());
        play.env("ANSIBLE_HOME", at("ansible"))
            .env("ANSIBLE_SSH_ARGS", ssh)
            .env("ANSIBLE_NOCOLOR", "1");
        run(&mut play)
    };
    let by_key = format!("-i {}", at("old").display());
    let by_certificate =
        format!("-i {} -o CertificateFile={}", ana.display(), certificate.display());
    let changed = |said: &Said, count: u32| {
        assert!(
            said.code == 0 && said.out.contains(&format!(" changed={count} ")),
            "{}{}",
            said.out,
            said.err
        );
    };
    let logins = || (server.by_old_key(), server.opens(&ana, Some(&certificate)));
    assert_eq!(logins(), (IN, OUT));
    changed(&play(&by_key, &["--check"]), 1);
    assert_eq!(state(), before);
    changed(&play(&by_key, &[]), 2);
    assert_eq!(logins(), (IN, IN));
    changed(&play(&by_key, &[]), 0);
    changed(&play(&by_certificate, &["-e", "hallpass_only=true"]), 1);
    assert_eq!(logins(), (OUT, IN));
    changed(&play(&by_certificate, &["-e", "hallpass_only=true"]), 0);
    assert_ne!(play(&by_key, &[]).code, 0, "in by a key that is ended");
    changed(&play(&by_certificate, &["-e", "hallpass_state=absent"]), 2);
    assert_eq!((logins(), state()), ((IN, OUT), before));
    changed(&play(&by_key, &["-e", "hallpass_state=absent"]), 0);
    // A host that nobody declared.
    let said = play(&by_key, &["-e", "hallpass_host=nowhere"]);
    assert!(said.code != 0 && said.out.contains("there is no host nowhere"), "{said:?}");
}

/// A login on the machine by somebody who knows it by these known_hosts.
fn login(
    machine: &Machine,
    key: &Path,
    certificate: Option<&Path>,
    known: &Path,
    name: &str,
) -> Said {
    let mut ssh = machine.outside("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]);
    ssh.args([
        "-o",
        "IdentityAgent=none",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "ConnectTimeout=5",
    ]);
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
    ssh.arg("-o").arg(format!("HostKeyAlias={name}")).arg("-i").arg(key);
    if let Some(certificate) = certificate {
        ssh.arg("-o").arg(format!("CertificateFile={}", certificate.display()));
    }
    run(ssh.arg(format!("deploy@{ADDRESS}")).args(["id", "-un"]))
}

/// What is on the machines besides.
fn there() -> [(PathBuf, &'static str); 1] {
    [(repository("examples"), "examples")]
}

/// An account that a key opens, as any cloud's image has it.
const ACCOUNT: &str = "useradd -R \"$1\" -m -s /bin/sh -p '*' deploy; install -d \"$1/home/deploy/.ssh\"
    cat \"$2\" > \"$1/home/deploy/.ssh/authorized_keys\"; chroot \"$1\" chown -R deploy: /home/deploy\n";

#[test]
fn every_machine_of_a_pools_image_takes_the_pools_certificates_and_has_its_own_host_key() {
    if !can_boot() {
        return;
    }
    let ca = ca_with("\n[host.fleet]\npool = true\ntags = [\"prod\"]\naccounts = [\"deploy\"]\n");
    let at = |name: &str| ca.dir().join(name);
    let old = key_pair(ca.dir(), "old", &["ed25519"]);
    std::fs::write(at("fleet.sh"), ca.operator(&["host", "config", "fleet"]).ok()).unwrap();
    let prepare =
        format!("{ACCOUNT} \"$3\" \"$1\" \"$4\"; ! ls \"$1\"/etc/ssh/ssh_host_*_key 2> /dev/null");
    let program: PathBuf = repository("examples/pool-image/prepare");
    let words = [at("old.pub"), program, at("fleet.sh")];
    let words = words.each_ref().map(PathBuf::as_path);
    let machine = Machine::boot_prepared(&there(), "", &prepare, &words);
    until("sshd", || machine.run("systemctl is-active ssh").code == 0);
    let key = machine.run("cat /etc/ssh/ssh_host_ed25519_key.pub").ok();
    let (ana, certificate) = (at("ana"), ca.certificate("ana", &["deploy@fleet", "OPS-7"]));
    std::fs::write(at("by_key"), format!("fleet {key}")).unwrap();
    let said = login(&machine, &ana, Some(&certificate), &at("by_key"), "fleet");
    assert_eq!(said.out, "deploy\n", "{said:?}");
    assert_ne!(login(&machine, &old, None, &at("by_key"), "fleet").code, 0);
    let web01 = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    assert_ne!(login(&machine, &ana, Some(&web01), &at("by_key"), "fleet").code, 0);

    // Its host certificate, by the lines of the page; clients know it by the host CA alone.
    std::fs::write(at("known"), ca.operator(&["known-hosts"]).ok()).unwrap();
    assert_ne!(login(&machine, &ana, Some(&certificate), &at("known"), "fleet").code, 0);
    std::fs::write(at("instance.pub"), key).unwrap();
    let (file, own) = (at("instance.pub"), "i-0abc.fleet.example.com");
    let words =
        ["host", "sign", "fleet", "--key", file.to_str().unwrap(), "--also", own, "--for", "30d"];
    let signed = ca.operator(&words).ok();
    let bring = "> /etc/ssh/ssh_host_ed25519_key-cert.pub; systemctl reload ssh";
    machine.run(&format!("echo '{}' {bring}", signed.trim())).ok();
    for name in ["fleet", own] {
        let mut said = login(&machine, &ana, Some(&certificate), &at("known"), name);
        until("a login by the host CA", || {
            said = login(&machine, &ana, Some(&certificate), &at("known"), name);
            said.out == "deploy\n" || name == own
        });
        // The machine's own name is in its certificate, and clients know the host CA for the pool alone.
        assert_eq!(said.out == "deploy\n", name == "fleet", "{name}: {said:?}");
    }
    // Nothing of it is as it was in the image, so a reboot changes nothing either.
    let said = machine.run("sh /etc/ssh/hallpass_server.sh");
    assert!(said.code == 0 && said.err.contains("nothing has changed"), "{said:?}");
}

#[test]
fn cloud_init_puts_a_server_under_the_ca_at_its_first_boot() {
    if !can_boot() {
        return;
    }
    let ca = Ca::start();
    let at = |name: &str| ca.dir().join(name);
    let old = key_pair(ca.dir(), "old", &["ed25519"]);
    let mut make = std::process::Command::new(repository("examples/cloud-init/user-data"));
    let asks = ca.client("ana");
    let words: Vec<&str> = asks.get_args().map(|word| word.to_str().unwrap()).collect();
    make.args(["web01", "only"]).env("HALLPASS", format!("ssh {} ca", words.join(" ")));
    std::fs::write(at("user-data"), run(&mut make).ok()).unwrap();
    // What a cloud gives a machine at its first boot: who it is, and its user-data.
    let seed = format!(
        "{ACCOUNT} seed=$1/var/lib/cloud/seed/nocloud; mkdir -p $seed; cp \"$3\" $seed/user-data
        echo 'instance-id: i-0abc' > $seed/meta-data
        echo 'datasource_list: [NoCloud]' > \"$1/etc/cloud/cloud.cfg.d/99-test.cfg\"
        printf 'network: {{config: disabled}}\\nlocale: false\\n' >> \"$1/etc/cloud/cloud.cfg.d/99-test.cfg\""
    );
    let words = [at("old.pub"), at("user-data")];
    let machine = Machine::boot_prepared(
        &there(),
        "cloud-init",
        &seed,
        &words.each_ref().map(PathBuf::as_path),
    );
    machine.run("cloud-init schema --config-file /var/lib/cloud/seed/nocloud/user-data").ok();
    let said = machine.run("cloud-init status --wait --long");
    assert!(said.out.contains("status: done"), "{said:?}");
    let key = machine.run("cat /etc/ssh/ssh_host_ed25519_key.pub").ok();
    std::fs::write(at("known"), format!("web01 {key}")).unwrap();
    let certificate = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    let said = login(&machine, &at("ana"), Some(&certificate), &at("known"), "web01");
    assert_eq!(said.out, "deploy\n", "{said:?}");
    assert_ne!(login(&machine, &old, None, &at("known"), "web01").code, 0);
    // And the owner's way out is on it.
    machine.run("sh /etc/ssh/hallpass_server.sh undo").ok();
    assert_eq!(login(&machine, &old, None, &at("known"), "web01").out, "deploy\n");
    assert_ne!(login(&machine, &at("ana"), Some(&certificate), &at("known"), "web01").code, 0);
}
