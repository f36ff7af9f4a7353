//! The annotations of one policy: the terms of an offer, the words of a forbid.
//!
//! Cedar carries annotations and never reads them, so one that is misspelled would be silently
//! without effect: every one that is not known is an error.

use std::collections::BTreeSet;
use std::ops::Range;

use cedar_policy::{Effect, Policy};

use super::locate::Statement;
use super::problem::Problems;
use super::terms::{self, BadTerm, DEFAULT_PERIOD, Extension, Terms};
use super::world::close;
use crate::certificate::safe::Safe;

/// What the annotations say.
pub(super) enum Read {
    /// Of a `forbid`: the sentence that a person sees.
    Forbid { why: Option<String> },
    /// Of a `permit` of what is done at the desk: it has no terms.
    Leave,
    /// Of a `permit` of logins: its terms and what it is for.
    Permit { terms: Terms, description: Option<String> },
}

/// Those of any policy.
const WORDS: [&str; 2] = ["id", "why"];

/// Those of an offer.
const TERMS: [&str; 7] =
    ["ttl", "period", "extensions", "source_address", "force_command", "delivery", "limit"];

/// Those that the design has and the program does not have yet.
const LATER: [&str; 2] = ["approvals", "second_factor"];

/// Reads all annotations but `@id`; nothing if any is wrong. `login`: terms are of logins alone.
pub(super) fn read(
    policy: &Policy,
    place: &Statement<'_>,
    login: bool,
    problems: &mut Problems<'_>,
) -> Option<Read> {
    let mut reader = Reader { policy, place, login, problems, good: true };
    reader.known();
    let why = reader.term("why", sentence);
    match policy.effect() {
        Effect::Forbid => reader.good.then_some(Read::Forbid { why }),
        Effect::Permit if !login => reader.good.then_some(Read::Leave),
        Effect::Permit => {
            let terms = reader.terms();
            reader.good.then_some(Read::Permit { terms: terms?, description: why })
        }
    }
}

struct Reader<'r, 't> {
    policy: &'r Policy,
    place: &'r Statement<'r>,
    login: bool,
    problems: &'r mut Problems<'t>,
    good: bool,
}

impl Reader<'_, '_> {
    /// Notes what is wrong with an annotation's value.
    fn wrong(&mut self, annotation: &str, message: String, hint: String) {
        self.wrong_at(self.place.annotation(annotation), message, hint);
    }

    fn wrong_at(&mut self, at: Option<Range<usize>>, message: String, hint: String) {
        self.problems.add(&at.unwrap_or_else(|| self.place.name()), message, Some(hint));
        self.good = false;
    }

    /// Refuses the annotations that mean nothing here.
    fn known(&mut self) {
        let policy = self.policy;
        for (name, _) in policy.annotations() {
            let offer = policy.effect() == Effect::Permit && self.login;
            let known: Vec<&str> =
                WORDS.into_iter().chain(TERMS.into_iter().filter(|_| offer)).collect();
            if known.contains(&name) {
                continue;
            }
            let list = format!("known are @{}", known.join(", @"));
            let (message, hint) = if TERMS.contains(&name) {
                let this = match policy.effect() {
                    Effect::Forbid => "offers, and this is a forbid",
                    Effect::Permit => "logins, and this is for another action",
                };
                (format!("@{name} is a term of {this}"), list)
            } else if LATER.contains(&name) {
                (format!("@{name} is not built yet"), list)
            } else {
                let hint = match close(name, known.into_iter()) {
                    Some(near) => format!("the nearest is @{near}; {list}"),
                    None => list,
                };
                (format!("@{name} is not known"), hint)
            };
            self.wrong_at(self.place.annotation_name(name), message, hint);
        }
    }

    /// Reads one annotation, if it is there.
    fn term<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, BadTerm>) -> Option<T> {
        match parse(self.policy.annotation(name)?) {
            Ok(term) => Some(term),
            Err(why) => {
                self.wrong(name, why.message, why.hint);
                None
            }
        }
    }

    fn terms(&mut self) -> Option<Terms> {
        if self.policy.annotation("ttl").is_none() {
            let hint = "say how long a certificate is good for, as in @ttl(\"10m\")";
            self.wrong("id", "this offer has no @ttl".to_owned(), hint.to_owned());
        }
        let ttl = self.term("ttl", terms::span);
        let period = match self.policy.annotation("period") {
            None => Some(DEFAULT_PERIOD),
            Some(_) => self.term("period", terms::span),
        };
        let extensions = match self.policy.annotation("extensions") {
            None => Some(BTreeSet::from([Extension::Pty])),
            Some(_) => self.term("extensions", terms::extensions),
        };
        let source_address = self.term("source_address", terms::source_address);
        let force_command = self.term("force_command", terms::force_command);
        let delivery = self.term("delivery", terms::delivery);
        let limit = self.term("limit", terms::limit);
        if let (Some(ttl), Some(period)) = (ttl, period)
            && ttl > period
        {
            let (at, said) = match self.policy.annotation("period") {
                Some(_) => ("period", format!("the @period of {period}")),
                None => ("ttl", format!("the period, which is {period} unless @period says so")),
            };
            let hint = format!("a certificate ends with its grant: write @period(\"{ttl}\")");
            self.wrong(at, format!("the @ttl of {ttl} is longer than {said}"), hint);
        }
        let forwards = extensions.iter().flatten().find(|extension| extension.forwards());
        if let (Some(_), Some(extension)) = (&force_command, forwards) {
            let message = format!("@force_command confines nobody who has {extension}");
            let hint = "leave one of the two out: what is forwarded passes the command by";
            self.wrong("force_command", message, hint.to_owned());
        }
        Some(Terms {
            ttl: ttl?,
            period: period?,
            extensions: extensions?,
            source_address: source_address.unwrap_or_default(),
            force_command,
            delivery,
            limit,
        })
    }
}

