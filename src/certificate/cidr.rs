//! A network, as `source-address` in a certificate names it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// A network in the one way it can be written: `203.0.113.0/24`, `2001:db8::/32`, no bit set beyond
/// the prefix, never `/0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Cidr(String);

impl Cidr {
    /// The network as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an address is in it. IPv4 written as IPv6 is IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let Some((network, length)) = self.0.split_once('/') else { return false };
        match (network.parse::<IpAddr>(), length.parse()) {
            (Ok(network), Ok(length)) => network_of(address, length) == network,
            _ => false,
        }
    }
}

/// The network of so many bits that an address is in. More bits than the address has change nothing.
pub fn network_of(address: IpAddr, length: u32) -> IpAddr {
    let mask = !u128::MAX.checked_shr(length).unwrap_or_default();
    match address {
        IpAddr::V4(v4) => {
            let bits = (u128::from(u32::from(v4)) << 96) & mask;
            IpAddr::V4(u32::try_from(bits >> 96).unwrap_or_default().into())
        }
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & mask).into()),
    }
}

/// Why a text is not a network, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCidr {
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub hint: String,
}

impl BadCidr {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for BadCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadCidr {}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            BadCidr::new(
                format!("{text:?} is not a network"),
                "write networks as 203.0.113.0/24 or 2001:db8::/32, with commas between them",
            )
        })?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        if address.to_canonical() != address {
            return Err(BadCidr::new(
                format!("{text} is an IPv4 network written as IPv6, which sshd never sees"),
                "write it as IPv4",
            ));
        }
        let Some(prefix) = prefix else {
            return Err(BadCidr::new(
                format!("{text} has no prefix length"),
                format!("for this one address write {address}/{width}"),
            ));
        };
        let length: u32 = prefix.parse().map_err(|_| too_long(text, width))?;
        if length > width {
            return Err(too_long(text, width));
        }
        if length == 0 {
            return Err(BadCidr::new(
                format!("{text} is every address there is"),
                "leave @source_address out if the certificate is to be good from anywhere",
            ));
        }
        let canonical = format!("{}/{length}", network_of(address, length));
        if canonical == text {
            Ok(Self(canonical))
        } else {
            Err(BadCidr::new(
                format!("{text} is not how this network is written"),
                format!("write {canonical}"),
            ))
        }
    }
}

fn too_long(text: &str, width: u32) -> BadCidr {
    BadCidr::new(format!("the prefix length of {text} is wrong"), format!("it is 1 to {width}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_one_spelling_and_is_never_the_whole_world() {
        for good in [
            "203.0.113.9/32",
            "203.0.113.0/24",
            "128.0.0.0/1",
            "10.0.0.0/8",
            "::1/128",
            "2001:db8::/32",
            "8000::/1",
        ] {
            assert_eq!(good.parse::<Cidr>().unwrap().as_str(), good);
        }
        for (bad, message, hint) in [
            ("", "\"\" is not a network", "write networks as"),
            ("web01/24", "\"web01/24\" is not a network", "write networks as"),
            ("203.0.113.9", "203.0.113.9 has no prefix length", "write 203.0.113.9/32"),
            ("::1", "::1 has no prefix length", "write ::1/128"),
            ("203.0.113.9/24", "203.0.113.9/24 is not how", "write 203.0.113.0/24"),
            ("203.0.113.0/+24", "203.0.113.0/+24 is not how", "write 203.0.113.0/24"),
            ("203.0.113.0/024", "203.0.113.0/024 is not how", "write 203.0.113.0/24"),
            ("2001:DB8::/32", "2001:DB8::/32 is not how", "write 2001:db8::/32"),
            ("2001:db8:0::/32", "2001:db8:0::/32 is not how", "write 2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0 is every address", "leave @source_address out"),
            ("::/0", "::/0 is every address", "leave @source_address out"),
            ("10.0.0.0/33", "the prefix length of 10.0.0.0/33 is wrong", "1 to 32"),
            ("::/129", "the prefix length of ::/129 is wrong", "1 to 128"),
            ("10.0.0.0/", "the prefix length of 10.0.0.0/ is wrong", "1 to 32"),
            ("10.0.0.0/8/8", "the prefix length of 10.0.0.0/8/8 is wrong", "1 to 32"),
            ("::ffff:10.0.0.0/104", "::ffff:10.0.0.0/104 is an IPv4 network", "as IPv4"),
        ] {
            let why = bad.parse::<Cidr>().unwrap_err();
            assert!(why.message.starts_with(message), "{bad}: {}", why.message);
            assert!(why.hint.contains(hint), "{bad}: {}", why.hint);
        }
    }

    #[test]
    fn an_address_is_in_its_networks_and_in_no_other() {
        for (network, inside, outside) in [
            ("203.0.113.9/32", "203.0.113.9", "203.0.113.8"),
            ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
            ("128.0.0.0/1", "255.255.255.255", "127.255.255.255"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.0.0.0"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("8000::/1", "ffff::", "128.0.0.1"),
            ("::1/128", "::1", "::2"),
        ] {
            let network: Cidr = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network} {outside}");
        }
        let v6: IpAddr = "2001:db8:1:2:3::".parse().unwrap();
        assert_eq!(network_of(v6, 64), "2001:db8:1:2::".parse::<IpAddr>().unwrap());
        assert_eq!((network_of(v6, 200), network_of(v6, 0)), (v6, "::".parse().unwrap()));
    }
}
