//! The load generator in small: that it works, and that it ends with status 1 when anything is wrong.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Said, children, load_generator, python, repository, run, signal, until};

/// Some people hold sessions in this folder; `more` are further words.
fn load(dir: &Path, more: &[&str]) -> Command {
    let mut load = load_generator();
    load.arg("--dir").arg(dir).args(more);
    load
}

/// Runs the generator and interferes as soon as somebody asks for certificates.
fn interfered(dir: &Path, interfere: impl FnOnce(u32)) -> Said {
    // So many people that nobody comes near the limit of a minute.
    let words = ["--sessions", "20", "--people", "20", "--seconds", "3", "--rate", "20"];
    let child = load(dir, &words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let held = dir.join("held/0001");
    until("certificates", || std::fs::read_dir(&held).is_ok_and(|held| held.count() > 2));
    interfere(child.id());
    let done = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: done.status.code().unwrap(), out: text(&done.stdout), err: text(&done.stderr) }
}

fn foreign(held: &Path) {
    std::fs::copy(repository("tests/vectors/entry-2-cert.pub"), held.join("foreign")).unwrap();
}

#[test]
fn it_holds_sessions_through_kills_and_compares_what_they_got() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["--sessions", "200", "--seconds", "3", "--rate", "60", "--kills", "3"];
    let said = run(load(dir.path(), &words).args(["--audit-every", "2"]));
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("200 sessions at the end"), "{said:?}");
    assert!(said.out.lines().filter(|line| line.starts_with("audit: 0 problems: ")).count() == 2);
    let held =
        |round: &str| std::fs::read_dir(dir.path().join("held").join(round)).unwrap().count();
    assert!(held("0000") == 200 && held("0001") > 0, "{said:?}");

    let again = || run(load_generator().arg("--audit").arg(dir.path()));
    assert_eq!(again().code, 0);
    // Somebody holds a certificate that no entry is about.
    foreign(&dir.path().join("held/0000"));
    let said = again();
    assert!(said.code == 1 && said.out.contains("WRONG: audit: foreign: "), "{said:?}");
    std::fs::remove_file(dir.path().join("held/0000/foreign")).unwrap();
    // Two hold the same serial.
    let one = std::fs::read_dir(dir.path().join("held/0001")).unwrap().next().unwrap().unwrap();
    std::fs::copy(one.path(), dir.path().join("held/0000/twice")).unwrap();
    let said = again();
    assert!(said.code == 1 && said.out.contains(" too\n"), "{said:?}");
    std::fs::remove_file(dir.path().join("held/0000/twice")).unwrap();
    assert_eq!(again().code, 0);
    // The ledger lost an entry whose certificate somebody holds.
    let lose = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); \
                d.execute('DELETE FROM entry WHERE idx = (SELECT max(idx) FROM entry WHERE tbs IS NOT NULL)'); \
                d.commit()";
    run(python().args(["-c", lose]).arg(dir.path().join("ca/state/ledger.db"))).ok();
    let said = again();
    assert!(said.code == 1 && said.out.contains("WRONG: audit: "), "{said:?}");
    assert!(said.out.contains("the ledger has no certificate"), "{said:?}");
}

#[test]
fn it_ends_with_status_1_when_a_run_goes_wrong() {
    // A certificate of another CA's gets into somebody's hands.
    let dir = tempfile::tempdir().unwrap();
    let said = interfered(dir.path(), |_| foreign(&dir.path().join("held/0001")));
    assert!(said.code == 1 && said.out.contains("WRONG: audit: foreign: "), "{said:?}");
    assert!(said.out.ends_with("\n1 problems\n"), "nothing else is wrong: {said:?}");
    // The daemon dies and was not to.
    let dir = tempfile::tempdir().unwrap();
    let said = interfered(dir.path(), |load| {
        let daemon = children(load);
        assert_eq!(daemon.len(), 1);
        signal(daemon[0], "KILL");
    });
    assert!(said.code == 1 && said.out.contains("there were to be 20 sessions"), "{said:?}");
    assert!(said.out.contains("WRONG: the daemon ended with status -1"), "{said:?}");
    assert!(said.out.contains("\naudit: 0 problems: "), "nothing is lost: {said:?}");
    // What is not understood is not run.
    assert_eq!(run(load_generator().args(["--kill", "3"])).code, 2);
}
