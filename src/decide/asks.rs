//! The conditions for which a refusal has a sentence of its own, however they are written.

use cedar_policy::pst::{BinaryOp, Expr, Literal, Var};

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
    /// Anything else.
    Other,
}

impl Asks {
    /// What a condition asks for.
    pub(super) fn of(expr: &Expr) -> Self {
        match expr {
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

/// Whether this is `context.ticket.FIELD`.
fn is_of_ticket(expr: &Expr, field: &str) -> bool {
    path(expr).is_some_and(|path| path == ["ticket", field])
}

fn equality(left: &Expr, right: &Expr) -> Asks {
    const YES: &Expr = &Expr::Literal(Literal::Bool(true));
    const WHO: &Expr = &Expr::Var(Var::Principal);
    let are =
        |a: &dyn Fn(&Expr) -> bool, b: &Expr| (a(left) && right == b) || (a(right) && left == b);
    if let Some(word) = state_word(left, right) {
        Asks::State(word.to_owned())
    } else if are(&|side| is_of_ticket(side, "mine"), YES)
        || are(&|side| is_of_ticket(side, "assignee"), WHO)
    {
        Asks::Mine
    } else if are(&|side| is_of_ticket(side, "covers"), YES) {
        Asks::Covers
    } else {
        Asks::Other
    }
}

/// The word that a comparison holds against the ticket's state.
pub(super) fn state_word<'e>(left: &'e Expr, right: &'e Expr) -> Option<&'e str> {
    match (left, right) {
        (Expr::Literal(Literal::String(word)), side)
        | (side, Expr::Literal(Literal::String(word)))
            if is_of_ticket(side, "state") =>
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
            ("unless { context.ticket.mine }", Asks::Other),
            ("when { context.ticket.state == context.ticket.id }", Asks::Other),
            ("when { context.ticket.priority == \"high\" }", Asks::Other),
        ] {
            let all = split(clause);
            assert_eq!(all.iter().map(|one| &one.asks).collect::<Vec<_>>(), [&asks], "{clause}");
        }
    }
}
