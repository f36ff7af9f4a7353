//! `import`: another list's people or hosts, printed as TOML.

use std::path::Path;

use hallpass::config::ca::Ca;
use hallpass::config::import::{Form, Import, Imported, What};

use crate::words::{From, HostsWords, ListWords, PeopleWords};
use crate::{Stop, count, print, say};

pub(crate) fn people(words: PeopleWords) -> Result<(), Stop> {
    let mut import = list(&words.list, What::People)?;
    import.groups = words.group;
    run(&import, &words.list.at.config, "person", "people")
}

pub(crate) fn hosts(words: HostsWords) -> Result<(), Stop> {
    let mut import = list(&words.list, What::Hosts)?;
    (import.tags, import.logins) = (words.tag, words.login);
    run(&import, &words.list.at.config, "host", "hosts")
}

fn run(import: &Import, config: &Path, one: &str, many: &str) -> Result<(), Stop> {
    let Imported { toml, entries, passed_over } = import.run(&Ca::load(config)?)?;
    print(&toml);
    for what in passed_over {
        say(&format!("passed over: {what}"));
    }
    say(&format!("{} for {many}.d; nothing is changed yet", count(entries, one, many)));
    Ok(())
}

fn list(words: &ListWords, what: What) -> Result<Import, Stop> {
    let path = &words.file;
    let ending = path.extension().and_then(|ending| ending.to_str());
    let form = match (words.from, ending) {
        (Some(From::Csv), _) | (None, Some("csv")) => Form::Csv,
        (Some(From::Json), _) | (None, Some("json")) => Form::Json,
        (Some(From::Ansible), _) => Form::Ansible,
        (Some(From::Terraform), _) => Form::Terraform,
        (None, _) => {
            let what = "what does it look like? --from csv, json, ansible or terraform";
            return Err(Stop::Failed(format!("{}: {what}", path.display())));
        }
    };
    let stdin = path.as_os_str() == "-";
    let text = if stdin {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|why| format!("{}: {why}", path.display()))?;
    let name = if stdin { "standard input".to_owned() } else { path.display().to_string() };
    Ok(Import {
        what,
        form,
        name,
        text,
        lower_case: words.lower_case,
        groups: Vec::new(),
        tags: Vec::new(),
        logins: Vec::new(),
        replaces: words.replaces.clone(),
    })
}
