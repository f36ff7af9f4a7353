//! What `ca.toml` says of a tracker above what its preset says: table by table, key by key.

use std::collections::{BTreeMap, BTreeSet};

use super::presets;
use super::tracker_http::States;
use super::tracker_words::{
    FieldWords, HostWords, HttpWords, PresetName, ReadWords, SearchWords, WriteWords,
};

/// `a.KEY.or(b.KEY)` for each key: whoever adds a key and forgets it here does not get it compiled.
macro_rules! over {
    ($type:ident, $above:expr, $below:expr, { $($key:ident),* }, { $($table:ident),* }) => {{
        let (above, below) = ($above, $below);
        let $type { $($key,)* $($table,)* } = above;
        $type {
            $($key: $key.or(below.$key),)*
            $($table: merge($table, below.$table),)*
        }
    }};
}

trait Over {
    fn over(self, below: Self) -> Self;
}

fn merge<T: Over>(above: Option<T>, below: Option<T>) -> Option<T> {
    match (above, below) {
        (Some(above), Some(below)) => Some(above.over(below)),
        (above, below) => above.or(below),
    }
}

impl HttpWords {
    /// These words, and a preset's where they are silent. How comments are written is the preset's to say,
    /// that they are is not: without `[tracker.write]` in `ca.toml` there are none.
    pub(super) fn over_preset(self, name: &PresetName) -> Result<Self, String> {
        let below = toml::from_str::<Self>(presets::text(&name.0)?);
        let mut below = below.map_err(|why| format!("the preset {}: {why}", name.0))?;
        below.write = below.write.filter(|_| self.write.is_some());
        Ok(over!(HttpWords, self, below,
            { base, deadline, at_once, redirects, networks, ca_file, auth, follow, check },
            { headers, read, fields, states, hosts, search, write }))
    }
}

impl Over for BTreeMap<String, String> {
    fn over(self, mut below: Self) -> Self {
        // A header has no case.
        below.retain(|name, _| !self.keys().any(|mine| mine.eq_ignore_ascii_case(name)));
        below.extend(self);
        below
    }
}

impl Over for ReadWords {
    fn over(self, below: Self) -> Self {
        over!(ReadWords, self, below, { request, found, absent, hidden }, {})
    }
}

impl Over for FieldWords {
    fn over(self, below: Self) -> Self {
        over!(FieldWords, self, below,
            { id, title, state, said, assignee, priority, labels, hosts, window_from, window_until, key },
            {})
    }
}

impl Over for HostWords {
    fn over(self, below: Self) -> Self {
        over!(HostWords, self, below, { label }, {})
    }
}

impl Over for SearchWords {
    fn over(self, below: Self) -> Self {
        over!(SearchWords, self, below, { request, ids, form }, {})
    }
}

impl Over for WriteWords {
    fn over(self, below: Self) -> Self {
        over!(WriteWords, self, below, { method, request, content, body, done, says, on }, {})
    }
}

impl Over for States {
    /// A word that `ca.toml` puts elsewhere is taken from where the preset has it.
    fn over(self, mut below: Self) -> Self {
        let Self { open, pending, closed } = self;
        let mine: BTreeSet<&String> = open.iter().chain(&pending).chain(&closed).collect();
        let pick = |above: &Vec<String>, below: &mut Vec<String>| {
            below.retain(|word| !mine.contains(word));
            if above.is_empty() { std::mem::take(below) } else { above.clone() }
        };
        Self {
            open: pick(&open, &mut below.open),
            pending: pick(&pending, &mut below.pending),
            closed: pick(&closed, &mut below.closed),
        }
    }
}
