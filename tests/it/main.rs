//! The one integration-test binary: the built programs against stock `ssh`, `sshd`, `ssh-keygen` and
//! `ssh-agent`, and against checkers that share no code with them.
#![allow(unreachable_pub, reason = "one binary, no library")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests wait in bounded loops and write scratch files"
)]

mod audit;
mod block;
mod booted;
mod ca;
mod cases;
mod checkers;
mod clients;
mod clock;
mod crash;
mod delivery;
mod disk;
mod edge;
mod eio;
mod engineer;
mod examples;
mod explain;
mod first_certificate;
mod freezes;
mod fsync;
mod generator;
mod grants;
mod host_config;
mod host_killed;
mod host_sign;
mod hostile;
mod hostile_tracker;
mod import;
mod keys;
mod laptop;
mod large;
mod load;
mod locks;
mod namespace;
mod on_call;
mod operator;
mod policy;
mod policy_signers;
mod process;
mod production;
mod promises;
mod promotion;
mod readme;
mod refusals;
mod reload;
mod rewritten;
mod rollback;
mod rotation;
mod server;
mod site;
mod sshd;
mod stories;
mod systemd;
mod ticket_life;
mod ticket_test;
mod trackers;
mod voice;
mod way_out;
