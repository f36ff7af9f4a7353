//! The example's cases, and the proof that they are worth something: a policy that was spoiled in any one
//! place fails them.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use cedar_policy::{Policy, PolicyId, PolicySet};
use hallpass::certificate::time::UnixTime;
use hallpass::config::Deciding;
use hallpass::config::ca::Ca as Configured;
use hallpass::config::snapshot::{Snapshot, Text};
use hallpass::review::cases::{Subject, run as run_cases};
use serde_json::{Value, json};

use crate::ca::hallpass;
use crate::process::{repository, run};

#[test]
fn every_case_of_the_example_holds_and_every_statement_has_one() {
    let mut test = hallpass();
    test.args(["policy", "test", "--strict", "--config"]).arg(repository("ca-config/ca.toml"));
    let said = run(test.arg(repository("ca-config/cases.toml")));
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert_eq!(said.out, "165 cases, 0 failed\n");
}

/// The example, and what its cases are put to: its own world, a wider one, and a wider one whose policy has
/// careless offers too.
struct Bench {
    ca: Configured,
    read: Snapshot,
    careless: String,
    wider: [Text; 2],
    cases: [(PathBuf, String); 3],
}

impl Bench {
    fn new() -> Self {
        let ca = Configured::load(&repository("ca-config/ca.toml")).unwrap();
        let read = Snapshot::take(&ca).unwrap();
        let file = |name: &str| {
            let path = repository(name);
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text)
        };
        let wider = ["people.toml", "hosts.toml"].map(|name| {
            let (path, text) = file(&format!("tests/policy/{name}"));
            Text { path, name: name.to_owned(), text }
        });
        let (_, careless) = file("tests/policy/careless.cedar");
        let cases = ["ca-config/cases.toml", "tests/policy/wide.toml", "tests/policy/guards.toml"];
        Self { ca, read, careless, wider, cases: cases.map(file) }
    }

    /// The first cases that this policy fails, of those that mention a statement before the others; the
    /// error where it is not even loaded.
    fn failed(&self, policy: &str, id: &str) -> Result<Vec<String>, String> {
        let [own, wide, guards] = &self.cases;
        let wider = |read: &mut Snapshot| {
            let [people, hosts] = self.wider.clone();
            read.people.push(people);
            read.hosts.push(hosts);
        };
        for (file, change) in [
            (own, &(|_: &mut Snapshot| {}) as &dyn Fn(&mut Snapshot)),
            (wide, &wider),
            (guards, &|read| {
                wider(read);
                read.policy.text += &self.careless;
            }),
        ] {
            let mut read = self.read.clone();
            read.policy.text = policy.to_owned();
            change(&mut read);
            let deciding = Deciding::parse(&self.ca, &read).map_err(|why| why.to_string())?;
            let failed = self.put(&deciding, file, id);
            if !failed.is_empty() {
                return Ok(failed);
            }
        }
        Ok(Vec::new())
    }

    /// Puts the cases of a file, some at a time, until one fails.
    fn put(&self, deciding: &Deciding, (path, text): &(PathBuf, String), id: &str) -> Vec<String> {
        let mut cases: Vec<&str> = text.split("[[case]]\n").collect();
        let head = cases.remove(0);
        cases.sort_by_key(|case| !case.contains(id));
        let subject = Subject { deciding, ca: &self.ca, now: UnixTime::from_secs(0) };
        for some in cases.chunks(8) {
            let text = format!("{head}[[case]]\n{}", some.join("[[case]]\n"));
            let failed: Vec<String> = match run_cases(&subject, path, &text) {
                Ok(ran) => {
                    let failed = ran.into_iter().filter(|one| !one.wrong.is_empty());
                    failed.map(|one| format!("{}: {:?}", one.name, one.wrong)).collect()
                }
                // It names a statement that is not there any more.
                Err(why) => vec![why.to_string()],
            };
            if !failed.is_empty() {
                return failed;
            }
        }
        Vec::new()
    }
}

/// A colleague edits the policy in a hurry, and reviews it by its cases alone. Whatever one thing was lost or
/// widened (a condition or a part of one, the first line's group, tag or account, a number by one, a term,
/// the whole statement), a case fails, or the policy is not even loaded.
///
/// Every third way, for the time it takes; all of them with `HALLPASS_MUTATIONS=all`.
#[test]
fn every_single_condition_that_is_dropped_fails_a_case() {
    let bench = Bench::new();
    assert_eq!(bench.failed(&bench.read.policy.text, ""), Ok(Vec::new()), "the example itself");
    let all = spoiled(&bench.read.policy.text);
    assert!(all.len() > 150, "only {} ways to spoil it", all.len());
    let every = if std::env::var_os("HALLPASS_MUTATIONS").is_some() { 1 } else { 3 };
    let all: Vec<(String, String)> = all.into_iter().step_by(every).collect();
    let survived = |part: &[(String, String)]| -> (usize, Vec<String>) {
        let (mut unloaded, mut left) = (0, Vec::new());
        for (what, text) in part {
            match bench.failed(text, what.split(':').next().unwrap()) {
                Ok(failed) if failed.is_empty() => left.push(what.clone()),
                Ok(_) => {}
                // What guards an attribute cannot be dropped: the schema's validator sees it.
                Err(why) => {
                    assert!(why.contains("policy.cedar:"), "{what}: {why}");
                    unloaded += 1;
                }
            }
        }
        (unloaded, left)
    };
    let (first, second) = all.split_at(all.len() / 2);
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| survived(first));
        (survived(second), first.join().unwrap())
    });
    let left = [first.1, second.1].concat();
    assert_eq!(left, [""; 0], "of {} ways", all.len());
    assert!(first.0 + second.0 < all.len() / 4, "most must be caught by a case");
}

