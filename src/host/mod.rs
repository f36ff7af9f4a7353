//! What servers and clients are given: the file that puts a server under the CA, the lines by which a
//! client knows hosts, host certificates. No I/O.

pub mod config;
pub mod known_hosts;
pub mod sign;

use std::net::{IpAddr, SocketAddr};

use crate::config::hosts::Host;

/// Every name and address of a host, the canonical name first, with its port if that is said.
pub fn places(host: &Host) -> Vec<(&str, Option<u16>)> {
    let others = host.aliases.iter().chain(&host.addresses).map(|text| place(text));
    std::iter::once((host.name.as_str(), None)).chain(others).collect()
}

/// `192.0.2.1`, `2001:db8::1`, `web01`, and each with a port: `192.0.2.1:22`, `web01:22`.
fn place(text: &str) -> (&str, Option<u16>) {
    if text.parse::<IpAddr>().is_ok() {
        return (text, None);
    }
    let Some((name, port)) = text.rsplit_once(':') else { return (text, None) };
    let is_host = text.parse::<SocketAddr>().is_ok() || !name.contains(':');
    match port.parse() {
        Ok(port) if is_host => (name, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_name_or_an_address_perhaps_with_a_port() {
        for (text, expected) in [
            ("web01", ("web01", None)),
            ("web01:2222", ("web01", Some(2222))),
            ("192.0.2.1", ("192.0.2.1", None)),
            ("192.0.2.1:2222", ("192.0.2.1", Some(2222))),
            ("2001:db8::1", ("2001:db8::1", None)),
            ("2001:db8::1:2222", ("2001:db8::1:2222", None)),
            ("a:b", ("a:b", None)),
            ("a:b:1", ("a:b:1", None)),
        ] {
            assert_eq!(place(text), expected, "{text}");
        }
    }
}
