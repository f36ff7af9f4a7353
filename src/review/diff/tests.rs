//! What the reader of a pull request is told, change by change of the example.

use super::diff;
use crate::review::example::{HOSTS, PEOPLE, POLICY, moment};
use crate::review::tell;

/// Replaces text that must be there once.
fn with(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?}");
    text.replace(from, to)
}

/// The lines of a comparison with the example.
fn told(policy: &str, people: &str, hosts: &str) -> Vec<String> {
    let found = diff(&moment(POLICY, PEOPLE, HOSTS), &moment(policy, people, hosts)).unwrap();
    let text = tell::diff::text(&found);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    // The mark and the number agree.
    let marked = lines.iter().filter(|line| line.ends_with("  [widens]")).count();
    assert_eq!(marked, found.widening());
    lines[..lines.len() - 1].to_vec()
}

#[test]
fn nothing_differs_where_only_words_do() {
    let words = with(POLICY, "@why(\"pass through the jump host\")", "@why(\"hop\")") + "// more\n";
    assert_eq!(told(&words, PEOPLE, HOSTS), [""; 0]);
}

#[test]
fn every_change_of_a_term_says_whether_it_widens() {
    let hop = "@why(\"pass through the jump host\")\n@ttl(\"10m\") @period(\"8h\")\n@extensions(\"permit-port-forwarding\")";
    let vendor = "@source_address(\"203.0.113.0/24, 2001:db8:113::/48\")";
    let logs = "@force_command(\"journalctl -f\")";
    for (from, to, wanted) in [
        (hop, hop.replace("10m", "20m"), "~ offer hop: ttl 10m -> 20m  [widens]"),
        (hop, hop.replace("10m", "5m"), "~ offer hop: ttl 10m -> 5m"),
        (hop, hop.replace("8h", "9h"), "~ offer hop: period 8h -> 9h  [widens]"),
        (hop, hop.replace("8h", "1h"), "~ offer hop: period 8h -> 1h"),
        (
            hop,
            hop.replace("permit-port", "permit-pty, permit-port"),
            "~ offer hop: extensions permit-port-forwarding -> permit-port-forwarding, permit-pty  [widens]",
        ),
        (
            hop,
            hop.replace("permit-port-forwarding", ""),
            "~ offer hop: extensions permit-port-forwarding -> none",
        ),
        (hop, format!("{hop} @delivery(\"own-key\")"), "~ offer hop: delivery none -> own-key"),
        (hop, format!("{hop} @limit(\"5 per 1h\")"), "~ offer hop: limit none -> 5 per 1h"),
        (
            vendor,
            String::new(),
            "~ offer vendor-dev01: source_address 203.0.113.0/24, 2001:db8:113::/48 -> none  [widens]",
        ),
        (
            vendor,
            "@source_address(\"203.0.113.0/24\")".to_owned(),
            "~ offer vendor-dev01: source_address 203.0.113.0/24, 2001:db8:113::/48 -> 203.0.113.0/24",
        ),
        (
            vendor,
            "@source_address(\"0.0.0.0/1\")".to_owned(),
            "~ offer vendor-dev01: source_address 203.0.113.0/24, 2001:db8:113::/48 -> 0.0.0.0/1  [widens]",
        ),
        (logs, String::new(), "~ offer logs-prod: force_command journalctl -f -> none  [widens]"),
        (
            logs,
            "@force_command(\"bash\")".to_owned(),
            "~ offer logs-prod: force_command journalctl -f -> bash  [widens]",
        ),
    ] {
        assert_eq!(told(&with(POLICY, from, &to), PEOPLE, HOSTS), [wanted]);
    }
}

