//! An HTTP tracker against a server that answers what it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Answer, TicketSeen, Tracker, TrackerFault, Trackers};
use crate::certificate::names::TicketId;
use crate::config::tracker::Tracker as Configured;
use crate::decide::facts::TicketState;

/// What was asked of a server: the line, and the headers by their names in lower case.
pub(super) type Asked = Arc<Mutex<Vec<(String, BTreeMap<String, String>, String)>>>;

/// A server whose answers are told by the request's line.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) asked: Asked,
    connections: Arc<AtomicUsize>,
}

pub(super) fn server(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Asked::default());
    let (answer, seen) = (Arc::new(answer), Arc::clone(&asked));
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
            std::thread::spawn(move || serve(&stream, &*answer, &seen));
        }
    });
    Server { address, asked, connections }
}

fn serve(stream: &TcpStream, answer: &dyn Fn(&str) -> String, seen: &Asked) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        std::io::Read::read_exact(&mut reader, &mut body).ok()?;
        let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
        let body = String::from_utf8(body).unwrap();
        seen.lock().unwrap().push((line.clone(), headers, body));
        let mut stream = stream;
        stream.write_all(answer(&line).as_bytes()).ok()?;
    }
}

pub(super) fn status(status: u16, more: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{more}\r\n{body}",
        body.len()
    )
}

pub(super) fn ok(body: &str) -> String {
    status(200, "", body)
}

/// A tracker of its own kind at a server.
fn tracker(dir: &Path, server: &Server, more: &str) -> Arc<dyn Tracker> {
    let secret = dir.join("token");
    let mut file = std::fs::OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600).open(&secret);
    file.unwrap().write_all(b"s3cr3t-t0ken\n").unwrap();
    let head = format!(
        "name = \"own\"\nkind = \"http\"\nbase = \"http://{}/api\"\nids = [\"T-{{number}}\"]\ndeadline = \"1s\"\n",
        server.address
    );
    let (top, tables) = more.split_once("---\n").unwrap_or(("", more));
    let text = format!(
        "{head}{top}[auth]\nbearer = {secret:?}\n[read]\nrequest = \"/t/{{number}}\"\n[fields]\nid = \"/id\"\n\
         state = \"/state\"\ntitle = \"/title\"\nassignee = \"/who\"\nlabels = \"/labels/*\"\nhosts = \"/hosts\"\n\
         window_from = \"/from\"\nwindow_until = \"/until\"\nkey = \"/key\"\n[states]\nopen = [\"o\", \"true\", \"3\"]\n\
         closed = [\"c\"]\n[hosts]\nlabel = \"host:\"\n{tables}"
    );
    let one: Configured = toml::from_str(&text).unwrap_or_else(|why| panic!("{why}"));
    let trackers = Trackers::open(&[one]).unwrap();
    Arc::clone(trackers.of(&id("T-7")).unwrap())
}

fn id(text: &str) -> TicketId {
    text.parse().unwrap()
}