/// Every way to spoil one thing: what was done, and the whole policy after it.
fn spoiled(text: &str) -> Vec<(String, String)> {
    let set = PolicySet::from_str(text).unwrap();
    let mut statements: Vec<&Policy> = set.policies().collect();
    statements.sort_by_key(|one| one.annotation("id").unwrap().to_owned());
    let whole = |at: usize, instead: Option<String>| -> String {
        let others = statements.iter().enumerate().filter(|(n, _)| *n != at);
        let others = others.map(|(_, one)| one.to_cedar().unwrap());
        others.chain(instead).collect::<Vec<_>>().join("\n")
    };
    let mut all = Vec::new();
    for (at, one) in statements.iter().enumerate() {
        let id = one.annotation("id").unwrap();
        all.push((format!("{id}: left out"), whole(at, None)));
        for (what, json) in variants(&one.to_json().unwrap()) {
            let changed = Policy::from_json(Some(PolicyId::new(id)), json).unwrap();
            all.push((format!("{id}: {what}"), whole(at, changed.to_cedar())));
        }
    }
    all
}

/// A statement's, as Cedar's JSON has it.
fn variants(one: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut put = |what: String, change: &dyn Fn(&mut Value)| {
        let mut changed = one.clone();
        change(&mut changed);
        all.push((what, changed));
    };
    for scope in ["principal", "resource"] {
        let said = &one[scope];
        // There is but one desk.
        if said["op"] != "All" && said["entity"]["type"] != "Desk" {
            put(format!("any {scope}"), &|json| json[scope] = json!({ "op": "All" }));
        }
    }
    let conditions = one["conditions"].as_array().unwrap();
    for (n, condition) in conditions.iter().enumerate() {
        put(format!("without {condition}"), &|json| {
            json["conditions"].as_array_mut().unwrap().remove(n);
        });
        for (what, body) in parts(&condition["body"]) {
            put(what, &|json| json["conditions"][n]["body"] = body.clone());
        }
    }
    for (term, other) in [
        ("ttl", Some("3m")),
        ("period", Some("9h")),
        ("extensions", Some("permit-agent-forwarding")),
        ("extensions", None),
        ("force_command", None),
        ("source_address", None),
    ] {
        let Some(said) = one["annotations"].get(term) else { continue };
        // The one that every offer has unless it is said.
        if other.is_none() && term == "extensions" && said == "permit-pty" {
            continue;
        }
        put(format!("another @{term}"), &|json| match other {
            Some(other) => json["annotations"][term] = json!(other),
            None => drop(json["annotations"].as_object_mut().unwrap().remove(term)),
        });
    }
    all
}

/// An expression with one part of it lost, or one number one more.
fn parts(body: &Value) -> Vec<(String, Value)> {
    let Some(map) = body.as_object() else { return Vec::new() };
    let (op, inner) = map.iter().next().unwrap();
    let mut all = Vec::new();
    match op.as_str() {
        "&&" | "||" => {
            all.push((format!("only {}", inner["left"]), inner["left"].clone()));
            all.push((format!("only {}", inner["right"]), inner["right"].clone()));
        }
        "!" => all.push((format!("not not {}", inner["arg"]), inner["arg"].clone())),
        "Value" => {
            if let Some(number) = inner.as_i64() {
                all.push((format!("{} for {number}", number + 1), json!({ "Value": number + 1 })));
            }
        }
        "Set" => {
            let items = inner.as_array().unwrap();
            for n in 0..items.len() {
                let mut items = items.clone();
                let item = items.remove(n);
                all.push((format!("without {item}"), json!({ "Set": items })));
            }
        }
        _ => {}
    }
    for side in ["left", "right", "arg"] {
        let Some(part) = inner.get(side) else { continue };
        for (what, part) in parts(part) {
            let mut changed = inner.clone();
            changed[side] = part;
            all.push((what, json!({ op: changed })));
        }
    }
    all
}

/// `hallpass init --example` writes what stands in the repository, all of it.
#[test]
fn what_init_writes_is_what_is_tested_here() {
    let dir = crate::ca::Ca::make();
    let made = dir.path().join("ca");
    let mut names = Vec::new();
    files(&repository("ca-config"), Path::new(""), &mut names);
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        let text = std::fs::read_to_string(repository("ca-config").join(&name)).unwrap();
        let written = std::fs::read_to_string(made.join(&name));
        let written = written.unwrap_or_else(|why| panic!("{}: {why}", name.display()));
        // But for where it listens and whose keys are whose.
        if !["ca.toml", "people.toml"].map(Path::new).contains(&name.as_path()) {
            assert_eq!(written, text, "{}", name.display());
        }
    }
}

fn files(dir: &Path, within: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = within.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path(), &name, all),
            false => all.push(name),
        }
    }
}
