//! The key ID, `REQUEST/PERSON/TICKET/END`: what sshd logs at every login.

use std::fmt;
use std::str::FromStr;

use super::names::{PersonName, RequestId, TicketId};
use super::time::UnixTime;

/// The most bytes a key ID may have.
pub const MAX: usize = 160;

/// A key ID. Each part is `[A-Za-z0-9._:-]+`: no space, bracket or `#`, which sshd's log line, a
/// KRL specification or a shell would read otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyId {
    /// The request.
    pub request: RequestId,
    /// The person.
    pub person: PersonName,
    /// The ticket, `-` when there is none; a byte outside the grammar is `-` (the exact id is in the facts).
    pub ticket: String,
    /// The grant's end: a session may last until then, `valid_before` bounds only the login.
    pub end: UnixTime,
}

impl KeyId {
    /// The key ID of a certificate under a grant.
    pub fn new(
        request: RequestId,
        person: PersonName,
        ticket: Option<&TicketId>,
        end: UnixTime,
    ) -> Self {
        let keep = |c: char| if part_char(c) { c } else { '-' };
        let ticket =
            ticket.map_or_else(|| "-".to_owned(), |id| id.as_str().chars().map(keep).collect());
        Self { request, person, ticket, end }
    }
}

fn part_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._:-".contains(c)
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.request, self.person, self.ticket, self.end.compact())
    }
}

impl FromStr for KeyId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const BAD: &str = "not a key ID as REQUEST/PERSON/TICKET/END";
        let mut parts = text.split('/');
        let (Some(request), Some(person), Some(ticket), Some(end), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BAD);
        };
        if text.len() > MAX || ticket.is_empty() || !ticket.chars().all(part_char) {
            return Err(BAD);
        }
        Ok(Self {
            request: request.parse().map_err(|_| BAD)?,
            person: person.parse().map_err(|_| BAD)?,
            ticket: ticket.to_owned(),
            end: UnixTime::from_compact(end).ok_or(BAD)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_fits_and_is_read_back() {
        let long = KeyId::new(
            RequestId::from_random(7),
            "p".repeat(63).parse().unwrap(),
            Some(&"T".repeat(64).parse().unwrap()),
            UnixTime::MAX,
        );
        assert!(long.to_string().len() <= MAX, "{}", long.to_string().len());
        assert_eq!(long.to_string().parse(), Ok(long));
        let hash = KeyId::new(
            RequestId::from_random(7),
            "ana".parse().unwrap(),
            Some(&"#12".parse().unwrap()),
            UnixTime::from_secs(1795326000),
        );
        assert_eq!(hash.to_string(), "r700000000000/ana/-12/20261122T054000Z");
        for bad in [
            "",
            "a/b/c/d",
            "r700000000000/ana/-/20261122T054000Z/x",
            "r700000000000/ana//20261122T054000Z",
            "r700000000000/ana/a b/20261122T054000Z",
            "r700000000000/ana/#1/20261122T054000Z",
        ] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }
}
