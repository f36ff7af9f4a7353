//! The units under a real systemd: the very commands that `systemd/README.md` prints lead from a clean
//! Debian machine to a login, and through everything that may happen to it afterwards.

use std::process::{Command, Stdio};

use crate::booted::can_boot;
use crate::process::{repository, run, until};
use crate::site::{Site, block, clean_machine};

#[test]
fn under_a_real_systemd_people_get_in_whatever_happens() {
    if !can_boot() {
        return;
    }
    let mut site = Site::install();
    site.log_in();
    each_process_has_its_own_and_nothing_else(&site);
    it_is_installed_once(&site);
    what_the_page_says_for_each_day_works(&site);
    what_root_does_keeps_nobody_out(&site);
    a_change_counts_from_the_restart_and_who_waits_is_told(&site);
    a_change_counts_from_the_reload_and_a_mistake_does_not(&site);
    after_a_reboot_both_serve(&mut site);
    what_dies_or_hangs_is_started_again(&site);
}

#[test]
fn the_pages_ways_out_lead_out() {
    if !can_boot() {
        return;
    }
    let site = Site::install();
    a_mistake_is_mended_by_mending_it(&site);
    a_full_disk_is_a_fault_and_room_is_service(&site);
    a_passphrase_comes_from_the_manager(&site);
    the_user_ca_is_rotated(&site);
    a_ledger_that_was_rolled_back_gets_a_new_generation(&site);
    let verify = "hallpass ledger verify --signer-config /etc/hallpass-signer/signer.toml";
    let said = site.machine.run(verify);
    assert!(said.code == 0 && said.out.starts_with("valid: "), "{said:?}");
}

#[test]
fn a_new_machine_takes_the_place_of_one_that_is_gone() {
    if !can_boot() {
        return;
    }
    // Last night's backup, and another certificate after it: the disk dies with that one.
    let site = Site::install();
    site.log_in();
    let backup = site.fetch("/root/hallpass-$(date +%F)", "backup");
    let signer = site.fetch("/media/offline/hallpass-signer", "signer");
    site.log_in();
    let given = site.serial();
    let server = site.machine.run("cat /etc/ssh/ssh_host_ed25519_key.pub").ok();
    let known = std::fs::read_to_string(site.dir.path().join("known_hosts")).unwrap();
    let file = site.dir.path().join("web01.sh");
    std::fs::write(&file, site.machine.run("cat web01.sh").ok()).unwrap();
    let Site { machine, dir } = site;
    drop(machine);

    let files = [(backup, "BACKUP"), (signer, "SIGNER"), (file, "web01.sh")];
    let machine = clean_machine(&files);
    // The server outlives the CA here: nothing is brought to it but what it had.
    machine.run("sh web01.sh").ok();
    let site = Site { machine, dir };
    let door = known.lines().next().unwrap();
    site.know(door);
    assert!(!server.is_empty());
    // The command that would begin a generation elsewhere does not touch this machine.
    site.machine.run("install -m 755 target/release/hallpass /usr/bin/").ok();
    let said = site.machine.run("hallpass restore BACKUP /root/new --reason lost --seen 100");
    assert!(said.code == 75 && said.err.contains("systemd/install --restore"), "{said:?}");

    site.machine
        .run(&block("When the machine is lost").replace("--seen N", &format!("--seen {given}")))
        .ok();
    site.log_in();
    assert!(site.serial() > given, "serial {} after {given}", site.serial());
    let verify = "hallpass ledger verify --signer-config /etc/hallpass-signer/signer.toml";
    let said = site.machine.run(verify);
    assert!(said.code == 0 && said.out.starts_with("valid: "), "{said:?}");
    // Run again, it finds a signer that remembers and stops.
    let said = site.machine.run("systemd/install --restore BACKUP SIGNER");
    assert!(said.code == 1 && said.err.contains("the signer's mark is here"), "{said:?}");
}

