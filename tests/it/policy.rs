//! Policy as a product, with the built program: cases, comparisons of two work trees of a real Git
//! repository, the review of access at any moment, and signatures by the real ssh-keygen.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::ca::{Ca, hallpass};
use crate::process::{run, run_with_input, until};

/// Replaces text in a file that must hold it once.
fn change(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from:?} in {}", path.display());
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

const CASES: &str = r#"
at = "2026-11-23T09:00:00Z"

[ticket.OPS-7]
state = "open"
assignee = "ana"
hosts = ["web01"]

[[case]]
name = "deploy with an own open ticket"
person = "ana"
account = "deploy@web01"
ticket = "OPS-7"
expect = "granted"
by = "deploy-prod"
gives = { ttl = "10m", period = "1h", ends = "2026-11-23T10:00:00Z", extensions = ["permit-pty"] }

[[case]]
name = "it names web01"
person = "ana"
account = "deploy@web02"
ticket = "OPS-7"
expect = "refused"
reasons = ["ticket OPS-7 names web01, not web02"]
hint = "add web02 to the ticket in tickets, or name a ticket for web02"

[[case]]
name = "nobody is root without a ticket"
person = "ana"
account = "root@tag:prod"
expect = "refused"
reason_has = "guard-root forbids it"

[[case]]
name = "it is done"
person = "ana"
account = "deploy@web01"
ticket = { id = "OPS-9", state = "closed", said = "resolved", assignee = "ana" }
expect = "refused"
reasons = ["ticket OPS-9 is resolved, needs open"]

[[case]]
name = "somebody else's"
person = "bob"
account = "deploy@web01"
ticket = { id = "OPS-8", state = "open", assignee = "ana" }
expect = "refused"
reasons = ["ticket OPS-8 is ana's, not yours"]

[[case]]
name = "vendors stay away from production"
person = "vera"
account = "tag:prod"
expect = "refused"

[[case]]
name = "whoever finds a laptop may lock its owner"
person = "bob"
act = "lock person ana"
expect = "granted"
by = "lock-person"
"#;

