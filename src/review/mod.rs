//! Policy as a product: tested by cases, compared before it is merged, and reviewed as it is or was.
//!
//! ```text
//! moment      the files that decide, now or at any moment of the ledger
//! access      who can get where: every person, account and offer
//! diff        who gains and who loses what between two moments
//! cases       a team's cases, put to `decide`
//! ```
//!
//! Nothing here is a second engine: what is said of a case comes from [`decide`](crate::decide::decide),
//! what is said of access from [`reach`](crate::decide::reach).

pub mod access;
pub mod cases;
pub mod diff;
#[cfg(test)]
mod example;
pub mod group;
pub mod moment;
pub mod tell;
