//! What the signer does with a batch: see that the ledger only grew, remember it, cosign, and sign
//! what stands every check.

use ed25519_dalek::SigningKey;

use super::key;
use super::limits::{LastMinute, SignerConfig};
use super::mark::{ListFile, Mark, MarkFile, Signed};
use super::protocol::{Answer, Batch, Entry, Hello, Refusal};
use crate::certificate::blob::{Tbs, staple};
use crate::certificate::key_id::KeyId;
use crate::certificate::lint::{Allowance, Keys, lint};
use crate::certificate::time::{Span, UnixTime};
use crate::fault_point;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::facts::SignerView;
use crate::ledger::leaf::Leaf;
use crate::ledger::note::{NoteKey, SignatureType, VerifierKey};
use crate::ledger::proof::{self, Proof};
use crate::ledger::tree::{Hash, climb, grew};

/// The signer: its keys, its memory and its limits.
pub struct Witness {
    config: SignerConfig,
    ledger: VerifierKey,
    cosigning: NoteKey,
    user_ca: SigningKey,
    bare_ca: SigningKey,
    keys: Keys,
    mark: MarkFile,
    list: ListFile,
    minute: LastMinute,
}

impl Witness {
    /// Loads keys, mark and list. Nothing is made here: what lacks is an error that names it.
    pub fn open(config: SignerConfig, now: UnixTime) -> Result<Self, String> {
        let say = |path: &std::path::Path, why: &dyn std::fmt::Display| {
            format!("{}: {why}", path.display())
        };
        let passphrase = config.passphrase.as_deref();
        let user_ca = key::load(&config.user_ca, passphrase)?;
        let bare_ca = key::load(&config.bare_ca, passphrase)?;
        let cosigning = key::load(&config.cosigning, passphrase)?;
        let cosigning = NoteKey::new(&config.cosigner, SignatureType::Cosignature, cosigning)
            .map_err(|why| say(&config.cosigning, &why))?;
        let vkey =
            std::fs::read_to_string(&config.ledger).map_err(|why| say(&config.ledger, &why))?;
        let ledger: VerifierKey =
            vkey.trim_end().parse().map_err(|why| say(&config.ledger, &why))?;

        let mut never_subjects = Vec::new();
        for path in &config.never_subjects {
            let key = ssh_key::PublicKey::read_openssh_file(path).map_err(|why| say(path, &why))?;
            never_subjects.push(key.to_bytes().map_err(|why| say(path, &why))?);
        }
        let ed25519 = |public: &[u8; 32]| {
            ssh_key::public::KeyData::Ed25519(ssh_key::public::Ed25519PublicKey(*public))
        };
        for public in [ledger.key(), cosigning.public().key()] {
            let blob = crate::certificate::blob::key_blob(&ed25519(public))
                .map_err(|why| why.to_string())?;
            never_subjects.push(blob);
        }
        let keys =
            Keys { user_ca: key::blob(&user_ca), bare_ca: key::blob(&bare_ca), never_subjects };
        let all: Vec<&Vec<u8>> =
            [&keys.user_ca, &keys.bare_ca].into_iter().chain(&keys.never_subjects).collect();
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        if unique.len() != all.len() {
            return Err(
                "two of the signer's keys are the same: each key has one purpose".to_owned()
            );
        }

        let path = config.mark_file();
        let mut mark = MarkFile::open(&path).map_err(|why| say(&path, &why))?;
        mark.lock().map_err(|why| say(&path, &why))?;
        if mark.origin() != ledger.name() {
            return Err(format!(
                "the mark is of {}, {} is the key of {}: the next generation of the ledger; \
                 hallpass-signer succeed confirms it",
                mark.origin(),
                config.ledger.display(),
                ledger.name()
            ));
        }
        let path = config.list_file();
        let (list, signed) = ListFile::open(&path).map_err(|why| say(&path, &why))?;
        let minute = LastMinute::from_list(signed, now);
        Ok(Self { config, ledger, cosigning, user_ca, bare_ca, keys, mark, list, minute })
    }

    /// How the signer presents itself.
    pub fn hello(&self) -> Hello {
        let Mark { size, root } = self.mark.mark();
        let vkey = self.cosigning.public().to_string();
        Hello {
            size,
            root,
            vkey,
            user_ca: self.keys.user_ca.clone(),
            bare_ca: self.keys.bare_ca.clone(),
        }
    }

    /// The user id that may connect, if it is not the signer's own.
    pub fn front_uid(&self) -> Option<u32> {
        self.config.front_uid
    }

