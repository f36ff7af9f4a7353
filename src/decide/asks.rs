//! The conditions for which a refusal has a sentence of its own, however they are written.

use cedar_policy::pst::{BinaryOp, Expr, Literal, UnaryOp, Var};

/// The conditions that have a sentence of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asks {
    /// That a ticket was given.
    Ticket,
    /// That the ticket has this attribute.
    TicketField(String),
    /// That the ticket's state is right, in words: `open`, `open or pending`, `not closed`.
    State(String),
    /// That the ticket is the person's own.
    Mine,
    /// That the ticket covers the host.
    Covers,
    /// That a reason was given.
    Reason,
    /// That this moment is in the ticket's window.
    Window,
    /// That nothing is frozen.
    NotFrozen,
    /// That this moment is in one of these hours, or in none of them.
    Hours {
        /// Their names.
        names: Vec<String>,
        /// Whether it is to be in one of them.
        within: bool,
    },
    /// Something of how many certificates the person was given of late, or for how many hosts.
    Recent {
        /// Whether it is the hosts.
        hosts: bool,
    },
    /// That the ticket has this priority.
    Priority(String),
    /// That a freeze of this name stands over the account.
    Freeze(String),
    /// That the connection comes from one of these networks.
    Source(Vec<String>),
    /// Anything else.
    Other,
}

impl Asks {
    /// What a condition asks for.
    pub(super) fn of(expr: &Expr) -> Self {
        if let Some(names) = hours(expr) {
            return Asks::Hours { names, within: true };
        }
        if let Some(networks) = networks(expr) {
            return Asks::Source(networks);
        }
        match expr {
            Expr::UnaryOp { op: UnaryOp::Not, expr } if is(expr, &["frozen"]) => Asks::NotFrozen,
            Expr::UnaryOp { op: UnaryOp::Not, expr } => match hours(expr) {
                Some(names) => Asks::Hours { names, within: false },
                None => Asks::Other,
            },
            Expr::BinaryOp { op, left, right }
                if compares(*op) && recent(left, right).is_some() =>
            {
                Asks::Recent { hosts: recent(left, right) == Some("recent_hosts") }
            }
            Expr::GetAttr { .. } if is_of_ticket(expr, "in_window") => Asks::Window,
            Expr::HasAttr { expr, attrs } => {
                let path = path(expr).map(|mut path| {
                    path.extend(attrs.iter().map(|attr| attr.as_str()));
                    path
                });
                match path.as_deref() {
                    Some(["ticket"]) => Asks::Ticket,
                    Some(["ticket", field]) => Asks::TicketField((*field).to_owned()),
                    Some(["reason"]) => Asks::Reason,
                    _ => Asks::Other,
                }
            }
            Expr::GetAttr { .. } if is_of_ticket(expr, "mine") => Asks::Mine,
            Expr::GetAttr { .. } if is_of_ticket(expr, "covers") => Asks::Covers,
            Expr::BinaryOp { op: BinaryOp::Eq, left, right } => equality(left, right),
            Expr::BinaryOp { op: BinaryOp::Contains, left, right } if is(left, &["freezes"]) => {
                match right.as_ref() {
                    Expr::Literal(Literal::String(name)) => Asks::Freeze(name.to_string()),
                    _ => Asks::Other,
                }
            }
            Expr::BinaryOp { op: BinaryOp::NotEq, left, right } => match state_word(left, right) {
                Some(word) => Asks::State(format!("not {word}")),
                None => Asks::Other,
            },
            Expr::BinaryOp { op: BinaryOp::Or | BinaryOp::Contains, .. } => match state_words(expr)
            {
                Some(words) => Asks::State(words.join(" or ")),
                None => Asks::Other,
            },
            _ => Asks::Other,
        }
    }
}

/// `context.a.b` as `["a", "b"]`.
fn path(expr: &Expr) -> Option<Vec<&str>> {
    match expr {
        Expr::Var(Var::Context) => Some(Vec::new()),
        Expr::GetAttr { expr, attr } => {
            let mut path = path(expr)?;
            path.push(attr);
            Some(path)
        }
        _ => None,
    }
}

