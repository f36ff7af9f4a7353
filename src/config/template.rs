//! The address of a request to a tracker, with places in it: `/rest/api/2/issue/{id}?fields=status`.

use serde::Deserialize;

/// A path, and perhaps a query, below a tracker's base. What is put into a place is percent-encoded, so
/// that it is one path segment (or part of one), or one value of the query, whatever it holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// What can be put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `{id}`, the ticket's id.
    Id,
    /// `{number}` of the pattern that the id fits.
    Number,
    /// `{word}` of that pattern.
    Word,
    /// `{value}`, what a first request gave.
    Value,
    /// `{assignee}`, somebody's alias.
    Assignee,
    /// `{key}`, the tracker's own key of the ticket, as `fields.key` found it.
    Key,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 6] =
        [Self::Id, Self::Number, Self::Word, Self::Value, Self::Assignee, Self::Key];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Id => "{id}",
            Self::Number => "{number}",
            Self::Word => "{word}",
            Self::Value => "{value}",
            Self::Assignee => "{assignee}",
            Self::Key => "{key}",
        }
    }
}

impl Template {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The places in it.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place(place) => Some(*place),
            Part::Text(_) => None,
        })
    }

    /// The address, its places filled. What is put in must be there, be short, and not make a segment
    /// that is `.` or `..`, which servers take for a step to another folder.
    pub fn fill<'v>(&self, value: impl Fn(Place) -> Option<&'v str>) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled += text,
                Part::Place(place) => {
                    let name = place.as_str();
                    let value = value(*place).filter(|value| !value.is_empty());
                    let value = value.ok_or_else(|| format!("there is nothing for {name}"))?;
                    if value.len() > LONGEST || value.chars().any(char::is_control) {
                        return Err(format!("what is there for {name} is no part of an address"));
                    }
                    encode(value, &mut filled);
                }
            }
        }
        if dots(&filled) {
            return Err(format!("{filled} leads to another folder"));
        }
        Ok(filled)
    }
}

/// The most bytes that are put in a place.
const LONGEST: usize = 256;

/// Percent-encodes all but RFC 3986's unreserved characters.
fn encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            *into += &format!("%{byte:02X}");
        }
    }
}

/// Whether a path has a segment that steps aside.
fn dots(address: &str) -> bool {
    let path = address.split('?').next().unwrap_or(address);
    path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

impl TryFrom<String> for Template {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no address of a request: {why}");
        if !text.starts_with('/') || text.starts_with("//") {
            return Err(wrong("it begins with one /, and base has what is before"));
        }
        if text.contains('#') {
            return Err(wrong("# begins what is never sent; write %23"));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('\\') {
            return Err(wrong("it has a character that must be written as %XX"));
        }
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            if let Some(place) = Place::ALL.into_iter().find(|p| rest.starts_with(p.as_str())) {
                parts.push(Part::Place(place));
                rest = rest.get(place.as_str().len()..).unwrap_or_default();
                continue;
            }
            let (fixed, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            if fixed.is_empty() || fixed.contains('}') {
                let known = Place::ALL.map(Place::as_str).join(" ");
                return Err(wrong(&format!(
                    "the places are {known}; other braces are %7B and %7D"
                )));
            }
            let escaped = fixed.split('%').skip(1).all(|after| {
                after.get(..2).is_some_and(|two| two.bytes().all(|b| b.is_ascii_hexdigit()))
            });
            if !escaped {
                return Err(wrong("a % is followed by two hexadecimal digits"));
            }
            parts.push(Part::Text(fixed.to_owned()));
            rest = after;
        }
        if dots(&text) {
            return Err(wrong("it has a segment . or .."));
        }
        Ok(Self { text, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, with: &str) -> Result<String, String> {
        Template::try_from(text.to_owned()).unwrap().fill(|_| Some(with))
    }

    #[test]
    fn whatever_is_put_in_is_one_segment_or_one_value() {
        for (with, wanted) in [
            ("OPS-7", "/issue/OPS-7.json?q=OPS-7&n=1"),
            ("ops#7", "/issue/ops%237.json?q=ops%237&n=1"),
            ("a/../b", "/issue/a%2F..%2Fb.json?q=a%2F..%2Fb&n=1"),
            ("a?b=c&d", "/issue/a%3Fb%3Dc%26d.json?q=a%3Fb%3Dc%26d&n=1"),
            ("%2e%2e", "/issue/%252e%252e.json?q=%252e%252e&n=1"),
            ("\u{e4} @;\\", "/issue/%C3%A4%20%40%3B%5C.json?q=%C3%A4%20%40%3B%5C&n=1"),
        ] {
            assert_eq!(filled("/issue/{id}.json?q={value}&n=1", with).as_deref(), Ok(wanted));
        }
        for bad in ["", "..", ".", "a\nb", "a\0b", "\u{85}"] {
            assert!(filled("/issue/{id}", bad).is_err(), "{bad:?}");
        }
        assert!(filled("/issue/{id}", &"a".repeat(300)).is_err());
        assert!(filled("/issue/.{id}", ".").is_err());
        // In a query dots are dots.
        assert_eq!(filled("/i?q={id}", "..").as_deref(), Ok("/i?q=.."));
    }

    #[test]
    fn a_template_that_is_none_is_refused_with_the_reason() {
        for (bad, why) in [
            ("", "begins with one /"),
            ("issue/{id}", "begins with one /"),
            ("//other.example/{id}", "begins with one /"),
            ("https://other.example/{id}", "begins with one /"),
            ("/a/{id}#x", "write %23"),
            ("/a b/{id}", "%XX"),
            ("/a\\{id}", "%XX"),
            ("/a/{ticket}", "the places are {id} {number}"),
            ("/a/{id", "the places are"),
            ("/a/id}", "the places are"),
            ("/a/../{id}", "a segment . or .."),
            ("/a/%2E%2e/{id}", "a segment . or .."),
            ("/a/100%/{id}", "two hexadecimal digits"),
        ] {
            let said = Template::try_from(bad.to_owned()).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
