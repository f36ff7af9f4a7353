//! Trackers that are attacked, or attack: whoever runs one, or has taken one over, learns nothing more,
//! gets nowhere else, and delays nobody but those who name its tickets.

pub mod server;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::server::{Canary, Does, Server, json, packed, raw, tls};
use crate::ca::{Ca, bend};
use crate::process::{Said, repository, run};

/// How long a call to a tracker may take here.
const DEADLINE: Duration = Duration::from_secs(2);

/// A ticket that lets whom it is assigned to in.
fn open(who: &str) -> Does {
    Does::Json(format!(
        "{{\"id\":{{number}},\"state\":\"open\",\"title\":\"t\",\"who\":{who:?},\"priority\":\"high\",\"labels\":[\"a\"],\
         \"hosts\":[\"web01\"],\"from\":1,\"until\":\"2099-01-01T00:00:00Z\"}}"
    ))
}

/// A tracker at this address, before the example's own.
fn add(dir: &Path, name: &str, ids: &str, base: &str, more: &str) {
    let secret = dir.join("ca/token");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&secret);
    file.unwrap().write_all(b"s3cr3t-t0ken\n").unwrap();
    let text = format!(
        "[[tracker]]\nname = {name:?}\nkind = \"http\"\nids = [{ids:?}]\nbase = \"{base}/api\"\ndeadline = \"2s\"\n{more}\
         [tracker.auth]\nbearer = \"token\"\n[tracker.read]\nrequest = \"/t/{{number}}\"\n[tracker.fields]\nid = \"/id\"\n\
         state = \"/state\"\ntitle = \"/title\"\nassignee = \"/who\"\npriority = \"/priority\"\nlabels = \"/labels/*\"\n\
         hosts = \"/hosts/*\"\nwindow_from = \"/from\"\nwindow_until = \"/until\"\n[tracker.states]\nopen = [\"open\"]\n\
         closed = [\"closed\"]\n"
    );
    put(dir, &text);
}

/// Puts a tracker before the example's own.
fn put(dir: &Path, text: &str) {
    let file = dir.join("ca/ca.toml");
    let all = std::fs::read_to_string(&file).unwrap();
    let (before, own) = all.split_once("\n[[tracker]]").unwrap();
    std::fs::write(&file, format!("{before}\n{text}\n[[tracker]]{own}")).unwrap();
}

fn timed(ca: &Ca, person: &str, words: &[&str]) -> (Said, Duration) {
    let begun = Instant::now();
    let said = ca.ssh(person, words);
    (said, begun.elapsed())
}

/// The most memory that a process ever had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A body that is small on the way and 200 MB when it is unpacked.
fn bomb() -> Vec<u8> {
    let mut gzip = Command::new("sh");
    gzip.args(["-c", "head -c 200000000 /dev/zero | gzip -1 | base64 -w0"]);
    use base64ct::Encoding as _;
    let bytes = base64ct::Base64::decode_vec(run(&mut gzip).ok().trim()).unwrap();
    assert!(bytes.len() < 2_000_000);
    bytes
}

