//! A block of addresses in canonical form, as `source-address` lists them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address and a prefix length, host bits zero, never `/0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    length: u32,
}

impl Cidr {
    /// Whether the block holds this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                (net.to_bits() ^ ip.to_bits()).leading_zeros() >= self.length
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                (net.to_bits() ^ ip.to_bits()).leading_zeros() >= self.length
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Cidr {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const BAD: &str = "not a block of addresses as 192.0.2.0/24 or 2001:db8::/32";
        let (address, length) = text.split_once('/').ok_or(BAD)?;
        let address: IpAddr = address.parse().map_err(|_| BAD)?;
        let length: u32 = length.parse().map_err(|_| BAD)?;
        let (bits, trailing) = match address {
            IpAddr::V4(ip) => (32, ip.to_bits().trailing_zeros()),
            IpAddr::V6(ip) => (128, ip.to_bits().trailing_zeros()),
        };
        if length == 0 {
            return Err("a block that holds every address");
        }
        if length > bits || bits - length > trailing {
            return Err("not canonical: bits are set behind the prefix");
        }
        let cidr = Self { address, length };
        // "010.0.0.0/8", "2001:DB8::/32" and "/08" mean something, but not to everybody the same.
        if cidr.to_string() == text {
            Ok(cidr)
        } else {
            Err(BAD)
        }
    }
}

impl serde::Serialize for Cidr {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Cidr {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse()
            .map_err(|why| serde::de::Error::custom(format!("{text:?} is {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_blocks_are_taken() {
        for good in [
            "192.0.2.0/24",
            "10.0.0.1/32",
            "2001:db8::/32",
            "::1/128",
            "128.0.0.0/1",
        ] {
            assert_eq!(good.parse::<Cidr>().unwrap().to_string(), good);
        }
        for bad in [
            "0.0.0.0/0",
            "::/0",
            "192.0.2.1/24",
            "10.0.0.0/33",
            "10.0.0.0",
            "10.0.0.0/08",
            "10.0.0.0/-1",
            "2001:DB8::/32",
            "::1/129",
            "a/8",
            "!10.0.0.0/8",
            "10.0.0.0/8,10.1.0.0/16",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        let block: Cidr = "10.1.0.0/16".parse().unwrap();
        assert!(
            block.contains("10.1.2.3".parse().unwrap())
                && !block.contains("10.2.0.1".parse().unwrap())
        );
        assert!(block.contains("::ffff:10.1.2.3".parse().unwrap()));
    }
}