#[test]
fn conditions_and_forbids_say_whether_they_widen() {
    for (from, to, wanted) in [
        (
            "context.ticket.state == \"open\" && context.ticket.mine };",
            "context.ticket.state == \"open\" };",
            vec!["~ offer vendor-dev01: condition dropped: context.ticket.mine  [widens]"],
        ),
        (
            "context.ticket.state == \"open\" && context.ticket.mine };",
            "context.ticket.state == \"open\" && context.ticket.mine && context.ticket.covers };",
            vec!["~ offer vendor-dev01: condition added: context.ticket.covers"],
        ),
        (
            "unless { principal is Person && context has ticket && context.terms.ttl <= 10 };",
            ";",
            vec![
                "- ana  root@tag:prod  by root-prod",
                "~ forbid guard-root: condition dropped: !(principal is Person && (context has ticket) && (context.terms.ttl <= 10))",
            ],
        ),
        (
            "when { resource.login == \"root\" }\nunless { principal is Person",
            "when { resource.login == \"root\" && context.ttl > 60 }\nunless { principal is Person",
            vec!["~ forbid guard-root: condition added: context.ttl > 60  [widens]"],
        ),
        (
            "when { !(context.lifting && context.mine) };",
            ";",
            vec![
                "~ permit lock-anything: condition dropped: !(context.lifting && context.mine)  [widens]",
            ],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"lock\"",
            "permit (principal in Group::\"dev\", action == Action::\"lock\"",
            vec![
                "+ bob  lock at the desk  by lock-anything  [widens]",
                "- ana  lock at the desk  by lock-anything",
                "~ permit lock-anything: principal in Group::\"sre\" -> principal in Group::\"dev\"  [widens]",
            ],
        ),
    ] {
        let lines = told(&with(POLICY, from, to), PEOPLE, HOSTS);
        // Cedar's own way of setting parentheses is not ours to fix here.
        let plain = |text: &str| text.replace(['(', ')'], "");
        let lines: Vec<String> = lines.iter().map(|line| plain(line)).collect();
        let wanted: Vec<String> = wanted.iter().map(|line| plain(line)).collect();
        assert_eq!(lines, wanted, "{to}");
    }
    // Whole statements.
    let (kept, _) = POLICY.split_once("// No vendor sets foot").unwrap();
    assert_eq!(
        told(kept, PEOPLE, HOSTS),
        [
            "~ forbid guard-vendor: gone (principal in Group::\"vendor\", resource in Tag::\"prod\")  [widens]"
        ]
    );
    let more = format!(
        "{POLICY}\n@id(\"all\") @ttl(\"5m\") permit (principal in Group::\"dev\", action == Action::\"login\", \
         resource in Tag::\"prod\");\n"
    );
    let lines = told(&more, PEOPLE, HOSTS);
    assert_eq!(
        lines,
        [
            "+ bob  deploy@tag:prod  by all  (5m within 1h)  [widens]",
            "+ bob  logs@tag:prod  by all  (5m within 1h)  [widens]",
            "+ bob  root@tag:prod  by all  (5m within 1h)  [widens]",
            "~ offer all: new: 5m certificates within 1h (principal in Group::\"dev\", action == \
             Action::\"login\", resource in Tag::\"prod\")  [widens]",
        ]
    );
}

/// mallory's pull request tags a host as one for development, moves a colleague into a team, and gives
/// herself bob's name: none of it touches the policy's file.
#[test]
fn people_and_hosts_change_who_gets_where_too() {
    let people =
        with(PEOPLE, "groups = [\"vendor\"]\nemail", "groups = [\"vendor\", \"dev\"]\nemail");
    assert_eq!(
        told(POLICY, &people, HOSTS),
        [
            "+ vera  dev@dev01  by edit-dev  (10m within 8h)  [widens]",
            "+ vera  jump@hop01  by hop  (10m within 8h)  [widens]",
            "+ vera  lock at the desk  by lock-person  [widens]",
        ]
    );
    let host = "[host.db01]\ntags = [\"prod\"]";
    let hosts = with(HOSTS, host, "[host.db01]\ntags = [\"prod\", \"dev\"]");
    let lines = told(POLICY, PEOPLE, &hosts);
    let line = "+ ana, bob  root@db01  by edit-dev  (10m within 8h)  [widens]";
    assert!(lines.iter().any(|one| one == line), "{lines:#?}");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
    let bob = "email = \"bob@example.com\"\nkeys = []";
    let people = with(
        PEOPLE,
        bob,
        &format!(
            "email = \"bob@example.com\"\nkeys = [\"{key}\"]\naliases = {{ jira = \"mallory\" }}"
        ),
    );
    let lines = told(POLICY, &people, HOSTS);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("~ person bob: key SHA256:")
            && lines[0].ends_with(" is new  [widens]")
    );
    assert_eq!(lines[1], "~ person bob: alias jira = \"mallory\" is new  [widens]");
    // Without its tag a forbid does not stand over the host any more.
    let policy = format!(
        "{POLICY}\n@id(\"by-name\") @ttl(\"5m\") permit (principal in Group::\"dev\", \
         action == Action::\"login\", resource in Host::\"db01\");\n"
    );
    let untagged = with(HOSTS, host, "[host.db01]\ntags = []");
    let found = diff(&moment(&policy, PEOPLE, HOSTS), &moment(&policy, PEOPLE, &untagged)).unwrap();
    let text = tell::diff::text(&found);
    let line = "~ bob  root@db01  by by-name: forbid guard-root does not stand against it any more  [widens]";
    assert!(text.contains(line), "{text}");
}

#[test]
fn markdown_and_json_say_the_same() {
    let policy = with(POLICY, "@ttl(\"15m\") @period(\"8h\")", "@ttl(\"30m\") @period(\"8h\")");
    let found = diff(&moment(POLICY, PEOPLE, HOSTS), &moment(&policy, PEOPLE, HOSTS)).unwrap();
    let said = tell::diff::markdown_text(&found);
    assert!(said.starts_with("**1 change, which widens**\n"), "{said}");
    assert!(said.contains("| \\~ offer logs-prod: ttl 15m -\\> 30m | yes |"), "{said}");
    let object: serde_json::Value = serde_json::from_str(&tell::diff::object(&found)).unwrap();
    assert_eq!(
        (&object["widening"], &object["changes"][0]["what"]),
        (&1.into(), &"ttl 15m -> 30m".into())
    );
}
