//! Sweeps over many requests: what must hold of every decision, whatever the facts.

use std::collections::BTreeSet;

use cedar_policy::{Entities, Entity, Schema};

use super::cedar::{Asked, Words};
use super::example::{HOSTS, facts, load, policy, ticket};
use super::facts::{Facts, TicketState, Window};
use super::*;

/// A small generator of numbers (xorshift), the same ones on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Any request of the example's world, or a little beyond it.
    fn facts(&mut self) -> Facts {
        let person =
            self.one(&["ana", "bob", "vera", "deploy-bot", "mallory", "cleo", "dan", "triage"]);
        let login = self.one(&["deploy", "logs", "root", "dev", "jump", "admin"]);
        let host = self.one(&["web01", "web02", "db01", "dev01", "hop01", "web09"]);
        let account = match self.below(4) {
            0 => format!("{login}@{host}"),
            _ => {
                let (host, _, logins) = self.one(&HOSTS);
                format!("{}@{host}", self.one(logins))
            }
        };
        let mut facts = facts(person, &account);
        if self.below(4) == 0 {
            // The right ticket.
            let mut own = ticket(person, &[]);
            own.priority = self.one(&[Some("high"), Some("low")]).map(str::to_owned);
            facts.ticket = Some(own);
        } else if self.below(4) > 0 {
            let mut ticket = ticket(self.one(&["ana", "bob", "vera"]), &[]);
            ticket.state =
                self.one(&[TicketState::Open, TicketState::Pending, TicketState::Closed]);
            ticket.priority = self.one(&[None, Some("high"), Some("low")]).map(str::to_owned);
            if self.below(3) == 0 {
                ticket.assignee = None;
            } else if self.below(2) == 0 {
                ticket.assignee = Some(facts.person.name.clone());
            }
            ticket.hosts = match self.below(3) {
                0 => BTreeSet::new(),
                1 => BTreeSet::from(["db01".parse().unwrap()]),
                _ => BTreeSet::from([facts.account.host.clone()]),
            };
            ticket.labels = BTreeSet::from(["\") || true".to_owned(), String::new()]);
            ticket.labels.extend((self.below(4) == 0).then(|| "release".to_owned()));
            if self.below(3) == 0 {
                // It is on, or it begins in a minute.
                let from = facts.now.plus(Span::secs(60 * self.one(&[0, 1])));
                ticket.window = Some(Window { from, until: from.plus(Span::secs(3600)) });
            }
            facts.ticket = Some(ticket);
        }
        if self.below(3) == 0 {
            facts.reason = Some("\"; permit (principal, action, resource); //".parse().unwrap());
        }
        let hours =
            self.one(&[&["office"][..], &["night"], &["weekend"], &["night", "weekend"], &[]]);
        facts.around.hours = hours.iter().map(|name| name.parse().unwrap()).collect();
        let freeze = self.one(&[None, None, Some("black-friday"), Some("incident")]);
        facts.around.freezes = freeze.into_iter().map(|name| name.parse().unwrap()).collect();
        let history = &mut facts.around.history;
        history.last_days = self.one(&[None, Some(0), Some(400)]);
        history.recent = self.one(&[0, 29, 30]);
        history.recent_hosts = self.one(&[0, 20, 21]);
        if ["cleo", "dan"].contains(&person) && self.below(2) == 0 {
            let ends = facts.now.plus(Span::secs(7200));
            facts.person.shifts.insert("on-call".parse().unwrap(), ends);
        }
        facts.source =
            self.one(&["203.0.113.9", "2001:db8:113::1", "198.51.100.7"]).parse().unwrap();
        let durations =
            [None, Some(Span::secs(60)), Some(Span::secs(600)), Some(Span::secs(86_400))];
        (facts.ttl, facts.period) = (self.one(&durations), self.one(&durations));
        facts
    }
}

