//! What a tracker's ticket ids look like: `OPS-{number}`, `{word}#{number}`.

use serde::Deserialize;

use crate::certificate::names::TicketId;

/// Text with `{number}` and `{word}` in it, each at most once, or plain text, which is a prefix of ids:
/// `OPS-` is every id that starts so.
///
/// A `{number}` is 1 to 18 digits, the first one not 0, so that a ticket has one id; a `{word}` is
/// letters, digits and `_`, `-`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TicketPattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Number,
    Word,
    Rest,
}

/// What an id has where its pattern has `{number}` and `{word}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// `{number}`.
    pub number: Option<String>,
    /// `{word}`.
    pub word: Option<String>,
}

impl TicketPattern {
    /// Whether an id looks like this.
    pub fn fits(&self, id: &TicketId) -> bool {
        self.capture(id).is_some()
    }

    /// What an id has in the places; `None` if it does not look like this.
    pub fn capture(&self, id: &TicketId) -> Option<Captured> {
        let mut captured = Captured::default();
        fits(&self.parts, id.as_str(), &mut captured).then_some(captured)
    }

    /// Whether ids that look like this have a `{number}`.
    pub fn has_number(&self) -> bool {
        self.parts.contains(&Part::Number)
    }

    /// Whether they have a `{word}`.
    pub fn has_word(&self) -> bool {
        self.parts.contains(&Part::Word)
    }

    /// How an id looks, for people: `OPS-NUMBER`.
    pub fn shape(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Number => "NUMBER".to_owned(),
            Part::Word => "WORD".to_owned(),
            Part::Rest => "...".to_owned(),
        };
        self.parts.iter().map(part).collect()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn fits(parts: &[Part], text: &str, captured: &mut Captured) -> bool {
    let Some((part, rest)) = parts.split_first() else { return text.is_empty() };
    let longest = |is: &dyn Fn(u8) -> bool| text.bytes().take_while(|b| is(*b)).count();
    let most = match part {
        Part::Text(fixed) => {
            return text
                .strip_prefix(fixed.as_str())
                .is_some_and(|text| fits(rest, text, captured));
        }
        Part::Rest => return !text.is_empty(),
        Part::Number if text.starts_with('0') => return false,
        Part::Number => longest(&|b| b.is_ascii_digit()).min(18),
        Part::Word => longest(&|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'),
    };
    // The longest first, so that `{word}-{number}` takes `A-B-7` as `A-B` and 7.
    (1..=most).rev().any(|length| {
        let Some((taken, after)) = text.split_at_checked(length) else { return false };
        let fit = fits(rest, after, captured);
        match part {
            Part::Number if fit => captured.number = Some(taken.to_owned()),
            Part::Word if fit => captured.word = Some(taken.to_owned()),
            _ => {}
        }
        fit
    })
}

impl TryFrom<String> for TicketPattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let rule = || {
            format!(
                "{text:?} is no pattern of ticket ids: OPS-{{number}}, {{word}}#{{number}}, or a prefix \
                 like OPS-, of A-Z a-z 0-9 # _ . -"
            )
        };
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (part, after) = if let Some(after) = rest.strip_prefix("{number}") {
                (Part::Number, after)
            } else if let Some(after) = rest.strip_prefix("{word}") {
                (Part::Word, after)
            } else {
                let (fixed, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"#_.-".contains(&b);
                if fixed.is_empty() || !fixed.bytes().all(plain) {
                    return Err(rule());
                }
                (Part::Text(fixed.to_owned()), after)
            };
            if !matches!(part, Part::Text(_)) && parts.contains(&part) {
                return Err(rule());
            }
            parts.push(part);
            rest = after;
        }
        match parts.as_slice() {
            [] => return Err(rule()),
            [Part::Text(_)] => parts.push(Part::Rest),
            _ => {}
        }
        Ok(Self { text, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TicketPattern {
        TicketPattern::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn an_id_fits_a_pattern_in_one_way() {
        for (text, id, number, word) in [
            ("OPS-{number}", "OPS-7", Some("7"), None),
            ("{word}-{number}", "A-B-7", Some("7"), Some("A-B")),
            ("{word}#{number}", "ops#1347", Some("1347"), Some("ops")),
            ("#{number}", "#12", Some("12"), None),
            ("{number}", "123456789012345678", Some("123456789012345678"), None),
            ("INC", "INC0010002", None, None),
        ] {
            let captured = pattern(text).capture(&id.parse().unwrap());
            let wanted =
                Captured { number: number.map(str::to_owned), word: word.map(str::to_owned) };
            assert_eq!(captured, Some(wanted), "{text} {id}");
        }
        for (text, id) in [
            ("OPS-{number}", "ops-7"),
            ("OPS-{number}", "OPS-07"),
            ("OPS-{number}", "OPS-0"),
            ("OPS-{number}", "OPS-7a"),
            ("OPS-{number}", "XOPS-7"),
            ("{number}", "1234567890123456789"),
            ("{word}#{number}", "a.b#7"),
            ("INC", "INC"),
        ] {
            assert!(!pattern(text).fits(&id.parse().unwrap()), "{id} fits {text}");
        }
        assert_eq!(pattern("{word}#{number}").shape(), "WORD#NUMBER");
    }

    #[test]
    fn a_pattern_is_of_what_ids_are_made_of() {
        for bad in ["", "OPS {number}", "{id}", "a/{number}", "{number}{number}", "{", "ops%"] {
            assert!(TicketPattern::try_from(bad.to_owned()).is_err(), "{bad:?} was taken");
        }
    }
}
