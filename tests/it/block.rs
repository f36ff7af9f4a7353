//! What must hold of the printed block whatever is typed, whether the CA is there, and however many
//! logins begin at once.

use std::time::{Duration, Instant};

use crate::clients::{AT_HAND, FORMS};
use crate::laptop::{Laptop, Town};
use crate::process::{ansible_playbook, run, run_for, signal};

#[test]
fn what_is_asked_of_the_block_is_asked_once() {
    let town = Town::with(&["deploy@web01"]);
    for form in FORMS {
        let laptop = Laptop::of_ana(&town);
        laptop.install_block(form);
        let before = town.certificates();
        // Twice the configuration, five logins: one certificate.
        for line in ["ssh -G deploy@web01", "ssh -G deploy@web01", "ssh deploy@web01 true"] {
            assert_eq!(laptop.sh(&format!("{AT_HAND}{line}")).code, 0);
        }
        for _ in 0..4 {
            assert_eq!(laptop.sh("ssh deploy@web01 true").code, 0);
        }
        assert_eq!(town.certificates(), before + 1, "{form}");
        // The CA itself, another host, another account: nothing runs.
        for line in
            ["ssh -G ca", "ssh -G elsewhere", "ssh -G nobody@web01", "ssh -G deploy@web02.other"]
        {
            let said = laptop.sh(line);
            assert!(said.code == 0 && !said.err.contains("hallpass"), "{form}: {line}: {said:?}");
        }
        assert_eq!(town.certificates(), before + 1, "{form}");
    }
}

/// Ana's only key becomes this one.
fn ana_has(dir: &Path, key: &Path) {
    let file = dir.join("ca/people.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let old = std::fs::read_to_string(dir.join("ana.pub")).unwrap();
    std::fs::write(&file, text.replace(&format!("keys = [{:?}]", old.trim()), "keys = []"))
        .unwrap();
    enroll(dir, "ana", key.file_name().unwrap().to_str().unwrap());
}

#[test]
fn a_ca_that_is_away_keeps_nobody_out_who_holds_a_certificate() {
    let mut town = Town::with(&["deploy@web01"]);
    for form in FORMS {
        let laptop = Laptop::of_ana(&town);
        laptop.install_block(form);
        laptop.sh(&format!("{AT_HAND}ssh deploy@web01 true")).ok();
        // Stopped: its port is closed. Frozen: it takes connections and does not speak.
        let pid = town.ca.daemon.pid();
        for gone in ["frozen", "stopped"] {
            match gone {
                "frozen" => signal(pid, "STOP"),
                _ => {
                    signal(pid, "CONT");
                    town.ca.daemon.kill();
                }
            }
            let begun = Instant::now();
            let said = laptop.sh("ssh deploy@web01 echo in");
            assert_eq!(said.out, "in\n", "{form} {gone}: {said:?}");
            assert!(begun.elapsed().as_secs() < 30, "{form} {gone}: {:?}", begun.elapsed());
            println!("{form} {gone}: {:?} {:?}", begun.elapsed(), said.err);
        }
        town.ca.restart_after_stop();
    }
}

#[test]
fn no_name_that_is_typed_reaches_a_shell() {
    // Mallory has ana clone a repository with a submodule, or click a link. Its address has a host or a
    // user that is a command in a shell, an option, a file elsewhere. If any of it ran, the canary would
    // be there.
    let town = Town::with(&["deploy@web01"]);
    for form in FORMS {
        let laptop = Laptop::of_ana(&town);
        laptop.install_block(form);
        let canary = laptop.home().join("canary");
        let bad = [
            "$(touch canary)",
            "`touch canary`",
            "x;touch canary",
            "x|touch canary",
            "x&touch canary",
            "x' ; touch canary ; '",
            "x\" ; touch canary ; \"",
            "x\ntouch canary\n",
            "-oProxyCommand=touch canary",
            "%r;touch canary",
            "../../../canary",
            "*",
            "web01,ca",
            "!ca",
            "${IFS}touch${IFS}canary",
        ];
        let before = town.certificates();
        for bad in bad {
            for name in [
                format!("{bad}@web01"),
                format!("deploy@{bad}"),
                format!("deploy@web01{bad}"),
                format!("deploy{bad}@web01"),
                format!("deploy@{bad}web01"),
            ] {
                for line in [&["--", &name, "true"][..], &["-G", "--", &name]] {
                    let mut ssh = laptop.command("ssh");
                    run(ssh.args(["-o", "BatchMode=yes", "-o", "ProxyCommand=false"]).args(line));
                }
                let mut git = laptop.command("git");
                git.env("GIT_SSH_COMMAND", "ssh -o ProxyCommand=false");
                run(git.args(["ls-remote", &format!("ssh://{name}/x.git")]));
                assert!(!canary.exists(), "{form}: {name:?}");
            }
        }
        assert_eq!(town.certificates(), before, "{form}: something was asked for");
        // The names as they should be do run.
        laptop.sh(&format!("{AT_HAND}ssh deploy@web01 true")).ok();
        assert_eq!(town.certificates(), before + 1);
    }
}

#[test]
fn the_block_says_where_people_connect_to() {
    // The CA listens on an address that nobody types; people come by its name.
    let place = "listen = [\"127.0.0.1:0\"]";
    let with = format!("{place}\naddress = \"ca.example.com:2022\"");
    let town = Town::with_changed(&[], |dir| crate::ca::bend(dir, place, &with));
    let block = town.ca.ssh("ana", &["config"]).ok();
    assert!(block.contains("\n    HostName ca.example.com\n    Port 2022\n"), "{block}");
    let known = town.ca.ssh("ana", &["known-hosts"]).ok();
    assert!(known.starts_with("[ca.example.com]:2022 ssh-ed25519 "), "{known}");
}

#[test]
fn a_host_that_is_named_ca_is_no_fork_bomb() {
    // Somebody declares a host `ca`, or one with that alias. If the block's line matched it, each
    // `ssh ca` would run `ssh ca`, and so on.
    let town = Town::with_changed(&["deploy@web01"], |dir| {
        let file = dir.join("ca/hosts.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("aliases = [\"web01.example.com\"]", "aliases = [\"ca\"]");
        let text = text + "\n[host.ca-2]\ntags = [\"dev\"]\naccounts = [\"dev\"]\n";
        std::fs::write(file, text).unwrap();
    });
    for form in FORMS {
        let laptop = Laptop::of_ana(&town);
        laptop.install_block(form);
        let block = std::fs::read_to_string(laptop.ssh("hallpass/config")).unwrap();
        let lines = block.lines().filter(|line| line.starts_with("Match "));
        let names =
            |line: &str| line.split(' ').nth(2).unwrap().split(',').any(|name| name == "ca");
        assert!(lines.clone().any(names), "{block}");
        assert!(lines.clone().all(|line| line.contains(",!ca")), "{block}");
        for line in ["ssh -G ca", "ssh -G deploy@ca", "ssh -l deploy ca status"] {
            let said = laptop.sh(&format!("{AT_HAND}{line}"));
            assert_eq!(said.code, 0, "{form}: {line}: {said:?}");
        }
        assert_eq!(town.certificates(), 0);
    }
}

#[test]
fn fifty_forks_get_in_at_once() {
    // A script of ana's runs fifty ssh at a time, first with no connection to the CA, then again. All
    // get in, and none of them has anything to complain of.
    for form in FORMS {
        let town = Town::of_many(50);
        let laptop = Laptop::of_ana(&town);
        laptop.install_block(form);
        let all = "for n in $(seq 50); do (ssh -n -o BatchMode=yes dev@n$n echo in $n || echo failed $n) & done; wait";
        for time in ["first", "second"] {
            let begun = Instant::now();
            let said = laptop.sh(all);
            println!("{form} {time}: {:?}", begun.elapsed());
            let mut numbers: Vec<u32> = said
                .out
                .lines()
                .filter_map(|line| line.strip_prefix("in ")?.parse().ok())
                .collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=50).collect::<Vec<_>>(), "{form} {time}: {said:?}");
            assert_eq!(said.err, "", "{form} {time}");
        }
        assert_eq!(town.certificates(), 50, "{form}");
    }
}

