//! An offer's conditions, taken apart: what can be said of each when it is not met.
//!
//! Cedar decides with the whole policy; the parts are evaluated only after a no, to say why. They
//! stand in the order of the source, because a guard (`context has ticket`) makes what follows safe.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, Expr, UnaryOp, Var};
use cedar_policy::{Entities, Request};

use super::asks::Asks;
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
    truth: Option<Expression>,
    had: Option<Expression>,
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
        eval_expression(request, entities, self.had.as_ref()?).ok().map(|value| shown(&value))
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
        truth: text.parse().ok(),
        had: measured(expr).and_then(|part| part.to_string().parse().ok()),
        text,
    }
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

/// The part whose value says why the condition failed: the side that is not written out.
fn measured(expr: &Expr) -> Option<&Expr> {
    let part = match expr {
        Expr::UnaryOp { op: UnaryOp::Not, expr } => return measured(expr),
        Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, .. } => return None,
        Expr::BinaryOp { left, right, .. } => match left.as_ref() {
            Expr::Literal(_) | Expr::Set(_) => right,
            _ => left,
        },
        Expr::UnaryOp { expr, .. } | Expr::Like { expr, .. } => expr,
        _ => return None,
    };
    match part.as_ref() {
        // Who asks for what is known; only values are worth showing.
        Expr::Var(_) | Expr::Literal(_) => None,
        part => Some(part),
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
        // datetime("...") and ip("...") without the wrapping.
        EvalResult::ExtensionValue(text) => match text.split('"').nth(1) {
            Some(inner) => inner.to_owned(),
            None => text.clone(),
        },
        value => value.to_string(),
    }
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
