//! Certificates, pure: names and times, the draft, the lint, the bytes.

pub mod names;
pub mod time;
