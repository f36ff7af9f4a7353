//! What people can name as a ticket.

use super::open;
use super::server::Server;
use crate::ca::Ca;
use crate::process::run;

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
