//! From accounts to grants: each decided alone, then put together as certificates can open them, and in
//! one way.

use super::Stop;
use super::collect::{self, Wanted};
use super::outcome::{Issue, LiveGrant};
use super::request::{Ask, Asker};
use crate::certificate::names::{HostName, OfferId, RequestId};
use crate::certificate::time::UnixTime;
use crate::config::Deciding;
use crate::decide::facts::{Account, Facts, Within};
use crate::decide::{self, Clip, Decision, Delivery, Extension, Grant, decide};
use crate::ledger::recorded::Certificate;

/// The ways in which a certificate can be handed over, the best first.
pub(super) fn ways(asker: &Asker, ask: &Ask) -> Result<Vec<Delivery>, Stop> {
    match (ask.to, &asker.agent) {
        (Some(Delivery::MadeByCa), None) => Err(Stop::Undelivered {
            reason: "no agent is forwarded on this connection".to_owned(),
            hint: format!("ssh -A ca {}; without one: --to stdout", ask.line()),
        }),
        (Some(only), _) => Ok(vec![only]),
        (None, Some(_)) => Ok(vec![Delivery::MadeByCa, Delivery::OwnKey]),
        (None, None) => Ok(vec![Delivery::OwnKey]),
    }
}

/// Whether all of these go into the agent, or else to standard output; some here and some there is no
/// answer.
pub(super) fn into_agent(grants: &[Grant]) -> Result<bool, Stop> {
    let made = |grant: &&Grant| grant.delivery() == Some(Delivery::MadeByCa);
    let other = |grant: &&Grant| !made(grant);
    match (grants.iter().find(made), grants.iter().find(other)) {
        (Some(agent), Some(file)) => Err(Stop::Undelivered {
            reason: format!(
                "offer {} goes into your agent and offer {} to standard output",
                agent.offer(),
                file.offer()
            ),
            hint: "ask for one at a time".to_owned(),
        }),
        (made, _) => Ok(made.is_some()),
    }
}

/// The hops on the way, for which nobody asked in so many words.
pub(super) struct Way<'w, 'd> {
    pub(super) deciding: &'d Deciding,
    pub(super) facts: &'w dyn Fn(Account) -> Facts,
    /// Whether a lock stands against one.
    pub(super) locked: &'w dyn Fn(&Wanted<'_>) -> bool,
    pub(super) into_agent: bool,
}

impl<'d> Way<'_, 'd> {
    /// Into an agent they go along, if they are granted and the agent can be bound to them; of those that
    /// do not, a note tells.
    pub(super) fn add(
        &self,
        wanted: &mut Vec<Wanted<'d>>,
        grants: &mut Vec<Grant>,
        notes: &mut Vec<String>,
    ) {
        let renewal = grants.iter().any(Grant::is_renewal);
        for hop in collect::hops(self.deciding, wanted, self.facts) {
            let name = hop.account.name();
            let mut facts = (self.facts)(hop.account.clone());
            facts.around.history.after(hosts(grants));
            if !self.into_agent {
                notes.push(format!("{name} is on the way: ssh ca {name}"));
                continue;
            }
            if renewal && facts.within.is_none() {
                // Not part of this grant.
                continue;
            }
            if !collect::keys_known(hop.host) {
                notes.push(format!(
                    "{name} is on the way, and its host keys are not known: ssh ca {name} --to stdout > FILE"
                ));
                continue;
            }
            let why = match decide(&self.deciding.policy, &facts) {
                Decision::Granted(_) if (self.locked)(&hop) => "it is locked".to_owned(),
                Decision::Granted(grant) => {
                    add(grants, grant);
                    wanted.push(hop);
                    continue;
                }
                Decision::Refused(refusal) => {
                    refusal.reasons.first().map(ToString::to_string).unwrap_or_default()
                }
                Decision::Fault(fault) => {
                    tracing::error!(%fault, "a hop could not be decided");
                    "the policy could not be evaluated".to_owned()
                }
            };
            notes.push(format!("{name} is on the way, and you do not get it: {why}"));
        }
    }
}

/// Adds a grant to one that it shares a certificate with, or by itself.
fn add(grants: &mut Vec<Grant>, grant: Grant) {
    let join =
        |left: Option<Grant>, into: &mut Grant| left.and_then(|grant| into.join(grant, PRINCIPALS));
    let left = grants.iter_mut().fold(Some(grant), join);
    grants.extend(left);
}

/// The hosts that are granted so far.
fn hosts(grants: &[Grant]) -> impl Iterator<Item = &HostName> {
    grants.iter().flat_map(Grant::accounts).map(|account| &account.host)
}

