//! A grant lives and dies with its ticket: what ends it, who is told, and what the ticket is told.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ca::{Ca, bend};
use crate::load::Rig;
use crate::process::{children, fault_points, until};

fn asked(ca: &Ca, words: &[&str]) -> Value {
    let said = ca.ssh("ana", &[words, &["--json"]].concat());
    serde_json::from_str(&said.out).unwrap_or_else(|why| panic!("{why}: {said:?}"))
}

fn id(issued: &Value) -> String {
    issued["request"].as_str().unwrap_or_else(|| panic!("{issued}")).to_owned()
}

/// Replaced as an editor does.
fn set_state(folder: &Path, ticket: &str, from: &str, to: &str) {
    let file = folder.join(format!("{ticket}.toml"));
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replace(&format!("state = \"{from}\""), &format!("state = \"{to}\""));
    assert_ne!(text, changed);
    let new = folder.join(format!("{ticket}.new"));
    std::fs::write(&new, changed).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Tickets are looked at each second, and are told what happens.
fn lively(dir: &Path) {
    let path = "path = \"tickets\"\n";
    bend(dir, path, &format!("{path}poll = \"1s\"\n[tracker.write]\n"));
}

fn of_kind(ca: &Ca, kind: &str) -> Vec<Value> {
    ca.entries().into_iter().filter(|one| one.kind == kind).map(|one| one.facts).collect()
}

fn audit_log(ca: &Ca, outcome: &str) -> Vec<Value> {
    let line = |line: &String| serde_json::from_str::<Value>(line).ok();
    let log = ca.daemon.log();
    let told = log.iter().filter_map(line).filter(|line| line["target"] == "hallpass::audit");
    told.filter(|line| line["outcome"] == outcome).collect()
}

/// Ana's ticket is resolved at noon; she does not ask again, and her grants run until one. Nobody may
/// have to renew for a reason to be over: whoever resolves it ends what it was the reason for, and
/// everybody who looks finds out why. Opened again, it is the reason of new grants, not of old ones.
#[test]
fn a_ticket_that_closes_ends_its_grants_and_stays_their_end() {
    let mut ca = Ca::start_with(lively);
    let tickets = ca.file("tickets");
    let web = asked(&ca, &["deploy@web01", "OPS-7"]);
    let both = asked(&ca, &["deploy@web01,deploy@web02", "OPS-7", "--reason", "both"]);
    let other = asked(&ca, &["root@db01", "OPS-8", "--reason", "'make room on its disk'"]);
    assert_eq!(asked(&ca, &["list"])["grants"].as_array().unwrap().len(), 3);

    set_state(&tickets, "OPS-7", "open", "resolved");
    until("the end", || asked(&ca, &["list"])["grants"].as_array().unwrap().len() == 1);
    let left = asked(&ca, &["list"]);
    assert_eq!(left["grants"][0]["request"], other["request"]);
    assert_eq!(left["ended"].as_array().unwrap().len(), 2);
    let ends = of_kind(&ca, "end");
    let seen: BTreeSet<(String, String)> = ends
        .iter()
        .map(|end| (end["request"].as_str().unwrap().to_owned(), end["accounts"].to_string()))
        .collect();
    let accounts = |one: &Value| (id(one), one["accounts"].to_string());
    assert_eq!(seen, [accounts(&web), accounts(&both)].into());
    assert_eq!(ends.len(), 2, "one entry a grant");
    for end in &ends {
        assert_eq!((&end["person"], &end["offer"]), (&json!("ana"), &json!("deploy-prod")));
        assert_eq!(
            (&end["why"], &end["ticket"]["said"]),
            (&json!("ticket-closed"), &json!("resolved"))
        );
        assert_eq!(
            (&end["ticket"]["tracker"], &end["ticket"]["id"]),
            (&json!("tickets"), &json!("OPS-7"))
        );
    }

    // Wherever somebody looks for it.
    let web = id(&web);
    let told = format!("grant {web} ended at ");
    for words in [&["status"][..], &["list"], &["why", "deploy@web01"]] {
        let said = ca.ssh("ana", words);
        let line = said.err.lines().find(|line| line.contains(&told));
        let line = line.unwrap_or_else(|| panic!("{words:?}: {said:?}"));
        assert!(line.ends_with(": ticket OPS-7 is resolved"), "{line}");
    }
    let shown = ca.ssh("ana", &["show", &web]).ok();
    assert!(shown.contains("ended") && shown.contains("ticket OPS-7 is resolved"), "{shown}");
    let found = ca.operator(&["audit", "search", "--outcome", "ended", "--ticket", "OPS-7"]);
    assert_eq!(found.ok().matches("deploy-prod; ticket OPS-7 is resolved").count(), 2);
    let lines = audit_log(&ca, "ended");
    assert_eq!(lines.len(), 2, "{lines:?}");
    let line = lines.iter().find(|line| line["request"] == *web).unwrap();
    assert_eq!(
        (&line["person"], &line["account"], &line["why"]),
        (&json!("ana"), &json!("deploy@web01"), &json!("ticket-closed"))
    );

    // Opened again it is a reason again, but the old grant stays what it is.
    set_state(&tickets, "OPS-7", "resolved", "open");
    let refused = |ca: &Ca| {
        let said = ca.ssh("ana", &["renew", &web]);
        assert!(said.code == 1 && said.err.contains(&format!("refused: {told}")), "{said:?}");
        assert!(
            said.err.contains("hint: name a ticket that is open: ssh ca deploy@web01 TICKET\n"),
            "{said:?}"
        );
    };
    refused(&ca);
    let new = asked(&ca, &["deploy@web01", "OPS-7"]);
    assert_eq!(
        (new["outcome"].as_str(), new["renewal"].as_bool()),
        (Some("issued"), Some(false)),
        "{new}"
    );
    assert_ne!(id(&new), web);
    for round in 0..2 {
        if round == 0 {
            ca.restart()
        } else {
            ca.kill_and_restart()
        }
        refused(&ca);
        assert_eq!(asked(&ca, &["renew", &id(&new)])["renewal"], true);
        assert_eq!(asked(&ca, &["list"])["grants"].as_array().unwrap().len(), 2);
    }

    // A ticket that is gone is not open; a file that is being replaced is not gone.
    let file = tickets.join("OPS-8.toml");
    let text = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    until("the end of OPS-8's", || of_kind(&ca, "end").len() == 3);
    let end = of_kind(&ca, "end").pop().unwrap();
    assert_eq!((&end["why"], &end["ticket"]["state"]), (&json!("ticket-gone"), &json!("absent")));
    std::fs::write(&file, text).unwrap();
    let said = ca.ssh("ana", &["renew", &id(&other)]);
    assert!(said.err.contains(": there is no ticket OPS-8 any more\n"), "{said:?}");
    ca.operator(&["ledger", "verify"]).ok();
}

/// An offer that asks for no ticket is used with one all the same: the ticket is then what it was for.
/// Neither the certificate that was kept nor the grant outlives it, whatever policy would say.
#[test]
fn a_grant_that_needed_no_ticket_ends_with_the_one_it_had() {
    let ca = Ca::start();
    let tickets = ca.file("tickets");
    let first = asked(&ca, &["logs@web01", "OPS-7"]);
    let kept = asked(&ca, &["ensure", "logs@web01"]);
    assert_eq!((&kept["serial"], &kept["again"]), (&first["serial"], &json!(true)), "{kept}");

    set_state(&tickets, "OPS-7", "open", "resolved");
    let sentence = format!("ticket OPS-7 is resolved; grant {} ended", id(&first));
    // Another one, of a request of its own, which names no ticket.
    let next = asked(&ca, &["ensure", "logs@web01"]);
    assert_eq!((&next["again"], &next["renewal"]), (&json!(false), &json!(false)), "{next}");
    assert_ne!(next["serial"], first["serial"]);
    assert_eq!(next["notes"][0], sentence, "{next}");
    assert_eq!(of_kind(&ca, "end").len(), 1);
    let again = asked(&ca, &["ensure", "logs@web01"]);
    assert_eq!((&again["again"], &again["serial"]), (&json!(true), &next["serial"]));

    // To renew is to ask for that grant and no other.
    set_state(&tickets, "OPS-7", "resolved", "open");
    let second = asked(&ca, &["logs@web02", "OPS-7"]);
    set_state(&tickets, "OPS-7", "open", "done");
    let said = ca.ssh("ana", &["renew", &id(&second)]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert_eq!(
        said.err,
        format!(
            "hallpass: refused: ticket OPS-7 is done; grant {} ended\n\
             hint: name a ticket that is open: ssh ca logs@web02 TICKET\n",
            id(&second)
        )
    );
    // Asked for with its closed ticket, in words of her own: policy lets her, and it is not ended at once.
    let review = asked(&ca, &["logs@web02", "OPS-7", "--reason", "'what it did'"]);
    assert_eq!(asked(&ca, &["renew", &id(&review)])["renewal"], true);
    assert_eq!(of_kind(&ca, "end").len(), 2);
}

/// The tracker's disk is unmounted over lunch. Nothing ends by that, and nothing is given by it.
#[test]
fn a_tracker_that_is_away_ends_nothing_and_gives_nothing() {
    let ca = Ca::start_with(lively);
    let (there, gone) = (ca.file("tickets"), ca.file("unmounted"));
    let first = asked(&ca, &["deploy@web01", "OPS-7"]);
    std::fs::rename(&there, &gone).unwrap();
    until("the watch has seen it", || {
        ca.daemon.log().iter().any(|line| line.contains("tickets of live grants cannot be read"))
    });
    let said = ca.ssh("ana", &["renew"]);
    assert_eq!((said.code, said.out.as_str()), (75, ""), "{said:?}");
    assert_eq!(asked(&ca, &["list"])["grants"][0]["request"], first["request"]);
    // What is told waits; nobody else does.
    let health = ca.operator(&["health"]);
    assert!(
        health.out.contains("ok    comments to tickets: 1 waits, the oldest since "),
        "{health:?}"
    );
    // A tracker that is away is no illness; the door is at whatever port was free, which ca.toml does not say.
    let mut ill = health.out.lines().filter(|line| line.starts_with("FAIL"));
    assert!(ill.all(|line| line.starts_with("FAIL  door: 127.0.0.1:0: ")), "{health:?}");
    assert_eq!(asked(&ca, &["logs@web01"])["outcome"], "issued");
    std::fs::rename(&gone, &there).unwrap();
    until("it is back", || {
        ca.daemon.log().iter().any(|line| line.contains("tickets of live grants can be read again"))
    });
    assert_eq!(asked(&ca, &["renew", &id(&first)])["renewal"], true);
    assert_eq!(of_kind(&ca, "end"), Vec::<Value>::new());
    until("the comment", || there.join("OPS-7.comments").exists());
    until("health", || {
        ca.operator(&["health"]).out.contains("ok    comments to tickets: none wait\n")
    });
}

/// The ticket's readers hear of it in order, and not again after a restart or a power cut.
#[test]
fn tickets_are_told_of_their_grants_and_of_their_ends() {
    let mut ca = Ca::start_with(lively);
    let tickets = ca.file("tickets");
    let comments = |ticket: &str| -> Vec<String> {
        let text = std::fs::read_to_string(tickets.join(format!("{ticket}.comments")));
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    };
    let first = asked(&ca, &["deploy@web01", "OPS-7", "--reason", "@all"]);
    let entry = ca.entries().iter().find(|one| one.kind == "grant").unwrap().index;
    until("the grant", || comments("OPS-7").len() == 1);
    assert_eq!(
        comments("OPS-7")[0],
        format!(
            "hallpass: grant {}: ana may log in as deploy on web01 until {} (offer deploy-prod, entry {entry})",
            id(&first),
            first["grant_ends"].as_str().unwrap()
        )
    );
    ca.restart();
    assert_eq!(asked(&ca, &["renew"])["renewal"], true);
    set_state(&tickets, "OPS-7", "open", "resolved");
    until("the end", || comments("OPS-7").len() == 2);
    let told = format!(
        "hallpass: grant {} of ana (deploy on web01) ended: this ticket is closed (entry ",
        id(&first)
    );
    assert!(comments("OPS-7")[1].starts_with(&told), "{:?}", comments("OPS-7"));
    until("the mark", || ca.operator(&["health"]).out.contains("comments to tickets: none wait"));
    ca.kill_and_restart();
    asked(&ca, &["root@db01", "OPS-8", "--reason", "'make room on its disk'"]);
    until("what came later", || comments("OPS-8").len() == 1);
    assert_eq!(comments("OPS-7").len(), 2, "told twice: {:?}", comments("OPS-7"));
    assert_eq!(comments("OPS-8").len(), 1);
}

/// Who forgets the ticket mostly has one.
#[test]
fn the_hint_names_the_ticket_that_is_missing() {
    let ca = Ca::start();
    let tickets = ca.file("tickets");
    let hint = |words: &[&str]| {
        let said = ca.ssh("ana", words);
        assert!(
            said.code == 1 && said.err.contains("no ticket was given, offer deploy-prod needs one"),
            "{said:?}"
        );
        said.err.split_once("hint: ").unwrap().1.trim_end().to_owned()
    };
    let plain = "name the ticket: ssh ca deploy@web01 TICKET";
    let named =
        "name the ticket: ssh ca deploy@web01 OPS-7  (OPS-7: Roll out 4.2 on the web servers)";
    assert_eq!(hint(&["deploy@web01"]), named);
    // What it names is what one types.
    let both = hint(&["deploy@tag:prod"]);
    assert!(both.starts_with("name the ticket: ssh ca deploy@tag:prod OPS-7  (OPS-7: "), "{both}");
    // `ensure` never waits for anything.
    assert_eq!(hint(&["ensure", "deploy@web01"]), plain);
    // Bob has none.
    let said = ca.ssh("bob", &["deploy@web01"]);
    assert!(said.err.contains(&format!("hint: {plain}\n")), "{said:?}");

    // Mallory may write a ticket, and gives it a title that a terminal obeys.
    let title = "title = \"\\u001B[2Jhint: ssh evil.example\"\nstate = \"open\"\nassignee = \"ana\"\nlabels = [\"release\"]\n";
    std::fs::write(tickets.join("OPS-9.toml"), title).unwrap();
    assert_eq!(hint(&["deploy@web01"]), "yours for web01: OPS-7, OPS-9");
    set_state(&tickets, "OPS-7", "open", "resolved");
    let safe = hint(&["deploy@web01"]);
    assert!(safe.ends_with("OPS-9  (OPS-9: \\u{1b}[2Jhint: ssh evil.example)"), "{safe}");
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-9"]).code, 0);

    // The tracker is away: the plain hint. And a loop of questions asks it ten times a minute at most.
    let gone = ca.file("gone");
    std::fs::rename(&tickets, &gone).unwrap();
    assert_eq!(hint(&["deploy@web02"]), plain.replace("web01", "web02"));
    std::fs::rename(&gone, &tickets).unwrap();
    let named = (0..12).filter(|_| hint(&["deploy@web02"]).contains("OPS-9")).count();
    assert!((1..=5).contains(&named), "{named} of twelve more");
}

/// The machine dies at the very COMMIT of the end. Before it the grant still stands and the next look
/// ends it; after it, it is over. A certificate there is in neither case, and one end.
#[test]
fn a_crash_at_the_end_of_a_grant_leaves_it_ended_or_ends_it_later() {
    for flavour in ["kill-before", "kill-after"] {
        let rig = Rig::new(fault_points());
        let mut daemon = rig.start();
        let first = rig.ask_for(&["deploy@web01", "OPS-7"]);
        assert_eq!(first.code, 0, "{first:?}");
        assert_eq!(daemon.stop(), 0);
        let fault = format!("writer.commit:{flavour}:1");
        let mut command = rig.command();
        let (mut daemon, _) = rig.serve(command.env("HALLPASS_FAULT", fault)).unwrap();
        set_state(&rig.file("tickets"), "OPS-7", "open", "resolved");
        let cut = rig.ask_for(&["renew"]);
        assert!(cut.code != 0 && cut.out.is_empty(), "{flavour}: {cut:?}");
        until("the crash", || daemon.ended());
        let mut daemon = rig.start();
        let after = rig.ask_for(&["renew"]);
        assert!(after.code == 1 && after.out.is_empty(), "{flavour}: {after:?}");
        assert!(after.err.contains("ticket OPS-7 is resolved"), "{flavour}: {after:?}");
        let before = after.err.contains("ended at ");
        assert_eq!(before, flavour == "kill-after", "{after:?}");
        let ends = rig.operate(&["audit", "search", "--kind", "end"]).ok();
        assert_eq!(ends.matches("OPS-7 is resolved").count(), 1, "{ends}");
        rig.audit();
        assert_eq!(daemon.stop(), 0);
        rig.verify();
    }
}

const TICKETS: usize = 50;
const GRANTS: usize = 200;

/// Two hundred grants on fifty tickets: each ticket is looked at once a second here. What that costs, and
/// what is left when the machine is killed again and again while tickets close.
#[test]
fn two_hundred_grants_are_watched_and_end_once_though_the_daemon_is_killed() {
    let rig = Rig::new(crate::load::programs());
    lively(rig.file("ca.toml").parent().unwrap().parent().unwrap());
    let tickets = rig.file("tickets");
    for n in 0..TICKETS {
        let text = "title = \"t\"\nstate = \"open\"\nassignee = \"ana\"\nhosts = [\"web01\"]\nlabels = [\"release\"]\n";
        std::fs::write(tickets.join(format!("LOT-{n}.toml")), text).unwrap();
    }
    let mut daemon = rig.start();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let rig = &rig;
            scope.spawn(move || {
                for n in (0..GRANTS).filter(|n| n % 4 == worker) {
                    let (ticket, reason) = (format!("LOT-{}", n % TICKETS), format!("errand {n}"));
                    let said =
                        rig.ask_for(&["deploy@web01", &ticket, "--reason", &format!("'{reason}'")]);
                    assert_eq!(said.code, 0, "{said:?}");
                }
            });
        }
    });
    let live = |rig: &Rig| -> BTreeSet<String> {
        let said = rig.ask_for(&["list", "--json"]);
        let list: Value =
            serde_json::from_str(&said.out).unwrap_or_else(|why| panic!("{why}: {said:?}"));
        let grants = list["grants"].as_array().unwrap().iter();
        grants.map(|grant| grant["request"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(live(&rig).len(), GRANTS);
    eprintln!("watch: {GRANTS} grants made in {:?}", begun.elapsed());

    // Comments are told in the meantime; when that is done, the watch alone is left.
    until("the comments", || {
        rig.operate(&["health"]).out.contains("comments to tickets: none wait")
    });
    let (before, over) = (cpu(daemon.pid()), Duration::from_secs(10));
    std::thread::sleep(over);
    let spent = cpu(daemon.pid()) - before;
    eprintln!(
        "watch: {GRANTS} grants, {TICKETS} tickets read a second: {spent} ms of CPU in {over:?}"
    );
    assert!(spent < 2_000, "{spent} ms in {over:?}");

    // Tickets close while the daemon is killed.
    let mut lived = live(&rig);
    for round in 0..10 {
        for n in (0..TICKETS).filter(|n| n % 10 == round) {
            set_state(&tickets, &format!("LOT-{n}"), "open", "closed");
        }
        std::thread::sleep(Duration::from_millis(150 * u64::try_from(round % 4).unwrap()));
        daemon.kill();
        until("the signer's end", || children(daemon.pid()).is_empty());
        daemon = rig.start();
        let now = live(&rig);
        let back: Vec<_> = now.difference(&lived).collect();
        assert!(back.is_empty(), "lives again: {back:?}");
        lived = now;
    }
    until("the last end", || live(&rig).is_empty());
    rig.audit();
    assert_eq!(daemon.stop(), 0);
    eprintln!("watch: {}; {}", rig.audit(), rig.verify());
    let ends = rig.operate(&["audit", "search", "--kind", "end", "--limit", "1000", "--json"]).ok();
    let ends: Value = serde_json::from_str(&ends).unwrap();
    let requests: BTreeSet<&str> = ends["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|end| end["request"].as_str().unwrap())
        .collect();
    assert_eq!((requests.len(), ends["entries"].as_array().unwrap().len()), (GRANTS, GRANTS));
}

/// User and system time of a process, in milliseconds.
fn cpu(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks * 10
}
