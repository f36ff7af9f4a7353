//! A leaf: the three lines of text that the tree is made of.

use std::fmt;
use std::str::FromStr;

use super::tree::Hash;

/// What an entry records. The words are final; the list grows by addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A certificate that is about to be signed.
    Certificate,
    /// A grant that was made.
    Grant,
    /// A request that was refused, or a count of further ones.
    Refusal,
    /// The policy that decides from here on.
    Policy,
    /// The people that are known from here on.
    People,
    /// The hosts that are known from here on.
    Hosts,
    /// An entry that was here and is lost: it keeps its index, so that no serial is given twice.
    Lost,
    /// The beginning of the ledger's next generation, under another key and origin.
    Succession,
    /// A key of the CA that is used from here on, or not any more.
    Key,
    /// A certificate that the emergency key signed while the CA was dead, told afterwards.
    BreakGlass,
    /// A lock that holds from here on, or that was lifted.
    Lock,
    /// A host certificate that is about to be signed.
    HostCertificate,
    /// A grant that ended before its time.
    End,
    /// A freeze that holds from here on, or that was lifted.
    Freeze,
}

impl Kind {
    /// Every kind, for parsing.
    const ALL: [Self; 14] = [
        Self::Certificate,
        Self::Grant,
        Self::Refusal,
        Self::Policy,
        Self::People,
        Self::Hosts,
        Self::Lost,
        Self::Succession,
        Self::Key,
        Self::BreakGlass,
        Self::Lock,
        Self::HostCertificate,
        Self::End,
        Self::Freeze,
    ];

    /// The word in the leaf and in the facts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Grant => "grant",
            Self::Refusal => "refusal",
            Self::Policy => "policy",
            Self::People => "people",
            Self::Hosts => "hosts",
            Self::Lost => "lost",
            Self::Succession => "succession",
            Self::Key => "key",
            Self::BreakGlass => "break-glass",
            Self::Lock => "lock",
            Self::HostCertificate => "host-certificate",
            Self::End => "end",
            Self::Freeze => "freeze",
        }
    }
}

impl FromStr for Kind {
    type Err = BadLeaf;
    fn from_str(word: &str) -> Result<Self, BadLeaf> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.word() == word)
            .ok_or(BadLeaf("a kind this version does not know"))
    }
}

impl serde::Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.word())
    }
}

impl<'de> serde::Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLeaf(&'static str);

impl fmt::Display for BadLeaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a leaf: {}", self.0)
    }
}

impl std::error::Error for BadLeaf {}

/// A leaf of the ledger:
///
/// ```text
/// hallpass.v1 KIND
/// <base64 of SHA-256 of the to-be-signed certificate, or ->
/// <base64 of SHA-256 of the facts>
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// What the entry records.
    pub kind: Kind,
    /// The hash of the to-be-signed certificate; a certificate's leaf alone has one.
    pub tbs: Option<Hash>,
    /// The hash of the facts.
    pub facts: Hash,
}

impl Leaf {
    /// The leaf of a certificate.
    pub fn certificate(tbs: &[u8], facts: &[u8]) -> Self {
        Self { kind: Kind::Certificate, tbs: Some(Hash::of(tbs)), facts: Hash::of(facts) }
    }

    /// The leaf of anything else.
    pub fn other(kind: Kind, facts: &[u8]) -> Self {
        Self { kind, tbs: None, facts: Hash::of(facts) }
    }

    /// The leaf's hash in the tree.
    pub fn hash(&self) -> Hash {
        Hash::of_leaf(self.to_string().as_bytes())
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tbs = self.tbs.map_or_else(|| "-".to_owned(), Hash::to_base64);
        write!(f, "hallpass.v1 {}\n{tbs}\n{}\n", self.kind.word(), self.facts.to_base64())
    }
}

impl FromStr for Leaf {
    type Err = BadLeaf;
    fn from_str(text: &str) -> Result<Self, BadLeaf> {
        let mut lines = text.split('\n');
        let mut line = || lines.next().ok_or(BadLeaf("fewer than three lines"));
        let (first, second, third, end) = (line()?, line()?, line()?, line()?);
        let kind: Kind =
            first.strip_prefix("hallpass.v1 ").ok_or(BadLeaf("not hallpass.v1"))?.parse()?;
        let hash =
            |text| Hash::from_base64(text).ok_or(BadLeaf("a hash that is not 32 bytes of base64"));
        let tbs = if second == "-" { None } else { Some(hash(second)?) };
        let facts = hash(third)?;
        if !end.is_empty() || lines.next().is_some() {
            return Err(BadLeaf("more than three lines"));
        }
        if tbs.is_some() != (kind == Kind::Certificate) {
            return Err(BadLeaf("a certificate has a first hash, nothing else has"));
        }
        Ok(Self { kind, tbs, facts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_three_lines_and_nothing_else() {
        let leaf = Leaf::certificate(b"tbs", b"facts");
        let text = leaf.to_string();
        assert_eq!(text.parse(), Ok(leaf));
        assert_eq!(text.lines().count(), 3);
        let refusal = Leaf::other(Kind::Refusal, b"facts").to_string();
        assert!(refusal.starts_with("hallpass.v1 refusal\n-\n"));
        for bad in [
            text.trim_end().to_owned(),
            format!("{text}\n"),
            text.replace("v1", "v2"),
            text.replace("certificate", "nonsense"),
            text.replace("certificate", "refusal"),
            refusal.replace("refusal", "certificate"),
            text.replace('=', ""),
            text.replace('\n', "\r\n"),
        ] {
            assert!(bad.parse::<Leaf>().is_err(), "{bad:?} was taken");
        }
    }
}
