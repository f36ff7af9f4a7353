//! The draft: from a grant to a certificate that is complete but for its serial and its proof.

use super::blob::Contents;
use super::fingerprint;
use super::key_id::KeyId;
use super::lint::{Allowance, EXTENSIONS, Flaw, Keys, lint, wanted_critical};
use super::names::Principal;
use super::time::{Span, UnixTime};
use super::wire::Malformed;
use crate::decide::facts::Account;
use crate::decide::{Delivery, Grant};
use crate::ledger::facts::{self, Certificate, Granted, Terms, Ticket};
use crate::ledger::leaf::Kind;
use crate::ledger::tree::Hash;
use ssh_key::public::KeyData;

/// How long before the decision a certificate starts, for servers whose clocks lag.
const BACKDATE: Span = Span::secs(30);

/// What a draft takes besides the grant: randomness, keys and the hashes of what decided.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// The certificate's nonce.
    pub nonce: [u8; 32],
    /// The salt of the grant's facts.
    pub grant_salt: [u8; 16],
    /// The salt of the certificate's facts.
    pub certificate_salt: [u8; 16],
    /// The node's name.
    pub node: String,
    /// SHA-256 of policy, people and hosts.
    pub texts: Texts,
    /// The blobs of the two user CAs' public keys.
    pub user_ca: Vec<u8>,
    /// For bare account names.
    pub bare_ca: Vec<u8>,
}

/// Which policy, people and hosts decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Texts {
    /// SHA-256 of `policy.cedar`.
    pub policy: Hash,
    /// SHA-256 of `people.toml`.
    pub people: Hash,
    /// SHA-256 of `hosts.toml`.
    pub hosts: Hash,
}

/// What the finished bytes must say: kept beside the draft so that the writer can lint them.
#[derive(Debug)]
pub struct Wanted {
    /// The key ID.
    pub key_id: KeyId,
    /// When it was decided.
    pub now: UnixTime,
    principals: Vec<Principal>,
    subject: String,
    ttl: Span,
    terms: Terms,
}

impl Wanted {
    /// Lints bytes that were numbered.
    pub fn lint(&self, tbs: &[u8], index: u64, keys: &Keys) -> Result<(), Flaw> {
        lint(
            tbs,
            keys,
            &Allowance {
                now: self.now,
                decided: self.now,
                index,
                key_id: &self.key_id,
                principals: &self.principals,
                subject: &self.subject,
                ttl: self.ttl,
                max_principals: 256,
                extensions: &self.terms.extensions,
                source_address: &self.terms.source_address,
                force_command: self.terms.force_command.as_deref(),
            },
        )
    }
}

/// A certificate without a serial: only the ledger's writer can number it.
///
/// It is made from a grant, which it consumes:
///
/// ```
/// use hallpass::certificate::draft::{Stamp, Unsigned};
/// use hallpass::decide::Grant;
/// use ssh_key::public::KeyData;
/// fn draft(grant: Grant, own: &KeyData, stamp: Stamp) -> Option<Unsigned> {
///     Unsigned::draft(grant, own, stamp).ok()
/// }
/// ```
///
/// so that one grant does not become two drafts:
///
/// ```compile_fail
/// use hallpass::certificate::draft::{Stamp, Unsigned};
/// use hallpass::decide::Grant;
/// use ssh_key::public::KeyData;
/// fn draft(grant: Grant, own: &KeyData, stamp: Stamp) -> [Option<Unsigned>; 2] {
///     [Unsigned::draft(grant, own, stamp.clone()).ok(), Unsigned::draft(grant, own, stamp).ok()]
/// }
/// ```
#[derive(Debug)]
pub struct Unsigned {
    wanted: Wanted,
    contents: Contents,
    /// `None` for a further certificate from a live grant.
    grant_facts: Option<Vec<u8>>,
    facts: Vec<u8>,
}

impl Unsigned {
    /// Drafts the certificate for the very key that was proved, to be handed over on stdout.
    pub fn draft(grant: Grant, proved: &KeyData, stamp: Stamp) -> Result<Self, Malformed> {
        Self::draft_for(grant, proved, None, stamp)
    }

