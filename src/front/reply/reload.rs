//! What an operator is told of a reload.

use crate::certificate::safe::Safe;
use crate::desk::reload::{NotReloaded, Reloaded};
use crate::front::control::Answer;
use crate::ledger::facts::Signed;

/// Puts a reload into words.
pub fn reloaded(done: Result<Reloaded, NotReloaded>) -> Answer {
    let old = "what decided before goes on deciding".to_owned();
    match done {
        Ok(Reloaded { changed, deciding, restart }) => {
            let what = match changed.as_slice() {
                [] => "nothing has changed".to_owned(),
                changed => format!("changed, and deciding from now on: {}", changed.join(", ")),
            };
            let signed = deciding.signed.as_ref().map(|signed| {
                let Signed { by, key, number, .. } = signed;
                format!("change {number} is signed by {} with {key}", Safe(by))
            });
            let unread = deciding.unread.iter();
            let unread = unread.map(|path| {
                format!("{} is not read: it ends in neither .toml nor .json", path.display())
            });
            let restart =
                restart.map(|file| format!("{file} has changed: that counts from the next start"));
            Answer::ok(signed.into_iter().chain([what]).chain(unread).chain(restart).collect())
        }
        Err(NotReloaded::Refused(why)) => {
            let mut answer = Answer::refused(why);
            answer.said.push(old);
            answer.hint = Some("mend it, and run hallpass reload again".to_owned());
            answer
        }
        Err(NotReloaded::Fault(why)) => {
            let mut answer = Answer::fault(why);
            answer.said.push(old);
            answer.hint = Some("try again; the daemon's journal has the details".to_owned());
            answer
        }
    }
}