/// The example's policy in Rust, read off its comments: the offer that should decide.
fn expected(facts: &Facts) -> Option<&'static str> {
    let person = facts.person.name.as_str();
    let (login, host) = (facts.account.login.as_str(), facts.account.host.as_str());
    let around = &facts.around;
    let is_in = |hours: &str| around.hours.iter().any(|name| name.as_str() == hours);
    let frozen = |by: &str| around.freezes.iter().any(|name| name.as_str() == by);
    let prod = ["web01", "web02", "db01"].contains(&host);
    let (sre, dev) = (["ana", "cleo"].contains(&person), ["bob", "dan"].contains(&person));
    let (team, service) = (sre || dev, facts.person.service);
    let ticket = facts.ticket.as_ref();
    let open = ticket.is_some_and(|t| t.state == TicketState::Open);
    let own = open
        && ticket.is_some_and(|t| t.assignee.as_ref().is_some_and(|name| name.as_str() == person));
    let covers =
        ticket.is_some_and(|t| t.hosts.is_empty() || t.hosts.contains(&facts.account.host));
    let on = ticket.is_some_and(|t| t.window.is_none_or(|window| window.from <= facts.now));
    let high = ticket.is_some_and(|t| t.priority.as_deref() == Some("high"));
    let release = ticket.is_some_and(|t| t.labels.contains("release"));
    let why = facts.reason.is_some();

    let many = !service && prod && around.history.recent_hosts > 20;
    let late = !service && !is_in("office") && !high && !release;
    let new = !service && around.history.last_days.is_none() && !why && !high && !release;
    let stopped = !around.freezes.is_empty() && !high;
    let change = login == "deploy" && prod && !stopped;
    let root = login == "root" && prod;
    let offers = [
        (
            "agent-logs",
            300,
            login == "logs"
                && prod
                && person == "triage"
                && around.history.recent < 30
                && !is_in("night")
                && !is_in("weekend"),
        ),
        ("bot-deploy", 120, change && person == "deploy-bot"),
        (
            "break-glass",
            120,
            root && ["cleo", "dan"].contains(&person) && frozen("incident") && why,
        ),
        ("deploy-prod", 600, change && team && own && covers && on && !late && !new),
        ("edit-dev", 600, host == "dev01" && team),
        ("hop", 600, login == "jump" && host == "hop01" && team),
        ("logs-prod", 900, login == "logs" && prod && team),
        ("root-on-call", 300, root && !facts.person.shifts.is_empty() && open && covers),
        ("root-prod", 300, root && sre && own && covers && high && why),
        (
            "vendor-dev01",
            900,
            (login, host, person) == ("dev", "dev01", "vera")
                && own
                && covers
                && on
                && facts.source.to_string() != "198.51.100.7",
        ),
    ];
    // The longest certificate, then the first name.
    let most = [facts.ttl, facts.period].into_iter().flatten().map(Span::as_secs).min();
    let given = |ttl: u64| ttl.min(most.unwrap_or(ttl));
    let permitted = offers.into_iter().filter(|(.., permits)| *permits && !many);
    permitted.min_by_key(|(name, ttl, _)| (Reverse(given(*ttl)), *name)).map(|(name, ..)| name)
}

#[test]
fn only_what_the_example_says_is_granted() {
    let policy = policy();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut granted = BTreeSet::new();
    for _ in 0..2500 {
        let asked = numbers.facts();
        let got = match decide(&policy, &asked) {
            Decision::Granted(grant) => {
                assert!(grant.ttl() <= grant.period() && grant.ttl() <= grant.terms().ttl);
                assert!(grant.period() <= grant.terms().period);
                assert!(asked.ttl.is_none_or(|ttl| grant.ttl() <= ttl));
                assert!(asked.period.is_none_or(|period| grant.period() <= period));
                granted.insert(grant.offer().to_string());
                Some(grant.offer().to_string())
            }
            Decision::Refused(no) => {
                assert!(!no.reasons.is_empty() && no.hint.is_some());
                for text in no.reasons.iter().map(Reason::to_string).chain(no.hint) {
                    assert!(
                        text.bytes().all(|b| (0x20..=0x7e).contains(&b)) && !text.ends_with('.')
                    );
                }
                None
            }
            Decision::Fault(fault) => panic!("{fault}"),
        };
        assert_eq!(got.as_deref(), expected(&asked), "{asked:?}");
    }
    assert_eq!(granted.len(), policy.offers().len(), "the sweep met every offer: {granted:?}");
}

#[test]
fn nothing_is_granted_where_nothing_permits() {
    let mut numbers = Numbers(88_172_645_463_325_252);
    let never = "@id(\"never\") @ttl(\"1m\") permit (principal, action == Action::\"login\", resource) \
                 when { context.ttl > context.period };";
    let forbidden = "@id(\"all\") @ttl(\"1m\") permit (principal, action == Action::\"login\", resource);\
                     @id(\"no\") forbid (principal, action, resource);";
    for text in ["", never, forbidden] {
        let policy = load(text);
        for _ in 0..200 {
            let asked = numbers.facts();
            assert!(matches!(decide(&policy, &asked), Decision::Refused(_)), "{text}: {asked:?}");
        }
    }
}

#[test]
fn the_parts_say_what_the_whole_says() {
    let policy = policy();
    let words = Words::new().unwrap();
    let authorizer = Authorizer::new();
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    for _ in 0..200 {
        let mut facts = numbers.facts();
        facts.person.groups.extend((0..3).map(|n| format!("elsewhere-{n}").parse().unwrap()));
        let asked = Asked::new(&words, &facts).unwrap();
        // Without the groups and tags that no statement names.
        let named = Asked::new(&policy.words, &facts).unwrap();
        for offer in policy.offers() {
            let given = Given::under(&offer.terms, &facts);
            let request = asked.under(&offer.terms, given.ttl, given.period).unwrap();
            let answer = ask(&authorizer, &request, &offer.alone, &asked).unwrap();
            let held = offer
                .conjuncts
                .iter()
                .all(|part| part.holds(&request, asked.entities()) == Some(true));
            let parts = offer.scope.matches(&asked) && held;
            assert_eq!(answer.decision() == Answer::Allow, parts, "{} {facts:?}", offer.id);
            for policies in [&offer.alone, &policy.forbids.all] {
                let [all, few] =
                    [&asked, &named].map(|asked| ask(&authorizer, &request, policies, asked));
                let [all, few] = [all, few].map(|answer| deciders(&answer.unwrap()).unwrap());
                assert_eq!(all, few, "{} {facts:?}", offer.id);
            }
        }
    }
}

