//! Lists that others keep, imported: as Ansible, Terraform and a spreadsheet write them.

use std::path::PathBuf;

use crate::ca::Ca;
use crate::process::{Said, key_pair, run, run_with_input};

/// `ansible-inventory --list` of a group in a group, with Ansible's own usual capital letters.
const ANSIBLE: &str = r#"{
    "_meta": {"hostvars": {
        "App01": {"ansible_host": "192.0.2.11", "ansible_user": "admin", "http_port": 80},
        "app02": {"ansible_user": "admin"},
        "backup": {}
    }},
    "all": {"children": ["ungrouped", "Site"]},
    "ungrouped": {"hosts": ["backup"]},
    "Site": {"children": ["app"]},
    "app": {"hosts": ["App01", "app02"]}
}"#;

/// `terraform output -json`.
const TERRAFORM: &str = r#"{
  "vpc": {"sensitive": false, "type": "string", "value": "vpc-1"},
  "root_password": {"sensitive": true, "type": ["map", "string"], "value": {"x": {"user": "root"}}},
  "nodes": {"sensitive": false, "type": ["tuple", []], "value": [
    {"name": "node1", "private_ip": "192.0.2.21", "public_ip": "", "ami": "ami-1", "tags": ["k8s"]},
    {"name": "node2", "private_ip": "192.0.2.22", "fqdn": "node2.example.com", "tags": null}
  ]},
  "bastions": {"sensitive": false, "type": ["map", []], "value": {
    "bastion": {"addresses": ["192.0.2.30"], "user": "jump", "host_certificate": true}
  }}
}"#;

