//! Locks: what a colleague types when a laptop is lost, and what stands from then on, whatever is
//! restarted, killed or deployed.

use serde_json::Value;

use crate::ca::Ca;
use crate::process::Said;

/// The answer is no, in this sentence.
fn refused(said: &Said, why: &str) {
    assert!(said.code == 1 && said.out.is_empty(), "{said:?}");
    assert!(
        said.err.starts_with("hallpass: refused: ") && said.err.contains(why),
        "{why}: {said:?}"
    );
    assert!(said.err.contains("\nhint: "), "{said:?}");
}

fn ok(said: &Said, text: &str) {
    assert!(said.code == 0 && said.err.contains(text), "{text}: {said:?}");
}

fn locked(ca: &Ca, person: &str, target: &str) {
    ok(&ca.ssh(person, &["lock", target, "--reason", "test"]), "is locked from now on, entry ");
}

fn unlocked(ca: &Ca, person: &str, target: &str) {
    ok(&ca.ssh(person, &["unlock", target, "--reason", "test"]), "is not locked any more");
}

/// Ana's laptop is stolen, unlocked and logged in. Bob hears of it first, and is no site reliability
/// engineer. Whoever has the laptop now tries everything that her key opens.
#[test]
fn a_colleague_stops_a_stolen_laptop_at_once() {
    let ca = Ca::start();
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0);
    let said = ca.ssh("bob", &["lock", "ana", "--reason", "'laptop lost'"]);
    ok(&said, "hallpass: person ana is locked from now on, entry ");
    assert!(
        said.err.contains("hint: what was issued before opens servers until it expires"),
        "{said:?}"
    );

    for words in [
        "deploy@web01 OPS-7",
        "logs@web01",
        "unlock ana --reason mine",
        "lock bob --reason revenge",
        "lock everything --reason revenge",
        "locks",
    ] {
        refused(&ca.ssh("ana", &[words]), "person ana is locked since ");
        refused(&ca.ssh("ana", &[words]), " by bob: laptop lost\n");
    }
    // Who one is and how to get help is no secret.
    let status = ca.ssh("ana", &["status"]);
    ok(&status, "hallpass: person ana is locked since ");
    assert_eq!(ca.ssh("ana", &["help"]).code, 0);
    // Bob may set such a lock and not lift it; he sees what he may set.
    refused(
        &ca.ssh("bob", &["unlock", "ana", "--reason", "found"]),
        "no policy lets bob unlock person ana",
    );
    let shown = ca.ssh("bob", &["locks"]);
    assert!(shown.code == 0 && shown.out.contains(" by bob: laptop lost\n"), "{shown:?}");
    // Bob himself goes on.
    assert_eq!(ca.ssh("bob", &["logs@web01"]).code, 0);

    let entry = ca.entries().into_iter().find(|entry| entry.kind == "lock").unwrap();
    let facts = &entry.facts;
    assert_eq!(
        (&facts["target"], &facts["name"], &facts["locked"], &facts["person"], &facts["reason"]),
        (&"person".into(), &"ana".into(), &true.into(), &"bob".into(), &"laptop lost".into())
    );
    assert!(facts["key"].as_str().unwrap().starts_with("SHA256:"), "{facts}");
    // The operator lets her in again.
    ok(
        &ca.operator(&["unlock", "ana", "--reason", "laptop found"]),
        "person ana is not locked any more",
    );
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0);
    let last = ca.entries().into_iter().rfind(|entry| entry.kind == "lock").unwrap();
    assert!(last.facts["operator"]["uid"].is_u64() && last.facts["person"].is_null(), "{last:?}");
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}