fn each_process_has_its_own_and_nothing_else(site: &Site) {
    for service in ["hallpass", "hallpass-signer"] {
        let pid = site.machine.pid(service);
        let status = site.machine.run(&format!("cat /proc/{pid}/status")).ok();
        let uid = site.machine.run(&format!("id -u {service}")).ok();
        let uid = format!("Uid:\t{}\t", uid.trim());
        for line in [&uid, "NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000"] {
            assert!(status.contains(line), "{service}: {line} is not in {status}");
        }
    }
    let signer = site.machine.pid("hallpass-signer");
    let net = site.machine.run(&format!("cat /proc/{signer}/net/dev")).ok();
    assert!(net.contains("lo:") && !net.contains("eth0:"), "{net}");
    for (user, path) in [
        ("hallpass", "/etc/hallpass-signer/signer.toml"),
        ("hallpass", "/etc/hallpass-signer/keys/user_ca"),
        ("hallpass", "/var/lib/hallpass-signer/mark"),
        ("hallpass-signer", "/etc/hallpass/keys/ledger"),
        ("hallpass-signer", "/etc/hallpass/ca.toml"),
        ("hallpass-signer", "/var/lib/hallpass/ledger.db"),
        ("hallpass-signer", "/run/hallpass/signer.sock"),
        ("hallpass-signer", "/etc/hallpass-signer/keys/user_ca_next"),
        ("deploy", "/etc/hallpass/ca.toml"),
        ("deploy", "/run/hallpass/signer.sock"),
        ("deploy", "/run/hallpass/control.sock"),
        ("hallpass-signer", "/run/hallpass/control.sock"),
    ] {
        // That it is there, or it would be no wonder.
        site.machine.run(&format!("test -e {path}")).ok();
        let readable = site.machine.run(&format!("runuser -u {user} -- test -r {path}"));
        assert_ne!(readable.code, 0, "{user} can read {path}");
    }
    for path in ["/etc/hallpass/ca.toml", "/etc/hallpass/keys/ledger"] {
        let can =
            |what: &str| site.machine.run(&format!("runuser -u hallpass -- test {what} {path}"));
        assert!(can("-r").code == 0 && can("-w").code != 0, "{path}");
    }
}

fn it_is_installed_once(site: &Site) {
    let key = "sha256sum /etc/hallpass-signer/keys/user_ca /var/lib/hallpass/ledger.db";
    let before = site.machine.run(key).ok();
    assert_ne!(site.machine.run("test -e /run/hallpass-init").code, 0, "the folder is still there");
    site.machine.run("hallpass init /run/again --name pass.example.com").ok();
    for (first, told) in [
        ("true", "emergency_ca still lies here"),
        ("rm /run/again/keys/emergency_ca", "is there already, and is another one"),
    ] {
        let said = site.machine.run(&format!("{first}; systemd/install /run/again"));
        assert!(said.code == 1 && said.err.contains(told), "{said:?}");
    }
    let served = "flock /run/again/state/ledger.lock systemd/install /run/again";
    let said = site.machine.run(served);
    assert!(said.code == 1 && said.err.contains("is being served"), "{said:?}");
    assert_eq!(site.machine.run(key).ok(), before);
}

/// Every command in the page's table, as it stands there.
fn what_the_page_says_for_each_day_works(site: &Site) {
    let text = std::fs::read_to_string(repository("systemd/README.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ")).flat_map(|row| row.split('`'));
    let commands: Vec<&str> = rows
        .filter(|span| {
            let mut words = span.split(' ');
            let program = words.next().unwrap();
            ["hallpass", "runuser", "journalctl", "systemctl"].contains(&program)
                && words.next().is_some_and(|word| word != "edit")
        })
        .collect();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        let said = site.machine.run(command);
        assert_eq!(said.code, 0, "{command}: {said:?}");
        if command.contains("restart") {
            site.log_in();
        }
    }
}

