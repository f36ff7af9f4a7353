//! The README's commands, run as they stand there, and their output, compared with what stands there
//! but for keys, hashes, times and ids.

use std::process::Command;

use crate::ca::hallpass;
use crate::process::{Daemon, key_pair, python, repository, run, until};

/// A block of commands and their output.
struct Block {
    command: String,
    output: String,
}

/// The blocks after `<!-- output: NAME -->`, by name; a block may hold several commands.
fn blocks(name: &str) -> Vec<Block> {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let mark = format!("<!-- output: {name} -->\n```console\n");
    let (_, rest) =
        readme.split_once(&mark).unwrap_or_else(|| panic!("README has no block {name}"));
    let text = rest.split("```").next().unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => {
                blocks.push(Block { command: command.to_owned(), output: String::new() })
            }
            None => blocks.last_mut().unwrap().output += &format!("{line}\n"),
        }
    }
    blocks
}

/// The text between a line of the README and the end of the code block it begins.
fn listing(language: &str, beginning: &str) -> String {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let from = readme
        .find(&format!("```{language}\n{beginning}"))
        .unwrap_or_else(|| panic!("{beginning}"));
    readme[from..]
        .lines()
        .skip(1)
        .take_while(|line| *line != "```")
        .map(|line| format!("{line}\n"))
        .collect()
}

/// What is different in each run becomes `~`.
fn steady(text: &str) -> String {
    let word = |word: &str| {
        let long = word.len() >= 40
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "+/=:_".contains(c));
        let id = |part: &str| {
            part.len() == 13
                && part.starts_with('r')
                && part[1..].chars().all(|c| c.is_ascii_alphanumeric())
        };
        let time = |part: &str| {
            part.len() >= 16
                && part.starts_with("20")
                && part.contains('T')
                && part.ends_with(|c: char| c == 'Z' || c.is_ascii_digit())
        };
        let passphrase = word.len() == 25 && word.as_bytes()[12] == b'-';
        if long
            || passphrase
            || word.starts_with("SHA256:")
            || word.contains("+") && word.starts_with("ca.example/")
        {
            return "~".to_owned();
        }
        let parts: Vec<String> = word
            .split('/')
            .map(|part| {
                let bare = part.trim_matches(|c: char| !c.is_ascii_alphanumeric());
                if id(bare) || time(bare) { part.replace(bare, "~") } else { part.to_owned() }
            })
            .collect();
        parts.join("/")
    };
    let line = |line: &str| {
        // How much room there is differs from machine to machine.
        let (line, room) = match line.split_once(" free besides ") {
            Some((_, room)) => ("hallpass: disk: ~", room),
            None => (line, ""),
        };
        line.split(' ').map(word).chain([room.to_owned()]).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn the_readme_shows_what_happens() {
    let dir = tempfile::Builder::new().prefix("readme-").tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    key_pair(dir.path(), "id_ed25519", &["ed25519"]);
    std::os::unix::fs::symlink(repository("tests"), at("tests")).unwrap();
    // `checker/bin/python` is the Python that scripts/test made.
    std::fs::create_dir_all(at("checker/bin")).unwrap();
    let wrapper = format!("#!/bin/sh\nexec {:?} \"$@\"\n", python().get_program());
    std::fs::write(at("checker/bin/python"), wrapper).unwrap();
    run(Command::new("chmod").arg("+x").arg(at("checker/bin/python"))).ok();

    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_hallpass")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let show = |name: &str| {
        for Block { command, output } in blocks(name) {
            // ssh reads this test's configuration, as it would read a person's own.
            let script = format!("ssh() {{ command ssh -F client \"$@\"; }}; exec 2>&1; {command}");
            let mut bash = Command::new("bash");
            bash.args(["-c", &script]).current_dir(dir.path()).env("PATH", &path).env("TZ", "UTC");
            let said = run(bash.env("PYTHONDONTWRITEBYTECODE", "1"));
            assert_eq!(steady(&said.out), steady(&output), "$ {command}\n{}", said.out);
        }
    };
    show("init");
    show("person");
    show("host");
    std::fs::write(at("ca/policy.cedar"), listing("cedar", "@id(\"deploy-prod\")")).unwrap();
    std::fs::write(at("ca/tickets/OPS-7.toml"), listing("toml", "title = \"Roll out 4.2\""))
        .unwrap();
    std::fs::write(at("ca/tickets/OPS-8.toml"), listing("toml", "title = \"Roll out 4.1\""))
        .unwrap();
    show("check");
    show("host-config");

    // Any free port, so that tests can run side by side.
    let config = std::fs::read_to_string(at("ca/ca.toml")).unwrap();
    std::fs::write(at("ca/ca.toml"), config.replace("127.0.0.1:2222", "127.0.0.1:0")).unwrap();
    let mut daemon = Daemon::start(hallpass().args(["serve", "--config"]).arg(at("ca/ca.toml")));
    let line = daemon.line("listens on");
    let port = line.rsplit(':').next().unwrap();
    assert_eq!(line.replace(port, "2222"), blocks_text("serve"));
    let door = std::fs::read_to_string(at("ca/keys/ssh_host_ed25519.pub")).unwrap();
    std::fs::write(at("known"), format!("ca {door}")).unwrap();
    let client = listing("", "Host ca\n").replace("2222", port);
    let ours = format!(
        "{client}    HostKeyAlias ca\n    UserKnownHostsFile {}\n    IdentityFile {}\n    IdentityAgent none\n",
        at("known").display(),
        at("id_ed25519").display()
    );
    std::fs::write(at("client"), ours).unwrap();
    show("ask");
    show("refused");
    // Nobody waits for a refusal's entry.
    let mut export = hallpass();
    export.args(["ledger", "export", "--config"]).arg(at("ca/ca.toml"));
    until("the refusal in the ledger", || run(&mut export).out.contains("hallpass.v1 refusal"));
    show("verify");
    show("search");
    show("story");
    show("keygen");
    show("proof");
    show("check_certificate");
    show("check_export");
}

/// A block that shows output alone.
fn blocks_text(name: &str) -> String {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let (_, rest) = readme.split_once(&format!("<!-- output: {name} -->\n```console\n")).unwrap();
    rest.split("\n```").next().unwrap().to_owned()
}