    /// The same; for a fresh key, if there is one, that goes into the agent together with it.
    pub fn draft_for(
        grant: Grant,
        proved: &KeyData,
        fresh: Option<&KeyData>,
        stamp: Stamp,
    ) -> Result<Self, Malformed> {
        let granted = granted(&grant, proved, stamp.texts);
        let seen = grant.facts();
        let (now, ttl) = (seen.now, grant.ttl());
        let principals = granted.accounts.clone();
        let key_id = KeyId::new(
            seen.request.clone(),
            seen.person.name.clone(),
            seen.ticket.as_ref().map(|t| &t.id),
            grant.ends(),
        );
        let bare = seen.account.bare;
        let terms = granted.terms.clone();
        let certified = fresh.unwrap_or(proved);
        let subject = fingerprint(certified);
        let long = Malformed("facts: more than 64 KiB");
        let grant_facts = match grant.is_renewal() {
            true => None,
            false => Some(
                facts::write(Kind::Grant, stamp.grant_salt, now, &stamp.node, &granted)
                    .ok_or(long)?,
            ),
        };
        let (subject_kind, delivery) = match fresh {
            None => (Delivery::OwnKey, "stdout"),
            Some(_) => (Delivery::MadeByCa, "agent"),
        };
        let body = Certificate {
            granted,
            ttl: ttl.as_secs(),
            subject: subject.clone(),
            subject_kind: subject_kind.to_string(),
            delivery: delivery.to_owned(),
        };
        let facts =
            facts::write(Kind::Certificate, stamp.certificate_salt, now, &stamp.node, &body)
                .ok_or(long)?;
        let contents = Contents {
            nonce: stamp.nonce,
            subject: certified.clone(),
            key_id: key_id.to_string(),
            principals: principals.clone(),
            valid_after: now.minus(BACKDATE),
            valid_before: now.plus(ttl),
            critical: wanted_critical(terms.force_command.as_deref(), &terms.source_address),
            extensions: EXTENSIONS
                .into_iter()
                .filter(|name| terms.extensions.contains(*name))
                .collect(),
            ca: if bare { stamp.bare_ca } else { stamp.user_ca },
        };
        let wanted = Wanted { key_id, now, principals, subject, ttl, terms };
        Ok(Self { wanted, contents, grant_facts, facts })
    }

    /// The facts of the grant, whose leaf goes before the certificate's; none where the grant has its
    /// leaf already.
    pub fn grant_facts(&self) -> Option<&[u8]> {
        self.grant_facts.as_deref()
    }

    /// The facts of the certificate.
    pub fn facts(&self) -> &[u8] {
        &self.facts
    }

    /// How many bytes of facts there are.
    pub(crate) fn len(&self) -> usize {
        self.facts.len() + self.grant_facts.as_ref().map_or(0, Vec::len)
    }

    /// For the writer: what is wanted, what is to be encoded, and the facts.
    pub(crate) fn into_parts(self) -> (Wanted, Contents, Vec<u8>) {
        (self.wanted, self.contents, self.facts)
    }
}

/// What the ledger keeps of a grant.
fn granted(grant: &Grant, proved: &KeyData, texts: Texts) -> Granted {
    let seen = grant.facts();
    let terms = grant.terms();
    Granted {
        request: seen.request.clone(),
        person: seen.person.name.clone(),
        person_kind: if seen.person.service { "service" } else { "person" }.to_owned(),
        source: seen.source.to_string(),
        key: fingerprint(proved),
        accounts: grant.accounts().iter().map(Account::principal).collect(),
        targets: grant
            .accounts()
            .iter()
            .filter(|account| account.bare)
            .map(Account::name)
            .collect(),
        ticket: seen.ticket.as_ref().map(|ticket| Ticket {
            tracker: ticket.tracker.clone(),
            id: ticket.id.to_string(),
            state: ticket.state.word().to_owned(),
            said: ticket.said.clone(),
            title: ticket.title.clone(),
            assignee: ticket.assignee.as_ref().map(ToString::to_string),
            priority: ticket.priority.clone(),
            labels: ticket.labels.iter().cloned().collect(),
            hosts: ticket.hosts.iter().map(ToString::to_string).collect(),
            window: ticket.window.map(|window| [window.from, window.until]),
        }),
        reason: seen.reason.as_ref().map(|reason| reason.as_str().to_owned()),
        offer: grant.offer().clone(),
        terms: Terms {
            ttl: terms.ttl.as_secs(),
            period: terms.period.as_secs(),
            extensions: terms.extensions.iter().map(|one| one.as_str().to_owned()).collect(),
            source_address: terms.source_address.clone(),
            force_command: terms.force_command.clone(),
            delivery: terms.delivery.map(|only| only.to_string()),
        },
        period: grant.period().as_secs(),
        grant_ends: grant.ends(),
        ends_with: grant.bound().map(ToString::to_string),
        votes: Vec::new(),
        policy: texts.policy,
        people: texts.people,
        hosts: texts.hosts,
    }
}
