//! A rotation that is cut short, at each of its steps.

use std::fs;

use crate::ca::Ca;

/// The power fails in the middle of `key promote user-ca`. The same command makes the rest, no key is
/// lost, and none is used that is not printed.
#[test]
fn a_promotion_that_is_cut_short_is_finished_by_the_same_command() {
    let renames = [
        ("user_ca.pub", "user_ca_retiring.pub"),
        ("user_ca", "user_ca_retiring"),
        ("user_ca_next.pub", "user_ca.pub"),
        ("user_ca_next", "user_ca"),
    ];
    // After the last rename, and with the next key's private half already written, too.
    for cut in 1..=renames.len() + 1 {
        let mut ca = Ca::start();
        assert_eq!(ca.daemon.stop(), 0);
        let keys = ca.file("keys");
        let key = |name: &str| fs::read_to_string(keys.join(name)).unwrap();
        let (old, next) =
            ([key("user_ca"), key("user_ca.pub")], [key("user_ca_next"), key("user_ca_next.pub")]);
        for (from, to) in &renames[..cut.min(renames.len())] {
            fs::rename(keys.join(from), keys.join(to)).unwrap();
        }
        if cut > renames.len() {
            let made = keys.join("made");
            let made = made.to_str().unwrap();
            let mut keygen = std::process::Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", made]);
            crate::process::run(&mut keygen).ok();
            fs::rename(made, keys.join("user_ca_next")).unwrap();
        }
        let said = ca.operator(&["key", "promote", "user-ca"]);
        assert_eq!(said.code, 0, "cut after {cut}: {said:?}");
        assert_eq!([key("user_ca"), key("user_ca.pub")], next, "cut after {cut}");
        assert_eq!([key("user_ca_retiring"), key("user_ca_retiring.pub")], old, "cut after {cut}");
        let said = ca.operator(&["key", "promote", "user-ca"]);
        assert!(said.code == 75 && said.err.contains("still retiring"), "{said:?}");
        assert_eq!(ca.operator(&["trust", "--user"]).ok().lines().count(), 4);
        ca.restart_after_stop();
        ca.certificate("ana", &["deploy@web01", "OPS-7"]);
        assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
    }
}