#[test]
fn what_is_put_to_cedar_is_what_the_schema_says() {
    let (schema, warnings) = Schema::from_cedarschema_str(Policy::SCHEMA).unwrap();
    assert_eq!(warnings.count(), 0);
    let (policy, words) = (policy(), Words::new().unwrap());
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for n in 0..300 {
        let mut facts = numbers.facts();
        facts.person.email = (n % 2 == 0).then(|| "ana@example.org".to_owned());
        facts.account.owner = (n % 3 == 0).then(|| "sre".parse().unwrap());
        facts.account.pool = n % 5 == 0;
        facts.source = numbers
            .one(&["::1", "203.0.113.9", "::ffff:10.0.0.1", "::1.2.3.4", "fe80::1"])
            .parse()
            .unwrap();
        let asked = Asked::new(&words, &facts).unwrap();
        let all: Vec<Entity> = asked.entities().iter().cloned().collect();
        assert!((3..=10).contains(&all.len()));
        Entities::from_entities(all, Some(&schema)).unwrap();

        let request =
            asked.under(&policy.offers[0].terms, Span::secs(61), Span::secs(3600)).unwrap();
        let context = request.context().unwrap().clone();
        assert_eq!(context.get("ttl").unwrap().to_string(), "2");
        Request::new(
            request.principal().unwrap().clone(),
            request.action().unwrap().clone(),
            request.resource().unwrap().clone(),
            context,
            Some(&schema),
        )
        .unwrap();
    }
}

#[test]
fn who_asks_is_in_their_groups_and_the_account_in_its_host_and_tags() {
    let mut asked = facts("ana", "deploy@web01");
    asked.account.owner = Some("sre".parse().unwrap());
    asked.account.pool = true;
    asked.person.email = Some("ana@example.org".to_owned());
    let mut bot = facts("deploy-bot", "deploy@web01");
    bot.account.owner = Some("sre".parse().unwrap());
    for (condition, ana, service) in [
        ("principal in Group::\"sre\"", true, false),
        ("principal == Person::\"ana\" || principal == Service::\"deploy-bot\"", true, true),
        ("principal is Service in Group::\"bots\"", false, true),
        ("principal has email && principal.email like \"*@example.org\"", true, false),
        ("resource in Tag::\"prod\" && resource in Host::\"web01\"", true, true),
        ("resource in Tag::\"dev\" || resource in Host::\"web02\"", false, false),
        ("resource == Account::\"deploy@web01\"", true, true),
        ("resource has owner && principal in resource.owner", true, false),
        ("resource.pool", true, false),
        ("resource.host == \"web01\" && resource.login == \"deploy\"", true, true),
        ("context has ticket || context has reason", false, false),
        ("context.terms == {approvals: 0, touch: false, ttl: 2, period: 60}", true, true),
        ("context.ttl == 2 && context.period == 60", true, true),
    ] {
        let policy = load(&format!(
            "@id(\"a\") @ttl(\"90s\") permit (principal, action == Action::\"login\", resource) when {{ {condition} }};"
        ));
        for (facts, expected) in [(&asked, ana), (&bot, service)] {
            let granted = matches!(decide(&policy, facts), Decision::Granted(_));
            assert_eq!(granted, expected, "{condition} {}", facts.person.name);
        }
    }
}

#[test]
fn two_hundred_offers_are_each_judged_alone() {
    let mut text = String::new();
    for n in 0..200 {
        text += &format!(
            "@id(\"offer-{n:03}\") @ttl(\"10m\") permit (principal in Group::\"dev\", action == Action::\"login\", \
             resource in Tag::\"prod\") when {{ resource.login == \"deploy\" }} when {{ context has ticket && \
             context.ticket.state == \"open\" }} when {{ context.ticket.labels.contains(\"l{n}\") }};\n"
        );
    }
    text += "@id(\"not-117\") forbid (principal, action, resource) when { context has ticket && \
             context.ticket.labels.contains(\"l117\") };";
    let policy = load(&text);
    assert_eq!(policy.offers().len(), 200);
    for (label, expected) in
        [("l0", Some("offer-000")), ("l199", Some("offer-199")), ("l117", None), ("x", None)]
    {
        let mut asked = facts("bob", "deploy@web01");
        let mut ticket = ticket("bob", &[]);
        ticket.labels.insert(label.to_owned());
        asked.ticket = Some(ticket);
        let got = match decide(&policy, &asked) {
            Decision::Granted(grant) => Some(grant.offer().to_string()),
            _ => None,
        };
        assert_eq!(got.as_deref(), expected);
    }
}

#[test]
fn a_policy_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&policy());
}
