//! JSON from others: of bounded depth and size, and no name twice in an object.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep lists and objects may stand in each other.
const DEPTH: usize = 16;

/// How many values there may be. It bounds the memory of an answer: a small object takes a few
/// bytes on the wire and hundreds here.
const VALUES: usize = 10_000;

/// Reads one JSON value.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let mut left = VALUES;
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let seed = Bounded { depth: DEPTH, left: &mut left };
    let value = seed.deserialize(&mut from).map_err(|why| why.to_string())?;
    from.end().map_err(|why| why.to_string())?;
    Ok(value)
}

struct Bounded<'l> {
    depth: usize,
    left: &'l mut usize,
}

impl Bounded<'_> {
    fn take<E: Error>(&mut self) -> Result<(), E> {
        let left = self.left.checked_sub(1);
        *self.left = left.ok_or_else(|| E::custom(format!("more than {VALUES} values")))?;
        Ok(())
    }

    fn deeper<E: Error>(&mut self) -> Result<usize, E> {
        self.take()?;
        self.depth.checked_sub(1).ok_or_else(|| E::custom(format!("deeper than {DEPTH}")))
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(mut self) -> Result<Value, E> {
        self.take().map(|()| Value::Null)
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<Value, E> {
        self.take().map(|()| Value::Bool(value))
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<Value, E> {
        self.take().map(|()| value.into())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<Value, E> {
        self.take().map(|()| value.into())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<Value, E> {
        self.take()?;
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<Value, E> {
        self.take().map(|()| Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut all = Vec::new();
        while let Some(one) = list.next_element_seed(Bounded { depth, left: &mut *self.left })? {
            all.push(one);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut all = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let one = object.next_value_seed(Bounded { depth, left: &mut *self.left })?;
            // Two readers of it could each believe another.
            if all.contains_key(&name) {
                return Err(A::Error::custom("a name stands in an object twice"));
            }
            all.insert(name, one);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_it_is_and_within_bounds() {
        let text = r#"{"a":[1,-2,2.5,true,null,"x\u0000"],"b":{"c":{}}}"#;
        assert_eq!(parse(text.as_bytes()), Ok(serde_json::from_str(text).unwrap()));
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(deep(16).as_bytes()).is_ok());
        for bad in [
            deep(17),
            deep(10_000),
            "[".repeat(10_000),
            format!("{}1{}", "{\"a\":".repeat(17), "}".repeat(17)),
            format!("[{}1]", "1,".repeat(10_000)),
            r#"{"a":1,"a":1}"#.to_owned(),
            r#"{"state":"closed","\u0073tate":"open"}"#.to_owned(),
            "1e400".to_owned(),
            "{} {}".to_owned(),
            "NaN".to_owned(),
            "<html>".to_owned(),
            String::new(),
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{}", bad.get(..40).unwrap_or(&bad));
        }
        assert!(parse(b"\"\xff\"").is_err());
    }
}