/// Everything that a tracker was seen to do, or could do. Whether it counts as the tracker's trouble does
/// not matter here: three ask at a time, and between two of these it is well.
fn attacks(canary: &Canary) -> Vec<(String, Does)> {
    let to = canary.address;
    let head =
        |more: &str| format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{more}\r\n");
    let redirect = |status: u16, to: &str| {
        Does::Bytes(
            format!("HTTP/1.1 {status} X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
                .into_bytes(),
        )
    };
    let good = "\"id\":7,\"state\":\"open\",\"who\":\"ana\"";
    let mut all: Vec<(String, Does)> = [
        ("redirect to a canary", redirect(302, &format!("http://{to}/api/t/7"))),
        ("redirect for good", redirect(301, &format!("http://{to}/"))),
        ("redirect, same scheme", redirect(307, &format!("//{to}/api/t/7"))),
        (
            "redirect with the own host as the user",
            redirect(308, &format!("http://127.0.0.1@{to}/")),
        ),
        ("redirect to a file", redirect(302, "file:///etc/shadow")),
        ("redirect to a path", redirect(303, "/api/t/8")),
        ("redirect without end", redirect(302, "")),
        ("endless body", Does::Endless(head("").into_bytes(), vec![b'['; 65536])),
        (
            "endless body in chunks",
            Does::Endless(
                head("transfer-encoding: chunked\r\n").into_bytes(),
                b"8\r\n        \r\n".to_vec(),
            ),
        ),
        (
            "a length without end",
            Does::Endless(head("content-length: 99999999999\r\n").into_bytes(), vec![b' '; 65536]),
        ),
        (
            "a length that is none",
            Does::Bytes(head("content-length: 99999999999999999999999\r\n").into_bytes()),
        ),
        (
            "two lengths",
            Does::Bytes(head("content-length: 2\r\ncontent-length: 3\r\n").into_bytes()),
        ),
        ("endless headers", Does::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".to_vec())),
        (
            "one endless header",
            Does::Endless(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'y'; 65536]),
        ),
        ("endless status line", Does::Endless(b"HTTP/1.1 200 ".to_vec(), vec![b'y'; 65536])),
        (
            "1xx without end",
            Does::Endless(Vec::new(), b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n".to_vec()),
        ),
        ("100 without end", Does::Endless(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())),
        (
            "an upgrade",
            Does::Bytes(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n".to_vec()),
        ),
        ("gzip bomb", Does::Bytes(packed("content-encoding: gzip\r\n", &bomb()))),
        ("an encoding that nobody knows", Does::Bytes(packed("content-encoding: zz\r\n", b"{}"))),
        (
            "depth of 10,000",
            Does::Bytes(json(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)))),
        ),
        (
            "depth of 10,000 objects",
            Does::Bytes(json(&format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)))),
        ),
        (
            "very many values",
            Does::Bytes(json(&format!("{{{good},\"x\":[{}0]}}", "{\"a\":[]},".repeat(40_000)))),
        ),
        ("half closed", Does::Half(head("content-length: 60\r\n").into_bytes())),
        ("half closed in the headers", Does::Half(b"HTTP/1.1 200 OK\r\ncontent-".to_vec())),
        (
            "half closed in a chunk",
            Does::Half(head("transfer-encoding: chunked\r\n\r\nff\r\n{").into_bytes()),
        ),
        ("closed", Does::Bytes(Vec::new())),
        ("silent", Does::Silent),
        (
            "silent after the headers",
            Does::Drip(head("content-length: 60\r\n").into_bytes(), Vec::new()),
        ),
        ("one byte a second", Does::Drip(Vec::new(), json("{}"))),
        (
            "one byte of the body a second",
            Does::Drip(head("content-length: 60\r\n").into_bytes(), b" ".to_vec()),
        ),
        ("no HTTP", Does::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())),
        (
            "HTML",
            Does::Bytes(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"
                    .to_vec(),
            ),
        ),
        ("HTML that says it is JSON", Does::Bytes(json("<html>"))),
        (
            "JSON that does not say so",
            Does::Bytes(
                format!("HTTP/1.1 200 OK\r\ncontent-length: 45\r\n\r\n{{{good}}}").into_bytes(),
            ),
        ),
        ("no UTF-8", Does::Bytes(packed("", b"{\"id\":7,\"state\":\"open\xff\"}"))),
        ("a huge number as state", Does::Bytes(json("{\"id\":7,\"state\":1e999}"))),
        (
            "a long number as state",
            Does::Bytes(json(&format!("{{\"id\":7,\"state\":{}}}", "9".repeat(5000)))),
        ),
        ("an unknown word as state", Does::Bytes(json("{\"id\":7,\"state\":\"OPEN\"}"))),
        ("the state twice", Does::Bytes(json(&format!("{{{good},\"state\":\"open\"}}")))),
        ("another ticket", Does::Bytes(json("{\"id\":8,\"state\":\"open\",\"who\":\"ana\"}"))),
        (
            "another ticket of a like name",
            Does::Bytes(json("{\"id\":\"H-7\\u0000\",\"state\":\"open\",\"who\":\"ana\"}")),
        ),
        ("no ticket", Does::Bytes(json("{}"))),
        ("a list", Does::Bytes(json(&format!("[{{{good}}}]")))),
        ("null", Does::Bytes(json("null"))),
        ("nothing", Does::Bytes(json(""))),
        ("500", Does::Bytes(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n".to_vec())),
        ("204", Does::Bytes(b"HTTP/1.1 204 X\r\n\r\n".to_vec())),
        (
            "a title with a terminal's escapes",
            Does::Bytes(json(
                "{\"id\":7,\"state\":\"open\",\"title\":\"\\u001b[2J\",\"hosts\":[\"../x\"]}",
            )),
        ),
    ]
    .into_iter()
    .map(|(name, does)| (name.to_owned(), does))
    .collect();
    for field in ["id", "state", "title", "who", "priority", "labels", "hosts", "from", "until"] {
        for wrong in ["{\"a\":1}", "[[1]]", "[{}]"] {
            let mut ticket: Value = serde_json::from_str(&format!("{{{good}}}")).unwrap();
            ticket[field] = serde_json::from_str(wrong).unwrap();
            all.push((format!("{field} is {wrong}"), Does::Bytes(json(&ticket.to_string()))));
        }
    }
    all
}

