//! Everybody's reach: the accounts that each offer covers, whatever the circumstances, for those who
//! review access or compare two policies. Pure, as `decide` is.
//!
//! The same question as [`catalog`](super::survey::catalog) answers for one person, asked for hundreds of
//! people and thousands of hosts. So people and accounts that policy cannot tell apart are looked at once:
//! an account is its login, the tags that some statement names, and what else some statement reads.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use cedar_policy::{Entities, EntityUid, Request};

use super::PolicyFault;
use super::cedar::{Asked, Who};
use super::facts::{Account, Facts, Person};
use super::grant::Given;
use super::office::{self, Act, FreezeAct, LockAct, Matter};
use super::policy::{Offer, Policy};
use super::split::{Conjunct, attributes_of};
use super::statements::Barrier;
use crate::certificate::names::{Login, OfferId};

/// The accounts that are looked at, sorted into those that policy cannot tell apart.
pub struct Reach<'p> {
    policy: &'p Policy,
    barriers: Vec<Barrier<'p>>,
    tells: Tells,
    classes: Vec<Class>,
    /// What was found for people of the same kind.
    seen: HashMap<Kind, Rc<Vec<Covered<'p>>>>,
}

/// What one offer covers.
#[derive(Debug)]
pub struct Covered<'p> {
    /// The offer.
    pub offer: &'p Offer,
    /// The forbids that stand against it in some circumstances.
    pub forbids: Vec<OfferId>,
    /// The accounts: of each login the hosts, by their number.
    pub accounts: BTreeMap<Login, Vec<usize>>,
}

/// Accounts that policy cannot tell apart.
struct Class {
    one: Account,
    uid: EntityUid,
    within: HashSet<EntityUid>,
    /// Their hosts, by number.
    hosts: Vec<usize>,
}

/// What some statement can tell of people and accounts.
#[derive(Default)]
struct Tells {
    /// What it calls by name: type and name.
    named: HashSet<(String, String)>,
    /// The attributes it reads of anything.
    attributes: BTreeSet<String>,
}

/// All that policy can tell of a person.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    service: bool,
    groups: Vec<String>,
    name: Option<String>,
}

/// All that policy can tell of an account.
#[derive(PartialEq, Eq, Hash)]
struct Sort {
    login: Login,
    tags: Vec<String>,
    owner: Option<String>,
    pool: bool,
    host: Option<String>,
}

impl<'p> Reach<'p> {
    /// Sorts the accounts: `hosts` is one account of each host with all its logins. `facts` are
    /// anybody's.
    pub fn new(
        policy: &'p Policy,
        facts: &Facts,
        hosts: &[(Account, BTreeSet<Login>)],
    ) -> Result<Self, PolicyFault> {
        let tells = Tells::of(policy);
        let mut numbers: HashMap<Sort, usize> = HashMap::new();
        let mut classes: Vec<Class> = Vec::new();
        for (at, (host, logins)) in hosts.iter().enumerate() {
            for login in logins {
                let sort = tells.sort(login, host);
                let number = match numbers.get(&sort) {
                    Some(number) => *number,
                    None => {
                        let one = Account { login: login.clone(), ..host.clone() };
                        let facts = Facts { account: one.clone(), ..facts.clone() };
                        let asked = Asked::new(&policy.words, &facts).map_err(no_request)?;
                        let (uid, within) = asked.resource();
                        let (uid, within) = (uid.clone(), within.clone());
                        classes.push(Class { one, uid, within, hosts: Vec::new() });
                        numbers.insert(sort, classes.len() - 1);
                        classes.len() - 1
                    }
                };
                if let Some(class) = classes.get_mut(number) {
                    class.hosts.push(at);
                }
            }
        }
        Ok(Self { policy, barriers: policy.barriers(), tells, classes, seen: HashMap::new() })
    }

