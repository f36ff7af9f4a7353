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

    /// What it leads to. `null` is there: whoever asks says what it means.
    pub fn find<'v>(&self, root: &'v Value) -> Vec<&'v Value> {
        let mut all = vec![root];
        for segment in &self.segments {
            all = all.into_iter().flat_map(|value| step(value, segment)).collect();
        }
        all
    }

    /// The one thing that it leads to.
    pub fn one<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.find(root).into_iter().next()
    }

    /// Where it ends when it leads nowhere, for whoever mends it: how far it goes, and what is there.
    pub fn missed(&self, root: &Value) -> String {
        let mut at = root;
        let mut gone = String::new();
        for segment in &self.segments {
            let Some(next) = step(at, segment).into_iter().next() else { break };
            at = next;
            gone = format!("{gone}/{segment}");
        }
        let place = if gone.is_empty() { "the answer".to_owned() } else { gone };
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

fn step<'v>(value: &'v Value, segment: &str) -> Vec<&'v Value> {
    match value {
        Value::Array(list) if segment == "*" => list.iter().collect(),
        Value::Array(list) => {
            // RFC 6901: no sign, no leading zero.
            let plain = segment == "0" || !segment.starts_with(['0', '+']);
            let at = segment.parse::<usize>().ok().filter(|_| plain);
            at.and_then(|at| list.get(at)).into_iter().collect()
        }
        Value::Object(members) => members.get(segment).into_iter().collect(),
        _ => Vec::new(),
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
        let answer = json!({"a": {"b/c": 1, "~": 2}, "l": [{"n": "x"}, {"n": "y"}, 3], "z": null});
        for (text, wanted) in [
            ("/a/b~1c", vec![json!(1)]),
            ("/a/~0", vec![json!(2)]),
            ("/l/*/n", vec![json!("x"), json!("y")]),
            ("/l/1/n", vec![json!("y")]),
            ("/z", vec![json!(null)]),
            ("/l/01/n", vec![]),
            ("/l/+1/n", vec![]),
            ("/l/9", vec![]),
            ("/a/*", vec![]),
            ("/z/q", vec![]),
        ] {
            let found: Vec<Value> = pointer(text).find(&answer).into_iter().cloned().collect();
            assert_eq!(found, wanted, "{text}");
        }
        assert_eq!(pointer("/a/x").missed(&answer), "/a has b/c, ~");
        assert_eq!(pointer("/x").missed(&answer), "the answer has a, l, z");
        assert_eq!(pointer("/l/7/n").missed(&answer), "/l is a list of 3");
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for bad in ["", "/", "a/b", "a", "/a//b", "/a/", "/a~", "/a~2"] {
            assert!(Pointer::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
