//! `examples/`, run as they are: Ansible against a real sshd, cloud-init and a pool's image on a machine of
//! this distribution.

use crate::ca::Ca;
use crate::host_config::{IN, OUT, Server, state};
use crate::namespace::may_mount;
use crate::process::{Said, ansible_playbook, repository, run};

#[test]
fn ansible_puts_servers_under_the_ca_and_back() {
    if !may_mount("examples::ansible_puts_servers_under_the_ca_and_back") {
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
