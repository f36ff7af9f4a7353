//! Certificates that were issued on standard output and may be given again, as they are: `ensure` is
//! run by every `ssh`, and one that is good for nine more minutes needs no successor.

use std::collections::HashMap;

use super::delivery::young;
use super::outcome::Issue;
use crate::certificate::time::UnixTime;

/// By the key that is certified and the accounts it opens. In memory alone: after a restart new ones
/// are issued.
#[derive(Debug, Default)]
pub struct Kept(HashMap<(String, Vec<String>), Issue>);

impl Kept {
    /// Keeps one.
    pub(super) fn keep(&mut self, subject: String, issue: &Issue) {
        self.0.insert((subject, sorted(&issue.accounts)), issue.clone());
    }

    /// One with over half its life left.
    pub(super) fn find(&self, subject: &str, accounts: &[String], now: UnixTime) -> Option<&Issue> {
        let kept = self.0.get(&(subject.to_owned(), sorted(accounts)))?;
        young(kept.issued, kept.valid_before, now).then_some(kept)
    }

    /// Drops what is over.
    pub(super) fn forget(&mut self, now: UnixTime) {
        self.0.retain(|_, kept| kept.valid_before > now);
    }
}

fn sorted(accounts: &[String]) -> Vec<String> {
    let mut accounts = accounts.to_vec();
    accounts.sort();
    accounts
}
