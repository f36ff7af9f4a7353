//! The voice of `explain` and `catalog`: what was asked for is the artefact, on standard output.

use serde_json::{Value, json};

use super::{Reply, exit};
use crate::certificate::safe::Safe;
use crate::decide::Reason;
use crate::decide::survey::{Behind, Stands, Surveyed, Verdict};
use crate::desk::explaining::{Explained, Offered};

/// A dry run.
pub fn explained(one: &Explained, as_json: bool) -> Reply {
    let text = if as_json { format!("{}\n", object(one)) } else { lines(one).join("\n") + "\n" };
    Reply { stdout: text.into_bytes(), stderr: String::new(), status: exit::DONE }
}

fn lines(one: &Explained) -> Vec<String> {
    let Explained { person, account, survey, locks } = one;
    let mut lines = Vec::new();
    match (&survey.verdict, locks.is_empty()) {
        (_, false) => lines.extend(locks.iter().map(|lock| format!("refused: {lock}"))),
        (Verdict::Granted { offer, ttl, period }, true) => lines.push(format!(
            "{person} would be granted {account} by offer {offer}: {ttl} certificates within {period}"
        )),
        (Verdict::Refused(no), true) => {
            lines.push(format!("{person} would be refused {account}"));
            lines.extend(no.hint.iter().map(|hint| format!("hint: {hint}")));
        }
    }
    for offer in &survey.offers {
        let Surveyed { offer: id, description, terms, stands } = offer;
        let about = description.as_deref().map_or(String::new(), |why| format!(" ({})", Safe(why)));
        lines.push(format!("offer {id}, {} within {}{about}:", terms.ttl, terms.period));
        lines.extend(sentences(stands).into_iter().map(|line| format!("  {line}")));
    }
    if survey.offers.is_empty() {
        lines.push(format!("no offer is for {person} and {account}"));
    }
    if let Some((ttl, period)) = survey.longest {
        lines.push(format!("at most: {ttl} certificates, grants of {period}"));
    }
    lines
}

fn sentences(stands: &Stands) -> Vec<String> {
    match stands {
        Stands::Decides => vec!["decides".to_owned()],
        Stands::Behind(behind) => vec![format!(
            "permits it too; {}",
            match behind {
                Behind::Shorter => "the one that decides gives longer certificates",
                Behind::GreaterId => "it gives as long certificates, and the smaller id decides",
                Behind::Delivery => "its certificates cannot be handed over this way",
                Behind::Picked => "another offer was picked",
            }
        )],
        Stands::Missed(reasons) => {
            reasons.iter().map(|reason| format!("misses: {reason}")).collect()
        }
        Stands::Elsewhere(conditions) => conditions
            .iter()
            .map(|condition| format!("is for others: it needs {}", Safe(condition)))
            .collect(),
    }
}

fn object(one: &Explained) -> Value {
    let Explained { person, account, survey, locks } = one;
    let offers: Vec<Value> = survey
        .offers
        .iter()
        .map(|one| {
            let (word, reasons) = match &one.stands {
                Stands::Decides => ("decides", Vec::new()),
                Stands::Behind(_) => ("behind", sentences(&one.stands)),
                Stands::Missed(reasons) => {
                    ("missed", reasons.iter().map(Reason::to_string).collect())
                }
                Stands::Elsewhere(_) => ("elsewhere", sentences(&one.stands)),
            };
            json!({ "offer": one.offer, "why": one.description, "ttl": one.terms.ttl.as_secs(),
                    "period": one.terms.period.as_secs(), "stands": word, "reasons": reasons })
        })
        .collect();
    let longest = survey
        .longest
        .map(|(ttl, period)| json!({ "ttl": ttl.as_secs(), "period": period.as_secs() }));
    let mut object = json!({
        "outcome": "ok", "person": person, "account": account, "locks": locks, "longest": longest,
        "offers": offers,
    });
    let more = match &survey.verdict {
        Verdict::Granted { offer, ttl, period } if locks.is_empty() => json!({
            "verdict": "granted", "offer": offer, "ttl": ttl.as_secs(), "period": period.as_secs(),
        }),
        Verdict::Granted { .. } => json!({ "verdict": "refused", "reasons": locks }),
        Verdict::Refused(no) => {
            let reasons = no.reasons.iter().map(ToString::to_string);
            let reasons: Vec<String> = locks.iter().cloned().chain(reasons).collect();
            json!({ "verdict": "refused", "reasons": reasons, "hint": no.hint })
        }
    };
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

/// Everything one could ask for.
pub fn catalog(all: &[Offered], as_json: bool) -> Reply {
    let hint = "ssh ca explain LOGIN@HOST TICKET says what would be missing";
    if as_json {
        let offers: Vec<Value> = all
            .iter()
            .map(|one| {
                let accounts: Vec<String> = one
                    .accounts
                    .iter()
                    .flat_map(|(login, hosts)| hosts.iter().map(move |host| format!("{login}@{host}")))
                    .collect();
                json!({ "offer": one.offer, "why": one.description, "ttl": one.terms.ttl.as_secs(),
                        "period": one.terms.period.as_secs(), "needs": one.needs, "accounts": accounts })
            })
            .collect();
        return super::json_reply(
            &json!({ "outcome": "ok", "offers": offers, "hint": hint }),
            exit::DONE,
        );
    }
    let mut text = String::new();
    for one in all {
        let about =
            one.description.as_deref().map_or(String::new(), |why| format!(": {}", Safe(why)));
        text += &format!("{}, {} within {}{about}\n", one.offer, one.terms.ttl, one.terms.period);
        text.extend(one.needs.iter().map(|need| format!("  needs {}\n", Safe(need))));
        for (login, hosts) in &one.accounts {
            let shown: Vec<&str> = hosts.iter().take(SHOWN).map(String::as_str).collect();
            let more = match hosts.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            text += &format!("  {login} on {}{more}\n", shown.join(", "));
        }
    }
    let said = match all {
        [] => vec!["no offer is for you".to_owned()],
        _ => Vec::new(),
    };
    Reply { stdout: text.into_bytes(), stderr: super::say(&said, Some(hint)), status: exit::DONE }
}

/// How many hosts of one account are listed to a person.
const SHOWN: usize = 20;