    /// What each offer could give a person in some circumstances, offers by id. `facts` are the
    /// person's.
    pub fn of(&mut self, facts: &Facts) -> Result<Rc<Vec<Covered<'p>>>, PolicyFault> {
        let kind = self.tells.kind(&facts.person);
        if let Some(seen) = self.seen.get(&kind) {
            return Ok(Rc::clone(seen));
        }
        let found = Rc::new(self.look(facts)?);
        self.seen.insert(kind, Rc::clone(&found));
        Ok(found)
    }

    fn look(&self, facts: &Facts) -> Result<Vec<Covered<'p>>, PolicyFault> {
        let who = Who::of(&self.policy.words, &facts.person, None).map_err(no_request)?;
        let who = (&who.principal, &who.principals);
        let barriers: Vec<&Barrier<'_>> =
            self.barriers.iter().filter(|barrier| barrier.scope.is_for(who)).collect();
        let mut all = Vec::new();
        for offer in self.policy.offers.iter().filter(|offer| offer.scope.is_for(who)) {
            // By the forbids that may stand against it.
            let mut covered: BTreeMap<Vec<OfferId>, BTreeMap<Login, Vec<usize>>> = BTreeMap::new();
            for class in &self.classes {
                let on = (&class.uid, &class.within);
                if !offer.scope.is_on(on) {
                    continue;
                }
                let facts = Facts { account: class.one.clone(), ..facts.clone() };
                let asked = Asked::new(&self.policy.words, &facts).map_err(no_request)?;
                let given = Given::under(&offer.terms, &facts);
                let request = asked.under(&offer.terms, given.ttl, given.period);
                let request = request.map_err(no_request)?;
                if stands(&offer.conjuncts, &request, asked.entities()) == Stands::Never {
                    continue;
                }
                let over = barriers.iter().filter(|barrier| barrier.scope.is_on(on));
                let Some(forbids) = forbids(over.copied(), &request, asked.entities()) else {
                    continue;
                };
                let accounts = covered.entry(forbids).or_default();
                accounts.entry(class.one.login.clone()).or_default().extend(&class.hosts);
            }
            all.extend(covered.into_iter().map(|(forbids, mut accounts)| {
                accounts.values_mut().for_each(|hosts| hosts.sort_unstable());
                Covered { offer, forbids, accounts }
            }));
        }
        Ok(all)
    }

    /// What a person could do at the desk in some circumstances. `matter` is any of the person's.
    pub fn at_desk(&self, matter: &Matter) -> Result<Vec<Leave>, PolicyFault> {
        let mut all = Vec::new();
        for leave in &self.policy.leaves {
            let word = leave.action.id().unescaped();
            let Some(act) = any(word) else { continue };
            let matter = Matter { act, ..matter.clone() };
            let asked = office::Asked::new(self.policy, &matter).map_err(no_request)?;
            let (request, entities) = (&asked.request, &asked.entities);
            if !asked.speaks_of(&leave.scope)
                || stands(&leave.conjuncts, request, entities) == Stands::Never
            {
                continue;
            }
            let over = self.barriers.iter().filter(|barrier| asked.speaks_of(&barrier.scope));
            let Some(forbids) = forbids(over, request, entities) else { continue };
            let open = leave.conjuncts.iter().filter(|part| is_open(part));
            all.push(Leave {
                id: leave.id.clone(),
                act: word.to_owned(),
                needs: open.map(|part| part.text.clone()).collect(),
                forbids,
            });
        }
        Ok(all)
    }
}

/// Any act of this kind: what it is about is a circumstance.
fn any(word: &str) -> Option<Act> {
    Some(match word {
        "audit" => Act::Audit,
        "lock" => Act::Lock(LockAct {
            target: "everything",
            name: String::new(),
            lifting: false,
            mine: false,
            reason: None,
        }),
        "freeze" => Act::Freeze(FreezeAct {
            name: "any".parse().ok()?,
            tags: BTreeSet::new(),
            lifting: false,
            reason: None,
        }),
        _ => return None,
    })
}

/// What somebody could do at the desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// The permit.
    pub id: OfferId,
    /// `audit`, `lock` or `freeze`.
    pub act: String,
    /// The conditions that circumstances decide.
    pub needs: Vec<String>,
    /// The forbids that stand against it in some circumstances.
    pub forbids: Vec<OfferId>,
}