    /// Answers a batch. `now` is the one reading of the clock for all of it.
    pub fn batch(&mut self, batch: &Batch, now: UnixTime) -> Answer {
        match self.attend(batch, now) {
            Ok(answer) => answer,
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    fn attend(&mut self, batch: &Batch, now: UnixTime) -> Result<Answer, Refusal> {
        let invalid = |why: &dyn std::fmt::Display| Refusal::Invalid(why.to_string());
        let checkpoint = Checkpoint::parse(&batch.checkpoint).map_err(|why| invalid(&why))?;
        checkpoint.check(&self.ledger).map_err(|why| invalid(&why))?;
        if checkpoint.signatures() != 1 {
            return Err(invalid(&"a checkpoint with further signatures"));
        }
        let head = &checkpoint.head;
        let mark = self.mark.mark();
        if head.size < mark.size {
            return Err(Refusal::Behind);
        }
        if !grew(mark.size, mark.root, head.size, head.root, &batch.consistency) {
            return Err(Refusal::Forked);
        }

        // What passes is known before anything is written, so that the list holds what is signed
        // and nothing else.
        let mut results = Vec::with_capacity(batch.entries.len());
        let mut passed = Vec::new();
        let mut next = mark.size.max(self.list.last().map_or(0, |last| last.saturating_add(1)));
        for entry in &batch.entries {
            match self.judge(entry, &checkpoint, next, now) {
                Ok(signed) => {
                    next = entry.index.saturating_add(1);
                    passed.push(signed);
                    results.push(Ok(entry));
                }
                Err(why) => results.push(Err(why)),
            }
        }

        // The list before the mark: a crash between them leaves indexes that are never signed again,
        // and a mark from which the daemon still can prove growth. Neither signature exists yet.
        let disk = |why: std::io::Error| Refusal::Disk(why.to_string());
        self.list.append(&passed).map_err(disk)?;
        if head.size > mark.size {
            self.mark.advance(Mark { size: head.size, root: head.root }).map_err(disk)?;
        }

        let cosignature = fault_point::around(fault_point::COSIGN, || {
            Ok(self.cosigning.sign(checkpoint.body(), now))
        })
        .map_err(disk)?;
        let cosigned = checkpoint.with(&cosignature).map_err(|why| invalid(&why))?;
        let sign = |result: Result<&Entry, String>| {
            let entry = result?;
            fault_point::around(fault_point::CERTIFY, || {
                self.certify(entry, &cosigned).map_err(std::io::Error::other)
            })
            .map_err(|why| why.to_string())
        };
        let results = results.into_iter().map(sign).collect();
        Ok(Answer::Signed { cosignature, results })
    }

    /// Checks one certificate; `next` is the least index that may still be signed.
    fn judge(
        &mut self,
        entry: &Entry,
        checkpoint: &Checkpoint,
        next: u64,
        now: UnixTime,
    ) -> Result<Signed, String> {
        // INVARIANT: an index is signed once, ever. Each index is signed in the batch that moves the
        // mark past it or not at all, and never twice in one batch.
        if entry.index < next {
            return Err(format!("index {} is signed already, or was passed over", entry.index));
        }
        let head = &checkpoint.head;
        let leaf = Leaf::certificate(&entry.tbs, &entry.facts);
        if climb(leaf.hash(), entry.index, head.size, &entry.inclusion) != Some(head.root) {
            return Err("not included in the checkpoint's tree".to_owned());
        }
        if entry.facts.len() > crate::ledger::facts::MAX {
            return Err("facts of more than 64 KiB".to_owned());
        }
        let facts = SignerView::parse(&entry.facts)?;
        let ticket = facts.ticket.as_ref().map(|ticket| &ticket.id);
        let key_id = KeyId::new(facts.request, facts.person.clone(), ticket, facts.grant_ends);
        let granted = Span::secs(facts.ttl.min(facts.terms.ttl));
        let may = Allowance {
            now,
            decided: facts.time,
            index: entry.index,
            key_id: &key_id,
            principals: &facts.accounts,
            subject: &facts.subject,
            ttl: granted.min(self.config.limits.ttl),
            max_principals: self.config.limits.principals,
            extensions: &facts.terms.extensions,
            source_address: &facts.terms.source_address,
            force_command: facts.terms.force_command.as_deref(),
        };
        lint(&entry.tbs, &self.keys, &may).map_err(|flaw| flaw.to_string())?;
        if let Some(why) = self.config.limits.refuse(&facts.accounts) {
            return Err(why);
        }
        self.minute.take(&self.config.rate, now, &facts.person, &facts.accounts)?;
        let tbs = Hash::of(&entry.tbs);
        Ok(Signed {
            index: entry.index,
            time: now,
            tbs,
            person: facts.person,
            principals: facts.accounts,
        })
    }

    /// Staples the proof and signs.
    fn certify(&self, entry: &Entry, cosigned: &Checkpoint) -> Result<Vec<u8>, String> {
        let proof = Proof {
            facts: Hash::of(&entry.facts),
            index: entry.index,
            hashes: entry.inclusion.clone(),
            checkpoint: cosigned.clone(),
        };
        let text = proof.to_string();
        if text.len() > proof::MAX {
            return Err("a proof of more than 8 KiB".to_owned());
        }
        let stapled = staple(&entry.tbs, &text).map_err(|why| why.to_string())?;
        // The lint found one of the two; the certificate's own CA field says which one signs.
        let bare = Tbs::parse(&entry.tbs).map_err(|why| why.to_string())?.ca == self.keys.bare_ca;
        Ok(key::certify(if bare { &self.bare_ca } else { &self.user_ca }, stapled))
    }
}