/// Whether this is `context.a.b`.
fn is(expr: &Expr, what: &[&str]) -> bool {
    path(expr).is_some_and(|path| path == what)
}

/// Whether this is `context.ticket.FIELD`.
fn is_of_ticket(expr: &Expr, field: &str) -> bool {
    is(expr, &["ticket", field])
}

fn compares(op: BinaryOp) -> bool {
    use BinaryOp::{Eq, Greater, GreaterEq, Less, LessEq, NotEq};
    matches!(op, Eq | NotEq | Less | LessEq | Greater | GreaterEq)
}

/// Which number of `context.history` is compared with one that is written out.
fn recent(left: &Expr, right: &Expr) -> Option<&'static str> {
    let side = match (left, right) {
        (Expr::Literal(Literal::Long(_)), side) | (side, Expr::Literal(Literal::Long(_))) => side,
        _ => return None,
    };
    ["recent", "recent_hosts"].into_iter().find(|what| is(side, &["history", what]))
}

/// The names in `context.hours.contains(Hours::"a")`, in `containsAny`, and in several of them with `||`.
fn hours(expr: &Expr) -> Option<Vec<String>> {
    let name = |expr: &Expr| match expr {
        Expr::Literal(Literal::EntityUID(uid)) => Some(uid.eid.to_string()),
        _ => None,
    };
    match expr {
        Expr::BinaryOp { op: BinaryOp::Contains, left, right } if is(left, &["hours"]) => {
            Some(vec![name(right)?])
        }
        Expr::BinaryOp { op: BinaryOp::ContainsAny, left, right } if is(left, &["hours"]) => {
            let Expr::Set(items) = right.as_ref() else { return None };
            items.iter().map(|item| name(item)).collect()
        }
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
            let mut names = hours(left)?;
            names.extend(hours(right)?);
            Some(names)
        }
        _ => None,
    }
}

fn equality(left: &Expr, right: &Expr) -> Asks {
    const YES: &Expr = &Expr::Literal(Literal::Bool(true));
    const NO: &Expr = &Expr::Literal(Literal::Bool(false));
    const WHO: &Expr = &Expr::Var(Var::Principal);
    let are =
        |a: &dyn Fn(&Expr) -> bool, b: &Expr| (a(left) && right == b) || (a(right) && left == b);
    if let Some(word) = state_word(left, right) {
        Asks::State(word.to_owned())
    } else if let Some(word) = word(left, right, "priority") {
        Asks::Priority(word.to_owned())
    } else if are(&|side| is_of_ticket(side, "mine"), YES)
        || are(&|side| is_of_ticket(side, "assignee"), WHO)
    {
        Asks::Mine
    } else if are(&|side| is_of_ticket(side, "covers"), YES) {
        Asks::Covers
    } else if are(&|side| is_of_ticket(side, "in_window"), YES) {
        Asks::Window
    } else if are(&|side| is(side, &["frozen"]), NO) {
        Asks::NotFrozen
    } else {
        Asks::Other
    }
}

/// The networks in `context.source.isInRange(ip("203.0.113.0/24"))`, and in several of them with `||`.
fn networks(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::BinaryOp { op: BinaryOp::IsInRange, left, right } if is(left, &["source"]) => {
            let Expr::UnaryOp { op: UnaryOp::Ip, expr } = right.as_ref() else { return None };
            let Expr::Literal(Literal::String(network)) = expr.as_ref() else { return None };
            Some(vec![network.to_string()])
        }
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
            let mut all = networks(left)?;
            all.extend(networks(right)?);
            Some(all)
        }
        _ => None,
    }
}

/// The word that a comparison holds against the ticket's state.
pub(super) fn state_word<'e>(left: &'e Expr, right: &'e Expr) -> Option<&'e str> {
    word(left, right, "state")
}

/// The word that a comparison holds against something of the ticket's.
fn word<'e>(left: &'e Expr, right: &'e Expr, field: &str) -> Option<&'e str> {
    match (left, right) {
        (Expr::Literal(Literal::String(word)), side)
        | (side, Expr::Literal(Literal::String(word)))
            if is_of_ticket(side, field) =>
        {
            Some(word)
        }
        _ => None,
    }
}

