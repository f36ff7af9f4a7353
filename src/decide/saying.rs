//! Which reasons say something: "fixing stuff" is not a reason, and neither is the ticket's own id.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::facts::Facts;

/// `[reason]` of `ca.toml`: which reasons count as one where an offer needs one. Of a ticket's id and the
/// host's and the account's names nothing is counted, nor of what is no letter and no digit at either end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Saying {
    /// How many characters it has at least.
    pub least: usize,
    /// What says nothing, in whatever case. A list here is instead of the one that is shipped.
    pub phrases: Vec<String>,
}

impl Default for Saying {
    fn default() -> Self {
        Self { least: 10, phrases: PHRASES.map(str::to_owned).to_vec() }
    }
}

impl Saying {
    /// Whether the reason that was given says something; one that was not given does not.
    pub(super) fn says(&self, facts: &Facts) -> bool {
        let Some(reason) = &facts.reason else { return false };
        let named: Vec<String> =
            [facts.account.host.to_string(), facts.account.login.to_string(), facts.account.name()]
                .into_iter()
                .chain(facts.ticket.as_ref().map(|ticket| ticket.id.to_string()))
                .map(|name| folded(&name))
                .collect();
        let words = folded(reason.as_str());
        let words = words.split_whitespace().map(trimmed);
        let left: Vec<&str> = words
            .filter(|word| !word.is_empty() && !named.iter().any(|name| name == word))
            .collect();
        let left = left.join(" ");
        let letters: BTreeSet<char> = left.chars().filter(|c| c.is_alphabetic()).collect();
        let phrase = |phrase: &String| {
            folded(phrase).split_whitespace().map(trimmed).eq(left.split_whitespace())
        };
        // "aaaaaaaaaa", "xoxoxoxoxo", "1234567890": no word has so few letters.
        letters.len() > 2 && left.chars().count() >= self.least && !self.phrases.iter().any(phrase)
    }
}

fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// A word without what stands around it: `"stuff!"` is `stuff`.
fn trimmed(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// What is typed instead of a reason.
const PHRASES: [&str; 24] = [
    "as discussed",
    "as requested",
    "because i need to",
    "because i need access",
    "debugging",
    "do my job",
    "doing my job",
    "fix issue",
    "fixing a bug",
    "fixing an issue",
    "fixing bugs",
    "fixing issues",
    "fixing stuff",
    "fixing things",
    "i need access",
    "just checking",
    "just testing",
    "lorem ipsum",
    "maintenance",
    "need access",
    "see the ticket",
    "see ticket",
    "test test test",
    "troubleshooting",
];
