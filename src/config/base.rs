//! Where a tracker is: scheme, host, port, and what all its addresses begin with.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

/// `https://jira.example.com/tracker`. `http://` is for this machine alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Base {
    scheme: Scheme,
    authority: Authority,
    prefix: String,
}

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// TLS.
    Https,
    /// Plain; to a loopback address.
    Http,
}

/// A host and a port: `jira.example.com`, `[::1]:8080`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Authority {
    host: String,
    port: Option<u16>,
}

impl Scheme {
    fn word(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

impl Base {
    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The whole address of a path below it.
    pub fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// Whether an address has this scheme, host and port.
    pub fn is_home_of(&self, address: &str) -> bool {
        self.leads(address).is_some_and(|to| self.same(&to, &self.authority))
    }

    /// Whether an address has this scheme, and a host and port that are listed.
    pub fn may_lead(&self, address: &str, listed: &[Authority]) -> bool {
        let to = self.leads(address);
        to.is_some_and(|to| listed.iter().any(|one| self.same(&to, one)))
    }

    /// Where a redirect to a path on the same server leads.
    pub fn beside(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme.word(), self.authority)
    }

    /// The host and port of an address of the same scheme.
    fn leads(&self, address: &str) -> Option<Authority> {
        let rest = address.strip_prefix(self.scheme.word())?.strip_prefix("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        Authority::try_from(rest.get(..end)?.to_owned()).ok()
    }

    fn same(&self, one: &Authority, other: &Authority) -> bool {
        let port = |authority: &Authority| authority.port.unwrap_or(self.scheme.port());
        one.host == other.host && port(one) == port(other)
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.word(), self.authority, self.prefix)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl TryFrom<String> for Base {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no tracker's base: {why}");
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            _ => return Err(wrong("https://HOST, perhaps a port and a path")),
        };
        let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = Authority::try_from(authority.to_owned()).map_err(|why| wrong(&why))?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
        let steps = prefix.split('/').any(|segment| segment == "." || segment == "..");
        if !prefix.bytes().all(plain) || prefix.contains("//") || steps {
            return Err(wrong("its path is plain, without query and without . or .."));
        }
        if scheme == Scheme::Http && !authority.is_loopback() {
            return Err(wrong(
                "http:// is for a loopback address (127.0.0.1, [::1]) only: anybody on the way could read the \
                 credentials and answer in the tracker's name; write https://",
            ));
        }
        Ok(Self { scheme, authority, prefix: prefix.to_owned() })
    }
}

impl Authority {
    fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl TryFrom<String> for Authority {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no HOST or HOST:PORT");
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text.as_str(), None),
        };
        let number = port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0));
        let port = match number {
            Some(None) => return Err(wrong()),
            Some(Some(port)) => Some(port),
            None => None,
        };
        let six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good = match six {
            Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.len() <= 253
                    && host.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }
        };
        if !good {
            return Err(wrong());
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Base {
        Base::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_base_is_https_or_this_machine() {
        assert_eq!(
            base("https://T.example/a/").join("/x"),
            "https://t.example/a/x",
            "host names have no case"
        );
        for good in ["http://127.0.0.1:8080", "http://[::1]:8080/rt", "https://10.0.0.7:8443"] {
            assert_eq!(base(good).to_string(), good);
        }
        for (bad, why) in [
            ("", "https://HOST"),
            ("jira.example.com", "https://HOST"),
            ("ftp://jira.example.com", "https://HOST"),
            ("http://jira.example.com", "loopback address"),
            ("http://localhost", "loopback address"),
            ("http://127.0.0.1.evil.example", "loopback address"),
            ("http://10.0.0.1", "loopback address"),
            ("https://user:pw@jira.example.com", "HOST:PORT"),
            ("https://jira.example.com:0", "HOST:PORT"),
            ("https://jira.example.com:65536", "HOST:PORT"),
            ("https://", "HOST:PORT"),
            ("https://jira.example.com?x", "HOST:PORT"),
            ("https://jira.example.com/a?x=1", "without query"),
            ("https://jira.example.com/a/../b", "without . or .."),
            ("https://jira.example.com//b", "plain"),
        ] {
            let said = Base::try_from(bad.to_owned()).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }

    #[test]
    fn a_redirect_leads_where_it_is_listed_and_nowhere_else() {
        let base = base("https://t.example/a");
        let listed = [Authority::try_from("cdn.example".to_owned()).unwrap()];
        for good in ["https://cdn.example/x", "https://CDN.example:443/x"] {
            assert!(base.may_lead(good, &listed), "{good}");
        }
        for bad in [
            "http://cdn.example/x",
            "https://cdn.example:444/x",
            "https://cdn.example.evil.example/x",
            "https://cdn.example@evil.example/x",
            "https://evil.example/cdn.example",
            "https://t.example/x",
            "//cdn.example/x",
            "",
        ] {
            assert!(!base.may_lead(bad, &listed), "{bad}");
        }
        assert!(
            base.is_home_of("https://t.example:443/z") && !base.is_home_of("https://t.example:8/z")
        );
    }
}