/// Mallory has taken over the tracker of the first team and means to read what its token opens elsewhere,
/// to have the daemon fetch addresses of her choice, to fill its memory, or at least to keep the second
/// team from working.
#[test]
fn a_tracker_that_was_taken_over_harms_nobody_else() {
    let canary = Canary::start();
    let (hostile, good) = (Server::start(open("ana")), Server::start(open("bob")));
    let ca = Ca::start_with(|dir| {
        add(dir, "good", "G-{number}", &format!("http://{}", good.address), "");
        add(dir, "hostile", "H-{number}", &format!("http://{}", hostile.address), "");
        // What is tried here is no rate.
        bend(dir, "total = 550\nperson = 55", "total = 50000\nperson = 50000");
        bend(dir, "grants = 200", "grants = 50000");
        let file = dir.join("ca/signer.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let rates = "total = 600\nperson = 60\naccount = 120";
        assert!(text.contains(rates), "{text}");
        let high = "total = 50000\nperson = 50000\naccount = 50000";
        std::fs::write(file, text.replace(rates, high)).unwrap();
    });
    let pid = ca.daemon.pid();
    let well = || {
        hostile.now(open("ana"));
        let (said, _) = timed(&ca, "ana", &["deploy@web01", "H-7"]);
        assert_eq!(said.code, 0, "{said:?}");
    };
    well();
    ca.ssh("bob", &["deploy@web01", "G-7"]).ok();
    hostile.asked();
    let (before, slowest) = (peak(pid), Mutex::new((Duration::ZERO, Duration::ZERO)));
    for (name, does) in attacks(&canary) {
        hostile.now(does);
        let ask = || {
            let (said, took) = timed(&ca, "ana", &["deploy@web01", "H-7", "--json"]);
            assert!(matches!(said.code, 1 | 75), "{name}: {said:?}");
            assert!(took < DEADLINE + Duration::from_secs(1), "{name}: {took:?}");
            let told: Value = serde_json::from_str(&said.out).unwrap();
            assert!(
                matches!(told["outcome"].as_str(), Some("refused" | "fault")),
                "{name}: {told}"
            );
            assert!(!told.to_string().contains("s3cr3t"), "{name}: {told}");
            let mut slowest = slowest.lock().unwrap();
            slowest.0 = slowest.0.max(took);
        };
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
            // Meanwhile: without a ticket, and with one of another tracker.
            for (person, words) in [
                ("bob", &["logs@web01"][..]),
                ("bob", &["deploy@web01", "G-7"]),
                ("ana", &["logs@web01"]),
            ] {
                let (said, took) = timed(&ca, person, words);
                assert_eq!(said.code, 0, "{name}: {said:?}");
                assert!(took < Duration::from_millis(1500), "{name}: {person} {words:?} {took:?}");
                let mut slowest = slowest.lock().unwrap();
                slowest.1 = slowest.1.max(took);
            }
            asking.into_iter().for_each(|one| one.join().unwrap());
        });
        well();
        assert_eq!(canary.visits(), 0, "{name}: the canary was visited");
        let asked = hostile.asked();
        assert!(asked.iter().all(|line| line == "GET /api/t/7"), "{name}: {asked:?}");
        let grown = peak(pid).saturating_sub(before);
        assert!(grown < 32 * 1024, "{name}: {grown} KiB more");
    }
    let (asking, others) = *slowest.lock().unwrap();
    let grown = peak(pid).saturating_sub(before);
    println!(
        "slowest: who names its tickets {asking:?}, others {others:?}; {grown} KiB more at most"
    );
    // Neither the journal nor what people were told has the credentials.
    assert!(!ca.daemon.log().iter().any(|line| line.contains("s3cr3t")));
}

