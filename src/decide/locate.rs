//! Where things stand in the text of a policy, for messages only.
//!
//! Cedar says where its own errors are, but keeps the places of annotations and literals to itself.
//! This reads just enough of the text to find them again: words, strings and signs, without comments.
//! Nothing is decided from it; at worst a caret points to the start of a statement.

use std::ops::Range;

/// One statement of the file: annotations, `permit` or `forbid`, up to the semicolon.
#[derive(Debug, Default)]
pub(super) struct Statement<'a> {
    tokens: Vec<Token<'a>>,
}

/// A word, a number, a string with its quotes, `::`, or one other character.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token<'a> {
    text: &'a str,
    at: Range<usize>,
}

/// The statements of a policy file, in order; the n-th is Cedar's `policyN`.
pub(super) fn statements(text: &str) -> Vec<Statement<'_>> {
    let mut all = Vec::new();
    let mut tokens = Vec::new();
    for token in tokens_of(text) {
        let last = token.text == ";";
        tokens.push(token);
        if last {
            all.push(Statement { tokens: std::mem::take(&mut tokens) });
        }
    }
    if !tokens.is_empty() {
        all.push(Statement { tokens });
    }
    all
}

impl Statement<'_> {
    /// The word `permit` or `forbid`.
    pub(super) fn effect(&self) -> Range<usize> {
        let found = self.tokens.iter().find(|token| matches!(token.text, "permit" | "forbid"));
        found.or(self.tokens.first()).map_or(0..0, |token| token.at.clone())
    }

    /// The statement's name: the text of `@id`, or else the effect.
    pub(super) fn name(&self) -> Range<usize> {
        self.annotation("id").unwrap_or_else(|| self.effect())
    }

    /// The value of an annotation, or its name if it has none.
    pub(super) fn annotation(&self, name: &str) -> Option<Range<usize>> {
        self.tokens.windows(4).find_map(|window| match window {
            [at, word, open, value] if at.text == "@" && word.text == name => {
                let place = if open.text == "(" { value } else { word };
                Some(place.at.clone())
            }
            _ => None,
        })
    }

    /// An annotation's name.
    pub(super) fn annotation_name(&self, name: &str) -> Option<Range<usize>> {
        self.tokens.windows(2).find_map(|window| match window {
            [at, word] if at.text == "@" && word.text == name => Some(at.at.start..word.at.end),
            _ => None,
        })
    }

    /// The first `Kind::"name"`.
    pub(super) fn literal(&self, kind: &str, name: &str) -> Option<Range<usize>> {
        self.tokens.windows(3).find_map(|window| match window {
            [word, colons, value]
                if word.text == kind && colons.text == "::" && inner(value.text) == Some(name) =>
            {
                Some(word.at.start..value.at.end)
            }
            _ => None,
        })
    }

    /// The first string with this text.
    pub(super) fn string(&self, text: &str) -> Option<Range<usize>> {
        let found = self.tokens.iter().find(|token| inner(token.text) == Some(text));
        found.map(|token| token.at.clone())
    }

    /// The first word with this text behind the effect.
    pub(super) fn word(&self, text: &str) -> Option<Range<usize>> {
        let start = self.effect().end;
        let found = self.tokens.iter().find(|token| token.at.start >= start && token.text == text);
        found.map(|token| token.at.clone())
    }
}

/// A string token's text between the quotes, escapes as they are.
fn inner(token: &str) -> Option<&str> {
    token.strip_prefix('"')?.strip_suffix('"')
}

fn tokens_of(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let start = text.len() - rest.len();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = if first.is_whitespace() {
            0
        } else if rest.starts_with("//") {
            rest.find(['\n', '\r']).unwrap_or(rest.len())
        } else if first == '"' {
            string_length(rest)
        } else if rest.starts_with("::") {
            2
        } else if word(first) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if !token.is_empty() && !token.starts_with("//") {
            tokens.push(Token { text: token, at: start..start + length });
        }
        rest = after.trim_start();
    }
    tokens
}

/// How long the string is that starts here, with both quotes.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "// permit; \"not this\n@id(\"a\")\n@why(\"it; \\\" // is\") @shadow permit (\n  \
        principal in Group::\"sre\", // forbid;\n  action, resource) when { context has x };\nforbid;";

    #[test]
    fn statements_end_at_semicolons_that_are_neither_in_strings_nor_in_comments() {
        let all = statements(TEXT);
        assert_eq!(all.len(), 2);
        let first = &all[0];
        assert_eq!(TEXT.get(first.effect()), Some("permit"));
        assert_eq!(TEXT.get(first.name()), Some("\"a\""));
        assert_eq!(TEXT.get(first.annotation("why").unwrap()), Some("\"it; \\\" // is\""));
        assert_eq!(TEXT.get(first.annotation("shadow").unwrap()), Some("shadow"));
        assert_eq!(TEXT.get(first.annotation_name("why").unwrap()), Some("@why"));
        assert_eq!(TEXT.get(first.literal("Group", "sre").unwrap()), Some("Group::\"sre\""));
        assert_eq!(TEXT.get(first.string("sre").unwrap()), Some("\"sre\""));
        assert_eq!(TEXT.get(first.word("action").unwrap()), Some("action"));
        assert_eq!((first.annotation("ttl"), first.literal("Group", "dev")), (None, None));
        assert_eq!(TEXT.get(all[1].name()), Some("forbid"));
    }

    #[test]
    fn any_text_has_an_end() {
        for text in
            ["", "\"", "\"\\", "//", "/", "@", ";", ";;", "\u{feff}\u{2028}x", "a::\"b", "\u{f6}"]
        {
            for one in statements(text) {
                assert!(one.name().end <= text.len() && one.effect().end <= text.len());
            }
        }
    }
}
