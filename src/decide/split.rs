//! An offer's conditions, taken apart: what can be said of each when it is not met.
//!
//! Cedar decides with the whole policy; the parts are evaluated only after a no, to say why. They
//! stand in the order of the source, because a guard (`context has ticket`) makes what follows safe.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, UnaryOp, Var};
use cedar_policy::{Entities, Request};

use super::asks::Asks;
use crate::certificate::time::Span;
use cedar_policy::{EvalResult, Expression, eval_expression};

/// One condition that must hold, none of whose parts must hold by itself.
#[derive(Debug)]
pub(super) struct Conjunct {
    /// As the author could have written it.
    pub(super) text: String,
    /// What it asks for, where there is a sentence for that.
    pub(super) asks: Asks,
    /// What it reads of the context: the circumstances, which the person may be able to change. If
    /// nothing, it is about who asks for what, like the scope.
    pub(super) reads: BTreeSet<String>,
    /// The whole numbers in it.
    pub(super) numbers: Vec<i64>,
    /// Whether it is one that must not hold, as after `unless`.
    pub(super) negated: bool,
    truth: Option<Expression>,
    had: Vec<Measure>,
    /// What would have to hold instead, taken apart: what lifts a forbid.
    pub(super) lifts: Vec<Conjunct>,
}

/// One value that says why a condition failed: of its only part, or of one of several that all failed.
#[derive(Debug)]
struct Measure {
    /// The part; nothing where there is but one.
    part: Option<Expression>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Of(Expression),
    /// The part asks whether this is there.
    Missing(String),
}

impl Conjunct {
    /// Whether it holds; nothing if it cannot be evaluated, as behind a guard that failed.
    pub(super) fn holds(&self, request: &Request, entities: &Entities) -> Option<bool> {
        match eval_expression(request, entities, self.truth.as_ref()?) {
            Ok(EvalResult::Bool(holds)) => Some(holds),
            _ => None,
        }
    }

    /// What was found where something else was asked for.
    pub(super) fn had(&self, request: &Request, entities: &Entities) -> Option<String> {
        let mut all: Vec<String> = Vec::new();
        for Measure { part, value } in &self.had {
            let failed = match part {
                None => true,
                Some(part) => {
                    let holds = eval_expression(request, entities, part);
                    matches!(holds, Ok(EvalResult::Bool(false)))
                }
            };
            let value = match value {
                Value::Of(value) => {
                    eval_expression(request, entities, value).ok().map(|v| shown(&v))
                }
                Value::Missing(what) => Some(format!("no {what}")),
            };
            all.extend(value.filter(|value| failed && !all.contains(value)));
        }
        (!all.is_empty()).then(|| all.join(" and "))
    }
}

/// The conjuncts of a policy's clauses, in the order of the source.
pub(super) fn conjuncts(clauses: &[Clause]) -> Vec<Conjunct> {
    let mut all = Vec::new();
    for clause in clauses {
        match clause {
            Clause::When(expr) => flatten(expr, false, &mut all),
            Clause::Unless(expr) => flatten(expr, true, &mut all),
        }
    }
    all.iter().map(conjunct).collect()
}

/// The same of a forbid: each also says what would lift it.
pub(super) fn lifted(clauses: &[Clause]) -> Vec<Conjunct> {
    let mut all = Vec::new();
    for clause in clauses {
        let (mut parts, negated) = (Vec::new(), matches!(clause, Clause::Unless(_)));
        match clause {
            Clause::When(expr) => flatten(expr, false, &mut parts),
            // Not taken apart: together they are what must not be.
            Clause::Unless(expr) => parts.push(Arc::clone(expr)),
        }
        for part in parts {
            let mut instead = Vec::new();
            flatten(&part, !negated, &mut instead);
            let lifts = instead.iter().map(conjunct).collect();
            all.push(Conjunct { negated, lifts, ..conjunct(&part) });
        }
    }
    all
}

