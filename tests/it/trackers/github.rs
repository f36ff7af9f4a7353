//! GitHub's issues, by Prism, which checks requests against GitHub's published description and answers
//! with GitHub's own examples. It keeps no state: a header says which example. It asks for no token, and
//! GitHub shows nothing that it hides (404), so those two are tried with other trackers.

use std::time::Duration;

use super::parts::{Late, Part};
use super::{SOON, deadline, fault, granted, refused, team, tried};

const FAULT: &str = "the ticket tracker did not answer";

fn trackers(github: &Part, late: u16) -> String {
    let one = |name: &str, ids: &str, base: &str, answer: &str| {
        let deadline = deadline(name);
        let word = if ids.contains("{word}") { "{word}" } else { "ops" };
        format!(
            "[[tracker]]\nname = \"{name}\"\nkind = \"http\"\npreset = \"github\"\nbase = \"{base}/repos/octo\"\n\
             ids = [\"{ids}\"]\ndeadline = \"{deadline}\"\n[tracker.auth]\nbearer = \"secrets/bot\"\n\
             [tracker.headers]\nPrefer = \"{answer}\"\n\
             [tracker.read]\nrequest = \"/{word}/issues/{{number}}\"\n\
             [tracker.write]\nrequest = \"/{word}/issues/{{number}}/comments\"\n\n"
        )
    };
    let base = github.base();
    [
        one("github", "{word}#{number}", &base, "code=200"),
        one("github-closed", "CLOSED-{number}", &base, "example=closed"),
        one("github-nobody", "NOBODY-{number}", &base, "example=nobody"),
        one("github-absent", "ABSENT-{number}", &base, "code=404"),
        one("github-gone", "GONE-{number}", &base, "code=410"),
        one("github-moved", "MOVED-{number}", &base, "code=301"),
        one("github-late", "LATE-{number}", &format!("http://127.0.0.1:{late}"), "code=200"),
    ]
    .concat()
}

#[test]
fn what_github_says_decides() {
    let Some(mut github) = Part::github() else { return };
    let late = Late::before(github.port, Duration::from_secs(20));
    let secrets = [("bot", "anything")];
    // The issue of GitHub's examples is octocat's.
    let ca = team("github", &trackers(&github, late.port), &secrets, ["octocat", "hubot"]);

    let ticket = granted(&ca, "ops#1347");
    assert_eq!(
        (&ticket["tracker"], &ticket["state"], &ticket["said"], &ticket["assignee"]),
        (&"github".into(), &"open".into(), &"open".into(), &"ana".into()),
        "{ticket}"
    );
    assert_eq!((&ticket["title"], &ticket["labels"][0]), (&"Found a bug".into(), &"bug".into()));
    let said = ca.ssh("bob", &["deploy@web01", "ops#1347"]);
    assert!(said.code == 1 && said.err.contains("ticket ops#1347 is ana's, not yours"), "{said:?}");

    // Prism answers with issue 1347 whatever is asked: an answer about another issue is not taken.
    refused(&ca, "ops#12", "ticket ops#12 is 1347 now");
    refused(&ca, "CLOSED-1347", "ticket CLOSED-1347 is closed, needs open");
    refused(&ca, "NOBODY-1347", "ticket NOBODY-1347 is assigned to nobody you are mapped to");
    refused(&ca, "ABSENT-1347", "there is no ticket ABSENT-1347");
    refused(&ca, "GONE-1347", "there is no ticket GONE-1347");
    // It went to another repository: nothing is followed.
    fault(&ca, "MOVED-1347", FAULT, SOON);

    tried(&ca, "ops#1347", 0, &["open", "octocat", "ana"]);
    tried(&ca, "CLOSED-1347", 0, &["closed"]);
    tried(&ca, "ABSENT-1347", 1, &["there is no ticket"]);

    fault(&ca, "LATE-1347", FAULT, SOON);
    github.stop();
    fault(&ca, "ops#1347", FAULT, SOON);
    tried(&ca, "ops#1347", 75, &[]);
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}
