//! `host config`: a server is put under the CA, only certificates open it, and all is undone, by the
//! printed lines alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ca::Ca;
use crate::namespace::may_serve;
use crate::process::{key_pair, run};
use crate::server::{IN, OUT, Server, ca_with, printed, state};

#[test]
fn a_server_is_put_under_the_ca_and_back_by_the_printed_lines_alone() {
    if !may_serve("host_config::a_server_is_put_under_the_ca_and_back_by_the_printed_lines_alone") {
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
    if !may_serve(
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
    if !may_serve("host_config::names_of_every_shape_are_names_and_nothing_else") {
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
    if !may_serve("host_config::an_older_ca_is_kept_or_refused_never_ended_by_the_way") {
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
    if !may_serve("host_config::what_fails_is_put_back_and_a_list_of_revoked_keys_is_never_lost") {
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
