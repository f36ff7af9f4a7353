//! What a call to a tracker did, step by step: for whoever configures it.

use std::time::Duration;

use super::{Answer, TrackerFault};

/// A ticket read as a trial.
#[derive(Debug)]
pub struct Trial {
    /// What was done.
    pub steps: Steps,
    /// What came of it.
    pub answer: Result<Answer, TrackerFault>,
    /// What to change where it is a fault, as far as that can be told.
    pub remedy: Option<String>,
}

/// What was asked, and what was found in the answers.
#[derive(Debug, Default)]
pub struct Steps {
    /// The requests, in order.
    pub exchanges: Vec<Exchange>,
    /// What the mapping found.
    pub found: Vec<Found>,
}

/// One request and its answer. Credentials are in headers, and no header is kept.
#[derive(Debug)]
pub struct Exchange {
    /// `GET https://...`.
    pub asked: String,
    /// The status, or why there is none.
    pub outcome: String,
    /// How long it took.
    pub took: Duration,
    /// How many bytes of the body were read.
    pub bytes: usize,
}

/// What a pointer found.
#[derive(Debug)]
pub struct Found {
    /// The field.
    pub field: &'static str,
    /// The pointer.
    pub pointer: String,
    /// What is there, as JSON; or that nothing is, and what is there instead.
    pub there: String,
}

/// A fault, and what to do about it.
#[derive(Debug)]
pub(super) struct Failed {
    /// The fault.
    pub(super) fault: TrackerFault,
    /// What to change.
    pub(super) remedy: String,
    /// Whether the tracker itself is in trouble, so that it is better left alone for a while. What one
    /// ticket alone has never counts: nobody can keep others from a tracker by naming it.
    pub(super) trouble: bool,
}

impl Failed {
    /// The tracker is in trouble.
    pub(super) fn trouble(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { fault: TrackerFault::Away(why.into()), remedy: remedy.into(), trouble: true }
    }

    /// The tracker gave no answer to this, and works.
    pub(super) fn away(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { fault: TrackerFault::Away(why.into()), remedy: remedy.into(), trouble: false }
    }

    /// The tracker does not take the credentials.
    pub(super) fn credentials(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { fault: TrackerFault::Credentials(why.into()), remedy: remedy.into(), trouble: false }
    }

    /// The answer cannot be understood.
    pub(super) fn unreadable(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { fault: TrackerFault::Unreadable(why.into()), remedy: remedy.into(), trouble: false }
    }

    /// The same with its texts changed.
    pub(super) fn map(self, change: impl Fn(String) -> String) -> Self {
        let fault = match self.fault {
            TrackerFault::Away(why) => TrackerFault::Away(change(why)),
            TrackerFault::Credentials(why) => TrackerFault::Credentials(change(why)),
            TrackerFault::Unreadable(why) => TrackerFault::Unreadable(change(why)),
        };
        Self { fault, remedy: change(self.remedy), trouble: self.trouble }
    }
}
