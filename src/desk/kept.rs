//! Certificates that were issued on standard output and may be given again, as they are: `ensure` is
//! run by every `ssh`, and one that is good for nine more minutes needs no successor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::delivery::young;
use super::outcome::Issue;
use crate::certificate::names::RequestId;
use crate::certificate::time::UnixTime;

/// By the key that is certified. In memory alone: after a restart new ones are issued.
#[derive(Debug, Default)]
pub struct Kept {
    certificates: HashMap<String, Vec<Issue>>,
}

impl Kept {
    /// Keeps one, in place of what opened no more than it does.
    pub(super) fn keep(&mut self, subject: String, issue: &Issue) {
        let of = self.certificates.entry(subject).or_default();
        of.retain(|kept| !covers(issue, &kept.accounts));
        of.push(issue.clone());
    }

    /// One that opens these accounts, with over half its life left, of a grant that lives; of several the
    /// one that opens least.
    pub(super) fn find(
        &self,
        subject: &str,
        accounts: &[String],
        now: UnixTime,
        lives: impl Fn(&RequestId) -> bool,
    ) -> Option<&Issue> {
        let of = self.certificates.get(subject)?.iter();
        of.filter(|kept| covers(kept, accounts) && young(kept.issued, kept.valid_before, now))
            .filter(|kept| lives(&kept.request))
            .min_by_key(|kept| kept.accounts.len())
    }

    /// Drops what is over.
    pub(super) fn forget(&mut self, now: UnixTime) {
        self.certificates.retain(|_, of| {
            of.retain(|kept| kept.valid_before > now);
            !of.is_empty()
        });
    }
}

fn covers(issue: &Issue, accounts: &[String]) -> bool {
    accounts.iter().all(|account| issue.accounts.contains(account))
}

/// By which key and for which accounts an `ensure` is under way: twenty copies at once, all to one server, are one
/// certificate and not twenty.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<Turn, Arc<tokio::sync::Mutex<()>>>>);

type Turn = (String, String);

impl Turns {
    /// Waits until nobody else with the same key and accounts is at it.
    pub(super) async fn wait(
        &self,
        subject: String,
        accounts: String,
    ) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody waits at those that are held here alone.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry((subject, accounts)).or_default())
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::time::Span;

    fn issue(serial: u64, accounts: &[&str]) -> Issue {
        let issued = UnixTime::from_secs(1_800_000_000);
        Issue {
            request: RequestId::from_random(serial),
            serial,
            certificate: String::new(),
            accounts: accounts.iter().map(|name| (*name).to_owned()).collect(),
            issued,
            valid_before: issued.plus(Span::secs(600)),
            grant_ends: issued.plus(Span::secs(3600)),
            renewal: false,
            offer: "any".parse().unwrap(),
        }
    }

    #[test]
    fn the_one_that_opens_least_is_given_again_while_it_is_young() {
        let mut kept = Kept::default();
        let now = |after: u64| UnixTime::from_secs(1_800_000_000 + after);
        let find = |kept: &Kept, account: &str, after: u64| {
            let all = |_: &RequestId| true;
            kept.find("key", &[account.to_owned()], now(after), all).map(|issue| issue.serial)
        };
        kept.keep("key".to_owned(), &issue(1, &["deploy@web01", "deploy@web02"]));
        kept.keep("key".to_owned(), &issue(2, &["deploy@web01"]));
        assert_eq!(find(&kept, "deploy@web01", 0), Some(2));
        assert_eq!(find(&kept, "deploy@web02", 299), Some(1));
        assert_eq!(find(&kept, "deploy@web02", 300), None, "half its life is over");
        assert_eq!(find(&kept, "deploy@web03", 0), None);
        let (account, first) = (["deploy@web01".to_owned()], RequestId::from_random(2));
        assert!(kept.find("other", &account, now(0), |_| true).is_none());
        // Of a grant that ended nothing is given again.
        let left = kept.find("key", &account, now(0), |request| *request != first);
        assert_eq!(left.map(|issue| issue.serial), Some(1));
        // A newer one takes the place of what it covers.
        kept.keep("key".to_owned(), &issue(3, &["deploy@web01", "deploy@web02"]));
        assert_eq!(kept.certificates["key"].len(), 1);
        kept.forget(now(600));
        assert!(kept.certificates.is_empty());
    }

    #[tokio::test]
    async fn turns_are_one_after_the_other_and_leave_nothing_behind() {
        let turns = Turns::default();
        let first = turns.wait("key".to_owned(), "deploy@web01".to_owned()).await;
        drop(turns.wait("key".to_owned(), "deploy@web02".to_owned()).await);
        let second = turns.wait("key".to_owned(), "deploy@web01".to_owned());
        let mut second = Box::pin(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("two at a time"),
            () = tokio::task::yield_now() => {}
        }
        drop(first);
        drop(second.await);
        drop(turns.wait("key".to_owned(), "other".to_owned()).await);
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }
}