#[test]
fn ansible_gets_in_everywhere_at_once() {
    // Ansible from PyPI, which knows nothing of hallpass: fifty forks over fifty names.
    for form in FORMS {
        let town = Town::of_many(50);
        let laptop = Laptop::of_ana(&town);
        laptop.install_block(form);
        let names: String = (1..=50).map(|number| format!("n{number}\n")).collect();
        std::fs::write(laptop.home().join("hosts"), names).unwrap();
        let play = "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.ping: }]\n";
        std::fs::write(laptop.home().join("play.yaml"), play).unwrap();
        for time in ["first", "second"] {
            let mut ansible = laptop.command(ansible_playbook().get_program().to_str().unwrap());
            ansible.args(["-i", "hosts", "-u", "dev", "-f", "50", "play.yaml"]);
            ansible.args(["-e", "ansible_python_interpreter=/usr/bin/python3"]);
            ansible.env("ANSIBLE_REMOTE_TMP", laptop.home().join("tmp")).env("LC_ALL", "C.UTF-8");
            let begun = Instant::now();
            let said = run_for(&mut ansible, Duration::from_secs(300));
            println!("ansible {form} {time}: {:?}", begun.elapsed());
            assert_eq!(said.code, 0, "{form} {time}: {said:?}");
            let ok = said.out.lines().filter(|line| line.contains(": ok=1 ")).count();
            assert_eq!((ok, said.err.as_str()), (50, ""), "{form} {time}: {said:?}");
        }
        assert_eq!(town.certificates(), 50, "{form}");
    }
}