/// The login that the first condition asks for, if that is what it does: `resource.login == "deploy"`.
pub(super) fn first_login(clauses: &[Clause]) -> Option<String> {
    let Some(Clause::When(first)) = clauses.first() else { return None };
    let mut parts = Vec::new();
    flatten(first, false, &mut parts);
    let Expr::BinaryOp { op: BinaryOp::Eq, left, right } = parts.first()?.as_ref() else {
        return None;
    };
    let Expr::GetAttr { expr, attr } = left.as_ref() else { return None };
    match right.as_ref() {
        Expr::Literal(Literal::String(login))
            if attr == "login" && **expr == Expr::Var(Var::Resource) =>
        {
            Some(login.to_string())
        }
        _ => None,
    }
}

/// Takes `a && b` apart, and `!(a || b)`, which is `!a && !b`.
fn flatten(expr: &Arc<Expr>, negated: bool, into: &mut Vec<Arc<Expr>>) {
    match (expr.as_ref(), negated) {
        (Expr::BinaryOp { op: BinaryOp::And, left, right }, false)
        | (Expr::BinaryOp { op: BinaryOp::Or, left, right }, true) => {
            flatten(left, negated, into);
            flatten(right, negated, into);
        }
        (Expr::UnaryOp { op: UnaryOp::Not, expr }, _) => flatten(expr, !negated, into),
        (_, false) => into.push(Arc::clone(expr)),
        (_, true) => into.push(Arc::new(negation(expr))),
    }
}

/// The opposite, as a person would write it: `a != b` rather than `!(a == b)`.
fn negation(expr: &Arc<Expr>) -> Expr {
    if let Expr::BinaryOp { op, left, right } = expr.as_ref() {
        let opposite = match op {
            BinaryOp::Eq => Some(BinaryOp::NotEq),
            BinaryOp::NotEq => Some(BinaryOp::Eq),
            BinaryOp::Less => Some(BinaryOp::GreaterEq),
            BinaryOp::GreaterEq => Some(BinaryOp::Less),
            BinaryOp::Greater => Some(BinaryOp::LessEq),
            BinaryOp::LessEq => Some(BinaryOp::Greater),
            _ => None,
        };
        if let Some(op) = opposite {
            return Expr::BinaryOp { op, left: Arc::clone(left), right: Arc::clone(right) };
        }
    }
    Expr::UnaryOp { op: UnaryOp::Not, expr: Arc::clone(expr) }
}

fn conjunct(expr: &Arc<Expr>) -> Conjunct {
    let text = expr.to_string();
    Conjunct {
        asks: Asks::of(expr),
        reads: reads(expr),
        numbers: numbers(expr),
        negated: false,
        truth: text.parse().ok(),
        had: measures(expr),
        lifts: Vec::new(),
        text,
    }
}

fn numbers(expr: &Expr) -> Vec<i64> {
    let look = |part: &Expr| match part {
        Expr::Literal(Literal::Long(number)) => Some(vec![*number]),
        _ => None,
    };
    expr.reduce(&look, &|a, b| [a, b].concat(), Vec::new())
}

/// The attributes of the context that an expression reads; the empty name for the context itself.
fn reads(expr: &Expr) -> BTreeSet<String> {
    let look = |part: &Expr| match part {
        Expr::GetAttr { expr, attr } if **expr == Expr::Var(Var::Context) => {
            Some(BTreeSet::from([attr.to_string()]))
        }
        Expr::HasAttr { expr, attrs } if **expr == Expr::Var(Var::Context) => {
            Some(BTreeSet::from([attrs.first().to_string()]))
        }
        Expr::Var(Var::Context) => Some(BTreeSet::from([String::new()])),
        _ => None,
    };
    expr.reduce(&look, &|a, b| a.union(&b).cloned().collect(), BTreeSet::new())
}

/// The attributes of the context that a policy's clauses read.
pub(super) fn reads_of(clauses: &[Clause]) -> BTreeSet<String> {
    let all = clauses.iter().flat_map(|(Clause::When(expr) | Clause::Unless(expr))| reads(expr));
    all.collect()
}

