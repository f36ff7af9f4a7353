//! What is outside: one small trait each, its contract in its comment, one file an implementation.

#[cfg(feature = "desk")]
pub mod agent;
#[cfg(feature = "desk")]
pub mod clock;
#[cfg(feature = "desk")]
pub mod freeze_files;
pub mod manager;
#[cfg(feature = "desk")]
pub mod on_call;
#[cfg(feature = "desk")]
pub mod tickets;
#[cfg(feature = "desk")]
pub mod watch;
