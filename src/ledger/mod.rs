//! The ledger: the append-only log of everything the desk did.
//!
//! `leaf`, `tree`, `note`, `checkpoint`, `proof` and `facts` are formats, pure; `database`, `store`,
//! `edge`, `recorded`, `record` and `writer` keep them on a disk; `verify` believes none of it.

pub mod checkpoint;
#[cfg(feature = "desk")]
mod database;
#[cfg(feature = "desk")]
pub mod edge;
#[cfg(feature = "desk")]
pub mod export;
pub mod facts;
#[cfg(feature = "desk")]
pub(crate) mod fault;
#[cfg(feature = "desk")]
mod given;
#[cfg(all(test, feature = "desk"))]
mod given_tests;
pub mod leaf;
#[cfg(feature = "desk")]
mod look;
pub mod note;
#[cfg(all(test, feature = "desk"))]
mod outage_tests;
pub mod proof;
#[cfg(feature = "desk")]
pub mod record;
#[cfg(all(test, feature = "desk"))]
mod record_tests;
#[cfg(feature = "desk")]
pub mod recorded;
#[cfg(feature = "desk")]
pub mod recover;
#[cfg(feature = "desk")]
pub mod reserve;
#[cfg(feature = "desk")]
pub mod store;
#[cfg(all(test, feature = "desk"))]
pub(crate) mod toy;
pub mod tree;
#[cfg(all(test, feature = "desk"))]
mod vectors;
#[cfg(feature = "desk")]
pub mod verify;
#[cfg(feature = "desk")]
mod verify_ends;
#[cfg(all(test, feature = "desk"))]
mod verify_tests;
#[cfg(all(test, feature = "desk"))]
pub(crate) mod whole;
#[cfg(feature = "desk")]
mod writer;