/// The names of all attributes that a policy's clauses read, of whatever they read them.
pub(super) fn attributes_of(clauses: &[Clause]) -> BTreeSet<String> {
    fn within(expr: &Expr) -> BTreeSet<String> {
        let look = |part: &Expr| match part {
            Expr::GetAttr { expr, attr } => {
                let mut all = within(expr);
                all.insert(attr.to_string());
                Some(all)
            }
            Expr::HasAttr { expr, attrs } => {
                let mut all = within(expr);
                all.extend(attrs.iter().map(ToString::to_string));
                Some(all)
            }
            _ => None,
        };
        expr.reduce(&look, &|a, b| a.union(&b).cloned().collect(), BTreeSet::new())
    }
    let all = clauses.iter().flat_map(|(Clause::When(expr) | Clause::Unless(expr))| within(expr));
    all.collect()
}

/// Whether a policy's clauses read a host's name, by which alone two hosts may differ.
pub(super) fn reads_host(clauses: &[Clause]) -> bool {
    let look = |part: &Expr| match part {
        Expr::GetAttr { attr, .. } => (attr == "host").then_some(true),
        Expr::HasAttr { attrs, .. } => attrs.iter().any(|attr| attr == "host").then_some(true),
        _ => None,
    };
    clauses.iter().any(|(Clause::When(expr) | Clause::Unless(expr))| {
        expr.reduce(&look, &|a, b| a || b, false)
    })
}

/// The values that say why a condition failed: of one that has several parts, those of each.
fn measures(expr: &Arc<Expr>) -> Vec<Measure> {
    let mut parts = Vec::new();
    leaves(expr, false, &mut parts);
    let several = parts.len() > 1;
    let mut all = Vec::new();
    for part in parts {
        let truth = || part.to_string().parse().ok();
        let measure = |value: Value| match several {
            true => Some(Measure { part: Some(truth()?), value }),
            false => Some(Measure { part: None, value }),
        };
        let parsed = |expr: &Expr| expr.to_string().parse().ok().map(Value::Of);
        match part.as_ref() {
            // By itself it needs no value: it is what is missing.
            Expr::HasAttr { attrs, .. } if several => {
                let names: Vec<&str> = attrs.iter().map(|attr| attr.as_str()).collect();
                all.extend(measure(Value::Missing(names.join("."))));
            }
            part => all.extend(measured(part).into_iter().filter_map(parsed).filter_map(measure)),
        }
    }
    all
}

/// The parts between `&&` and `||` that read the context, each as it would have to hold.
fn leaves(expr: &Arc<Expr>, negated: bool, into: &mut Vec<Arc<Expr>>) {
    match expr.as_ref() {
        Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => {
            leaves(left, negated, into);
            leaves(right, negated, into);
        }
        Expr::UnaryOp { op: UnaryOp::Not, expr } => leaves(expr, !negated, into),
        Expr::IfThenElse { then_expr, else_expr, .. } => {
            leaves(then_expr, negated, into);
            leaves(else_expr, negated, into);
        }
        part if reads(part).is_empty() => {}
        part => into.push(if negated { Arc::new(negation(expr)) } else { Arc::new(part.clone()) }),
    }
}

/// What a part measures: the sides of it that are not written out.
fn measured(expr: &Expr) -> Vec<&Expr> {
    let sides: Vec<&Expr> = match expr {
        Expr::UnaryOp { op: UnaryOp::Not, expr } => return measured(expr),
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::UnaryOp { expr, .. } | Expr::Like { expr, .. } => vec![expr],
        _ => Vec::new(),
    };
    // Who asks for what is known; only values are worth showing.
    let known = |side: &&Expr| !matches!(side, Expr::Var(_)) && !written(side);
    sides.into_iter().filter(known).collect()
}

/// Whether this is written out: `10`, `ip("10.0.0.0/8")`, a list of such.
fn written(expr: &Expr) -> bool {
    use UnaryOp::{Datetime, Decimal, Duration, Ip, Neg};
    match expr {
        Expr::Literal(_) => true,
        Expr::Set(items) => items.iter().all(|item| written(item)),
        Expr::UnaryOp { op: Datetime | Decimal | Duration | Ip | Neg, expr } => written(expr),
        _ => false,
    }
}

