//! People, hosts and policy are read anew while the daemon serves: whole and by name, or not at all.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::ca::{Ca, bend};
use crate::process::{run, signal, until};

/// Replaces text in a file of the CA's that must hold it.
fn change(ca: &Ca, file: &str, from: &str, to: &str) {
    let path = ca.file(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} does not hold {from:?}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// The leaves that say which texts decide: kind and facts.
fn texts(ca: &Ca) -> Vec<(String, Value)> {
    let entries = ca.entries().into_iter();
    let texts = entries.filter(|entry| ["policy", "people", "hosts"].contains(&&*entry.kind));
    texts.map(|entry| (entry.kind, entry.facts)).collect()
}

/// ana's team is moved to other hosts at noon, and nobody is to be thrown out of a session for it.
#[test]
fn what_a_reload_brings_decides_when_it_returns_and_is_in_the_ledger_with_its_author() {
    let ca = Ca::start();
    // An export ends with the newest cosigned checkpoint, which a start does not wait for.
    until("what decides from the start", || texts(&ca).len() == 3);
    assert_eq!(ca.ssh("ana", &["deploy@web09", "OPS-7"]).code, 1);

    let said = ca.operator(&["reload"]);
    assert!(said.code == 0 && said.err == "hallpass: nothing has changed\n", "{said:?}");
    assert_eq!(texts(&ca).len(), 3, "a leaf for nothing");

    change(&ca, "hosts.toml", "[host.web02]", "[host.web09]");
    let said = ca.operator(&["reload", "--change", "CHG-41"]);
    let told = "hallpass: changed, and deciding from now on: hosts\n";
    assert!(said.code == 0 && said.err == told, "{said:?}");
    let said = ca.ssh("ana", &["deploy@web09"]);
    assert!(said.err.contains("ticket") && !said.err.contains("no host"), "{said:?}");
    assert!(ca.ssh("ana", &["deploy@web02", "OPS-7"]).err.contains("no host"));
    until("the reload's leaf under a checkpoint", || texts(&ca).len() == 4);
    let leaves = texts(&ca);
    let (kind, facts) = &leaves[3];
    assert_eq!((leaves.len(), kind.as_str()), (4, "hosts"));
    let uid = u64::from(std::fs::metadata(ca.file("ca.toml")).map(|meta| uid(&meta)).unwrap());
    assert_eq!(facts["author"]["uid"], uid);
    assert_eq!(facts["change"], "CHG-41");
    assert!(leaves[0].1["author"].is_null(), "a start has no author");

    // A signal does the same; its answer is in the journal.
    change(&ca, "hosts.toml", "[host.web09]", "[host.web10]");
    signal(ca.daemon.pid(), "HUP");
    until("the signal's reload", || ca.ssh("ana", &["deploy@web09"]).err.contains("no host"));
    let line = |what: &str| ca.daemon.log().into_iter().find(|line| line.contains(what)).unwrap();
    assert!(line(r#""change":"CHG-41""#).contains(r#""outcome":"reloaded""#));
    assert!(line("SIGHUP").contains("deciding from now on: hosts"));
    let verified = ca.operator(&["ledger", "verify"]);
    assert!(verified.out.starts_with("valid"), "{verified:?}");
}

fn uid(meta: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(meta)
}

/// Somebody who cannot reach the socket, or who writes to it what is no order, changes nothing.
#[test]
fn the_socket_is_its_owners_and_takes_orders_alone() {
    let ca = Ca::start();
    let socket = ca.file("state/control.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for line in ["{\"do\":\"shutdown\"}\n", "{\"do\":\"reload\",\"as\":\"root\"}\n"] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let answer = std::io::read_to_string(stream).unwrap();
        assert!(answer.contains(r#""outcome":"refused""#), "{answer}");
    }
    assert_eq!(ca.operator(&["reload"]).code, 0);
    // mallory has a login on the CA's machine.
    if root() {
        for path in [ca.dir().to_owned(), ca.file(""), ca.file("state")] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
        let mut python = std::process::Command::new("setpriv");
        python.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        python.args(["/usr/bin/python3", "-c", STRANGER]).arg(&socket);
        assert_eq!(run(&mut python).out, "b''\n");
        let told = |line: &String| line.contains("uid 65534 was sent away");
        until("the journal's line", || ca.daemon.log().iter().any(told));
    }
}

const STRANGER: &str = "
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
try:
    s.sendall(b'{\"do\":\"reload\"}\\n')
    print(s.recv(100))
except (BrokenPipeError, ConnectionResetError):
    print(b'')
";

fn root() -> bool {
    run(std::process::Command::new("id").arg("-u")).out.trim() == "0"
}

#[test]
fn without_a_daemon_it_says_so() {
    let dir = Ca::make();
    let config = dir.path().join("ca/ca.toml");
    let said = run(crate::ca::hallpass().args(["reload", "--config"]).arg(&config));
    assert!(said.code == 75 && said.err.contains("no hallpass serves here"), "{said:?}");
    assert!(said.err.contains("\nhint: hallpass serve --config "), "{said:?}");
}

/// At three in the morning a pipeline deploys a policy with a mistake in it, then hosts without the
/// group that the policy names: what decided the evening before goes on deciding, and the pipeline is told
/// where the mistake is.
#[test]
fn a_mistake_leaves_everything_as_it_was_and_says_where_it_is() {
    let ca = Ca::start();
    // An export ends with the newest cosigned checkpoint, which a start does not wait for.
    until("what decides from the start", || texts(&ca).len() == 3);
    let before = texts(&ca);
    let people = std::fs::read_to_string(ca.file("people.toml")).unwrap();
    let policy = std::fs::read_to_string(ca.file("policy.cedar")).unwrap();
    let refused = |what: &str| {
        let said = ca.operator(&["reload", "--change", "CHG-42"]);
        assert!(said.code == 1 && said.err.contains(what), "{what}: {said:?}");
        assert!(said.err.contains("what decided before goes on deciding"), "{said:?}");
        assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0, "after {what}");
    };
    change(&ca, "policy.cedar", "@ttl(\"15m\")", "@ttl(\"fifteen\")");
    // And something that would be right.
    change(&ca, "hosts.toml", "[host.web02]", "[host.web09]");
    refused("policy.cedar:");
    // This one passes every check, and fails when it is evaluated.
    let overflows = "when { resource.login == \"logs\" && context.ttl + 9223372036854775807 > 0 }";
    let failing = policy.replacen("when { resource.login == \"logs\" }", overflows, 1);
    std::fs::write(ca.file("policy.cedar"), failing).unwrap();
    refused("tried out, the policy fails for");
    std::fs::write(ca.file("policy.cedar"), policy).unwrap();
    change(&ca, "people.toml", "groups = [\"sre\", \"dev\"", "groups = [\"sre\" \"dev\"");
    refused("line 11, column 17");
    std::fs::write(ca.file("people.toml"), &people).unwrap();
    std::fs::remove_file(ca.file("hosts.toml")).unwrap();
    refused("hosts.toml: No such file");
    assert_eq!(texts(&ca), before, "a leaf of what never decided");
    let logged = |line: &String| line.contains("\"outcome\":\"not-reloaded\"");
    assert_eq!(ca.daemon.log().iter().filter(|line| logged(line)).count(), 4);
}

#[test]
fn a_change_has_a_name_where_that_is_asked_for_and_ca_toml_is_not_reloaded() {
    let with = |dir: &Path| {
        bend(dir, "hosts = \"hosts.toml\"", "hosts = \"hosts.toml\"\nchange = \"required\"");
    };
    let ca = Ca::start_with(with);
    let said = ca.operator(&["reload"]);
    assert!(said.code == 1 && said.err.contains("reload --change ID"), "{said:?}");
    let said = ca.operator(&["reload", "--change", "two words"]);
    assert!(said.code == 2 && said.err.contains("one word of printable ASCII"), "{said:?}");
    bend(ca.dir(), "per_person = 64", "per_person = 63");
    let said = ca.operator(&["reload", "--change", "https://tracker.example/CHG-43"]);
    assert!(
        said.code == 0 && said.err.contains("ca.toml has changed: that counts from the next start"),
        "{said:?}"
    );
}

/// bob is disabled in the evening; the pipeline that deploys the files at night knows nothing of it, and
/// in one of its commits gives him another key. The files say what should be, the lock what happened.
#[test]
fn a_disabled_person_stays_disabled_after_the_next_deploy_of_the_files_from_git() {
    let git = |dir: &Path, words: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.args(["-c", "user.name=ana", "-c", "user.email=ana@example.com"]);
        // The operator's own configuration has no say in this.
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        run(git.arg("-C").arg(dir).args(words)).ok()
    };
    let files = ["policy.cedar", "people.toml", "hosts.toml"];
    let ca = Ca::start_with(|dir| {
        let (author, at) = (dir.join("author"), dir.join("ca"));
        std::fs::create_dir(&author).unwrap();
        git(&author, &["init", "-q", "-b", "main"]);
        for file in files {
            std::fs::rename(at.join(file), author.join(file)).unwrap();
            bend(dir, &format!("\"{file}\""), &format!("\"deployed/{file}\""));
        }
        bend(
            dir,
            "\"deployed/hosts.toml\"",
            "\"deployed/hosts.toml\"\nmanaged = \"git\"\nchange = \"required\"",
        );
        git(&author, &["add", "-A"]);
        git(&author, &["commit", "-q", "-m", "The team"]);
        let (from, to) = (author.display().to_string(), at.join("deployed").display().to_string());
        git(dir, &["clone", "-q", &from, &to]);
    });
    let deploy = || {
        git(&ca.file("deployed"), &["pull", "-q"]);
        let commit = git(&ca.file("deployed"), &["rev-parse", "HEAD"]);
        let said = ca.operator(&["reload", "--change", commit.trim()]);
        assert_eq!(said.code, 0, "{said:?}");
        commit.trim().to_owned()
    };
    assert_eq!(ca.ssh("bob", &["logs@web01"]).code, 0);
    let said = ca.operator(&["person", "disable", "bob", "--reason", "left"]);
    assert_eq!(said.code, 0, "{said:?}");
    let locked = |person: &str| ca.ssh(person, &["logs@web01"]).err.contains("bob is locked since");
    assert!(locked("bob"));

    let author = ca.dir().join("author");
    let people = std::fs::read_to_string(author.join("people.toml")).unwrap();
    let public = |name: &str| {
        std::fs::read_to_string(ca.dir().join(format!("{name}.pub"))).unwrap().trim().to_owned()
    };
    let people = people.replace(&public("bob"), &public("mallory"));
    std::fs::write(author.join("people.toml"), people).unwrap();
    git(&author, &["commit", "-qam", "A new key for bob"]);
    let commit = deploy();
    until("the deployment's leaf", || texts(&ca).last().unwrap().1["change"] == commit);
    assert!(ca.ssh("bob", &["status"]).code != 0, "the old key is not in the files any more");
    assert!(locked("mallory"), "what is bob's now");
    // Even where the files say that there is no bob, and then again that there is.
    git(&author, &["revert", "--no-edit", "HEAD"]);
    deploy();
    assert!(locked("bob"));
    let said = ca.operator(&["unlock", "bob", "--reason", "came back"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(ca.ssh("bob", &["logs@web01"]).code, 0);
}
