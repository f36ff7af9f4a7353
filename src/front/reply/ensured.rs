//! The words of `ensure`: none where all is well. It runs before each login of each script.

use super::{exit, outcome};
use crate::desk::outcome::Outcome;
use crate::front::Reply;

/// An outcome, in words or as JSON.
pub fn ensured(of: &Outcome, as_json: bool) -> Reply {
    let mut reply = outcome(of, as_json);
    if reply.status == exit::DONE {
        reply.stderr.clear();
    }
    reply
}
