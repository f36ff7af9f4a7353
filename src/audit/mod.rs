//! Audit: what the ledger says, for those who ask who got in where, when and why.
//!
//! [`search`] finds entries, [`show`] tells the whole story of a request, [`reconcile`] compares what
//! servers logged with what was issued. They read the ledger's database beside the daemon that writes
//! it, and answer values; [`tell`] puts these into words and JSON. [`words`] is what is typed, over SSH and
//! on the machine alike.
//!
//! Nothing here believes a name in a log line, and nothing foreign reaches a terminal but through
//! [`Safe`](crate::certificate::safe::Safe) or as JSON in ASCII.

pub mod auditor;
#[cfg(test)]
mod corpus_tests;
pub mod entry;
pub mod findings;
pub mod log_time;
pub mod login;
pub mod reconcile;
#[cfg(test)]
mod reconcile_tests;
pub mod search;
#[cfg(test)]
mod search_tests;
pub mod show;
pub mod tell;
pub mod words;
