//! hallpass

pub mod certificate;
#[cfg(feature = "desk")]
pub mod decide;
