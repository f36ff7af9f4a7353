//! Tests that mount do so in a mount namespace of their own, so that nothing of it is left and nobody
//! else's namespace holds a copy; who is not root is root of a user namespace there.

use std::process::{Command, Stdio};

/// Says that the test is in its namespace.
const INSIDE: &str = "HALLPASS_TEST_NAMESPACE";

/// The same for a test whose sshd lets people in at its usual paths: that takes root, and the root of a
/// user namespace is not root enough.
pub fn may_serve(test: &str) -> bool {
    let inside = std::env::var_os(INSIDE).is_some();
    if !inside && !rustix::process::geteuid().is_root() {
        eprintln!("not tried: {test} (an sshd at its usual paths takes root)");
        return false;
    }
    may_mount(test)
}

/// Whether a test, named as the test runner names it, is to go on here: it is run again in a namespace
/// and must pass there. Where that cannot be had, it says so.
pub fn may_mount(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let root = rustix::process::geteuid().is_root();
    let user: &[&str] = if root { &[] } else { &["--user", "--map-root-user"] };
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.arg("--mount").args(user).arg("--");
        unshare
    };
    let probe = unshare().arg("true").stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("not tried: {test} (no mount namespace)");
        return false;
    }
    let exe = std::env::current_exe().unwrap();
    let mut again = unshare();
    again.arg(exe).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let again = again.output().unwrap();
    let said = [again.stdout, again.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    eprintln!("{said}");
    // A name that is no test's would pass too.
    assert!(again.status.success() && said.contains("1 passed"), "{test} in a namespace");
    false
}