fn seen(tracker: &dyn Tracker) -> TicketSeen {
    match tracker.read(&id("T-7")) {
        Ok(Answer::Ticket(seen)) => seen,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ticket_is_what_the_mapping_finds_and_the_credentials_go_to_the_tracker_alone() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(|line| match line {
        "GET /api/t/7" => {
            ok(r#"{"id":7,"state":true,"title":"T","who":"u17","labels":["a","host:Web01"],
            "hosts":"web02, web03","from":"2026-11-22 05:00:00","until":"2026-11-22T06:30:00.000+0100"}"#)
        }
        "GET /api/u/u17" => ok(r#"{"login":"ana"}"#),
        other => panic!("{other}"),
    });
    let follow = "[[follow]]\nfield = \"assignee\"\nrequest = \"/u/{value}\"\nat = \"/login\"\n";
    let tracker = tracker(dir.path(), &server, follow);
    let seen = seen(&*tracker);
    assert_eq!((seen.state, seen.said.as_str()), (TicketState::Open, "true"));
    assert_eq!(seen.assignee.as_deref(), Some("ana"));
    assert_eq!(seen.hosts.iter().collect::<Vec<_>>(), ["web01", "web02", "web03"]);
    let window = seen.window.unwrap();
    assert_eq!(window.from.to_string(), "2026-11-22T05:00:00Z");
    assert_eq!(window.until.to_string(), "2026-11-22T05:30:00Z");
    let asked = server.asked.lock().unwrap();
    for (line, headers, _) in asked.iter() {
        assert_eq!(headers["authorization"], "Bearer s3cr3t-t0ken", "{line}");
        assert_eq!(headers["accept"], "application/json");
        assert_eq!(headers["accept-encoding"], "identity");
    }
}

#[test]
fn a_connection_is_kept_from_one_call_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(|_| ok(r#"{"id":7,"state":"o"}"#));
    let tracker = tracker(dir.path(), &server, "");
    (0..20).for_each(|_| drop(seen(&*tracker)));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_not_said_is_absent_and_what_has_the_wrong_type_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let body = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&body);
    let server = server(move |_| ok(&said.lock().unwrap()));
    let tracker = tracker(dir.path(), &server, "");
    let say = |text: &str| *body.lock().unwrap() = text.to_owned();

    say(r#"{"id":"T-7","state":3,"who":null,"title":null}"#);
    let bare = seen(&*tracker);
    assert_eq!((bare.assignee, bare.window, bare.title.as_str()), (None, None, ""));
    say(r#"{"id":"7","state":"o","who":""}"#);
    assert_eq!(seen(&*tracker).assignee, None);
    say(r#"{"id":"T-8","state":"o"}"#);
    assert_eq!(tracker.read(&id("T-7")), Ok(Answer::Moved("T-8".to_owned())));

    for (body, why, remedy) in [
        (
            r#"{"id":7,"state":{"name":"o"}}"#,
            "state at /state is an object",
            "/state/NAME; /state has name",
        ),
        (r#"{"id":7,"state":["o"]}"#, "state at /state is a list", "/state/0"),
        (r#"{"id":7,"state":null}"#, "state is not in the answer", "/state is null"),
        (r#"{"id":7,"state":"x"}"#, r#"state "x" means nothing"#, "[tracker.states]"),
        (r#"{"id":7,"state":1e99}"#, "means nothing here", "[tracker.states]"),
        (r#"{"id":7,"state":"o","who":["ana"]}"#, "assignee at /who is a list", "/who/0"),
        (
            r#"{"id":7,"state":"o","labels":[{"name":"a"}]}"#,
            "labels at /labels/* is an object",
            "NAME",
        ),
        (r#"{"id":7,"state":"o","hosts":{}}"#, "hosts at /hosts is an empty object", "NAME"),
        (r#"{"id":7,"state":"o","hosts":" , "}"#, "names no host", "commas or blanks"),
        (r#"{"id":7,"state":"o","labels":["host:"]}"#, "names no host", "take it away"),
        (
            r#"{"id":7,"state":"o","labels":{"a":1}}"#,
            "labels: /labels is an object",
            "mend fields.labels",
        ),
        (
            r#"{"id":7,"state":"o","labels":["a",null]}"#,
            "an element of labels at /labels/* is empty",
            "mend it",
        ),
        (r#"{"id":7,"state":"o","from":"soon"}"#, "is no time", "2026-11-22T05:00:00Z"),
        (r#"{"id":7,"state":"o","from":"2026-11-22"}"#, "is no time", "seconds since 1970"),
        (r#"{"id":7,"state":"o","from":9,"until":8}"#, "the window ends", "mend it"),
        (r#"{"id":7,"state":"o","state":"c"}"#, "stands in an object twice", "fewer fields"),
        (r#"{"state":"o"}"#, "id is not in the answer at /id", "the answer has state"),
        ("[", "no JSON that can be read", "fewer fields"),
    ] {
        say(body);
        let trial = tracker.try_out(&id("T-7"));
        match &trial.answer {
            Err(TrackerFault::Unreadable(said)) => assert!(said.contains(why), "{body}: {said}"),
            other => panic!("{body}: {other:?}"),
        }
        let said = trial.remedy.unwrap();
        assert!(said.contains(remedy), "{body}: {said}");
    }
}

#[test]
fn statuses_are_told_apart_and_the_secret_is_seen_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let answer = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&answer);
    let server = server(move |_| said.lock().unwrap().clone());
    let tracker = tracker(dir.path(), &server, "");
    let ask = |text: String| {
        *answer.lock().unwrap() = text;
        tracker.try_out(&id("T-7"))
    };
    assert_eq!(ask(status(404, "", "{}")).answer, Ok(Answer::Absent));
    assert_eq!(ask(status(403, "", "{}")).answer, Ok(Answer::Hidden));
    let refused = ask(status(401, "", "{}"));
    assert!(matches!(refused.answer, Err(TrackerFault::Credentials(_))), "{refused:?}");
    // A tracker that says what it was sent.
    let echo = ask(ok(r#"{"id":7,"state":"Bearer s3cr3t-t0ken"}"#));
    assert!(matches!(echo.answer, Err(TrackerFault::Unreadable(_))), "{echo:?}");
    let shown = format!("{echo:?} {refused:?}");
    assert!(shown.contains("[credentials]") && !shown.contains("s3cr3t-t0ken"), "{shown}");
    for (text, why) in [
        (status(400, "", "{}"), "answers 400"),
        (status(204, "", ""), "answers 204"),
        (status(500, "", "{}"), "answers 500"),
        (status(302, "location: /login\r\n", ""), "sends the CA to /login"),
        (status(302, "location: http://127.0.0.1:1/\r\n", ""), "which is not listed"),
    ] {
        let trial = ask(text);
        match trial.answer {
            Err(TrackerFault::Away(said)) => assert!(said.contains(why), "{why}: {said}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    for (text, why) in [
        (
            "HTTP/1.1 200 X\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"
                .to_owned(),
            "text/html",
        ),
        ("HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n{}".to_owned(), "nothing said"),
        (status(200, "content-encoding: gzip\r\n", "{}"), "content encoding"),
        (ok(&format!("{{\"x\":\"{}\"}}", "x".repeat(600_000))), "longer than 512 KiB"),
    ] {
        match ask(text).answer {
            Err(TrackerFault::Unreadable(said)) => assert!(said.contains(why), "{why}: {said}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

/// Mallory has the tracker's machine for an hour and has it redirect to one of hers: what is listed is
/// followed, at most twice, and the credentials stay at home.
#[test]
fn a_redirect_is_followed_where_it_is_listed_and_without_the_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let other = server(|_| ok(r#"{"id":7,"state":"o"}"#));
    let to = format!("location: http://{}/moved\r\n", other.address);
    let home = server(move |line| match line {
        "GET /api/t/7" => status(302, &to, "{}"),
        _ => status(302, "location: /again\r\n", "{}"),
    });
    let lists = |hosts: &str| tracker(dir.path(), &home, &format!("redirects = [{hosts}]\n---\n"));
    let nothing = lists("").read(&id("T-7"));
    assert!(matches!(nothing, Err(TrackerFault::Away(_))), "{nothing:?}");
    assert_eq!(other.asked.lock().unwrap().len(), 0);
    assert_eq!(seen(&*lists(&format!("\"{}\"", other.address))).state, TicketState::Open);
    let asked = other.asked.lock().unwrap();
    assert_eq!((asked.len(), asked[0].0.as_str()), (1, "GET /moved"));
    assert!(!asked[0].1.contains_key("authorization"), "{:?}", asked[0].1);

    // Round and round, at home.
    let circle = server(|_| status(302, "location: /api/t/7\r\n", "{}"));
    let listed = format!("redirects = [\"{}\"]\n---\n", circle.address);
    match tracker(dir.path(), &circle, &listed).read(&id("T-7")) {
        Err(TrackerFault::Away(why)) => assert!(why.contains("more than 2 redirects"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(circle.asked.lock().unwrap().len(), 3);
}

#[test]
fn addresses_outside_the_networks_are_not_connected_to() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(|_| ok(r#"{"id":7,"state":"o"}"#));
    let inside = tracker(dir.path(), &server, "networks = [\"127.0.0.0/8\"]\n---\n");
    assert_eq!(seen(&*inside).state, TicketState::Open);
    let before = server.asked.lock().unwrap().len();
    let outside = tracker(dir.path(), &server, "networks = [\"10.0.0.0/8\"]\n---\n");
    match outside.read(&id("T-7")) {
        Err(TrackerFault::Away(why)) => {
            assert!(why.contains("is at 127.0.0.1, which is in none"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.asked.lock().unwrap().len(), before);
}

#[test]
fn a_bad_key_that_is_not_refused_is_found_out_by_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let good = Arc::new(Mutex::new(false));
    let known = Arc::clone(&good);
    let server = server(move |line| match line {
        "GET /api/me" if *known.lock().unwrap() => ok(r#"{"me":"hallpass"}"#),
        "GET /api/me" => ok(r#"{"me":null}"#),
        _ => ok(r#"{"id":7,"state":"o"}"#),
    });
    let tracker = tracker(dir.path(), &server, "[check]\nrequest = \"/me\"\nat = \"/me\"\n");
    let refused = tracker.read(&id("T-7"));
    assert!(matches!(refused, Err(TrackerFault::Credentials(_))), "{refused:?}");
    *good.lock().unwrap() = true;
    seen(&*tracker);
    seen(&*tracker);
    let lines: Vec<String> =
        server.asked.lock().unwrap().iter().map(|(line, ..)| line.clone()).collect();
    assert_eq!(lines, ["GET /api/me", "GET /api/me", "GET /api/t/7", "GET /api/t/7"]);
}

#[test]
fn a_comment_is_written_and_a_refusal_with_200_is_none_that_was() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(|line| match line {
        "GET /api/t/7" => ok(r#"{"id":7,"state":"o","key":"k/1"}"#),
        "GET /api/t/9" => ok(r#"{"id":9,"state":"o","key":"k9"}"#),
        "PATCH /api/k/k9" => ok(r#"["no such queue"]"#),
        _ => ok(r#"["Comments added"]"#),
    });
    let write = "[write]\nmethod = \"PATCH\"\nrequest = \"/k/{key}\"\nbody = '{\"a\": {text}}'\non = [\"grant\"]\n\
                 says = { at = \"/0\", has = \"added\" }\n";
    let tracker = tracker(dir.path(), &server, write);
    assert!(tracker.takes_comments());
    tracker.comment(&id("T-7"), "line\n\"quoted\" {text}").unwrap();
    let last = server.asked.lock().unwrap().pop().unwrap();
    assert_eq!(last.0, "PATCH /api/k/k%2F1");
    assert_eq!(last.2, r#"{"a": "line\n\"quoted\" {text}"}"#);
    let refused = tracker.comment(&id("T-9"), "x").unwrap_err();
    assert!(refused.to_string().contains("no such queue"), "{refused}");
}

/// The tracker hangs. Whoever asks waits as long as the deadline; after five of them nobody waits any
/// more, and who waits for a place gives up in the same time.
#[test]
fn a_tracker_that_hangs_costs_a_deadline_and_then_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(|_| String::new());
    let tracker = tracker(dir.path(), &server, "at_once = 2\n---\n");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    let all: Vec<_> = (0..40)
        .map(|_| {
            let tracker = Arc::clone(&tracker);
            runtime.spawn(super::ask(tracker, |tracker| tracker.read(&id("T-7"))))
        })
        .collect();
    for one in all {
        let answer = runtime.block_on(one).unwrap();
        assert!(matches!(answer, Err(_) | Ok(Err(TrackerFault::Away(_)))), "{answer:?}");
    }
    assert!(begun.elapsed() < Duration::from_millis(1900), "{:?}", begun.elapsed());
    // Of the forty two got a place; three more make five.
    assert_eq!(server.asked.lock().unwrap().len(), 2);
    for _ in 0..3 {
        tracker.read(&id("T-7")).unwrap_err();
    }
    let begun = Instant::now();
    let alone = tracker.read(&id("T-7")).unwrap_err().to_string();
    assert!(alone.contains("is left alone since 20"), "{alone}");
    assert!(begun.elapsed() < Duration::from_millis(50));
}
