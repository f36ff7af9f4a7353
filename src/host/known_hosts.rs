//! known_hosts: how a client knows the CA's door and the hosts.

use ssh_key::PublicKey;

use super::places;
use crate::config::hosts::{Host, Hosts};
use crate::config::trust::Trust;

/// The door's line; then for each host one line a key, under all its names and addresses. Pools, whose
/// machines come and go, and hosts that are declared to show a host certificate are known by the host CA.
pub fn known_hosts(trust: &Trust, hosts: &Hosts) -> String {
    let mut out = trust.known_hosts();
    for host in hosts.iter() {
        let names = names(host);
        for key in &host.host_keys {
            out += &format!("{names} {}\n", line(key));
        }
        if host.pool || host.host_certificate {
            for key in trust.host_ca_keys() {
                out += &format!("@cert-authority {names} {}\n", line(key));
            }
        }
    }
    out
}

/// The names in the form of known_hosts: a port that is not 22 with the name in brackets.
fn names(host: &Host) -> String {
    let name = |(name, port): (&str, Option<u16>)| match port {
        None | Some(22) => name.to_owned(),
        Some(port) => format!("[{name}]:{port}"),
    };
    let mut names: Vec<String> = Vec::new();
    for place in places(host) {
        let name = name(place);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(",")
}

/// `TYPE BASE64`: a comment is foreign text.
fn line(key: &PublicKey) -> String {
    PublicKey::new(key.key_data().clone(), "")
        .to_openssh()
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}
