//! Several files of people and hosts, in TOML and JSON, and the list that says what they must be.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::ca::Ca;
use super::snapshot::{Snapshot, hex, kept, unhex};
use super::{ConfigError, Deciding};
use crate::ledger::tree::Hash;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEZXqNf1eopaoh+SMki/+0BYhYGn3+Ck0Rx+Y7UH4wie";

/// The example's `ca.toml`, without hours.
fn config() -> String {
    include_str!("../../ca-config/ca.toml").replace("\nhours = ", "\n# hours = ")
}

/// A folder with the example's `ca.toml` and the smallest files that decide.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "ca.toml", &config());
    put(dir.path(), "policy.cedar", "");
    put(dir.path(), "people.toml", "groups = [\"sre\"]\n");
    put(dir.path(), "hosts.toml", "[host.hop01]\naccounts = [\"jump\"]\n");
    dir
}

fn put(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn load(dir: &Path) -> Result<Deciding, ConfigError> {
    Deciding::load(&Ca::load(&dir.join("ca.toml")).unwrap())
}

/// What is wrong, in these words.
fn wrong(dir: &Path, words: &[&str]) {
    let said = load(dir).unwrap_err().to_string();
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
}

#[test]
fn people_and_hosts_are_all_files_in_the_order_of_their_names() {
    let dir = folder();
    let at = dir.path();
    put(
        at,
        "people.d/20-bob.json",
        r#"{"person": {"bob": {"groups": ["dev"], "aliases": {"t": "b"}}}}"#,
    );
    put(
        at,
        "people.d/10-ana.toml",
        &format!("[person.ana]\ngroups = [\"sre\"]\nkeys = [\"{KEY}\"]\n"),
    );
    put(
        at,
        "hosts.d/web.json",
        r#"{"host": {"web01": {"accounts": ["deploy"], "via": "jump@hop01"}}}"#,
    );
    for passed_over in ["people.d/.10-ana.toml.swp", "people.d/x.toml~", "people.d/x.toml.new"] {
        put(at, passed_over, "not for reading");
    }
    put(at, "people.d/README.md", "# Who is who");
    put(at, "hosts.d/db.yaml", "host: db01");
    let read = load(at).unwrap();
    let names = |read: &Deciding| -> Vec<String> {
        let people = read.people.iter().map(|person| person.name.to_string());
        people.chain(read.hosts.iter().map(|host| host.name.to_string())).collect()
    };
    assert_eq!(names(&read), ["ana", "bob", "hop01", "web01"]);
    let via = read.hosts.find("web01").unwrap().via.clone().unwrap();
    assert_eq!((via.login.unwrap().as_str(), via.host.as_str()), ("jump", "hop01"));
    assert_eq!(read.unread, [at.join("hosts.d/db.yaml"), at.join("people.d/README.md")]);

    // The text that is hashed has every file in it; one file alone is its own.
    let ca = Ca::load(&at.join("ca.toml")).unwrap();
    let [policy, people, hosts] = Snapshot::take(&ca).unwrap().framed();
    assert_eq!(policy, "");
    assert!(people.starts_with(
        "hallpass.files v1\npeople.toml 17\ngroups = [\"sre\"]\n\npeople.d/10-ana.toml "
    ));
    assert!(people.find("10-ana").unwrap() < people.find("20-bob").unwrap(), "{people}");
    assert_eq!(read.texts.people, Hash::of(people.as_bytes()));
    assert_eq!(read.texts.hosts, Hash::of(hosts.as_bytes()));
    std::fs::remove_dir_all(at.join("hosts.d")).unwrap();
    let alone = std::fs::read(at.join("hosts.toml")).unwrap();
    assert_eq!(load(at).unwrap().texts.hosts, Hash::of(&alone));
}

#[test]
fn a_mistake_names_the_file_and_a_name_stands_in_one() {
    let dir = folder();
    let at = dir.path();
    put(at, "hosts.d/a.toml", "[host.web01]\naccounts = [\"deploy\"]\n");
    put(at, "hosts.d/b.json", "{\"host\": {\n  \"web01\": {}\n}}");
    wrong(at, &["hosts.d/b.json", "host web01: is in", "hosts.d/a.toml too"]);
    put(at, "hosts.d/b.json", "{\"host\": {\n  \"web02\": {\"acounts\": []}\n}}");
    wrong(at, &["hosts.d/b.json", "unknown field `acounts`", "line 2 column"]);
    put(at, "hosts.d/b.json", "{\"host\": {\"web02\": {\"tags\": [\"a\"]},\n  \"web02\": {}}}");
    wrong(at, &["hosts.d/b.json", "web02 stands here twice", "line 2"]);
    put(at, "hosts.d/b.json", "{\"host\": {\"web02\": {\"aliases\": [\"web01\"]}}}");
    wrong(at, &["hosts.d/b.json", "\"web01\" names web01 too"]);
    put(at, "hosts.d/b.json", "{}");
    put(at, "people.d/a.toml", &format!("[person.ana]\nkeys = [\"{KEY}\"]\n"));
    put(at, "people.d/b.toml", &format!("[person.eve]\nkeys = [\"{KEY}\"]\n"));
    wrong(at, &["people.d/b.toml", "person eve", "is ana's"]);
    put(at, "people.d/b.toml", "[person.ana]\n");
    wrong(at, &["people.d/b.toml", "person ana: is in", "people.d/a.toml too"]);
}

/// Whoever writes `via` in two files can send a client round in a circle, or to nowhere.
#[test]
fn a_way_over_jump_hosts_is_known_and_ends() {
    let dir = folder();
    let at = dir.path();
    let hosts = |text: &str| put(at, "hosts.d/x.toml", text);
    hosts("[host.a]\nvia = \"hop01\"\nhost_certificate = true\n[host.b]\nvia = \"a\"\n");
    let read = load(at).unwrap();
    assert!(read.hosts.find("a").unwrap().host_certificate);
    assert!(!read.hosts.find("b").unwrap().host_certificate);
    hosts("[host.a]\nvia = \"hop02\"\n");
    wrong(at, &["hosts.d/x.toml", "host a: via: there is no host hop02"]);
    hosts("[host.a]\nvia = \"root@hop01\"\n");
    wrong(at, &["host a: via: hop01 has no account root"]);
    hosts("[host.a]\nvia = \"a\"\n");
    wrong(at, &["host a: via: a via a never arrives"]);
    hosts("[host.a]\nvia = \"b\"\n[host.b]\nvia = \"c\"\n[host.c]\nvia = \"b\"\n");
    wrong(at, &["via b never arrives"]);
    hosts("[host.a]\nvia = \"-oProxyCommand=x@hop01\"\n");
    wrong(at, &["hosts.d/x.toml", "line 2, column 7"]);
}

/// mallory has an account on the CA's machine, and one of the files can be written by everybody, or is
/// not a file at all.
#[test]
fn what_anybody_can_write_decides_nothing_and_a_pipe_is_not_waited_for() {
    let dir = folder();
    let at = dir.path();
    let mode = |name: &str, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(at.join(name), permissions).unwrap();
    };
    load(at).unwrap();
    mode("people.toml", 0o646);
    wrong(at, &["people.toml: everybody on this machine can write it"]);
    mode("people.toml", 0o664);
    put(at, "hosts.d/x.toml", "");
    mode("hosts.d", 0o777);
    wrong(at, &["hosts.d: everybody"]);
    mode("hosts.d", 0o755);
    load(at).unwrap();
    std::fs::remove_file(at.join("hosts.d/x.toml")).unwrap();
    let fifo = at.join("hosts.d/x.toml");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let (tell, hear) = std::sync::mpsc::channel();
    let folder = at.to_owned();
    std::thread::spawn(move || tell.send(load(&folder).map(drop)));
    let said = hear.recv_timeout(Duration::from_secs(10)).expect("it waits for a pipe");
    assert!(said.unwrap_err().to_string().contains("not a regular file"));
}

