//! A tracker's web address of a ticket, `https://tracker.example/browse/{id}`: people may give a ticket
//! by it. Nothing is ever fetched from there.

use serde::Deserialize;

use crate::certificate::names::TicketId;

/// An address with one `{id}` in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TicketUrl {
    before: String,
    after: String,
}

impl TicketUrl {
    /// The ticket that this address is of; `None` if it is of none, or of another tracker's.
    ///
    /// A fragment or query behind the id (`#comment-7`, `?focus=...`) is what a browser adds.
    pub fn ticket(&self, typed: &str) -> Option<TicketId> {
        let rest = typed.strip_prefix(self.before.as_str())?;
        if self.after.is_empty() {
            let id = rest.split(['#', '?']).next().unwrap_or(rest);
            return id.strip_suffix('/').unwrap_or(id).parse().ok();
        }
        rest.strip_suffix(self.after.as_str())?.parse().ok()
    }

    /// How an address looks.
    pub fn example(&self) -> String {
        format!("{}ID{}", self.before, self.after)
    }

    /// The address of a ticket.
    pub fn of(&self, id: &TicketId) -> String {
        format!("{}{id}{}", self.before, self.after)
    }
}

impl TryFrom<String> for TicketUrl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let rule = || format!("{text:?} is no ticket's address: https://... with one {{id}} in it");
        let (before, after) = text.split_once("{id}").ok_or_else(rule)?;
        let web = before.starts_with("https://") || before.starts_with("http://");
        let plain = text.bytes().all(|b| b.is_ascii_graphic());
        // The id must not be the server's name or its port.
        let path = before.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        if !web || !plain || !path || after.contains('{') || before.contains(['{', '#']) {
            return Err(rule());
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_by_its_address_and_nothing_else() {
        let url = TicketUrl::try_from("https://tracker.example/browse/{id}".to_owned()).unwrap();
        let ticket = |typed: &str| url.ticket(typed).map(|id| id.to_string());
        for typed in ["OPS-7", "OPS-7/", "OPS-7?focus=3", "OPS-7#comment-2"] {
            let typed = format!("https://tracker.example/browse/{typed}");
            assert_eq!(ticket(&typed).as_deref(), Some("OPS-7"), "{typed}");
        }
        for other in [
            "OPS-7",
            "https://tracker.example/browse/",
            "https://tracker.example/browse/a/b",
            "https://tracker.example/browse/../OPS-7",
            "https://tracker.example/browse/OPS%2d7",
            "https://evil.example/browse/OPS-7",
            "https://tracker.example.evil.example/browse/OPS-7",
            "http://tracker.example/browse/OPS-7",
        ] {
            assert_eq!(ticket(other), None, "{other}");
        }
        let id = "OPS-7".parse().unwrap();
        assert_eq!(url.of(&id), "https://tracker.example/browse/OPS-7");
        let framed = TicketUrl::try_from("https://t.example/t/{id}/show".to_owned()).unwrap();
        assert_eq!(framed.ticket("https://t.example/t/12/show"), "12".parse().ok());
        assert_eq!(framed.ticket("https://t.example/t/12"), None);
    }

    #[test]
    fn an_address_has_one_id_and_it_is_in_the_path() {
        for bad in [
            "",
            "{id}",
            "https://tracker.example/browse/",
            "https://tracker.example/{id}/{id}",
            "https://{id}/x",
            "https://{id}.example/",
            "https://tracker.example:{id}",
            "ftp://tracker.example/{id}",
            "https://tracker.example/a b/{id}",
            "https://tracker.example/#{id}",
        ] {
            assert!(TicketUrl::try_from(bad.to_owned()).is_err(), "{bad:?} was taken");
        }
    }
}
