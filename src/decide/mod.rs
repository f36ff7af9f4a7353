//! Decisions, pure: facts and policy in, a grant, a refusal or a fault out.

pub mod facts;
