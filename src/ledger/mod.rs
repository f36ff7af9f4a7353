//! The ledger: the append-only log of everything the desk did.

pub mod checkpoint;
pub mod facts;
pub mod leaf;
pub mod note;
pub mod proof;
pub mod tree;
