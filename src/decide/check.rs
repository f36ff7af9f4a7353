//! What Cedar's validator lets pass, and hallpass does not: conditions that could never mean what
//! they say.
//!
//! A decision sees the entities of one request and no others. Cedar answers `in` and `has` about an
//! unknown entity with `false`, so a `forbid` that looks up somebody else would silently forbid
//! nothing. Such conditions are refused when the policy is loaded.

use std::cell::RefCell;
use std::ops::Range;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, Var};

use super::asks;
use super::facts::TicketState;
use super::locate::Statement;
use super::problem::Problems;
use super::world::nearest;

/// Looks through the conditions of one policy.
pub(super) fn conditions(clauses: &[Clause], place: &Statement<'_>, problems: &mut Problems<'_>) {
    let found = RefCell::new(Vec::new());
    for clause in clauses {
        let (Clause::When(expr) | Clause::Unless(expr)) = clause;
        let look = |part: &Expr| {
            found.borrow_mut().extend(look_ups(part).map(Finding::LookUp));
            found.borrow_mut().extend(unknown_states(part).map(Finding::State));
            None
        };
        expr.reduce(&look, &|(), ()| (), ());
    }
    for finding in found.into_inner() {
        match finding {
            Finding::LookUp(what) => problems.add(
                &what.place(place),
                format!("{what} cannot be looked up"),
                Some(
                    "`in`, `has` and attributes work on principal and resource; compare others with \
                     == or !="
                        .to_owned(),
                ),
            ),
            Finding::State(word) => {
                let words = STATES.map(TicketState::word);
                let near = nearest(&word, words.into_iter()).unwrap_or_default();
                problems.add(
                    &place.string(&word).unwrap_or_else(|| place.name()),
                    format!("no ticket is ever in the state {word:?}"),
                    Some(format!("the states are {}; the nearest is {near}", words.join(", "))),
                );
            }
        }
    }
}

const STATES: [TicketState; 3] = [TicketState::Open, TicketState::Pending, TicketState::Closed];

enum Finding {
    LookUp(Stranger),
    State(String),
}

/// An entity that is not part of the request.
enum Stranger {
    Literal { kind: String, name: String },
    Assignee,
    Other(String),
}

impl Stranger {
    fn place(&self, place: &Statement<'_>) -> Range<usize> {
        let found = match self {
            Self::Literal { kind, name } => place.literal(kind, name),
            Self::Assignee => place.word("assignee"),
            Self::Other(_) => None,
        };
        found.unwrap_or_else(|| place.name())
    }
}

impl std::fmt::Display for Stranger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Literal { kind, name } => write!(f, "{kind}::\"{name}\""),
            Self::Assignee => f.write_str("the ticket's assignee"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// What this part of a condition looks up, if that is not part of every request.
fn look_ups(part: &Expr) -> Option<Stranger> {
    match part {
        Expr::BinaryOp { op: BinaryOp::In, left, .. } => member(left),
        Expr::Is { expr, in_expr: Some(_), .. } => member(expr),
        Expr::GetAttr { expr, .. } => stranger(expr),
        Expr::HasAttr { expr, attrs } => {
            // `context has ticket.assignee` asks whether there is one, which is known.
            let mut passed = attrs.iter().rev().skip(1);
            if passed.any(|attr| attr == "assignee") {
                return Some(Stranger::Assignee);
            }
            stranger(expr)
        }
        _ => None,
    }
}

/// What stands left of `in`: who asks, the account asked for, and its owner, which is in nothing but
/// itself. Anything else is not known to be in anything.
fn member(expr: &Expr) -> Option<Stranger> {
    match expr {
        Expr::Var(Var::Principal | Var::Resource | Var::Action) => None,
        Expr::GetAttr { expr, attr } if attr == "owner" && **expr == Expr::Var(Var::Resource) => {
            None
        }
        other => Some(stranger(other).unwrap_or_else(|| Stranger::Other(other.to_string()))),
    }
}

fn stranger(expr: &Expr) -> Option<Stranger> {
    match expr {
        Expr::Literal(Literal::EntityUID(uid)) => {
            Some(Stranger::Literal { kind: uid.ty.to_string(), name: uid.eid.to_string() })
        }
        Expr::GetAttr { attr, .. } if attr == "assignee" => Some(Stranger::Assignee),
        Expr::IfThenElse { then_expr, else_expr, .. } => {
            stranger(then_expr).or_else(|| stranger(else_expr))
        }
        _ => None,
    }
}

/// A word that a ticket's state is compared with and can never be.
fn unknown_states(part: &Expr) -> impl Iterator<Item = String> {
    let words = match part {
        Expr::BinaryOp { op: BinaryOp::Eq | BinaryOp::NotEq, left, right } => {
            asks::state_word(left, right).into_iter().collect()
        }
        Expr::BinaryOp { op: BinaryOp::Contains, .. } => {
            asks::state_words(part).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    let unknown = |word: &&str| !STATES.iter().any(|state| state.word() == *word);
    words.into_iter().filter(unknown).map(str::to_owned).collect::<Vec<_>>().into_iter()
}
