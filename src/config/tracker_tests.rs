//! What `[[tracker]]` takes and refuses, with the place and the remedy.

use std::path::Path;

use super::ConfigError;
use super::presets::{self, PRESETS};
use super::tracker::{Http, Tracker, TrackerKind};

#[derive(Debug, serde::Deserialize)]
struct File {
    tracker: Vec<Tracker>,
}

fn read(text: &str) -> Result<Vec<Tracker>, ConfigError> {
    super::parse::<File>(Path::new("ca.toml"), text).map(|file| file.tracker)
}

fn http(text: &str) -> Http {
    match read(text).unwrap().remove(0).kind {
        TrackerKind::Http(http) => *http,
        other => panic!("{other:?}"),
    }
}

/// The least that a tracker of one's own takes.
const OWN: &str = r#"
[[tracker]]
name = "own"
kind = "http"
base = "https://t.example"
ids = ["T-{number}"]
[tracker.read]
request = "/api/{number}"
[tracker.fields]
id = "/id"
state = "/state"
[tracker.states]
open = ["o"]
"#;

#[test]
fn what_ca_toml_says_stands_above_the_preset_key_by_key() {
    let one = http(
        r#"
[[tracker]]
name = "jira"
kind = "http"
preset = "jira-8"
base = "https://jira.example.com/jira"
ids = ["OPS-{number}"]
[tracker.auth]
bearer = "secrets/jira.token"
[tracker.read]
hidden = [403, 451]
[tracker.fields]
hosts = "/fields/customfield_10400/*"
[tracker.states]
pending = ["new", "done"]
"#,
    );
    assert_eq!(one.base.to_string(), "https://jira.example.com/jira");
    assert_eq!(one.read.hidden.iter().copied().collect::<Vec<_>>(), [403, 451]);
    // The rest is the preset's.
    assert!(one.read.request.as_str().starts_with("/rest/api/2/issue/{id}"));
    assert_eq!(one.fields.id.as_str(), "/key");
    assert_eq!(one.fields.hosts.unwrap().as_str(), "/fields/customfield_10400/*");
    // A word that was moved stands in one place.
    assert_eq!((one.states.open, one.states.closed), (vec!["indeterminate".to_owned()], vec![]));
    assert_eq!(one.states.pending, ["new", "done"]);
}

/// A preset says how comments are written. Whoever takes one for reading does not write to tickets.
#[test]
fn comments_are_written_only_where_ca_toml_says_so() {
    let text = "[[tracker]]\nname = \"rt\"\nkind = \"http\"\npreset = \"rt-5\"\nids = [\"RT-{number}\"]\n\
                base = \"https://rt.example\"\n[tracker.search]\nform = \"RT-{id}\"\n";
    let silent = http(text);
    assert_eq!(silent.write, None);
    // A search is merged like the rest: the form is a site's, the request is not.
    let search = silent.search.unwrap();
    assert_eq!((search.form.as_str(), search.ids.as_str()), ("RT-{id}", "/items/*/id"));
    let write = http(&format!("{text}[tracker.write]\n")).write.unwrap();
    assert_eq!(write.says.unwrap().has, "Comments added");
    let on = http(&format!("{text}[tracker.write]\non = [\"end\"]\n")).write.unwrap().on;
    assert_eq!(on.len(), 1);
}

