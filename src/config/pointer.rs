//! Where something is in a JSON answer: a pointer of RFC 6901, with `*` for each element of a list.

use serde::Deserialize;
use serde_json::Value;

/// `/fields/labels/*`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pointer {
    text: String,
    segments: Vec<String>,
}

impl Pointer {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it can lead to several places.
    pub fn is_several(&self) -> bool {
        self.segments.iter().any(|segment| segment == "*")
    }

    /// What it leads to. What is missing, `null` or an empty text on the way is absent, and what is
    /// neither object nor list is in the way: an error that says where. After a `*` nothing may be absent:
    /// a list of hosts whose names are not found must not look like no hosts.
    pub fn find<'v>(&self, root: &'v Value) -> Result<Vec<&'v Value>, String> {
        let (mut all, mut gone, mut each) = (vec![root], String::new(), false);
        for segment in &self.segments {
            let mut next = Vec::new();
            for value in all {
                let found = step(value, segment)
                    .ok_or_else(|| format!("{} is {}", place(&gone), kind(value)))?;
                if each && found.is_empty() {
                    return Err(format!("an element of {gone} has no {segment}"));
                }
                next.extend(found);
            }
            (all, gone) = (next, format!("{gone}/{segment}"));
            each = each || segment == "*";
        }
        Ok(all)
    }

    /// The one thing that it leads to.
    pub fn one<'v>(&self, root: &'v Value) -> Result<Option<&'v Value>, String> {
        Ok(self.find(root)?.into_iter().next())
    }

    /// Where it ends when it leads nowhere, for whoever mends it: how far it goes, and what is there.
    pub fn missed(&self, root: &Value) -> String {
        let mut at = root;
        let mut gone = String::new();
        for segment in &self.segments {
            let Some(next) = step(at, segment).into_iter().flatten().next() else { break };
            at = next;
            gone = format!("{gone}/{segment}");
        }
        let place = place(&gone);
        match at {
            Value::Object(members) if !members.is_empty() => {
                let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
                names.truncate(30);
                format!("{place} has {}", names.join(", "))
            }
            Value::Array(list) => format!("{place} is a list of {}", list.len()),
            other => format!("{place} is {}", kind(other)),
        }
    }
}

/// What a JSON value is, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(members) if members.is_empty() => "an empty object",
        Value::Object(_) => "an object",
    }
}

fn place(gone: &str) -> &str {
    if gone.is_empty() { "the answer" } else { gone }
}

/// Where a segment leads; `None` if it cannot lead on from there.
fn step<'v>(value: &'v Value, segment: &str) -> Option<Vec<&'v Value>> {
    match value {
        Value::Array(list) if segment == "*" => Some(list.iter().collect()),
        Value::Array(list) => {
            // RFC 6901: no sign, no leading zero.
            let plain = segment == "0" || !segment.starts_with(['0', '+']);
            let at: usize = segment.parse().ok().filter(|_| plain)?;
            Some(list.get(at).into_iter().collect())
        }
        Value::Object(_) if segment == "*" => None,
        Value::Object(members) => Some(members.get(segment).into_iter().collect()),
        Value::Null => Some(Vec::new()),
        Value::String(text) if text.is_empty() => Some(Vec::new()),
        _ => None,
    }
}

impl TryFrom<String> for Pointer {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no JSON pointer: {why}");
        let Some(rest) = text.strip_prefix('/') else {
            return Err(wrong("it begins with /, as in /fields/status/name"));
        };
        let mut segments = Vec::new();
        for segment in rest.split('/') {
            if segment.is_empty() {
                return Err(wrong("it has an empty segment"));
            }
            let tilde = segment.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
            if !tilde {
                return Err(wrong("~ is written ~0, and / within a name ~1"));
            }
            segments.push(segment.replace("~1", "/").replace("~0", "~"));
        }
        Ok(Self { text, segments })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointer(text: &str) -> Pointer {
        Pointer::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_pointer_leads_to_one_thing_or_to_each_of_a_list() {
        let answer = json!({"a": {"b/c": 1, "~": 2}, "l": [{"n": "x"}, {"n": "y"}], "z": null, "e": "", "s": "x"});
        for (text, wanted) in [
            ("/a/b~1c", vec![json!(1)]),
            ("/a/~0", vec![json!(2)]),
            ("/l/*/n", vec![json!("x"), json!("y")]),
            ("/l/1/n", vec![json!("y")]),
            ("/z", vec![json!(null)]),
            ("/l/9", vec![]),
            ("/z/q", vec![]),
            ("/z/*", vec![]),
            ("/e/q", vec![]),
            ("/q/r/*/s", vec![]),
        ] {
            let found: Vec<Value> =
                pointer(text).find(&answer).unwrap().into_iter().cloned().collect();
            assert_eq!(found, wanted, "{text}");
        }
        for (text, why) in [
            ("/l/01/n", "/l is a list"),
            ("/l/+1/n", "/l is a list"),
            ("/l/n", "/l is a list"),
            ("/a/*", "/a is an object"),
            ("/s/n", "/s is text"),
            ("/a/~0/n", "/a/~ is a number"),
            ("/l/*/m", "an element of /l/* has no m"),
        ] {
            assert_eq!(pointer(text).find(&answer), Err(why.to_owned()), "{text}");
        }
        assert_eq!(pointer("/a/x").missed(&answer), "/a has b/c, ~");
        assert_eq!(pointer("/x").missed(&answer), "the answer has a, l, z, e, s");
        assert_eq!(pointer("/l/7/n").missed(&answer), "/l is a list of 2");
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for bad in ["", "/", "a/b", "a", "/a//b", "/a/", "/a~", "/a~2"] {
            assert!(Pointer::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
