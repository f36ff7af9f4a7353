//! The file that `host config` prints, killed at its commands: the server lets people in all the same, and
//! a list of revoked keys is never missing.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::namespace::may_serve;
use crate::process::run;
use crate::server::{IN, OUT, Server, ca_with, printed};

/// What is in place at a moment, but for staged files: names, modes, sizes.
const LISTING: &str =
    "cd /etc/ssh && ls -lR --time-style=+ sshd_config.d hallpass_* 2> /dev/null || :";

/// Stands before every command that the script starts: notes what is in place, or kills the script there.
struct Killer {
    dir: TempDir,
}

impl Killer {
    fn make() -> Self {
        let dir = tempfile::Builder::new().prefix("killer-").tempdir().unwrap();
        let wrapper = dir.path().join("wrapper");
        let text = format!(
            "#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nhere={}\nnow=$({LISTING})\n\
             if [ ! -e $here/target ]; then\n echo >> $here/count\n n=$(wc -l < $here/count)\n\
             \x20echo \"$now\" > $here/notes/$n\n\
             elif [ \"$now\" = \"$(cat $here/target)\" ]; then\n echo >> $here/count\n\
             \x20[ $(wc -l < $here/count) -lt $(cat $here/at) ] || {{ kill -KILL $(cat $here/victim); exit 1; }}\n\
             fi\nname=${{0##*/}}; [ \"$name\" != sleep ] || exit 0\n\
             exec \"$(command -v \"$name\")\" \"$@\"\n",
            dir.path().display()
        );
        std::fs::write(&wrapper, text).unwrap();
        run(Command::new("chmod").arg("+x").arg(&wrapper)).ok();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        for name in "base64 cat chmod cmp cp dirname flock grep head id mkdir mv rm rmdir sed sleep sort ssh-keygen \
                     sshd sync tr wc"
            .split_whitespace()
        {
            std::os::unix::fs::symlink(&wrapper, dir.path().join("bin").join(name)).unwrap();
        }
        Self { dir }
    }

    /// Every state that a whole run goes through, and how many of its commands begin in it.
    fn states(&self, server: &Server, file: &Path, words: &[&str]) -> Vec<(String, usize)> {
        let notes = self.dir.path().join("notes");
        std::fs::create_dir(&notes).unwrap();
        drop(std::fs::remove_file(self.dir.path().join("target")));
        assert!(!self.run(server, file, words), "it died by itself");
        let mut states: Vec<(String, usize)> = Vec::new();
        // Two commands of a pipeline may have the same number, or leave one out.
        for number in 1..1000 {
            let note = std::fs::read_to_string(notes.join(number.to_string()));
            let Some(state) = note.ok().filter(|state| !state.is_empty()) else { continue };
            match states.last_mut().filter(|last| last.0 == state) {
                Some(last) => last.1 += 1,
                None => states.push((state, 1)),
            }
        }
        std::fs::remove_dir_all(notes).unwrap();
        states
    }

    /// Kills a run at this one of the commands that begin in a state. Whether it came to that.
    fn kill(&self, server: &Server, file: &Path, words: &[&str], state: &str, at: usize) -> bool {
        std::fs::write(self.dir.path().join("target"), state).unwrap();
        std::fs::write(self.dir.path().join("at"), at.to_string()).unwrap();
        self.run(server, file, words)
    }

    fn run(&self, server: &Server, file: &Path, words: &[&str]) -> bool {
        let path = |name: &str| self.dir.path().join(name);
        std::fs::write(path("count"), "").unwrap();
        // The wrapper kills the shell that the script's own first line names.
        let script = format!("echo $$ > {}\n", path("victim").display())
            + &std::fs::read_to_string(file).unwrap();
        std::fs::write(path("script"), script).unwrap();
        let said = server.sh(&path("script"), words, &format!("{}:", path("bin").display()));
        assert!(said.code == 0 || said.code == -1, "{said:?}");
        said.code == -1
    }
}