/// Reads `@why`: one line that any terminal can show.
fn sentence(text: &str) -> Result<String, BadTerm> {
    let text = text.trim();
    let printable = text.bytes().all(|b| (0x20..=0x7e).contains(&b));
    if text.is_empty() || !printable || text.len() > Safe::WIDTH {
        return Err(BadTerm {
            message: format!("@why is not one line of 1 to {} characters in ASCII", Safe::WIDTH),
            hint: "it is shown on any terminal, lower case and without a full stop".to_owned(),
        });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::mistakes::check;

    #[test]
    fn terms_are_known_and_readable() {
        check(&[
            ("@ttl(\"10m\")\n", "", "1:5 this offer has no @ttl", "as in @ttl(\"10m\")"),
            ("\"10m\"", "\"10\"", "2:6 \"10\" is not a length of time", "90s, 5m, 1h or 1h30m"),
            (
                "\"10m\"",
                "\"2h\"",
                "2:6 the @ttl of 2h is longer than the period, which is 1h unless @period says so",
                "write @period(\"2h\")",
            ),
            (
                "\"10m\"",
                "\"2h\") @period(\"90m\"",
                "2:20 the @ttl of 2h is longer than the @period of 1h30m",
                "write @period(\"2h\")",
            ),
            (
                "permit (",
                "@tll(\"1m\") permit (",
                "3:1 @tll is not known",
                "the nearest is @ttl; known are @id, @why",
            ),
            (
                "permit (",
                "@shadow permit (",
                "3:1 @shadow is not known",
                "known are @id, @why, @ttl, @period",
            ),
            (
                "permit (",
                "@approvals(\"1 of sre\") permit (",
                "3:1 @approvals is not built yet",
                "known are",
            ),
            (
                "permit (",
                "@second_factor(\"touch\") permit (",
                "3:1 @second_factor is not built yet",
                "known are",
            ),
            (
                "permit (",
                "@delivery(\"agent\") permit (",
                "3:11 \"agent\" is no delivery",
                "write own-key or made-by-ca",
            ),
            (
                "@ttl(\"10m\")\npermit",
                "@ttl(\"10m\")\nforbid",
                "2:1 @ttl is a term of offers, and this is a forbid",
                "known are @id, @why",
            ),
            (
                "permit (",
                "@extensions(\"permit-pty,permit-all\") permit (",
                "3:13 \"permit-all\" is no extension",
                "the extensions are permit-X11-forwarding, permit-agent-forwarding",
            ),
            (
                "permit (",
                "@extensions(\"permit-pty permit-user-rc\") permit (",
                "3:13 \"permit-pty permit-user-rc\" is no extension",
                "write commas between them; the extensions are permit-X11-forwarding",
            ),
            (
                "permit (",
                "@extensions(\"permit-pty, permit-pty\") permit (",
                "3:13 permit-pty is named twice",
                "once",
            ),
            (
                "permit (",
                "@source_address(\"203.0.113.9/24\") permit (",
                "3:17 203.0.113.9/24 is not how this network is written",
                "write 203.0.113.0/24",
            ),
            (
                "permit (",
                "@source_address(\"10.0.0.0/8,0.0.0.0/0\") permit (",
                "3:17 0.0.0.0/0 is every address there is",
                "leave @source_address out",
            ),
            (
                "permit (",
                "@limit(\"20 an hour\") permit (",
                "3:8 \"20 an hour\" is no limit",
                "write it as 20 per 1h",
            ),
            (
                "permit (",
                "@limit(\"0 per 1h\") permit (",
                "3:8 \"0 per 1h\" is no limit",
                "20 per 1h",
            ),
            (
                "permit (",
                "@limit(\"20 per 8d\") permit (",
                "3:8 8d is longer than 7 days",
                "write 7d at most",
            ),
            (
                "permit (",
                "@force_command permit (",
                "3:2 @force_command names no command",
                "leave it out",
            ),
            (
                "permit (",
                "@force_command(\"a\\nb\") permit (",
                "3:16 @force_command is not one line of at most 1024 bytes",
                "a script on the host",
            ),
            (
                "permit (",
                "@force_command(\"x\") @extensions(\"permit-agent-forwarding\") permit (",
                "3:16 @force_command confines nobody who has permit-agent-forwarding",
                "leave one of the two out",
            ),
            (
                "permit (",
                "@why(\"St\u{f6}rung\") permit (",
                "3:6 @why is not one line of 1 to 200 characters in ASCII",
                "any terminal",
            ),
        ]);
    }
}