#[test]
fn hosts_tags_keys_and_everything_are_locked_by_those_who_may() {
    let ca = Ca::start();
    let asks = |person: &str, account: &str| ca.ssh(person, &[account]);
    refused(
        &ca.ssh("bob", &["lock", "host:web01", "--reason", "x"]),
        "no policy lets bob lock host web01",
    );
    refused(
        &ca.ssh("vera", &["lock", "bob", "--reason", "x"]),
        "no policy lets vera lock person bob",
    );
    refused(&ca.ssh("deploy-bot", &["lock", "everything", "--reason", "x"]), "no policy lets");

    // By an alias; in one word or two.
    locked(&ca, "ana", "host:web01.example.com");
    refused(&asks("bob", "logs@web01"), "host web01 is locked since ");
    assert_eq!(asks("bob", "logs@web02").code, 0);
    ok(&ca.ssh("ana", &["unlock", "host", "web01", "--reason", "x"]), "host web01 is not locked");

    // A tag is every host that has it.
    locked(&ca, "ana", "tag:prod");
    refused(&asks("bob", "logs@web02"), "tag prod is locked since ");
    refused(&asks("bob", "logs@db01"), "tag prod is locked since ");
    assert_eq!(asks("bob", "dev@dev01").code, 0);
    unlocked(&ca, "ana", "tag:prod");

    let status: Value = serde_json::from_str(&ca.ssh("bob", &["status", "--json"]).out).unwrap();
    let key = format!("key:{}", status["key"].as_str().unwrap());
    // Anybody may lock a key, their own too.
    locked(&ca, "bob", &key);
    refused(&asks("bob", "logs@web01"), "is locked since ");
    refused(&ca.ssh("bob", &["unlock", &key, "--reason", "x"]), "is locked since ");
    assert_eq!(asks("ana", "logs@web01").code, 0);
    unlocked(&ca, "ana", &key);

    // Everything stops every certificate, and not whoever lifts it.
    locked(&ca, "ana", "everything");
    for person in ["ana", "bob", "deploy-bot"] {
        refused(&asks(person, "logs@web01"), "everything is locked since ");
    }
    ok(&ca.ssh("bob", &["status"]), "hallpass: everything is locked since ");
    unlocked(&ca, "ana", "everything");
    assert_eq!(asks("bob", "logs@web01").code, 0);

    // Whoever locks himself: others lift it.
    locked(&ca, "ana", "ana");
    refused(&ca.ssh("ana", &["unlock", "ana", "--reason", "x"]), "person ana is locked since ");
    ok(&ca.operator(&["unlock", "person:ana", "--reason", "herself"]), "person ana is not locked");
}