#[test]
fn killed_at_any_of_its_commands_it_leaves_a_server_that_lets_people_in() {
    if !may_serve(
        "host_killed::killed_at_any_of_its_commands_it_leaves_a_server_that_lets_people_in",
    ) {
        return;
    }
    let ca = ca_with("\n[host.fleet]\npool = true\ntags = [\"prod\"]\naccounts = [\"deploy\"]\n");
    let mut server = Server::make("");
    let killer = Killer::make();
    let ana = ca.dir().join("ana");
    let certificates =
        ["deploy@fleet", "deploy@web01"].map(|account| ca.certificate("ana", &[account, "OPS-7"]));
    let kept = server.dir.path().join("kept");
    let shell = |script: &str| run(Command::new("sh").args(["-euc", script])).ok();
    let mut kills = 0;
    // From nothing; to other accounts under another name; to certificates alone; back; all undone.
    for (name, word, expected) in [
        ("fleet", "", (IN, IN, OUT)),
        ("web01", "", (IN, OUT, IN)),
        ("web01", "only", (OUT, OUT, IN)),
        ("web01", "not-only", (IN, OUT, IN)),
        ("web01", "undo", (IN, OUT, OUT)),
    ] {
        let file = printed(&ca, name, &[]);
        let words: &[&str] = if word.is_empty() { &[] } else { &[word] };
        let opens = |server: &Server| {
            let [fleet, web01] = certificates.each_ref().map(|one| server.opens(&ana, Some(one)));
            (server.by_old_key(), fleet, web01)
        };
        shell(&format!("rm -rf {0}; cp -a /etc/ssh {0}", kept.display()));
        let reset = format!("rm -rf /etc/ssh/*; cp -a {}/. /etc/ssh/", kept.display());
        let states = killer.states(&server, &file, words);
        assert!(states.len() > 1, "{word:?} changes nothing: {states:?}");
        for (state, commands) in states {
            // At the first command that sees this state, and after all of them.
            for at in [1, commands] {
                shell(&reset);
                server.boot();
                if !killer.kill(&server, &file, words, &state, at) {
                    continue;
                }
                kills += 1;
                let what = format!("{name} {word:?} killed at the {at}. command with {state}");
                assert_eq!(run(Command::new("/usr/sbin/sshd").arg("-t")).code, 0, "{what}");
                names_nothing_that_is_missing(&what);
                let (old, fleet, web01) = opens(&server);
                let someone = [0, 1].map(|one| old[one] || fleet[one] || web01[one]);
                assert_eq!(someone, IN, "{what}");
                // Who used the old key before still does, until that is ended on purpose; and who got
                // in by certificate, until that is undone on purpose.
                assert!(old == IN || word.ends_with("only"), "{what}");
                assert!(web01 == IN || !word.ends_with("only"), "{what}");
                // Typed again, it goes on to its end.
                server.sh(&file, words, "").ok();
                assert_eq!(opens(&server), expected, "{what}");
            }
        }
        shell(&reset);
        server.boot();
        server.sh(&file, words, "").ok();
        assert_eq!(opens(&server), expected);
    }
    assert!(kills > 20, "killed {kills} times");
}

/// The drop-in, if it is there, and what it names.
fn names_nothing_that_is_missing(what: &str) {
    let Ok(text) = std::fs::read_to_string("/etc/ssh/sshd_config.d/hallpass.conf") else { return };
    assert_eq!(text.matches("\nRevokedKeys /etc/ssh/hallpass_revoked.krl\n").count(), 1, "{what}");
    run(Command::new("ssh-keygen").args(["-Q", "-l", "-f", "/etc/ssh/hallpass_revoked.krl"])).ok();
    run(Command::new("ssh-keygen").args(["-l", "-f", "/etc/ssh/hallpass_user_ca.pub"])).ok();
    let principals = std::fs::read_to_string("/etc/ssh/hallpass_principals/deploy").unwrap();
    assert!(["deploy@fleet\n", "deploy@web01\n"].contains(&principals.as_str()), "{what}");
}
