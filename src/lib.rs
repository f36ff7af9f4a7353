//! hallpass
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::disallowed_methods
    )
)]

pub mod certificate;
#[cfg(feature = "desk")]
pub mod config;
#[cfg(feature = "desk")]
pub mod decide;
#[cfg(feature = "desk")]
pub mod desk;
#[cfg(feature = "desk")]
pub mod front;
pub mod ledger;
pub mod outside;
pub mod signer;
