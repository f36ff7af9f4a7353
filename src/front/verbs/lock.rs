//! The words of `lock` and `unlock`.

use clap::Args;

use crate::certificate::names::Reason;
use crate::certificate::safe::Safe;
use crate::desk::locking::LockAsk;
use crate::desk::locks::Target;

/// What may be typed.
#[derive(Args)]
pub(super) struct LockWords {
    target: Option<String>,
    /// The second of two words: `lock host web01`.
    name: Option<String>,
    #[arg(long)]
    reason: Option<String>,
}

/// The kinds that a name may follow.
const KINDS: [&str; 4] = ["person", "key", "host", "tag"];

/// Reads them; what is wrong and what to type instead.
pub(super) fn ask(words: LockWords, lifting: bool) -> Result<LockAsk, (String, String)> {
    let verb = if lifting { "unlock" } else { "lock" };
    let form = format!(
        "ssh ca {verb} PERSON --reason TEXT, or host:NAME, tag:NAME, key:SHA256:..., everything"
    );
    let LockWords { target, name, reason } = words;
    let typed = match (target, name) {
        (None, _) => return Err((format!("what to {verb} is missing"), form)),
        (Some(kind), None) if KINDS.contains(&kind.as_str()) => {
            return Err((format!("the name of the {kind} is missing"), form));
        }
        (Some(kind), Some(name)) if KINDS.contains(&kind.as_str()) => format!("{kind}:{name}"),
        (Some(target), None) => target,
        (Some(_), Some(more)) => {
            let hint = match reason {
                Some(_) => {
                    "ssh takes one pair of quotes away: --reason \"'laptop lost'\"".to_owned()
                }
                None => form,
            };
            return Err((format!("{} is one word too many", Safe(&more)), hint));
        }
    };
    let target: Target = typed.parse().map_err(|why| (why, form))?;
    let Some(reason) = reason else {
        let what = "--reason is missing: it is what everybody is told".to_owned();
        return Err((what, format!("ssh ca {verb} {} --reason TEXT", target.typed())));
    };
    let reason: Reason = reason.parse().map_err(|why| {
        (format!("--reason {}: {why}", Safe(&reason)), "--reason TEXT".to_owned())
    })?;
    Ok(LockAsk { target, lifting, reason })
}
