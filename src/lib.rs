//! hallpass
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod certificate;
#[cfg(feature = "desk")]
pub mod decide;
pub mod ledger;