#[test]
fn cases_are_put_to_the_policy_that_decides() {
    let ca = Ca::start();
    let file = ca.dir().join("cases.toml");
    let test =
        |more: &[&str]| ca.operator(&[&["policy", "test", file.to_str().unwrap()], more].concat());
    std::fs::write(&file, CASES).unwrap();
    let said = test(&[]);
    assert!(said.code == 0 && said.out == "7 cases, 0 failed\n", "{said:?}");
    assert!(said.err.contains("warning: no case is granted by offer hop\n"), "{said:?}");
    assert!(!said.err.contains("guard-root") && !said.err.contains("guard-vendor"), "{said:?}");
    let strict = test(&["--strict"]);
    assert!(strict.code == 1 && !strict.err.contains("warning"), "{strict:?}");

    // What the table of refusals says is what a person sees.
    let table = test(&["--print", "refusals"]).out;
    let seen = ca.ssh("ana", &["deploy@web01", "OPS-9"]);
    assert_eq!(seen.code, 1, "{seen:?}");
    let told = seen.err.lines().find_map(|line| line.strip_prefix("hallpass: refused: ")).unwrap();
    let hint = seen.err.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap();
    let row = format!(
        "| it is done | ana: deploy@web01 with OPS-9 (resolved, their own) | {told} | {hint} |\n"
    );
    assert!(table.contains(&row), "{row} {table}");

    // A case that fails is told with its line, what was expected, what came, and why.
    let line = CASES.lines().position(|line| line.contains("it names web01")).unwrap() + 1;
    let failing = CASES
        .replace(
            "account = \"deploy@web01\"\nticket = \"OPS-7\"",
            "account = \"deploy@web02\"\nticket = \"OPS-7\"",
        )
        .replace(
            "expect = \"refused\"\nreasons = [\"ticket OPS-7 names",
            "expect = \"granted\"\nreasons = [\"ticket OPS-7 names",
        );
    std::fs::write(&file, failing).unwrap();
    let said = test(&[]);
    let wanted = format!(
        "{}:{line}: it names web01: expected granted, was refused: ticket OPS-7 names web01, not web02\n",
        file.display()
    );
    assert!(said.code == 1 && said.out.contains(&wanted), "{said:?}");
    assert!(said.out.ends_with("7 cases, 2 failed\n"), "{said:?}");
    let object: Value = serde_json::from_str(&test(&["--json"]).out).unwrap();
    assert_eq!((&object["cases"], &object["failed"]), (&7.into(), &2.into()));
    assert_eq!(object["results"][1]["ok"], false);

    // A file that cannot be understood is told with a caret, and is no result.
    let line = CASES.lines().position(|line| line == "person = \"vera\"").unwrap() + 1;
    let vra = format!(":{line}:10: person \"vra\" does not exist");
    for (from, to, told) in [
        ("person = \"vera\"", "person = \"vra\"", &*vra),
        (
            "expect = \"granted\"\nby = \"deploy-prod\"",
            "expect = \"granted\"\nby = \"deploy-prd\"",
            "did you mean deploy-prod?",
        ),
        ("root@tag:prod", "root@tag:prd", "tag \"prd\" does not exist"),
        (
            "state = \"open\"\nassignee = \"ana\"\nhosts",
            "state = \"opne\"\nassignee = \"ana\"\nhosts",
            "unknown variant `opne`",
        ),
        ("act = \"lock person ana\"", "act = \"dance\"", "nothing to do at the desk"),
        ("reason_has = ", "reason_hass = ", "unknown field `reason_hass`"),
        ("name = \"somebody else's\"", "name = \"it names web01\"", "two cases are called"),
    ] {
        assert!(CASES.contains(from), "{from}");
        std::fs::write(&file, CASES.replacen(from, to, 1)).unwrap();
        let said = test(&[]);
        assert!(
            said.code == 2 && said.err.contains(told) && said.err.contains('^'),
            "{from}: {said:?}"
        );
        assert_eq!(said.out, "");
    }

    // Another policy, before it is deployed.
    std::fs::write(&file, CASES).unwrap();
    let policy = ca.dir().join("new.cedar");
    std::fs::copy(ca.file("policy.cedar"), &policy).unwrap();
    change(&policy, "@ttl(\"10m\") @period(\"1h\")", "@ttl(\"20m\") @period(\"1h\")");
    let said = test(&["--policy", policy.to_str().unwrap()]);
    assert!(said.code == 1 && said.out.contains("expected ttl 10m, came 20m\n"), "{said:?}");
}

fn git(dir: &Path, words: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=ana", "-c", "user.email=ana@example.com"]);
    // The operator's own configuration has no say in this.
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    run(git.arg("-C").arg(dir).args(words)).ok()
}

/// bob opens a pull request that is called "Tidy up": it tags the database for development.
#[test]
fn a_pull_request_is_compared_by_two_work_trees() {
    let dir = Ca::make();
    let (repository, main) = (dir.path().join("policy"), dir.path().join("main"));
    std::fs::create_dir(&repository).unwrap();
    for file in ["policy.cedar", "hours.toml", "people.toml", "hosts.toml"] {
        std::fs::copy(dir.path().join("ca").join(file), repository.join(file)).unwrap();
    }
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "The team"]);
    git(&repository, &["switch", "-q", "-c", "tidy"]);
    let diff = |more: &[&str]| {
        let sides = [main.to_str().unwrap(), repository.to_str().unwrap()];
        run(hallpass().args(["policy", "diff"]).args(sides).args(more))
    };
    git(&repository, &["worktree", "add", "-q", main.to_str().unwrap(), "main"]);
    let said = diff(&[]);
    assert!(said.code == 0 && said.out == "nothing that decides is different\n", "{said:?}");

    change(
        &repository.join("hosts.toml"),
        "[host.db01]\ntags = [\"prod\"]",
        "[host.db01]\ntags = [\"prod\", \"dev\"]",
    );
    git(&repository, &["commit", "-qam", "Tidy up"]);
    let said = diff(&[]);
    assert_eq!(said.code, 1);
    for line in [
        "+ group breakglass (2), ana, bob  root@db01  by edit-dev  (10m within 8h)  [widens]\n",
        "+ group breakglass (2), ana, bob  logs@db01  by edit-dev  (10m within 8h)  [widens]\n",
        "2 changes, 2 of which widen\n",
    ] {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    assert_eq!(diff(&["--fail-on", "widen"]).code, 1);
    assert!(diff(&["--markdown"]).out.contains("#### Gains\n"));
    let object: Value = serde_json::from_str(&diff(&["--json"]).out).unwrap();
    assert_eq!((&object["widening"], object["changes"].as_array().unwrap().len()), (&2.into(), 2));
    assert_eq!(object["changes"][1]["people"], json!(["ana", "bob", "cleo", "dan"]));

    // What narrows differs, and does not widen.
    git(&repository, &["revert", "--no-edit", "HEAD"]);
    change(
        &repository.join("policy.cedar"),
        "@ttl(\"15m\") @period(\"8h\")",
        "@ttl(\"5m\") @period(\"8h\")",
    );
    let said = diff(&[]);
    assert!(
        said.code == 1 && said.out.starts_with("~ offer logs-prod: ttl 15m -> 5m\n1 change"),
        "{said:?}"
    );
    assert_eq!(diff(&["--fail-on", "widen"]).code, 0);

    // A mistake is told with a caret, and is neither yes nor no.
    change(
        &repository.join("policy.cedar"),
        "@ttl(\"5m\") @period(\"8h\")",
        "@ttl(\"five\") @period(\"8h\")",
    );
    let said = diff(&["--fail-on", "widen"]);
    assert!(
        said.code == 2 && said.err.contains("policy.cedar:") && said.err.contains('^'),
        "{said:?}"
    );
    let said = run(hallpass().args(["policy", "diff", "nowhere"]).arg(&main));
    assert!(said.code == 2 && said.err.contains("there is no file \"nowhere\""), "{said:?}");
}

