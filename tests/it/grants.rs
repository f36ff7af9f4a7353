//! Live grants: asking again, renewing, ensuring; and names as people use them.

use std::process::Command;

use serde_json::{Value, json};

use crate::ca::{Ca, bend};
use crate::process::{Said, run, until};
use crate::sshd::Sshd;

fn json_of(said: Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|why| panic!("{why}: {said:?}"))
}

fn asked(ca: &Ca, words: &[&str]) -> Value {
    json_of(ca.ssh("ana", &[words, &["--json"]].concat()))
}

fn count(ca: &Ca, kind: &str) -> usize {
    ca.entries().iter().filter(|entry| entry.kind == kind).count()
}

fn resolve(ca: &Ca, id: &str) {
    let file = ca.file(&format!("tickets/{id}.toml"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, text.replace("state = \"open\"", "state = \"resolved\"")).unwrap();
}

/// What a live grant covers is issued from it: each time a new certificate, logged, of the same request
/// and ending with it. What it does not cover (another reason, more time, another account) is a request
/// of its own.
#[test]
fn asking_again_is_answered_from_the_live_grant() {
    let mut ca = Ca::start();
    let first = asked(&ca, &["deploy@web01", "OPS-7", "--for", "40m"]);
    let again = asked(&ca, &["deploy@web01"]);
    assert_eq!((&again["request"], &again["renewal"]), (&first["request"], &json!(true)));
    assert_eq!(again["grant_ends"], first["grant_ends"]);
    assert_ne!(again["serial"], first["serial"]);
    assert_eq!((count(&ca, "grant"), count(&ca, "certificate")), (1, 2));

    // Without the account it is the one that the grant has there.
    for words in [&["web01"][..], &["web01.example.com", "OPS-7"]] {
        assert_eq!(asked(&ca, words)["request"], first["request"], "{words:?}");
    }
    // The grant outlives the daemon, and its end is what it was.
    ca.restart();
    let after = asked(&ca, &["deploy@web01.example.com", "OPS-7", "--for", "30m"]);
    assert_eq!(
        (&after["request"], &after["grant_ends"]),
        (&first["request"], &first["grant_ends"])
    );

    for other in [
        &["deploy@web01", "OPS-7", "--for", "1h"][..],
        &["deploy@web01", "OPS-7", "--reason", "'another errand'"],
        &["deploy@web02", "OPS-7"],
    ] {
        let own = asked(&ca, other);
        assert_ne!(own["request"], first["request"], "{other:?}: {own}");
        assert_eq!(own["renewal"], false, "{other:?}");
    }
    // A tag is its hosts.
    let both = asked(&ca, &["deploy@tag:prod", "OPS-7", "--for", "30m"]);
    assert_eq!(both["renewal"], false, "{both}");
    let again = asked(&ca, &["deploy@tag:prod"]);
    assert_eq!((&again["request"], &again["accounts"]), (&both["request"], &both["accounts"]));
    assert_eq!(count(&ca, "grant"), 5);
}

/// A renewal reads the ticket again: when it is resolved the grant is over, and says so.
#[test]
fn a_grant_gives_nothing_more_when_its_ticket_closes() {
    let ca = Ca::start();
    let first = asked(&ca, &["deploy@web01", "OPS-7"]);
    let id = first["request"].as_str().unwrap();
    for words in [&["renew"][..], &["renew", id], &["renew", "deploy@web01"]] {
        let renewed = asked(&ca, words);
        assert_eq!(renewed["request"], first["request"], "{words:?}: {renewed}");
        assert_eq!(renewed["accounts"], json!(["deploy@web01"]));
    }
    assert_eq!((count(&ca, "grant"), count(&ca, "certificate")), (1, 4));

    resolve(&ca, "OPS-7");
    let said = ca.ssh("ana", &["renew", id]);
    let ended = format!("refused: ticket OPS-7 is resolved; grant {id} ended\n");
    assert!(said.code == 1 && said.err.contains(&ended), "{said:?}");
    for words in [&["renew", id][..], &["deploy@web01"], &["ensure", "deploy@web01", "--ttl", "1m"]]
    {
        let said = ca.ssh("ana", words);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{words:?}: {said:?}");
        assert!(said.err.contains("refused: "), "{said:?}");
    }
    let said = ca.ssh("ana", &["renew", id]);
    assert!(said.err.contains(&format!("refused: grant {id} ended at ")), "{said:?}");
    assert!(said.err.contains(": ticket OPS-7 is resolved\n"), "{said:?}");
    let said = ca.ssh("ana", &["deploy@web01", "OPS-7"]);
    assert!(said.err.contains("ticket OPS-7 is resolved, needs open"), "{said:?}");
    assert_eq!(count(&ca, "certificate"), 4);

    // Other people's grants are nobody's business.
    let said = ca.ssh("bob", &["renew", id]);
    assert!(
        said.code == 1 && said.err.contains(&format!("you have no live grant {id}")),
        "{said:?}"
    );
    let said = ca.ssh("bob", &["renew"]);
    assert!(said.code == 1 && said.err.contains("you have no live grant"), "{said:?}");
}

/// A certificate never outlives its grant, and a grant's end does not move: the last certificates get
/// shorter.
#[test]
fn a_renewal_ends_with_its_grant() {
    let ca = Ca::start();
    let first = asked(&ca, &["deploy@web01", "OPS-7", "--for", "8s"]);
    assert_eq!(first["valid_before"], first["grant_ends"]);
    until("two seconds", || asked(&ca, &["list"])["grants"][0]["certificates"] == 1);
    let second = asked(&ca, &["renew"]);
    assert_eq!(second["valid_before"], first["grant_ends"]);
    until("the grant's end", || asked(&ca, &["list"])["grants"] == json!([]));
    let said = ca.ssh("ana", &["renew"]);
    assert!(said.code == 1 && said.err.contains("you have no live grant"), "{said:?}");
}

/// `ensure` gives the same certificate again while over half its life is left, for the very key it is
/// for; it makes a new one from what is at hand, and else says at once what to type.
#[test]
fn ensure_gives_the_same_certificate_again_and_never_asks() {
    let ca = Ca::start();
    let said = ca.ssh("ana", &["ensure", "deploy@web01"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("name the ticket: ssh ca deploy@web01 TICKET"), "{said:?}");

    let mut ssh = ca.client("ana");
    ssh.env("HALLPASS_TICKET", "OPS-7").args(["-o", "SendEnv=HALLPASS_TICKET"]);
    let first = run(ssh.args(["ca", "ensure", "deploy@web01", "--ttl", "10s"]));
    assert_eq!(first.code, 0, "{first:?}");
    let certificates = count(&ca, "certificate");
    let again = ca.ssh("ana", &["ensure", "deploy@web01.example.com"]);
    assert_eq!((again.code, &again.out, again.err.as_str()), (0, &first.out, ""), "{again:?}");
    assert_eq!(count(&ca, "certificate"), certificates, "a certificate that nobody needed");
    until("half its life", || {
        let said = ca.ssh("ana", &["ensure", "deploy@web01", "--ttl", "10s"]);
        assert_eq!(said.code, 0, "{said:?}");
        said.out != first.out
    });
    // `request` always makes a new one.
    let (one, other) = (ca.ssh("ana", &["deploy@web01"]), ca.ssh("ana", &["deploy@web01"]));
    assert_ne!(one.ok(), other.ok());

    // Only that one name of a client's environment is taken, and only as a ticket.
    let mut ssh = ca.client("ana");
    ssh.env("HALLPASS_TICKET", "$(touch x)").args(["-o", "SendEnv=HALLPASS_TICKET"]);
    let said = run(ssh.args(["ca", "ensure", "deploy@web02"]));
    assert_eq!(said.code, 2, "{said:?}");
}

/// The words of the ordinary day: a host without an account, a tag, a ticket by its address, a hop, a typo.
#[test]
fn names_as_people_use_them() {
    let ca = Ca::start_with(|dir| {
        bend(
            dir,
            "path = \"tickets\"\n",
            "path = \"tickets\"\nurl = \"https://tracker.example/browse/{id}\"\n",
        );
        let hosts = dir.join("ca/hosts.toml");
        let text = std::fs::read_to_string(&hosts).unwrap();
        let text = text.replace("[host.web02]\n", "[host.web02]\nvia = \"jump@hop01\"\n");
        std::fs::write(hosts, text).unwrap();
    });
    let accounts = |words: &[&str]| asked(&ca, words)["accounts"].clone();

    // Of web01's three accounts OPS-7 opens one; logs needs none, root another one.
    assert_eq!(accounts(&["web01"]), json!(["logs@web01"]));
    assert_eq!(accounts(&["web01", "OPS-7"]), json!(["deploy@web01"]));
    assert_eq!(accounts(&["dev01"]), json!(["dev@dev01"]));
    assert_eq!(accounts(&["deploy@tag:prod", "OPS-7"]), json!(["deploy@web01", "deploy@web02"]));
    assert_eq!(accounts(&["logs@tag:prod"]), json!(["logs@db01", "logs@web01", "logs@web02"]));
    let by_url = asked(&ca, &["deploy@web01", "https://tracker.example/browse/OPS-7?x=1"]);
    assert_eq!(by_url["accounts"], json!(["deploy@web01"]), "{by_url}");
    let facts = ca.entries().into_iter().rev().find(|entry| entry.kind == "certificate").unwrap();
    assert_eq!(facts.facts["ticket"]["id"], "OPS-7");

    let refused = |words: &[&str], reason: &str, hint: &str| {
        let said = ca.ssh("ana", words);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains(reason) && said.err.contains(hint), "{said:?}");
    };
    refused(&["deploy@web1", "OPS-7"], "there is no host web1", "did you mean deploy@web01?");
    refused(&["deploy@tag:prd", "OPS-7"], "there is no tag prd", "did you mean tag:prod?");
    refused(
        &["deploy@web01", "https://evil.example/browse/OPS-7"],
        "https://evil.example/browse/OPS-7 is no ticket's address here",
        "it looks like https://tracker.example/browse/ID",
    );
    // A hop that has to be asked for by itself on standard output is said.
    let said = ca.ssh("ana", &["deploy@web02", "OPS-7"]);
    assert!(said.err.contains("jump@hop01 is on the way: ssh ca jump@hop01"), "{said:?}");
    let said = ca.ssh("ana", &["deploy@web02", "OPS-7", "--via", "jump@hop01"]);
    assert!(said.err.contains("these accounts take 2 certificates"), "{said:?}");
    // A verb that is no verb, and no host either.
    let said = ca.ssh("ana", &["frobnicate", "OPS-7"]);
    assert_eq!(said.code, 2, "{said:?}");
}

/// `list`, `show` and `why` say what one holds, and why a login may fail all the same.
#[test]
fn what_one_holds_and_why_a_login_fails() {
    let ca = Ca::start();
    let web01 = Sshd::start(&ca, "web01");
    let said = ca.ssh("ana", &["why", "deploy@web01"]);
    assert!(
        said.code == 0 && said.err.contains("you hold no live grant for deploy@web01"),
        "{said:?}"
    );
    assert!(said.err.ends_with("hint: ssh ca deploy@web01 TICKET\n"), "{said:?}");

    let issued = asked(&ca, &["deploy@web01", "OPS-7"]);
    let (id, serial) = (issued["request"].as_str().unwrap(), issued["serial"].as_u64().unwrap());
    let said = ca.ssh("ana", &["why", "deploy@web01.example.com"]);
    assert!(said.err.contains(&format!("serial {serial} is for the key SHA256:")), "{said:?}");
    assert!(said.err.contains("perhaps: ssh was not told of the file"), "{said:?}");
    assert!(said.err.contains("host keys of web01 are not known"), "{said:?}");
    let said = ca.ssh("bob", &["why", "root@web01"]);
    assert!(
        said.err.ends_with("hint: ssh ca explain root@web01 says why no offer gives it\n"),
        "{said:?}"
    );
    let said = ca.ssh("ana", &["why", "root@web01"]);
    assert!(said.err.contains("what you hold there is for deploy@web01"), "{said:?}");

    let listed = asked(&ca, &["list"]);
    assert_eq!(listed["grants"][0]["serial"], serial);
    assert_eq!(asked(&ca, &["show", id])["grants"][0]["request"], id);
    let said = ca.ssh("ana", &["list"]);
    assert!(said.err.contains(&format!("grant {id} deploy@web01 OPS-7: ")), "{said:?}");
    assert!(
        said.err.contains(&format!("the last serial {serial} to stdout, good until")),
        "{said:?}"
    );
    let said = ca.ssh("bob", &["show", id]);
    assert!(said.code == 1 && said.err.contains(&format!("you have no request {id}")), "{said:?}");
    // A request that is over, and one that was refused, are still one's own.
    let over = asked(&ca, &["logs@web01", "--for", "1s"])["request"].as_str().unwrap().to_owned();
    let no = asked(&ca, &["root@web01", "OPS-7"])["request"].as_str().unwrap().to_owned();
    until("the grant's end", || asked(&ca, &["list"])["grants"].as_array().unwrap().len() == 1);
    for id in [over, no] {
        let said = ca.ssh("ana", &["show", &id]);
        assert!(said.code == 0 && said.out.contains(&format!("request     {id}")), "{said:?}");
        assert_eq!(ca.ssh("bob", &["show", &id]).code, 1);
    }

    // The hint's line, with the file that it asks for, gets in.
    let file = ca.dir().join("FILE");
    std::fs::write(&file, format!("{}\n", issued["certificate"].as_str().unwrap())).unwrap();
    assert_eq!(web01.login(&ca.dir().join("ana"), &file, &["echo", "in"]).out, "in\n");
}

/// The printed block does not take in what no grammar knows, and never the CA itself.
#[test]
fn the_clients_block_is_one_that_ssh_reads() {
    let ca = Ca::start();
    for form in ["--file", "--agent"] {
        let said = ca.ssh("ana", &["config", form]);
        assert_eq!(said.code, 0, "{said:?}");
        let file = ca.dir().join("block");
        std::fs::write(&file, &said.out).unwrap();
        let read =
            |host: &str| run(Command::new("ssh").arg("-G").arg("-F").arg(&file).arg(host)).ok();
        let door = read("ca");
        for line in [
            "hostname 127.0.0.1",
            &format!("port {}", ca.port()),
            "user ana",
            "stricthostkeychecking true",
            "sendenv HALLPASS_TICKET",
            "controlmaster auto",
            &format!("forwardagent {}", if form == "--agent" { "yes" } else { "no" }),
        ] {
            assert!(door.lines().any(|have| have == line), "{line} is not in {door}");
        }
        assert!(!door.contains("certificatefile"), "{door}");
        assert!(said.out.contains("originalhost web01,web01.example.com"), "{}", said.out);
    }
}