/// The live grant that an account is asked from.
pub(super) fn within(live: &[LiveGrant], account: &Account) -> Option<Within> {
    let name = account.name();
    let grant = live.iter().find(|grant| grant.accounts.contains(&name))?;
    Some(Within { began: grant.began, ends: grant.ends, offer: grant.offer.clone() })
}

/// Decides each account alone, and puts together what one certificate can open. One no is the answer.
pub(super) fn decided(
    deciding: &Deciding,
    wanted: &[Wanted<'_>],
    facts: &dyn Fn(Account) -> Facts,
) -> Result<Vec<Grant>, Stop> {
    let mut grants: Vec<Grant> = Vec::new();
    let several = wanted.len() > 1;
    for one in wanted {
        let mut facts = facts(one.account.clone());
        facts.around.history.after(hosts(&grants));
        match decide(&deciding.policy, &facts) {
            Decision::Granted(grant) => add(&mut grants, grant),
            Decision::Refused(refusal) => {
                let hint = refusal.hint.clone().unwrap_or_else(|| "ssh ca help".to_owned());
                let name = one.account.name();
                let say = |reason: &decide::Reason| match several {
                    true => format!("{name}: {reason}"),
                    false => reason.to_string(),
                };
                return Err(Stop::No { reasons: refusal.reasons.iter().map(say).collect(), hint });
            }
            Decision::Fault(fault) => {
                return Err(Stop::Broken {
                    what: "the policy could not be evaluated",
                    details: fault.to_string(),
                });
            }
        }
    }
    Ok(grants)
}

/// On standard output there is room for one certificate.
pub(super) fn one_certificate(grants: &[Grant], ask: &Ask) -> Result<(), Stop> {
    let [first, second, ..] = grants else { return Ok(()) };
    let why = match first.offer() == second.offer() {
        true => "they do not fit into one".to_owned(),
        false => format!("offers {} and {} decide", first.offer(), second.offer()),
    };
    let account = first.accounts().first().map(Account::name).unwrap_or_default();
    Err(Stop::Undelivered {
        reason: format!(
            "these accounts take {} certificates, since {why}; standard output takes one",
            grants.len()
        ),
        hint: format!(
            "into an agent: ssh -A ca {}; or one at a time: ssh ca {account} ...",
            ask.line()
        ),
    })
}

/// What is known of a certificate before it is signed.
pub(super) struct Detail {
    pub(super) accounts: Vec<String>,
    pub(super) request: RequestId,
    offer: OfferId,
    grant_ends: UnixTime,
    renewal: bool,
}

impl Detail {
    /// Of a grant.
    pub(super) fn of(grant: &Grant) -> Self {
        Self {
            accounts: grant.accounts().iter().map(Account::name).collect(),
            request: grant.facts().request.clone(),
            offer: grant.offer().clone(),
            grant_ends: grant.ends(),
            renewal: grant.is_renewal(),
        }
    }

    /// With its certificate.
    pub(super) fn issue(&self, certificate: &Certificate, now: UnixTime) -> Issue {
        Issue {
            request: self.request.clone(),
            serial: certificate.serial(),
            certificate: certificate.as_openssh().to_owned(),
            accounts: self.accounts.clone(),
            issued: now,
            valid_before: certificate.valid_before(),
            grant_ends: self.grant_ends,
            renewal: self.renewal,
            offer: self.offer.clone(),
        }
    }
}

/// The most accounts one certificate opens: the signer's limit unless it is set lower.
const PRINCIPALS: usize = 64;

/// Remarks for the person: what is less than was asked for.
pub(super) fn remarks(grant: &Grant) -> Vec<String> {
    let clipped = grant.clipped();
    let offer = format!("offer {} gives no more", grant.offer());
    let clip = |what: &str, Clip { asked, given }: Clip, why: &str| {
        format!("{what} is {given}, not {asked}: {why}")
    };
    let ttl = clipped.ttl.map(|life| {
        let with_grant = life.given < grant.terms().ttl;
        let why = if with_grant { "it ends with the grant" } else { &offer };
        clip("the certificate's life", life, why)
    });
    let period = match grant.bound() {
        Some(bound) => Some(format!("the grant ends at {} with {bound}", grant.ends())),
        None => clipped.period.map(|period| clip("the grant", period, &offer)),
    };
    let forwards = grant.terms().extensions.contains(&Extension::PortForwarding);
    let closed = (!forwards)
        .then(|| "without port forwarding: -J, -L, -D and editors need another offer".to_owned());
    let account = &grant.facts().account;
    let wide = account.bare.then(|| {
        let login = &account.login;
        format!("a bare account name: it opens {login} on every server that takes bare names, until it expires")
    });
    [ttl, period, closed, wide].into_iter().flatten().collect()
}