/// A value as the author would write it. It may hold foreign text: show it through
/// [`Safe`](crate::certificate::safe::Safe).
fn shown(value: &EvalResult) -> String {
    match value {
        EvalResult::String(text) => format!("\"{text}\""),
        EvalResult::Set(items) if items.is_empty() => "none".to_owned(),
        EvalResult::Set(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        EvalResult::ExtensionValue(text) => extension(text),
        value => value.to_string(),
    }
}

/// `datetime("...")` as RFC 3339, `duration("...")` as people write one, others without the wrapping.
fn extension(text: &str) -> String {
    // Cedar writes a moment as one that is so many milliseconds from another.
    let mut quoted = text.split('"').skip(1).step_by(2);
    let (first, second) = (quoted.next(), quoted.next());
    let millis = |text: &str| text.strip_suffix("ms").and_then(|number| number.parse::<i64>().ok());
    let time = |first: &str| match first.contains('T') {
        true => first.parse::<jiff::Timestamp>().ok(),
        false => format!("{first}T00:00:00Z").parse().ok(),
    };
    let shown = match (text.contains("datetime("), first, second) {
        (true, Some(first), None) => time(first).map(|time| time.to_string()),
        (true, Some(first), Some(offset)) => {
            time(first).zip(millis(offset)).and_then(|(time, ms)| {
                let later = time.checked_add(jiff::SignedDuration::from_millis(ms)).ok()?;
                Some(later.to_string())
            })
        }
        (false, Some(first), None) if text.contains("duration(") => millis(first)
            .and_then(|ms| u64::try_from(ms / 1000).ok())
            .map(|seconds| Span::secs(seconds).to_string()),
        _ => None,
    };
    shown.unwrap_or_else(|| first.unwrap_or(text).to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::decide) fn split(clauses: &str) -> Vec<Conjunct> {
        let text = format!("permit (principal, action, resource) {clauses};");
        let policy: cedar_policy::Policy = text.parse().unwrap();
        conjuncts(policy.to_pst().unwrap().body().clauses())
    }

    #[test]
    fn only_a_login_that_is_asked_for_before_all_else_tells_without_cedar() {
        let first = |clauses: &str| {
            let text = format!("permit (principal, action, resource) {clauses};");
            let policy: cedar_policy::Policy = text.parse().unwrap();
            first_login(policy.to_pst().unwrap().body().clauses())
        };
        for yes in [
            "when { resource.login == \"deploy\" }",
            "when { resource.login == \"deploy\" && context has ticket } unless { context.frozen }",
        ] {
            assert_eq!(first(yes).as_deref(), Some("deploy"), "{yes}");
        }
        for no in [
            "",
            "unless { resource.login == \"deploy\" }",
            "unless { resource.login != \"deploy\" }",
            "when { resource.login != \"deploy\" }",
            "when { resource.login == \"deploy\" || context.frozen }",
            "when { !(resource.login == \"deploy\") }",
            "when { resource.host == \"deploy\" }",
            "when { principal.login == \"deploy\" }",
            "when { resource.login == principal.name }",
            "when { context.ttl * 2 > 4 } when { resource.login == \"deploy\" }",
        ] {
            assert_eq!(first(no), None, "{no}");
        }
    }

    #[test]
    fn clauses_are_taken_apart_in_the_order_of_the_source() {
        let all = split(
            "when { context has ticket && (context.ticket.mine && 1 == 1) } \
             unless { context.a || !context.b || context.ttl < 5 } \
             when { context.c || context.d } unless { context.e && context.f }",
        );
        let texts: Vec<&str> = all.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "context has ticket",
                "context.ticket.mine",
                "1 == 1",
                "!context.a",
                "context.b",
                "context.ttl >= 5",
                "context.c || context.d",
                "!(context.e && context.f)",
            ]
        );
        assert!(all.iter().all(|one| one.truth.is_some()));
        let reads = |n: usize| all[n].reads.iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!((reads(0), reads(1), reads(2)), (vec!["ticket"], vec!["ticket"], vec![]));
        assert_eq!((reads(5), reads(6)), (vec!["ttl"], vec!["c", "d"]));
    }
}