/// A deployment replaces three files one after the other, in whatever order, and is looked at between
/// any two of them.
#[test]
fn with_sums_only_what_they_list_decides() {
    let dir = folder();
    let at = dir.path();
    let sums = |names: &[&str]| -> String {
        let line = |name: &&str| {
            let bytes = std::fs::read(at.join(name.trim_start_matches("./"))).unwrap();
            format!("{}  {name}\n", hex(Hash::of(&bytes)))
        };
        names.iter().map(line).collect()
    };
    let config = config().replace("[files]\n", "[files]\nsums = \"SHA256SUMS\"\n");
    put(at, "ca.toml", &config);
    wrong(at, &["SHA256SUMS: No such file"]);
    let all = ["./policy.cedar", "people.toml", "hosts.toml", "ca.toml"];
    let list = sums(&all);
    put(at, "SHA256SUMS", &list);
    load(at).unwrap();
    // Binary mode is sha256sum's own matter.
    put(at, "SHA256SUMS", &list.replace("  ", " *"));
    load(at).unwrap();
    let says = "the files are being changed, or are not what it says";
    for (list, what) in [
        (sums(&all[..2]), "hosts.toml is not on it"),
        (list.clone() + &list, "is on it twice"),
        (list.trim_end().to_owned(), "its last line has no end"),
        (list.replace("ca.toml", "ca.tom"), "ca.tom: No such file"),
        ("zz".to_owned() + &list[2..], "line 1: not sha256sum's"),
        (list[..30].to_owned(), "line 1: not sha256sum's"),
    ] {
        put(at, "SHA256SUMS", &list);
        wrong(at, &["SHA256SUMS: ", what]);
    }
    put(at, "SHA256SUMS", &list);
    put(at, "hosts.toml", "[host.hop01]\naccounts = [\"jump\", \"root\"]\n");
    wrong(at, &[says, "hosts.toml differs"]);
    put(at, "hosts.d/x.toml", "");
    put(at, "SHA256SUMS", &sums(&all));
    wrong(at, &[says, "hosts.d/x.toml is not on it"]);
    put(at, "SHA256SUMS", &sums(&[&all[..], &["hosts.d/x.toml"]].concat()));
    load(at).unwrap();
    std::fs::remove_file(at.join("hosts.d/x.toml")).unwrap();
    wrong(at, &[says, "hosts.d/x.toml: No such file"]);
}

#[test]
fn a_kept_text_is_what_its_name_says() {
    let dir = folder();
    let ca = Ca::load(&dir.path().join("ca.toml")).unwrap();
    let read = Snapshot::take(&ca).unwrap();
    let texts = dir.path().join("state/texts");
    read.keep(&texts).unwrap();
    let hosts = Hash::of(read.hosts[0].text.as_bytes());
    assert_eq!(kept(&texts, hosts).unwrap(), read.hosts[0].text.as_bytes());
    assert_eq!(unhex(&hex(hosts)), Some(hosts));
    assert_eq!(unhex(&hosts.to_base64()), Some(hosts));
    for no_hash in ["", "zz", &"+1".repeat(32), &"é".repeat(32), &"a".repeat(63)] {
        assert_eq!(unhex(no_hash), None, "{no_hash:?}");
    }
    // A crash cut it short: it is nobody's text, and the next reload mends it.
    std::fs::write(texts.join(hex(hosts)), "[host.hop01]").unwrap();
    assert_eq!(kept(&texts, hosts), None);
    read.keep(&texts).unwrap();
    assert!(kept(&texts, hosts).is_some());
}