/// Root looks at a ledger that nobody serves, and leaves nothing there that keeps its user out.
fn what_root_does_keeps_nobody_out(site: &Site) {
    let looks = "systemctl stop hallpass
        hallpass ledger verify --signer-config /etc/hallpass-signer/signer.toml
        hallpass ledger export > /root/export; hallpass backup /root/stopped; hallpass check
        systemctl start hallpass";
    let said = site.machine.run(looks);
    assert_eq!(said.code, 0, "{said:?}\n{}", site.journal("hallpass"));
    site.log_in();
    let others = "find /var/lib/hallpass ! -user hallpass";
    assert_eq!(site.machine.run(others).ok(), "");
}

fn after_a_reboot_both_serve(site: &mut Site) {
    site.machine.reboot();
    site.log_in();
}

fn a_change_counts_from_the_restart_and_who_waits_is_told(site: &Site) {
    assert!(site.log_in().contains("10m"), "the page's offer");
    // The signer hangs, and with it ana's request; the operator restarts the daemon meanwhile.
    let signer = site.machine.pid("hallpass-signer");
    let written = "stat -c '%y %s' /var/lib/hallpass/ledger.db-wal";
    let before = site.machine.run(written).ok();
    site.machine.run(&format!("kill -STOP {signer}")).ok();
    let mut ssh = site.ssh_command(&["ca", "deploy@web01"]);
    ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let waiting = ssh.spawn().unwrap();
    until("ana's request in the ledger", || site.machine.run(written).out != before);
    site.machine
        .run(
            "sed -i 's/@ttl(\"10m\")/@ttl(\"7m\")/' /etc/hallpass/policy.cedar; hallpass check
             systemctl restart --no-block hallpass",
        )
        .ok();
    let said = waiting.wait_with_output().unwrap();
    site.machine.run(&format!("kill -CONT {signer}")).ok();
    let told = "hallpass: the server is restarting\n\
                hint: run the same command again: ssh ca deploy@web01\n";
    assert_eq!(String::from_utf8(said.stderr).unwrap(), told);
    assert_eq!((said.stdout.len(), said.status.code()), (0, Some(75)));
    let issued = site.log_in();
    assert!(issued.contains(" 7m, until "), "{issued}");
}

