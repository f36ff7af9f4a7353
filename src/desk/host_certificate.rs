//! A host certificate that the operator's command is about to sign: durable first.

use super::Desk;
use super::entries::salt;
use crate::config::trust::Trust;
use crate::host::sign::{HostCertificate, NotMade};
use crate::ledger::facts;
use crate::ledger::leaf::Kind;
use crate::ledger::record::Fault;

/// Why a host certificate was not recorded.
#[derive(Debug)]
pub enum NotRecorded {
    /// It must not be made.
    Refused(NotMade),
    /// The ledger did not take it.
    Fault(Fault),
}

impl Desk {
    /// Records what a host certificate says; the entry's index, when it is durable.
    ///
    /// # Errors
    /// Why not. It must not be signed then.
    pub async fn record_host_certificate(
        &self,
        says: &HostCertificate,
        trust: &Trust,
    ) -> Result<u64, NotRecorded> {
        says.check(&self.in_force.now(), trust).map_err(NotRecorded::Refused)?;
        let kind = Kind::HostCertificate;
        let facts = facts::write(kind, salt(), self.clock.now(), &self.node, says);
        let facts = facts.ok_or(NotRecorded::Refused(NotMade::Malformed("number of names")))?;
        self.ledger.append(kind, facts).await.map_err(NotRecorded::Fault)
    }
}
