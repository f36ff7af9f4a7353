//! What is outside: one small trait each, its contract in its comment, one file an implementation.

pub mod clock;
pub mod tickets;
pub mod watch;