fn put(ca: &Ca, name: &str, text: &str) -> PathBuf {
    let path = ca.dir().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// What `hallpass import` says to a list.
fn import(ca: &Ca, what: &str, name: &str, text: &str, more: &[&str]) -> Said {
    let path = put(ca, name, text);
    let words = [&["import", what, path.to_str().unwrap()][..], more].concat();
    ca.operator(&words)
}

/// What is imported is put in its place, reloaded, and asked for.
#[test]
fn hosts_of_ansible_and_terraform_are_imported_reviewed_and_asked_for() {
    let ca = Ca::start();
    std::fs::create_dir(ca.file("hosts.d")).unwrap();
    let from = ["--from", "ansible"];
    let said = import(&ca, "hosts", "inventory.json", ANSIBLE, &from);
    let what = r#"host "App01": "App01" is not a host name"#;
    assert!(said.code == 75 && said.out.is_empty() && said.err.contains(what), "{said:?}");
    assert!(said.err.contains("--lower-case makes capital letters small"), "{said:?}");

    let more = ["--from", "ansible", "--lower-case", "--login", "deploy", "--tag", "prod"];
    let said = import(&ca, "hosts", "inventory.json", ANSIBLE, &more);
    assert_eq!(said.code, 0, "{said:?}");
    let (_, hosts) = said.out.split_once("by hallpass import.\n").unwrap();
    assert_eq!(
        hosts,
        "\n[host.\"app01\"]\naddresses = [\"192.0.2.11\"]\ntags = [\"site\", \"app\", \"prod\"]\n\
         accounts = [\"admin\", \"deploy\"]\n\
         \n[host.\"app02\"]\ntags = [\"site\", \"app\", \"prod\"]\naccounts = [\"admin\", \"deploy\"]\n\
         \n[host.\"backup\"]\ntags = [\"prod\"]\naccounts = [\"deploy\"]\n"
    );
    assert!(said.err.contains("3 hosts for hosts.d; nothing is changed yet"), "{said:?}");
    assert!(ca.ssh("ana", &["deploy@app01", "OPS-8"]).err.contains("no host"));
    std::fs::write(ca.file("hosts.d/ansible.toml"), &said.out).unwrap();
    assert_eq!(ca.operator(&["reload"]).code, 0);
    let said = ca.ssh("ana", &["deploy@192.0.2.11"]);
    assert!(said.code == 1 && said.err.contains("ticket"), "{said:?}");

    // The same again is twice, unless it is to take the other's place.
    let said = import(&ca, "hosts", "inventory.json", ANSIBLE, &more);
    assert!(said.code == 75 && said.err.contains("host app01: is in"), "{said:?}");
    assert!(said.err.contains("\nhint: --replaces FILE"), "{said:?}");
    let place = ca.file("hosts.d/ansible.toml");
    let replaces = [&more[..], &["--replaces", place.to_str().unwrap()]].concat();
    assert_eq!(import(&ca, "hosts", "inventory.json", ANSIBLE, &replaces).code, 0);

    let said = import(&ca, "hosts", "out.json", TERRAFORM, &["--from", "terraform"]);
    assert_eq!(said.code, 0, "{said:?}");
    let (_, hosts) = said.out.split_once("by hallpass import.\n").unwrap();
    assert_eq!(
        hosts,
        "\n[host.\"bastion\"]\naddresses = [\"192.0.2.30\"]\naccounts = [\"jump\"]\nhost_certificate = true\n\
         \n[host.\"node1\"]\naddresses = [\"192.0.2.21\"]\ntags = [\"k8s\"]\n\
         \n[host.\"node2\"]\naddresses = [\"192.0.2.22\"]\naliases = [\"node2.example.com\"]\n"
    );
    for passed_over in ["output root_password is sensitive", "output vpc is no list", "ami"] {
        assert!(said.err.contains(passed_over), "{passed_over}: {said:?}");
    }
}

/// The personnel department sends its spreadsheet.
#[test]
fn people_of_a_spreadsheet_are_imported_with_their_keys() {
    let ca = Ca::start();
    let key = |name: &str| {
        let path = key_pair(ca.dir(), name, &["ed25519"]).with_extension("pub");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    };
    let (first, second) = (key("dana1"), key("dana2"));
    let text = format!(
        "\u{feff}name,groups,email,keys,aliases.tickets\r\n\
         dana,sre; dev,dana@example.com,\"{first}; {second}\",d.ivanova\r\n\
         lee,dev,,,\r\n"
    );
    let said = import(&ca, "people", "staff.csv", &text, &["--group", "vendor"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("aliases = { \"tickets\" = \"d.ivanova\" }\n"), "{said:?}");
    std::fs::create_dir(ca.file("people.d")).unwrap();
    std::fs::write(ca.file("people.d/staff.toml"), &said.out).unwrap();
    let said = ca.operator(&["reload", "--change", "HR-3"]);
    assert!(said.err.contains("deciding from now on: people"), "{said:?}");
    assert_eq!(ca.ssh("dana2", &["status"]).code, 0);
    // JSON is as in people.d, and the other way round.
    let text = r#"{"groups": ["night"], "person": {"kim": {"groups": ["dev"]}}}"#;
    let said = import(&ca, "people", "more.json", text, &[]);
    assert!(
        said.out.ends_with("groups = [\"night\"]\n\n[person.\"kim\"]\ngroups = [\"dev\"]\n"),
        "{said:?}"
    );
}

/// A list with a mistake in line 300 must not be half imported, nor may a file of somebody else's say
/// anything but names.
#[test]
fn a_bad_row_is_named_and_nothing_is_printed() {
    let ca = Ca::start();
    for (text, what) in [
        ("", "it is empty"),
        ("name\n", "there is nobody and nothing in it"),
        (
            "name;accounts\nx;y\n",
            "line 1: no column is called \"name;accounts\"; they are name, addresses",
        ),
        ("name,name\nx,y\n", "line 1: two columns are called name"),
        ("name,tags\nnode1,a\nnode2\n", "line 3: 1 cells under 2 columns"),
        ("name,tags\nnode1,a\nnode1,b\n", "line 3: node1 is there twice, first in line 2"),
        ("name,tags\nnode1,a\n\n\"node 2\",b\n", "line 4: \"node 2\" is not a host name"),
        ("name,tags\nnode1,\"a\nnode2,b\n", "line 2: a quote is not closed"),
        ("name,tags\nnode1,a\nnode2,Prod\n", "line 3: TOML parse error"),
        ("name,pool\nnode1,maybe\n", "line 2: pool is true or false, not \"maybe\""),
        (
            "name,host_keys\nnode1,ssh-ed25519 AAAA\n",
            "line 2: host node1: \"ssh-ed25519 AAAA\" is no public key",
        ),
        ("name,aliases\nnode1,web01\n", "\"web01\" names web01 too"),
        ("name,owner\nnode1,nobody\n", "host node1: no person is in its owner's group"),
        ("name,via\nnode1,hop09\n", "via: there is no host hop09"),
        ("name,accounts\nnode1,\"x\"\"]\u{1b}[2J\"\n", "line 2"),
        (",accounts\nnode1,x\n", "line 1: no column is called \"\""),
        ("name,accounts\n,x\n", "line 2: \"\" is not a host name"),
    ] {
        let said = import(&ca, "hosts", "hosts.csv", text, &[]);
        assert!(
            said.code == 75 && said.out.is_empty() && said.err.contains(what),
            "{text:?}: {said:?}"
        );
        assert!(!said.err.contains('\u{1b}'), "{said:?}");
    }
    for (text, form, what) in [
        ("{\n\"host\": {\"a\": {},\n\"a\": {}}}", "json", "a stands here twice at line 3"),
        ("{\"host\": {\"a\": {\"acounts\": []}}}", "json", "unknown field `acounts`"),
        ("{\"host\": {\"a\": {\"owner\": null}}}", "json", "host \"a\""),
        ("{\"hosts\": {}}", "json", "unknown field `hosts`"),
        ("{\"all\": {}}", "ansible", "is it what ansible-inventory --list prints?"),
        ("[]", "ansible", "invalid type"),
        ("{\"x\": {\"name\": \"a\"}}", "terraform", "is it what terraform output -json prints?"),
        (
            r#"{"x": {"type": "", "value": [{"name": "a", "tags": {"Name": "a"}}]}}"#,
            "terraform",
            "output x[0]: tags is {\"Name\":\"a\"}, not text or a list of text",
        ),
    ] {
        let said = import(&ca, "hosts", "list", text, &["--from", form]);
        assert!(
            said.code == 75 && said.out.is_empty() && said.err.contains(what),
            "{text:?}: {said:?}"
        );
    }
    assert!(import(&ca, "hosts", "list", "x", &[]).err.contains("--from csv, json"));
    let said = import(&ca, "people", "list", "{}", &["--from", "ansible"]);
    assert!(said.err.contains("hosts, not people"), "{said:?}");
}

#[test]
fn a_list_comes_from_standard_input_too() {
    let ca = Ca::start();
    let mut import = crate::ca::hallpass();
    import.args(["import", "hosts", "-", "--from", "csv", "--config"]).arg(ca.file("ca.toml"));
    let said = run_with_input(&mut import, "name,accounts\nnode1,deploy logs\n");
    assert!(said.out.contains("# From standard input, by hallpass import.\n"), "{said:?}");
    assert!(said.out.contains("accounts = [\"deploy\", \"logs\"]\n"), "{said:?}");
}

/// Files that are deployed from Git are not edited on the machine: the next deployment would undo it.
#[test]
fn what_is_kept_in_git_is_not_edited_here() {
    for line in ["managed = \"git\"", "sums = \"SHA256SUMS\""] {
        let dir = Ca::make();
        crate::ca::bend(
            dir.path(),
            "hosts = \"hosts.toml\"",
            &format!("hosts = \"hosts.toml\"\n{line}"),
        );
        let config = dir.path().join("ca/ca.toml");
        let operate =
            |words: &[&str]| run(crate::ca::hallpass().args(words).arg("--config").arg(&config));
        let before = std::fs::read(dir.path().join("ca/hosts.toml")).unwrap();
        let key = dir.path().join("mallory.pub");
        for (words, what) in [
            (&["host", "add", "node1", "--login", "x"][..], "hosts are kept in"),
            (&["person", "add", "eve", "--key", key.to_str().unwrap()], "people are kept in"),
        ] {
            let said = operate(words);
            assert!(said.code == 75 && said.err.contains(what), "{said:?}");
            assert!(said.err.contains("hallpass import"), "{said:?}");
        }
        assert_eq!(std::fs::read(dir.path().join("ca/hosts.toml")).unwrap(), before);
    }
}
