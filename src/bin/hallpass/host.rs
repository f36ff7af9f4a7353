//! `host config`, `known-hosts`: what servers and clients are given.

use std::path::Path;

use hallpass::config::Config;
use hallpass::config::trust::Trust;
use hallpass::host::config::{self, Kept};
use hallpass::host::known_hosts;

use crate::{Stop, print};

pub(crate) fn config(path: &Path, name: &str, keep: &[Kept]) -> Result<(), Stop> {
    let Config { ca, deciding, .. } = Config::load(path)?;
    let hosts = &deciding.hosts;
    let host = hosts.find(name).ok_or_else(|| format!("there is no host {name:?}"))?;
    print(&config::file(&Trust::load(&ca)?, hosts, host, keep)?);
    eprintln!(
        "hint: as root on the server: sh FILE  (FILE: where you saved this; it undoes all again)"
    );
    Ok(())
}

pub(crate) fn known_hosts(path: &Path) -> Result<(), Stop> {
    let Config { ca, deciding, .. } = Config::load(path)?;
    print(&known_hosts::known_hosts(&Trust::load(&ca)?, &deciding.hosts));
    Ok(())
}
