//! Signed changes go one way: a list that was signed once is good for ever, and an older one is an older
//! policy. The ledger knows the greatest number of a change that ever decided.

use std::sync::PoisonError;

use super::Desk;
use crate::config::Deciding;
use crate::ledger::facts::{Signed, Text};
use crate::ledger::leaf::Kind;
use crate::ledger::store::{Store, StoreError};

/// The signed change of the greatest number that ever decided.
#[derive(Debug, Default)]
pub struct Newest(Option<Signed>);

impl Newest {
    /// By all entries there are: a change stands for as long as there is no later one.
    pub fn rebuild(store: &Store) -> Result<Self, StoreError> {
        let mut newest = Self::default();
        for kind in [Kind::Policy, Kind::People, Kind::Hosts] {
            for row in store.of_kind(kind)? {
                // What is redacted or damaged is told elsewhere.
                let facts = row.facts.unwrap_or_default();
                if let Ok(text) = serde_json::from_slice::<Text>(&facts) {
                    newest.fold(text.signed);
                }
            }
        }
        Ok(newest)
    }

    /// Takes in what an entry says of a signature.
    pub fn fold(&mut self, signed: Option<Signed>) {
        if let Some(signed) = signed
            && self.0.as_ref().is_none_or(|known| known.number <= signed.number)
        {
            self.0 = Some(signed);
        }
    }

    /// Why a change may not decide after this one.
    pub fn against(&self, signed: Option<&Signed>) -> Option<String> {
        let (known, signed) = (self.0.as_ref()?, signed?);
        let hint = "hint: date +%s > CHANGE, then the list and its signature anew";
        if signed.number < known.number {
            return Some(format!(
                "change {}, signed by {}, is older than change {}, which decided before: an old list is no new \
                 one\n{hint}",
                signed.number, signed.by, known.number
            ));
        }
        (signed.number == known.number && signed.list != known.list).then(|| {
            format!("the number {} was another change's, which decided\n{hint}", signed.number)
        })
    }
}

impl Desk {
    /// Whether what was signed is not older than what decided before.
    pub(super) fn is_newer(&self, deciding: &Deciding) -> Result<(), String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.signed.against(deciding.signed.as_ref()).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tree::Hash;

    fn signed(number: u64, list: &str) -> Signed {
        let (by, key) = ("ana".to_owned(), "SHA256:x".to_owned());
        Signed { by, key, list: Hash::of(list.as_bytes()), number }
    }

    /// mallory, who can write to the folder and to nothing else, puts back the list of last spring, with its
    /// true signature: it still has the account of a vendor that left.
    #[test]
    fn an_older_list_does_not_decide_again() {
        let mut newest = Newest::default();
        assert_eq!(newest.against(Some(&signed(1, "a"))), None);
        newest.fold(Some(signed(41, "spring")));
        newest.fold(Some(signed(42, "autumn")));
        newest.fold(Some(signed(40, "winter")));
        newest.fold(None);
        let why = newest.against(Some(&signed(41, "spring"))).unwrap();
        assert!(why.starts_with("change 41, signed by ana, is older than change 42"), "{why}");
        // A start on the same files is no replay, another list of the same number is one.
        assert_eq!(newest.against(Some(&signed(42, "autumn"))), None);
        assert!(
            newest.against(Some(&signed(42, "spring"))).unwrap().contains("was another change's")
        );
        assert_eq!(newest.against(Some(&signed(43, "winter"))), None);
        // Without signers in ca.toml nothing is asked for.
        assert_eq!(newest.against(None), None);
    }
}