fn a_change_counts_from_the_reload_and_a_mistake_does_not(site: &Site) {
    let daemon = site.machine.pid("hallpass");
    let policy = "/etc/hallpass/policy.cedar";
    let reload = |from: &str, to: &str, by: &str| {
        site.machine.run(&format!("sed -i 's/@ttl(\"{from}\")/@ttl(\"{to}\")/' {policy}; {by}"))
    };
    reload("7m", "8m", "systemctl reload hallpass").ok();
    assert!(site.log_in().contains(" 8m, until "));
    let said = reload("8m", "eight", "SUDO_USER=ana hallpass reload --change CHG-9");
    assert!(said.code == 1 && said.err.contains("policy.cedar:1:"), "{said:?}");
    assert_ne!(site.machine.run("systemctl reload hallpass").code, 0);
    assert!(site.log_in().contains(" 8m, until "));
    reload("eight", "7m", "SUDO_USER=ana hallpass reload --change CHG-10").ok();
    assert!(site.log_in().contains(" 7m, until "));
    assert_eq!(site.machine.pid("hallpass"), daemon, "it was started again");
    let line =
        site.journal("hallpass").lines().find(|line| line.contains("CHG-10")).unwrap().to_owned();
    assert!(line.contains(r#""uid":0,"claims":"ana""#), "{line}");
    let kept = "hallpass ledger text $(sha256sum /etc/hallpass/policy.cedar | cut -c 1-64)";
    assert!(site.machine.run(kept).ok().contains("@ttl(\"7m\")"));
}

fn what_dies_or_hangs_is_started_again(site: &Site) {
    for service in ["hallpass-signer", "hallpass"] {
        site.strike(service, "KILL");
        site.log_in();
    }
    // A process that hangs is not one that ended: the watchdog sees it.
    for service in ["hallpass-signer", "hallpass"] {
        let folder = format!("/run/systemd/system/{service}.service.d");
        let drop_in = format!("printf '[Service]\\nWatchdogSec=3s\\n' > {folder}/short.conf");
        site.machine.run(&format!("mkdir -p {folder}; {drop_in}")).ok();
    }
    site.machine.run("systemctl daemon-reload; systemctl restart hallpass-signer hallpass").ok();
    site.log_in();
    let daemon = site.machine.pid("hallpass");
    for service in ["hallpass-signer", "hallpass"] {
        site.strike(service, "STOP");
        assert!(site.journal(service).contains("Watchdog timeout"), "{}", site.journal(service));
        site.log_in();
        if service == "hallpass-signer" {
            assert_eq!(site.machine.pid("hallpass"), daemon, "the signer's fate was the daemon's");
        }
    }
}

/// Somebody mistypes a file, and the process dies: it cannot start, however often it is tried.
fn a_mistake_is_mended_by_mending_it(site: &Site) {
    for (service, file) in [
        ("hallpass-signer", "/etc/hallpass-signer/signer.toml"),
        ("hallpass", "/etc/hallpass/ca.toml"),
    ] {
        let tries = || site.journal(service).matches("unknown field `mistake`").count();
        let pid = site.machine.pid(service);
        site.machine.run(&format!("sed -i '1i mistake = 1' {file}; kill -KILL {pid}")).ok();
        // Somebody asks, which starts the signer by its socket too.
        let mut ssh = site.ssh_command(&["ca", "deploy@web01"]);
        let mut asked = ssh.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("a third try", || tries() >= 3);
        assert_eq!(site.machine.run(&format!("systemctl is-active {service}")).out, "activating\n");
        site.machine.run(&format!("sed -i 1d {file}")).ok();
        site.log_in();
        asked.wait().unwrap();
    }
}

fn a_full_disk_is_a_fault_and_room_is_service(site: &Site) {
    let moved = "systemctl stop hallpass; cp -a /var/lib/hallpass /root/state
        mount -t tmpfs -o size=48m,mode=700,uid=hallpass,gid=hallpass hallpass /var/lib/hallpass
        cp -a /root/state/. /var/lib/hallpass/; rm -r /root/state; systemctl start hallpass";
    site.machine.run(moved).ok();
    site.log_in();
    let reserve = site.machine.run("stat -c '%U %b' /var/lib/hallpass/reserve").ok();
    assert_eq!(reserve, "hallpass 32768\n", "16 MiB in blocks of 512 bytes");
    site.machine.run("cat /dev/zero > /var/lib/hallpass/fill || true").ok();
    let said = site.ssh(&["ca", "deploy@web01"]);
    assert!(said.code == 75 && said.err.contains("hint: try again"), "{said:?}");
    assert_eq!(site.ssh(&["ca", "root@web01"]).code, 1, "a refusal needs little room");
    site.strike("hallpass", "KILL");
    until("the door", || site.ssh(&["ca"]).code == 0);
    site.machine.run("rm /var/lib/hallpass/fill").ok();
    site.log_in();
}

fn a_passphrase_comes_from_the_manager(site: &Site) {
    // Somebody types it: at ssh-keygen's prompts, and at systemd's.
    site.machine
        .run("printf '#!/bin/sh\\necho correct horse\\n' > /root/ask; chmod 755 /root/ask")
        .ok();
    let lines = block("A passphrase on the CA keys");
    let typed = "export SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force
        (
            until ls /run/systemd/ask-password/ask.* >/run/asked 2>&1; do sleep 0.05; done
            socket=$(sed -n s/^Socket=//p $(cat /run/asked))
            echo correct horse | /lib/systemd/systemd-reply-password 1 $socket
        ) &";
    site.machine.run(&format!("{typed}\n{lines}")).ok();
    for key in ["user_ca", "bare_ca", "signer"] {
        let file = format!("/etc/hallpass-signer/keys/{key}");
        let open = site.machine.run(&format!("ssh-keygen -y -P '' -f {file}"));
        assert_ne!(open.code, 0, "{open:?}");
        let open = site.machine.run(&format!("ssh-keygen -y -P 'correct horse' -f {file}"));
        assert_eq!(open.code, 0, "{open:?}");
    }
    site.log_in();
    // The credential is where it comes from, and it is on the disk only encrypted.
    let stored = "grep -q horse /etc/credstore.encrypted/hallpass-signer.passphrase";
    assert_eq!(site.machine.run(stored).code, 1);
    assert_ne!(site.machine.run("ls /run/credentials/hallpass.service").code, 0);
    site.machine.run("ls /run/credentials/hallpass-signer.service/hallpass-signer.passphrase").ok();
}

fn the_user_ca_is_rotated(site: &Site) {
    let signed_by = || {
        let shown = run(Command::new("ssh-keygen").arg("-Lf").arg(site.certificate())).ok();
        let line = shown.lines().find_map(|line| line.trim().strip_prefix("Signing CA: "));
        line.unwrap().to_owned()
    };
    let before = signed_by();
    let said = site.machine.run("hallpass key promote user-ca");
    assert!(said.code == 75 && said.err.contains("--signer-config names its file"), "{said:?}");
    // As the page says of keys that have a passphrase.
    let next = "/etc/hallpass-signer/keys/user_ca_next";
    site.machine.run(&format!("ssh-keygen -q -p -N 'correct horse' -f {next}")).ok();
    let lines = block("Rotation");
    site.machine.run(&lines).ok();
    site.log_in();
    assert_ne!(signed_by(), before);
    // Who does not sign with it cannot read it any more, or not yet.
    for key in ["user_ca_retiring", "user_ca_next"] {
        let path = format!("/etc/hallpass-signer/keys/{key}");
        let owner = site.machine.run(&format!("stat -c %U {path}")).ok();
        let read = site.machine.run(&format!("runuser -u hallpass-signer -- test -r {path}"));
        assert!(owner == "root\n" && read.code != 0, "{key}: {owner}");
    }
    let retire = lines.replace("key promote", "key retire");
    assert_ne!(retire, lines);
    site.machine.run(&retire).ok();
    site.log_in();
    assert_ne!(site.machine.run("ls /etc/hallpass-signer/keys/user_ca_retiring").code, 0);
}

fn a_ledger_that_was_rolled_back_gets_a_new_generation(site: &Site) {
    // The copy of step 8 is older than what was signed since.
    let recovery = block("When the ledger is lost or rolled back")
        .replace("BACKUP", "/root/hallpass-$(date +%F)");
    let (stop, rest) = recovery.split_once("runuser").unwrap();
    site.machine
        .run(&format!("{stop}systemctl start hallpass-signer.socket hallpass.service"))
        .ok();
    until("the door", || site.ssh(&["ca"]).code == 0);
    let said = site.ssh(&["ca", "deploy@web01"]);
    assert_eq!(said.code, 75, "a shorter ledger issues: {said:?}");

    let (seen, rest) = rest.split_once('\n').unwrap();
    let said = site.machine.run(&format!("{stop}runuser{seen}"));
    let number = said.err.trim().rsplit(' ').next().unwrap();
    assert!(number.parse::<u64>().is_ok(), "{said:?}");
    site.machine.run(&rest.replace("--seen N", &format!("--seen {number}"))).ok();
    site.log_in();
    let vkeys = site.machine.run("hallpass trust --ledger").ok();
    assert!(vkeys.starts_with("pass.example.com/2+"), "{vkeys}");
}