/// Whether conditions hold, as far as circumstances do not decide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Always,
    InSome,
    Never,
}

/// Whether circumstances decide a condition. An offer's terms are the same in all of them.
fn is_open(conjunct: &Conjunct) -> bool {
    conjunct.reads.iter().any(|name| name != "terms")
}

fn stands(conjuncts: &[Conjunct], request: &Request, entities: &Entities) -> Stands {
    let closed = conjuncts.iter().filter(|part| !is_open(part));
    let holds: Vec<Option<bool>> = closed.map(|part| part.holds(request, entities)).collect();
    // One that cannot be evaluated may hold: a review rather says too much.
    if holds.contains(&Some(false)) {
        Stands::Never
    } else if holds.contains(&None) || conjuncts.iter().any(is_open) {
        Stands::InSome
    } else {
        Stands::Always
    }
}

/// The forbids that may apply; `None` where one does whatever the circumstances.
fn forbids<'b>(
    over: impl Iterator<Item = &'b Barrier<'b>>,
    request: &Request,
    entities: &Entities,
) -> Option<Vec<OfferId>> {
    let mut may = Vec::new();
    for barrier in over {
        match stands(&barrier.conjuncts, request, entities) {
            Stands::Always => return None,
            Stands::InSome => may.push(barrier.id.clone()),
            Stands::Never => {}
        }
    }
    Some(may)
}

fn no_request(what: String) -> PolicyFault {
    PolicyFault { policy: None, what }
}

impl Tells {
    fn of(policy: &Policy) -> Self {
        let mut tells = Self::default();
        let offers = policy.offers.iter().flat_map(|offer| offer.alone.policies());
        let leaves = policy.leaves.iter().flat_map(|leave| leave.alone.policies());
        for one in offers.chain(leaves).chain(policy.forbids.all.policies()) {
            for uid in one.entity_literals() {
                let kind = uid.type_name().basename().to_owned();
                let name = uid.id().unescaped().to_owned();
                if let Some((_, host)) = name.split_once('@').filter(|_| kind == "Account") {
                    tells.named.insert(("Host".to_owned(), host.to_owned()));
                }
                tells.named.insert((kind, name));
            }
            match one.to_pst() {
                Ok(pst) => tells.attributes.extend(attributes_of(pst.body().clauses())),
                // What cannot be looked into may tell everything.
                Err(_) => tells.attributes.extend(ALL.map(str::to_owned)),
            }
        }
        tells
    }

    fn names(&self, kind: &str, name: &str) -> bool {
        self.named.contains(&(kind.to_owned(), name.to_owned()))
    }

    fn reads(&self, attribute: &str) -> bool {
        self.attributes.contains(attribute)
    }

    fn kind(&self, person: &Person) -> Kind {
        let name = person.name.as_str();
        let apart = self.names(if person.service { "Service" } else { "Person" }, name)
            || self.reads("name")
            || self.reads("email");
        // `principal in resource.owner` asks about groups that no statement names.
        let told = |group: &str| self.reads("owner") || self.names("Group", group);
        let groups = person.all_groups().map(|group| group.as_str()).filter(|group| told(group));
        Kind {
            service: person.service,
            groups: groups.map(str::to_owned).collect(),
            name: apart.then(|| name.to_owned()),
        }
    }

    fn sort(&self, login: &Login, host: &Account) -> Sort {
        let tags = host.tags.iter().map(|tag| tag.as_str()).filter(|tag| self.names("Tag", tag));
        let owner = host.owner.as_ref().filter(|_| self.reads("owner"));
        let apart = self.reads("host") || self.names("Host", host.host.as_str());
        Sort {
            login: login.clone(),
            tags: tags.map(str::to_owned).collect(),
            owner: owner.map(ToString::to_string),
            pool: host.pool && self.reads("pool"),
            host: apart.then(|| host.host.to_string()),
        }
    }
}

/// Every attribute of people and accounts.
const ALL: [&str; 6] = ["name", "email", "login", "host", "pool", "owner"];