/// The words of `state == "a" || state == "b"` and of `["a", "b"].contains(state)`.
pub(super) fn state_words(expr: &Expr) -> Option<Vec<&str>> {
    match expr {
        Expr::BinaryOp { op: BinaryOp::Eq, left, right } => Some(vec![state_word(left, right)?]),
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
            let mut words = state_words(left)?;
            words.extend(state_words(right)?);
            Some(words)
        }
        Expr::BinaryOp { op: BinaryOp::Contains, left, right } if is_of_ticket(right, "state") => {
            let Expr::Set(items) = left.as_ref() else {
                return None;
            };
            let words = items.iter().map(|item| match item.as_ref() {
                Expr::Literal(Literal::String(word)) => Some(word.as_str()),
                _ => None,
            });
            words.collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::split::tests::split;
    use super::*;

    #[test]
    fn the_conditions_with_a_sentence_are_known_however_they_are_written() {
        for (clause, asks) in [
            ("when { context has ticket }", Asks::Ticket),
            ("when { context has ticket.priority }", Asks::TicketField("priority".to_owned())),
            ("when { context.ticket has assignee }", Asks::TicketField("assignee".to_owned())),
            ("when { context.ticket.state == \"open\" }", Asks::State("open".to_owned())),
            ("when { \"open\" == context.ticket[\"state\"] }", Asks::State("open".to_owned())),
            ("unless { context.ticket.state != \"open\" }", Asks::State("open".to_owned())),
            ("unless { context.ticket.state == \"closed\" }", Asks::State("not closed".to_owned())),
            (
                "when { [\"open\", \"pending\"].contains(context.ticket.state) }",
                Asks::State("open or pending".to_owned()),
            ),
            (
                "when { context.ticket.state == \"open\" || context.ticket.state == \"pending\" }",
                Asks::State("open or pending".to_owned()),
            ),
            ("when { context.ticket.mine }", Asks::Mine),
            ("when { true == context.ticket.mine }", Asks::Mine),
            ("unless { !context.ticket.mine }", Asks::Mine),
            ("when { context.ticket.assignee == principal }", Asks::Mine),
            ("when { context.ticket.covers }", Asks::Covers),
            ("when { context has reason }", Asks::Reason),
            ("when { context.ticket.in_window }", Asks::Window),
            ("unless { context.frozen }", Asks::NotFrozen),
            ("when { context.frozen == false }", Asks::NotFrozen),
            (
                "when { context.hours.contains(Hours::\"office\") }",
                Asks::Hours { names: vec!["office".to_owned()], within: true },
            ),
            (
                "when { context.hours.contains(Hours::\"a\") || context.hours.containsAny([Hours::\"b\"]) }",
                Asks::Hours { names: vec!["a".to_owned(), "b".to_owned()], within: true },
            ),
            (
                "unless { context.hours.contains(Hours::\"office\") }",
                Asks::Hours { names: vec!["office".to_owned()], within: false },
            ),
            ("unless { context.history.recent_hosts > 10 }", Asks::Recent { hosts: true }),
            ("when { 30 > context.history.recent }", Asks::Recent { hosts: false }),
            ("when { context.history.recent_hosts < context.ttl }", Asks::Other),
            ("unless { context.ticket.mine }", Asks::Other),
            ("when { context.ticket.state == context.ticket.id }", Asks::Other),
            ("when { context.ticket.priority == \"high\" }", Asks::Priority("high".to_owned())),
            (
                "when { context.freezes.contains(\"incident\") }",
                Asks::Freeze("incident".to_owned()),
            ),
            (
                "when { context.source.isInRange(ip(\"10.0.0.0/8\")) || context.source.isInRange(ip(\"::1\")) }",
                Asks::Source(vec!["10.0.0.0/8".to_owned(), "::1".to_owned()]),
            ),
            ("unless { context.source.isInRange(ip(\"10.0.0.0/8\")) }", Asks::Other),
        ] {
            let all = split(clause);
            assert_eq!(all.iter().map(|one| &one.asks).collect::<Vec<_>>(), [&asks], "{clause}");
        }
    }
}