#[test]
fn typing_errors_are_told_and_nothing_is_written_twice() {
    let ca = Ca::start();
    let locks = || ca.entries().iter().filter(|entry| entry.kind == "lock").count();
    for (target, note) in [
        ("boob", "there is no person boob; was bob meant?"),
        ("everythin", "there is no person everythin; was everything meant?"),
        ("host:wbe01", "there is no host wbe01; was web01 meant?"),
        ("tag:staging", "there is no tag staging"),
        ("key:SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "nobody has this key"),
    ] {
        ok(&ca.ssh("ana", &["lock", target, "--reason", "x"]), note);
    }
    assert_eq!(locks(), 5);
    // It stands already: said, and not written again.
    let again = ca.ssh("ana", &["lock", "boob", "--reason", "again"]);
    ok(
        &again,
        "hallpass: nothing was written: it is locked already\nhallpass: person boob is locked since ",
    );
    refused(&ca.ssh("ana", &["unlock", "bob", "--reason", "x"]), "person bob is not locked");
    let near = ca.ssh("ana", &["unlock", "host:web01", "--reason", "x"]);
    assert!(near.err.contains("hint: did you mean host:wbe01?"), "{near:?}");
    assert_eq!(locks(), 5);

    for (words, what) in [
        ("lock", "what to lock is missing"),
        ("lock bob", "--reason is missing"),
        ("lock host --reason x", "the name of the host is missing"),
        ("lock bob --reason laptop lost", "lost is one word too many"),
        ("lock team:x --reason x", "team:x: not person:, key:, host:, tag: or everything"),
        ("lock key:bob --reason x", "not a fingerprint"),
        ("unlock Bob --reason x", "Bob: not a person's name"),
    ] {
        let said = ca.ssh("ana", &[words]);
        assert!(said.code == 2 && said.err.contains(what), "{words}: {said:?}");
    }
    let object: Value =
        serde_json::from_str(&ca.ssh("ana", &["unlock boob --reason x --json"]).out).unwrap();
    assert_eq!((&object["outcome"], &object["locked"]), (&"ok".into(), &false.into()));
    assert!(object["entry"].is_u64(), "{object}");
    let listed: Value = serde_json::from_str(&ca.ssh("ana", &["locks", "--json"]).out).unwrap();
    assert_eq!(listed["locks"].as_array().unwrap().len(), 4);
}

/// Bob leaves the company on bad terms and is disabled. That night the machine is rebooted, then the power
/// fails; in the morning the files of people are deployed from Git, where he still stands.
#[test]
fn a_disabled_person_stays_disabled_whatever_happens_to_files_and_machine() {
    let mut ca = Ca::start();
    let why = "bob is locked since ";
    ok(&ca.operator(&["person", "disable", "bob", "--reason", "left"]), "person bob is locked");
    refused(&ca.ssh("bob", &["logs@web01"]), why);
    ca.restart();
    refused(&ca.ssh("bob", &["logs@web01"]), why);
    ca.kill_and_restart();
    refused(&ca.ssh("bob", &["logs@web01"]), why);

    let people = std::fs::read_to_string(ca.file("people.toml")).unwrap();
    std::fs::write(ca.file("people.toml"), people.replace("bob@example.com", "b@example.com"))
        .unwrap();
    assert_eq!(ca.operator(&["reload"]).code, 0);
    refused(&ca.ssh("bob", &["logs@web01"]), why);

    // With nobody serving the operator writes into the ledger, and the next start knows.
    assert_eq!(ca.daemon.stop(), 0);
    ok(
        &ca.operator(&["lock", "host:web01", "--reason", "disk"]),
        "host web01 is locked; no hallpass serves",
    );
    ok(&ca.operator(&["lock", "host:web01", "--reason", "disk"]), "host web01 is locked since ");
    assert_eq!(ca.operator(&["unlock", "host:web02", "--reason", "x"]).code, 1);
    let listed = ca.operator(&["locks"]).ok();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    ca.restart_after_stop();
    refused(&ca.ssh("ana", &["logs@web01"]), "host web01 is locked since ");
    ok(
        &ca.operator(&["unlock", "bob", "--reason", "came back"]),
        "person bob is not locked any more",
    );
    assert_eq!(ca.ssh("bob", &["logs@web02"]).code, 0);
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}

/// A pipeline of bob's asks in a loop. He is refused with a sentence that says when it goes on; ana
/// does not notice; a restart does not begin the count anew.
#[test]
fn who_asks_in_a_loop_is_told_when_it_goes_on() {
    let mut ca = Ca::start_with(|dir| {
        crate::ca::bend(dir, "person = 55\n", "person = 4\n");
        crate::ca::bend(dir, "grants = 200\n", "grants = 3\n");
        let policy = dir.join("ca/policy.cedar");
        let text = std::fs::read_to_string(&policy).unwrap();
        let logs = "@id(\"logs-prod\")\n";
        assert!(text.contains(logs));
        let text = text.replace(logs, &format!("{logs}@limit(\"2 per 1h\")\n"));
        std::fs::write(policy, text).unwrap();
    });
    let certificates =
        |ca: &Ca| ca.entries().iter().filter(|entry| entry.kind == "certificate").count();
    for host in ["web01", "web02"] {
        assert_eq!(ca.ssh("bob", &[&format!("logs@{host}")]).code, 0);
    }
    let over = "offer logs-prod gives bob 2 certificates within 1h\nhint: the next is possible at ";
    refused(&ca.ssh("bob", &["logs@db01"]), over);
    // From a live grant it is one more all the same.
    refused(&ca.ssh("bob", &["renew", "logs@web01"]), over);
    assert_eq!(ca.ssh("ana", &["logs@web01"]).code, 0);
    ca.kill_and_restart();
    refused(&ca.ssh("bob", &["logs@db01"]), over);
    assert_eq!(ca.ssh("bob", &["dev@dev01"]).code, 0);
    refused(&ca.ssh("bob", &["jump@hop01"]), "bob has 3 live grants, and 3 at most");
    assert_eq!(ca.ssh("bob", &["renew", "dev@dev01"]).code, 0);
    refused(&ca.ssh("bob", &["renew", "dev@dev01"]), "bob gets 4 certificates a minute at most");
    assert_eq!(certificates(&ca), 5);

    // Twelve at once: none slips through while the others are on their way.
    let ca = Ca::start_with(|dir| crate::ca::bend(dir, "person = 55\n", "person = 4\n"));
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let ask = || ca.ssh("bob", &["logs@web01", "--for", "8h"]).code;
        let asked: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 4, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 1).count(), 8, "{codes:?}");
    assert_eq!(certificates(&ca), 4);
}