/// The rows of a CSV, as Python's reader has them.
fn csv(text: &str) -> Vec<Value> {
    let script = "import csv, io, json, sys\n\
                  rows = list(csv.DictReader(io.StringIO(sys.stdin.buffer.read().decode(), newline=''), strict=True))\n\
                  assert all(None not in row and None not in row.values() for row in rows)\n\
                  print(json.dumps(rows))";
    let said = run_with_input(Command::new("/usr/bin/python3").args(["-c", script]), text).ok();
    serde_json::from_str(&said).unwrap()
}

/// The auditor asks in January who could get where in November: by then bob has left, the policy is another,
/// and what was locked is not any more.
#[test]
fn access_is_told_for_any_moment_of_the_ledger() {
    let ca = Ca::start();
    until("what decides from the start", || ca.entries().len() == 3);
    let access = |words: &[&str]| ca.operator(&[&["access"], words].concat());
    // Now, and for one person: what the catalog says to bob himself.
    let now = csv(&access(&["--format", "csv", "--person", "bob"]).ok());
    let object: Value = serde_json::from_str(&ca.ssh("bob", &["catalog", "--json"]).out).unwrap();
    let mut wanted: Vec<(String, String)> = Vec::new();
    for offer in object["offers"].as_array().unwrap() {
        for account in offer["accounts"].as_array().unwrap() {
            wanted.push((
                offer["offer"].as_str().unwrap().to_owned(),
                account.as_str().unwrap().to_owned(),
            ));
        }
    }
    let mut found: Vec<(String, String)> = now
        .iter()
        .filter(|row| row["host"] != "")
        .map(|row| {
            (row["offer"].as_str().unwrap().to_owned(), row["account"].as_str().unwrap().to_owned())
        })
        .collect();
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
    assert!(now[0]["policy"].as_str().unwrap().starts_with("entry 0 sha256 "), "{:?}", now[0]);

    // What is whoever's who is on call, and only that.
    let all = csv(&access(&["--format", "csv"]).ok());
    let of: Vec<_> = all.iter().filter(|row| row["kind"] == "shift").collect();
    assert!(!of.is_empty());
    for row in &of {
        assert_eq!((&row["person"], &row["offer"]), (&json!("on-call"), &json!("root-on-call")));
        assert_eq!(
            (&row["login"], &row["tags"].as_str().unwrap().contains("prod")),
            (&json!("root"), &true)
        );
    }
    let table = access(&["--tag", "prod"]).ok();
    let (_, shift) = table.split_once("\non-call (whoever's shift it is)\n").unwrap();
    assert!(
        shift.starts_with("  root@tag:prod, by root-on-call: 5m certificates within 4h, "),
        "{shift}"
    );
    assert!(
        shift.contains("    needs a ticket that is open and names the host or none\n"),
        "{shift}"
    );
    let json: Value =
        serde_json::from_str(&access(&["--format", "json", "--host", "db01"]).ok()).unwrap();
    let last = json.as_array().unwrap().last().unwrap();
    assert_eq!((&last["kind"], &last["account"]), (&json!("shift"), &json!("root@db01")));
    assert!(!access(&["--host", "dev01"]).ok().contains("on-call"));

    // A lock, and then other files.
    assert_eq!(ca.ssh("ana", &["lock", "host:web01", "--reason", "=cmd|' /C calc'!A0"]).code, 0);
    let locked = ca.entries().len() - 1;
    change(&ca.file("people.toml"), "[person.bob]", "[person.robert]");
    change(
        &ca.file("policy.cedar"),
        "@ttl(\"15m\") @period(\"8h\")",
        "@ttl(\"5m\") @period(\"8h\")",
    );
    // Several files decide from here on.
    std::fs::create_dir(ca.file("people.d")).unwrap();
    std::fs::write(ca.file("people.d/10-new.toml"), "[person.zoe]\ngroups = [\"dev\"]\n").unwrap();
    assert_eq!(ca.operator(&["reload"]).code, 0);
    assert_eq!(ca.ssh("ana", &["unlock", "host:web01", "--reason", "over"]).code, 0);
    let as_of = |moment: &str, words: &[&str]| {
        access(&[&["--format", "csv", "--as-of", moment], words].concat())
    };
    let before = csv(&as_of(&format!("entry:{locked}"), &[]).ok());
    let logs =
        before.iter().find(|row| row["account"] == "logs@web01" && row["person"] == "bob").unwrap();
    assert_eq!(logs["ttl"], "15m");
    let lock = logs["locked"].as_str().unwrap();
    assert!(lock.contains("host web01 is locked since") && lock.contains("=cmd"), "{lock}");
    assert!(!before.iter().any(|row| row["person"] == "robert" || row["person"] == "zoe"));
    for row in &before {
        for cell in row.as_object().unwrap().values() {
            let cell = cell.as_str().unwrap();
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
        }
    }
    let after = csv(&access(&["--format", "csv"]).ok());
    let of = |name: &str| after.iter().filter(|row| row["person"] == name).count();
    assert!(of("bob") == 0 && of("robert") > 0 && of("zoe") > 0);
    assert!(after.iter().all(|row| row["locked"] == ""), "the lock was lifted");
    // By the policy's hash, which a certificate's facts name, and by time; both sides of a comparison.
    let first = now[0]["policy"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(csv(&as_of(&first, &["--person", "bob"]).ok()).len(), now.len());
    let later = access(&["--as-of", "2100-01-01T00:00:00Z", "--person", "zoe"]);
    assert!(later.code == 0 && later.out.starts_with("as of 2100-01-01T00:00:00Z"), "{later:?}");
    let said = ca.operator(&["policy", "diff", &first, "2100-01-01"]);
    assert!(said.code == 1 && said.out.contains("~ offer logs-prod: ttl 15m -> 5m\n"), "{said:?}");
    assert!(said.out.contains("zoe") && said.out.contains("- bob  "), "{said:?}");

    // JSON is one array of the same.
    let all: Value = serde_json::from_str(&access(&["--format", "json"]).ok()).unwrap();
    assert_eq!(all.as_array().unwrap().len(), after.len());

    // Before anything decided, a name of another time, and a text that is not there any more.
    let said = as_of("1999-01-01", &[]);
    assert!(said.code == 75 && said.err.contains("no entry says which policy decided"), "{said:?}");
    let said = as_of("2100-01-01", &["--person", "bob"]);
    assert!(
        said.code == 75 && said.err.contains("there is no person \"bob\" at that moment"),
        "{said:?}"
    );
    let text = ca.file("state/texts").join(&first);
    std::fs::write(&text, "permit (principal, action, resource);").unwrap();
    let said = as_of(&first, &[]);
    assert!(
        said.code == 75 && said.err.contains(&first) && said.err.contains("entry 0"),
        "{said:?}"
    );
    std::fs::remove_file(&text).unwrap();
    assert!(as_of("entry:1", &[]).err.contains(&first));
}
