//! The signer and the ledger it knows, for the tests that tell a story of the two.

use super::protocol::{Answer, Batch, Refusal};
use super::trial::{Trial, ledger_key, signer_vkey};
use super::witness::Witness;
use crate::certificate::blob::Tbs;
use crate::certificate::sample::NOW;
use crate::ledger::proof;
use crate::ledger::recorded::check_signature;
use crate::ledger::toy::{Order, Toy};

/// The signer, running, and the ledger it knows.
pub(crate) struct Scene {
    pub(crate) trial: Trial,
    pub(crate) witness: Witness,
    pub(crate) toy: Toy,
}

impl Scene {
    /// A signer with these further lines in `signer.toml` that has seen a ledger of one leaf.
    pub(crate) fn new(toml: &str) -> Self {
        let trial = Trial::with(toml);
        let witness = trial.open(NOW).unwrap();
        let mut toy = Toy::new();
        toy.note("the beginning");
        let mut scene = Self { trial, witness, toy };
        let batch = scene.toy.batch(0);
        assert!(scene.say(&batch).unwrap().is_empty());
        scene
    }

    /// What the signer gives for a batch: the certificates, or why not.
    pub(crate) fn say(&mut self, batch: &Batch) -> Result<Vec<Result<Vec<u8>, String>>, Refusal> {
        match self.witness.batch(batch, NOW) {
            Answer::Signed { results, .. } => Ok(results),
            Answer::Refused(refusal) => Err(refusal),
            Answer::Mark(_) => panic!("it answered another question"),
        }
    }

    /// Records and asks for one certificate.
    pub(crate) fn order(&mut self, order: Order) -> Result<Vec<u8>, String> {
        let batch = self.toy.order(&[order]);
        self.say(&batch).unwrap().remove(0)
    }

    /// The signer ends and starts again.
    pub(crate) fn restart(self) -> Self {
        let Self { trial, witness, toy } = self;
        drop(witness);
        let witness = trial.open(NOW).unwrap();
        Self { trial, witness, toy }
    }
}

/// Checks a certificate as a strict host does, with three public keys.
pub(crate) fn stands(blob: &[u8], index: u64) {
    let (view, signature) = Tbs::parse_signed(blob).unwrap();
    let stapled = &blob[..view.len()];
    assert!(check_signature(view.ca, stapled, signature).is_some(), "the CA did not sign");
    let proved = proof::check(stapled, ledger_key().public(), &signer_vkey()).unwrap();
    assert_eq!((proved.proof.index, view.serial, proved.cosigned), (index, index + 1, NOW));
}
