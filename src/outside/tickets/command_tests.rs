//! A tracker behind a program, against programs that are as they should be and as they should not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Answer, Tracker, TrackerFault, Trackers};
use crate::certificate::names::TicketId;
use crate::config::tracker::Tracker as Configured;
use crate::decide::facts::TicketState;

fn tracker(dir: &Path, script: &str) -> Arc<dyn Tracker> {
    let program = dir.join("tickets");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let text = format!(
        "name = \"own\"\nkind = \"command\"\ncommand = [{program:?}, \"--json\", \"; echo x\"]\ndeadline = \"1s\"\n\
         asks = [\"open_of\", \"comment\"]\n"
    );
    let one: Configured = toml::from_str(&text).unwrap_or_else(|why| panic!("{why}"));
    let trackers = Trackers::open(&[one]).unwrap();
    Arc::clone(trackers.of(&id("OPS-7")).unwrap())
}

fn id(text: &str) -> TicketId {
    text.parse().unwrap()
}

#[test]
fn a_program_is_asked_in_json_and_answers_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let script = format!(
        r#"read -r asked; printf '%s\n' "$# $2 $asked" >> {log:?}; /usr/bin/env >> {log:?}
case "$asked" in
*read*OPS-7*) echo '{{"v":1,"ticket":{{"id":"OPS-7","state":"open","said":"doing","assignee":"ana","hosts":["web01"],"window_until":"2026-11-22 06:00:00"}}}}';;
*read*OPS-8*) echo '{{"v":1,"absent":true}}';;
*read*OPS-9*) echo '{{"v":1,"moved":"OPS-10"}}';;
*open_of*) echo '{{"v":1,"ids":["OPS-7","../x","OPS-11"]}}';;
*comment*) echo '{{"v":1,"done":true}}';;
esac"#
    );
    let tracker = tracker(dir.path(), &script);
    match tracker.read(&id("OPS-7")).unwrap() {
        Answer::Ticket(seen) => {
            assert_eq!((seen.state, seen.said.as_str()), (TicketState::Open, "doing"));
            assert_eq!(seen.window.unwrap().until.to_string(), "2026-11-22T06:00:00Z");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(tracker.read(&id("OPS-8")), Ok(Answer::Absent));
    assert_eq!(tracker.read(&id("OPS-9")), Ok(Answer::Moved("OPS-10".to_owned())));
    assert_eq!(tracker.open_of("ana").unwrap().unwrap(), [id("OPS-7"), id("OPS-11")]);
    tracker.comment(&id("OPS-7"), "a\n$(reboot)").unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.starts_with("2 ; echo x {\"v\":1,\"ask\":\"read\",\"id\":\"OPS-7\"}\n"), "{log}");
    assert!(log.contains(r#""text":"a\n$(reboot)""#), "{log}");
    // Nothing of the daemon's environment.
    assert!(log.contains("\nPATH=") && !log.contains("CARGO") && !log.contains("HOME="), "{log}");
}

/// A program that misbehaves in every way there is: it costs its deadline and no more, and nothing that
/// it started is left.
#[test]
fn a_program_that_misbehaves_is_a_fault_within_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let hangs = format!("sleep 300 & echo $! > {pids:?}; sleep 300");
    let leaves = format!(
        "sleep 300 & echo $! > {pids:?}; echo '{{\"v\":1,\"ticket\":{{\"id\":\"OPS-7\",\"state\":\"open\"}}}}'"
    );
    for (script, why) in [
        (hangs.as_str(), "did not end within 1s"),
        ("exec sleep 300 >&- 2>&-", "did not end within 1s"),
        ("yes", "more than 512 KiB"),
        ("yes >&2", "did not end within 1s"),
        ("echo '{\"v\":1}'", "one of ticket"),
        ("echo '{\"v\":2,\"absent\":true}'", "one of ticket"),
        ("echo '{\"v\":1,\"absent\":true,\"hidden\":true}'", "one of ticket"),
        ("echo '{\"v\":1,\"absent\":true,\"absnt\":true}'", "unknown field"),
        ("echo '{\"v\":1,\"ticket\":{\"id\":\"OPS-7\",\"state\":\"maybe\"}}'", "unknown variant"),
        (
            "echo '{\"v\":1,\"ticket\":{\"id\":\"OPS-7\",\"state\":\"open\",\"hosts\":[{}]}}'",
            "invalid type",
        ),
        ("echo '{\"v\":1,\"ids\":[]}'", "another question"),
        ("echo hello", "the program's answer"),
        ("", "the program's answer"),
        ("echo '{\"v\":1,\"absent\":true}'; exit 3", "status 3"),
        ("kill -9 $$", "status signal 9"),
        ("echo '{\"v\":1,\"fault\":\"credentials\",\"why\":\"no token\"}'", "no token"),
    ] {
        let tracker = tracker(dir.path(), script);
        let begun = Instant::now();
        let said = match tracker.read(&id("OPS-7")) {
            Err(
                TrackerFault::Away(said)
                | TrackerFault::Unreadable(said)
                | TrackerFault::Credentials(said),
            ) => said,
            other => panic!("{script}: {other:?}"),
        };
        assert!(said.contains(why), "{script}: {said}");
        assert!(begun.elapsed() < Duration::from_millis(1500), "{script}: {:?}", begun.elapsed());
    }
    // One that answers and leaves a child behind answers at once, and the child is gone too.
    let gone = || {
        let pid = std::fs::read_to_string(&pids).unwrap();
        let begun = Instant::now();
        // A signal takes a moment.
        while begun.elapsed() < Duration::from_secs(2) {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            if stat.map_or(true, |stat| stat.contains(") Z ")) {
                return true;
            }
            std::thread::yield_now();
        }
        false
    };
    assert!(gone(), "what a program that hangs started is still there");
    let begun = Instant::now();
    assert!(matches!(tracker(dir.path(), &leaves).read(&id("OPS-7")), Ok(Answer::Ticket(_))));
    assert!(begun.elapsed() < Duration::from_millis(800) && gone(), "{:?}", begun.elapsed());
}
