//! What stands around a request at this moment, beyond who asks for what and why.

use super::Desk;
use crate::certificate::names::PersonName;
use crate::certificate::time::UnixTime;
use crate::config::Deciding;
use crate::decide::facts::{Account, Around};

impl Desk {
    /// The hours, freezes and history of one account and one person.
    pub(super) fn around(
        &self,
        deciding: &Deciding,
        _person: &PersonName,
        _account: &Account,
        now: UnixTime,
    ) -> Around {
        Around { hours: deciding.policy.hours_at(now), ..Around::default() }
    }
}
