//! Tests that mount: as root, or, for everybody else, as the root of a user and mount namespace of
//! the test's own.

use std::process::{Command, Stdio};

/// Whether a test, named as the test runner names it, is to go on here. Where nobody may mount it is
/// run again in a namespace, and must pass there; where that cannot be had either, it says so.
pub fn may_mount(test: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let unshare = |words: &[&std::ffi::OsStr]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "--"]).args(words);
        unshare
    };
    let mut probe = unshare(&["true".as_ref()]);
    if !probe.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("not tried: {test} (neither root nor user namespaces)");
        return false;
    }
    let exe = std::env::current_exe().unwrap();
    let words = ["--exact".as_ref(), test.as_ref(), "--nocapture".as_ref()];
    let again = unshare(&[&[exe.as_os_str()], &words[..]].concat()).output().unwrap();
    let said = [again.stdout, again.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    eprintln!("{said}");
    // A name that is no test's would pass too.
    assert!(again.status.success() && said.contains("1 passed"), "{test} in a namespace");
    false
}