/// A tracker is down for a while: after five faults nobody waits for it any more, and it is found when it
/// is back.
#[test]
fn a_tracker_that_is_down_is_left_alone_and_found_again() {
    let server = Server::start(Does::Silent);
    let ca = Ca::start_with(|dir| {
        add(dir, "slow", "H-{number}", &format!("http://{}", server.address), "");
    });
    std::thread::scope(|scope| {
        let ask = || assert_eq!(ca.ssh("ana", &["deploy@web01", "H-7"]).code, 75);
        let asking: Vec<_> = (0..5).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().for_each(|one| one.join().unwrap());
    });
    assert_eq!(server.asked().len(), 5);
    let begun = Instant::now();
    for _ in 0..5 {
        let (said, took) = timed(&ca, "ana", &["deploy@web01", "H-7"]);
        assert_eq!(said.code, 75, "{said:?}");
        assert!(took < Duration::from_millis(1500), "{took:?}");
    }
    assert_eq!(server.asked().len(), 0, "it was not left alone");
    assert!(ca.daemon.log().iter().any(|line| line.contains("is left alone since 20")));
    // While the one that tries waits, the others are told at once.
    server.now(open("ana"));
    crate::process::until("the tracker is tried again", || {
        ca.ssh("ana", &["deploy@web01", "H-7"]).code == 0
    });
    assert!(begun.elapsed() > Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(server.asked().len(), 1);
}

/// One who can stand between the CA and the tracker shows a certificate of her own.
#[test]
fn tls_is_believed_by_the_authority_that_is_named_and_by_no_other() {
    let address = tls("{\"id\":7,\"state\":\"open\",\"who\":\"ana\"}");
    // One takes the connection and says nothing, one begins a record of TLS and never ends it.
    let (silent, drips) = (raw(b""), raw(b"\x16\x03\x03\x3f\xff\x02\x00"));
    let ca_file = repository("tests/it/hostile_tracker/tls/ca.pem");
    let named = format!("ca_file = {ca_file:?}\n");
    let dir = Ca::make();
    for (name, ids, base, more) in [
        ("named", "N-{number}", format!("https://{address}"), named.as_str()),
        ("unnamed", "U-{number}", format!("https://{address}"), ""),
        ("silent", "S-{number}", format!("https://{}", silent), named.as_str()),
        ("drips", "D-{number}", format!("https://{}", drips), named.as_str()),
    ] {
        add(dir.path(), name, ids, &base, more);
    }
    let test = |id: &str| {
        let mut hallpass = crate::ca::hallpass();
        let begun = Instant::now();
        let said = run(hallpass
            .args(["ticket", "test", id, "--config"])
            .arg(dir.path().join("ca/ca.toml")));
        assert!(begun.elapsed() < DEADLINE + Duration::from_secs(1), "{id}: {:?}", begun.elapsed());
        said
    };
    let said = test("N-7");
    assert!(said.code == 0 && said.out.contains("  state        open (\"open\")"), "{said:?}");
    let said = test("U-7");
    assert!(said.code == 75 && said.out.contains("TLS: "), "{said:?}");
    assert!(said.out.contains("hint: where an authority of one's own vouches"), "{said:?}");
    for id in ["S-7", "D-7"] {
        let said = test(id);
        assert!(said.code == 75 && said.out.contains("no whole answer within 2s"), "{said:?}");
    }
}

/// Five hundred texts that are no ticket's id, or look like one of another tracker's, or mean something to
/// somebody on the way.
fn hostile_ids() -> Vec<String> {
    let roots = [
        "..",
        ".",
        "../",
        "..\\",
        "../../etc/passwd",
        "/etc/passwd",
        "//127.0.0.2/",
        "%2e%2e",
        "%2e%2e%2f",
        "..%2f",
        "%252e%252e",
        "%00",
        "\u{0}",
        "@",
        "@127.0.0.2",
        "a@b",
        "?",
        "?x=1",
        "?id=1&id=2",
        "#",
        "#x",
        "&",
        "&x=1",
        ";",
        ";id",
        "|id",
        "`id`",
        "$(id)",
        "${IFS}",
        "'",
        "\"",
        "\\",
        "\\..\\",
        " ",
        "  7",
        "7 ",
        "\t",
        "\r\n",
        "\r\nHost: evil",
        " HTTP/1.1\r\nX: y",
        "\u{e4}",
        "\u{202e}",
        "\u{200b}7",
        "\u{ff0f}",
        "\u{ff0e}\u{ff0e}\u{ff0f}",
        "\u{2025}",
        "\u{1b}[2J",
        "\u{7f}",
        "*",
        "{id}",
        "{number}",
        "<script>",
        "=1+1",
        "-7",
        "--json",
        "+7",
        "07",
        "0",
        "-1",
        "1e9",
        "0x7",
        "7.0",
        "7/8",
        "7,8",
        "NaN",
        "null",
        "true",
        "~",
        "~root",
        "http://127.0.0.2/",
        ":",
        ":80",
        "[::1]",
        "\u{661}\u{662}",
        "7\u{301}",
        "OPS-7",
        "ops#1347",
        "INC0010002",
        "PROJ-1#2",
        "group/project#1",
        "9999999999999999999999",
        "7;jsessionid=1",
        "7%20",
        "7+",
        "7!",
        "7^",
        "7(",
        "7[",
        "7]",
        "7=",
        "7~",
        "con",
        "..;/",
    ];
    let frames = [("", ""), ("OPS-", ""), ("", "-7"), ("OPS-7", ""), ("7/", ""), ("#", "#")];
    let mut all: Vec<String> = roots
        .iter()
        .flat_map(|root| frames.iter().map(move |(before, after)| format!("{before}{root}{after}")))
        .chain((60..=70).map(|length| "a".repeat(length)))
        .chain([String::new(), "A".repeat(3000), ".".repeat(64), "#".repeat(64), "%41".repeat(30)])
        .collect();
    all.sort();
    all.dedup();
    assert!(all.len() >= 500, "{}", all.len());
    all
}

/// What the server may be asked for an id: one segment and one value, and nothing at all for what is no id.
fn expected(id: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"#_.-".contains(&b);
    let is_id = (1..=64).contains(&id.len())
        && id.bytes().all(plain)
        && id.bytes().any(|b| b != b'.')
        && !id.starts_with('-');
    let one = id.replace('#', "%23");
    is_id.then(|| format!("GET /api/t/{one}.json?q={one}&n=1"))
}

/// A tracker that takes whatever looks like an id at all.
fn greedy(address: &str) -> String {
    format!(
        "name = \"all\"\nkind = \"http\"\nbase = \"http://{address}/api\"\n[read]\nrequest = \"/t/{{id}}.json?q={{id}}&n=1\"\n\
         [fields]\nid = \"/id\"\nstate = \"/state\"\n[states]\nopen = [\"open\"]\n"
    )
}

/// Mallory names tickets that lead the CA's request, and with it its token, to another address of the
/// tracker: another ticket, an administrator's page, another host.
#[test]
fn five_hundred_hostile_ids_ask_for_nothing_but_tickets() {
    let (ids, server) = (hostile_ids(), Server::start(open("ana")));
    // The library.
    let one: hallpass::config::tracker::Tracker =
        toml::from_str(&greedy(&server.address.to_string())).unwrap();
    let trackers = hallpass::outside::tickets::Trackers::open(&[one]).unwrap();
    for id in &ids {
        let parsed = id.parse::<hallpass::certificate::names::TicketId>();
        if let Ok(parsed) = &parsed {
            trackers.of(parsed).unwrap().read(parsed).ok();
        }
        let wanted: Vec<String> = expected(id).into_iter().collect();
        assert_eq!(server.asked(), wanted, "{id:?}");
        assert_eq!(parsed.is_ok(), !wanted.is_empty(), "{id:?}");
    }

    // The door, by stock ssh, over one connection as people with ControlMaster have it.
    let ca = Ca::start_with(|dir| {
        let text = std::fs::read_to_string(dir.join("ca/ca.toml")).unwrap();
        let (before, _) = text.split_once("\n[[tracker]]").unwrap();
        let all = greedy(&server.address.to_string());
        let all = ["read", "fields", "states"].iter().fold(all, |all, table| {
            all.replace(&format!("[{table}]"), &format!("[tracker.{table}]"))
        });
        std::fs::write(dir.join("ca/ca.toml"), format!("{before}\n[[tracker]]\n{all}")).unwrap();
    });
    let socket = ca.dir().join("mux");
    let ssh = |words: &str| {
        let mut ssh = ca.client("ana");
        ssh.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=60"]);
        ssh.arg("-o").arg(format!("ControlPath={}", socket.display())).args(["ca", words]);
        run(&mut ssh)
    };
    let mut asked = 0;
    for id in ids.iter().filter(|id| !id.contains('\0')) {
        let quoted = id.replace('\'', "'\\''");
        let said = ssh(&format!("deploy@web01 --ticket '{quoted}'"));
        assert!(matches!(said.code, 1 | 2 | 75), "{id:?}: {said:?}");
        let lines = server.asked();
        // An id in front of a fragment or query that a browser adds is no address here: no url is configured.
        assert!(lines.iter().all(|line| Some(line) == expected(id).as_ref()), "{id:?}: {lines:?}");
        asked += lines.len();
    }
    assert!(asked > 50, "only {asked} were asked for");
    let ended = run(ca
        .client("ana")
        .args(["-O", "exit"])
        .arg("-o")
        .arg(format!("ControlPath={}", socket.display()))
        .arg("ca"));
    assert_eq!(ended.code, 0, "{ended:?}");
}
