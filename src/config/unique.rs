//! A table in which a name stands once. JSON lets it stand twice and takes the last: then a host that
//! was pasted in would silently replace another.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// The table.
#[derive(Debug)]
pub(crate) struct Unique<K, V>(pub(crate) BTreeMap<K, V>);

impl<K, V> Default for Unique<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, K, V> Deserialize<'de> for Unique<K, V>
where
    K: Deserialize<'de> + Ord + Display,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(Table(PhantomData))
    }
}

struct Table<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Table<K, V>
where
    K: Deserialize<'de> + Ord + Display,
    V: Deserialize<'de>,
{
    type Value = Unique<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut table = BTreeMap::new();
        while let Some(key) = map.next_key::<K>()? {
            if table.contains_key(&key) {
                return Err(M::Error::custom(format!("{key} stands here twice")));
            }
            let value = map.next_value()?;
            table.insert(key, value);
        }
        Ok(Unique(table))
    }
}