#[test]
fn every_preset_is_whole_but_for_what_only_a_site_knows() {
    for (name, text) in PRESETS {
        assert!(presets::title(text).len() > 3, "{name}");
        let patterns = ["{word}#{number}", "{word}-{number}"];
        for ids in patterns {
            let text = format!(
                "[[tracker]]\nname = \"t\"\nkind = \"http\"\npreset = {name:?}\nids = [{ids:?}]\n\
                 base = \"https://t.example\"\n[tracker.auth]\nbearer = \"token\"\n"
            );
            read(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
    }
}

#[test]
fn a_mistake_is_refused_with_its_place_and_its_remedy() {
    assert_eq!(http(OWN).limits.deadline.as_secs(), 3);
    for (from, to, place, said) in [
        // A place where TOML knows one.
        ("kind = \"http\"", "kind = \"htp\"", "line 4, column 8", "expected one of"),
        ("\"https://t.example\"", "\"http://t.example\"", "line 5, column 8", "write https://"),
        ("T-{number}", "T-{nr}", "line 6, column 7", "no pattern of ticket ids"),
        ("\"/api/{number}\"", "\"api/{number}\"", "line 8, column 11", "begins with one /"),
        ("\"/api/{number}\"", "\"/api/{nr}\"", "line 8, column 11", "the places are {id} {number}"),
        ("\"/id\"", "\"id\"", "line 10, column 6", "no JSON pointer: it begins with /"),
        ("id = \"/id\"", "idd = \"/id\"", "line 10, column 1", "unknown field `idd`"),
        ("name = \"own\"", "nam = \"own\"", "line 3, column 1", "unknown field `nam`"),
        (
            "kind = \"http\"",
            "kind = \"http\"\npreset = \"jra-8\"",
            "line 5, column 10",
            "did you mean jira-8?",
        ),
        (
            "kind = \"http\"",
            "kind = \"http\"\nredirects = [\"a/b\"]",
            "line 5, column 13",
            "no HOST",
        ),
        (
            "kind = \"http\"",
            "kind = \"http\"\nnetworks = [\"10.0.0.1/8\"]",
            "line 5, column 12",
            "is not how this network",
        ),
        (
            "kind = \"http\"",
            "kind = \"http\"\ndeadline = \"3\"",
            "line 5, column 12",
            "not a length of time",
        ),
        // The tracker's own where several keys do not go together.
        ("base = \"https://t.example\"", "", "line 2, column 1", "tracker own: base is missing"),
        ("request = \"/api/{number}\"", "", "line 2, column 1", "read.request is missing"),
        (
            "/api/{number}",
            "/api/all",
            "line 2, column 1",
            "is the same for every ticket: it needs {id} or {number}",
        ),
        (
            "/api/{number}",
            "/api/{word}/{number}",
            "line 2, column 1",
            "not every one of ids does: ids = [\"OPS-{word}\"]",
        ),
        (
            "/api/{number}",
            "/api/{id}/{assignee}",
            "line 2, column 1",
            "there is no {assignee} here",
        ),
        ("T-{number}", "T-", "line 2, column 1", "not every one of ids does"),
        ("id = \"/id\"", "", "line 2, column 1", "fields.id is missing"),
        ("state = \"/state\"", "", "line 2, column 1", "fields.state is missing"),
        (
            "state = \"/state\"",
            "state = \"/states/*\"",
            "line 2, column 1",
            "fields.state leads to one place",
        ),
        ("open = [\"o\"]", "", "line 2, column 1", "states.open is empty"),
        (
            "open = [\"o\"]",
            "open = [\"o\"]\nclosed = [\"o\"]",
            "line 2, column 1",
            "\"o\" stands there twice",
        ),
        (
            "kind = \"http\"",
            "kind = \"http\"\npath = \"t\"",
            "line 2, column 1",
            "path does not belong",
        ),
        ("kind = \"http\"", "kind = \"folder\"", "line 2, column 1", "base does not belong"),
        ("kind = \"http\"", "kind = \"http\"\nat_once = 0", "line 2, column 1", "at_once is 0"),
        (
            "kind = \"http\"",
            "kind = \"http\"\ndeadline = \"5m\"",
            "line 2, column 1",
            "60s at most",
        ),
        (
            "[tracker.read]",
            "[tracker.auth]\n[tracker.read]",
            "line 2, column 1",
            "one of bearer, basic and header",
        ),
        (
            "[tracker.read]",
            "[tracker.headers]\nAuthorization = \"x\"\n[tracker.read]",
            "line 2, column 1",
            "a credential goes into [tracker.auth]",
        ),
        (
            "[tracker.read]",
            "[tracker.headers]\n\"a b\" = \"x\"\n[tracker.read]",
            "line 2, column 1",
            "no header's name",
        ),
        (
            "[tracker.read]",
            "[tracker.headers]\na = \"x\\ny\"\n[tracker.read]",
            "line 2, column 1",
            "not printable ASCII",
        ),
        (
            "[tracker.read]",
            "[tracker.read]\nabsent = [200]",
            "line 2, column 1",
            "read.absent has 200",
        ),
        (
            "[tracker.states]",
            "[[tracker.follow]]\nfield = \"assignee\"\nrequest = \"/u/{value}\"\nat = \"/l\"\n[tracker.states]",
            "line 2, column 1",
            "fields does not say where it is",
        ),
        (
            "[tracker.states]",
            "[[tracker.follow]]\nfield = \"state\"\nrequest = \"/u/{id}\"\nat = \"/l\"\n[tracker.states]",
            "line 2, column 1",
            "it needs {value}",
        ),
        (
            "[tracker.states]",
            "[tracker.check]\nrequest = \"/u/{id}\"\nat = \"/l\"\n[tracker.states]",
            "line 2, column 1",
            "there is no {id} here",
        ),
        (
            "[tracker.states]",
            "[tracker.search]\nrequest = \"/u\"\nids = \"/l\"\n[tracker.states]",
            "line 2, column 1",
            "it needs {assignee}",
        ),
        (
            "[tracker.states]",
            "[tracker.search]\nrequest = \"/u/{assignee}\"\nids = \"/l\"\nform = \"x\"\n[tracker.states]",
            "line 2, column 1",
            "has one {id}",
        ),
        (
            "[tracker.states]",
            "[tracker.write]\nrequest = \"/u/{id}\"\nbody = '\"{text}\"'\n[tracker.states]",
            "line 2, column 1",
            "with its quotes",
        ),
        (
            "[tracker.states]",
            "[tracker.write]\nrequest = \"/u/{id}\"\nbody = '{}'\n[tracker.states]",
            "line 2, column 1",
            "one {text}",
        ),
        (
            "[tracker.states]",
            "[tracker.write]\nrequest = \"/u/{key}\"\n[tracker.states]",
            "line 2, column 1",
            "fields.key",
        ),
    ] {
        assert_eq!(OWN.matches(from).count(), 1, "{from}");
        let why = read(&OWN.replacen(from, to, 1)).map(|_| ()).unwrap_err().to_string();
        assert!(why.contains(said), "{to}: {why}");
        assert!(why.starts_with(&format!("ca.toml: TOML parse error at {place}\n")), "{to}: {why}");
    }
}

#[test]
fn a_command_is_a_program_and_its_arguments() {
    let text = "[[tracker]]\nname = \"c\"\nkind = \"command\"\ncommand = [\"/bin/tickets\", \"--json\"]\nasks = [\"comment\"]\n";
    match read(text).unwrap().remove(0).kind {
        TrackerKind::Command(command) => {
            assert_eq!(command.program, Path::new("/bin/tickets"));
            assert!(command.on.len() == 2 && !command.open_of && command.arguments == ["--json"]);
        }
        other => panic!("{other:?}"),
    }
    for (bad, said) in [
        ("kind = \"command\"\n", "command is missing"),
        ("kind = \"command\"\ncommand = []\n", "command is missing"),
        ("kind = \"command\"\ncommand = \"/bin/tickets\"\n", "invalid type: string"),
        (
            "kind = \"command\"\ncommand = [\"/bin/t\"]\nbase = \"https://t.example\"\n",
            "base does not belong",
        ),
        ("kind = \"folder\"\n", "path is missing"),
        ("kind = \"folder\"\npath = \"t\"\ndeadline = \"3s\"\n", "deadline does not belong"),
    ] {
        let why = read(&format!("[[tracker]]\nname = \"c\"\n{bad}")).unwrap_err().to_string();
        assert!(why.contains(said), "{bad}: {why}");
    }
}
