//! `hallpass ssh` and `hallpass ensure` on a laptop, beside the stock ssh that they run.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::laptop::{Laptop, Town};
use crate::process::{Said, run};

/// `hallpass WORDS...` on a laptop, a ticket in the environment or not.
fn hallpass(laptop: &Laptop, ticket: &str, words: &[&str]) -> Said {
    let mut hallpass = laptop.command(env!("CARGO_BIN_EXE_hallpass"));
    run(hallpass.env("HALLPASS_TICKET", ticket).args(words))
}

#[test]
fn hallpass_ssh_logs_in_and_ends_as_ssh_does() {
    let town = Town::with(&["deploy@web01"]);
    let laptop = Laptop::of_ana(&town);
    let file = laptop.ssh("hallpass/deploy@web01-cert.pub");
    // Without a ticket: the CA's no, and then ssh's own, which has nothing to get in with.
    let said = hallpass(&laptop, "", &["ssh", "deploy@web01", "true"]);
    assert!(said.code == 255 && said.err.starts_with("hallpass: refused: "), "{said:?}");
    assert!(said.err.contains("\nhint: ") && !file.exists(), "{said:?}");
    // With one on the command line or in the environment, and then from the file.
    for (ticket, words) in [
        ("", &["ssh", "--ticket", "OPS-7", "deploy@web01", "echo", "in"][..]),
        ("OPS-7", &["ssh", "deploy@web01", "-o", "BatchMode=yes", "echo", "in"]),
        ("", &["ssh", "--ca", "ca", "deploy@web01", "-T", "echo in"]),
    ] {
        let said = hallpass(&laptop, ticket, words);
        assert_eq!((said.out.as_str(), said.err.as_str()), ("in\n", ""), "{words:?}");
    }
    assert_eq!(town.certificates(), 1);
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(file.clone()), mode(laptop.ssh("hallpass"))), (0o600, 0o700));
    assert_eq!(hallpass(&laptop, "", &["ssh", "deploy@web01", "exit 7"]).code, 7);
}

#[test]
fn hallpass_ensure_ends_as_the_ca_says() {
    let town = Town::with(&["deploy@web01", "dev@dev01"]);
    let laptop = Laptop::of_ana(&town);
    let ensure = |words: &[&str]| hallpass(&laptop, "", &[&["ensure"], words].concat());
    assert_eq!(ensure(&["deploy@web01", "dev@dev01"]).code, 1);
    assert!(laptop.ssh("hallpass/dev@dev01-cert.pub").exists(), "the second was seen to");
    let said = ensure(&["--ticket", "OPS-7", "deploy@web01", "dev@dev01"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""));
    let shown = laptop.sh("ssh-keygen -Lf .ssh/hallpass/deploy@web01-cert.pub").ok();
    assert!(shown.contains("deploy@web01"), "{shown}");
    // Nothing is left beside the two files.
    assert_eq!(std::fs::read_dir(laptop.ssh("hallpass")).unwrap().count(), 2);
    assert_eq!(ensure(&["nobody@web01"]).code, 1);
    assert_eq!(ensure(&["--ca", "elsewhere.invalid", "deploy@web01"]).code, 255);
}

#[test]
fn no_word_given_to_hallpass_becomes_an_option_or_a_command() {
    // Mallory sends ana a line to paste, in which an account, a CA or a ticket is more than that.
    let town = Town::with(&["deploy@web01"]);
    let laptop = Laptop::of_ana(&town);
    for words in [
        &["ssh", "-oProxyCommand=touch canary@web01"][..],
        &["ssh", "deploy@-oProxyCommand=touch canary"],
        &["ssh", "deploy@$(touch canary)"],
        &["ssh", "`touch canary`@web01"],
        &["ssh", "--ca", "-oProxyCommand=touch canary", "deploy@web01"],
        &["ssh", "--ca=-oProxyCommand=touch canary", "deploy@web01"],
        &["ssh", "--ticket", "x; touch canary", "deploy@web01"],
        &["ssh", "--ticket", "'; touch canary; '", "deploy@web01"],
        &["ensure", "deploy@web01", "deploy@../../canary"],
        &["ensure", "--", "-oProxyCommand=touch canary"],
    ] {
        let said = hallpass(&laptop, "", words);
        assert_eq!(said.code, 2, "{words:?}: {said:?}");
        assert!(!laptop.home().join("canary").exists(), "{words:?}");
    }
    assert!(!laptop.ssh("hallpass").exists() && town.certificates() == 0);
}

#[test]
fn no_link_leads_a_certificate_elsewhere() {
    // Somebody who could write to the folder once left links in it, for a certificate to overwrite a
    // file of ana's or to appear where others read it.
    let town = Town::with(&["dev@dev01"]);
    let laptop = Laptop::of_ana(&town);
    let kept = laptop.home().join("kept");
    std::fs::write(&kept, "kept").unwrap();
    std::fs::create_dir(laptop.ssh("hallpass")).unwrap();
    let file = laptop.ssh("hallpass/dev@dev01-cert.pub");
    symlink(&kept, &file).unwrap();
    let said = hallpass(&laptop, "", &["ssh", "dev@dev01", "echo in"]);
    assert_eq!(said.out, "in\n", "{said:?}");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "kept");
    assert!(!std::fs::symlink_metadata(&file).unwrap().is_symlink());
    // The folder itself.
    std::fs::rename(laptop.ssh("hallpass"), laptop.home().join("elsewhere")).unwrap();
    symlink(laptop.home().join("elsewhere"), laptop.ssh("hallpass")).unwrap();
    let said = hallpass(&laptop, "", &["ensure", "dev@dev01"]);
    assert!(said.code == 75 && said.err.contains("no folder of its own"), "{said:?}");
}
