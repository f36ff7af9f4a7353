//! What `audit reconcile` finds: values, which [`tell`](super::tell) puts into words.

use std::collections::BTreeMap;

use super::login::Login;
use crate::certificate::time::UnixTime;

/// What a log was found to hold.
#[derive(Debug, Default)]
pub struct Findings {
    /// Lines read.
    pub lines: u64,
    /// Logins by certificates of this CA.
    pub logins: u64,
    /// Those that are wrong, and those that cannot be read, in the order of the log.
    pub wrong: Vec<Finding>,
    /// Logins that are none of ours: by method, and how many.
    pub plain: BTreeMap<String, u64>,
    /// Logins by certificates of other CAs: by the CA's fingerprint, and how many.
    pub foreign: BTreeMap<String, u64>,
    /// Of ours, those whose time could not be compared for certain.
    pub times: Times,
    /// Of ours, those whose host is not known: the account alone was compared.
    pub hostless: u64,
    /// Of ours, those of which it is not known whether the signer signed them.
    pub unsigned_unknown: u64,
}

/// Times that could not be compared for certain.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The line has none.
    pub none: u64,
    /// It has no zone: only what is outside in every zone was named.
    pub zoneless: u64,
}

/// A login that is wrong.
#[derive(Debug)]
pub struct Finding {
    /// The line's number, from 1.
    pub line: u64,
    /// The login; `None` if the line cannot be read.
    pub login: Option<Login>,
    /// Which of our keys signed the certificate.
    pub ca: Option<&'static str>,
    /// Everything that is wrong with it.
    pub wrong: Vec<Wrong>,
}

/// What is wrong with a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// The line says that somebody got in by a certificate, and not by which.
    Unread,
    /// The ledger has no entry for the serial.
    NoEntry,
    /// The entry is of another kind: no certificate ever had this serial.
    AnotherKind(String),
    /// The entry was lost: nobody can say what it was.
    Lost,
    /// The entry was redacted: nobody can say whether it agrees.
    Redacted,
    /// The entry itself is damaged.
    Damaged,
    /// Another key ID than the entry's.
    KeyId(String),
    /// Another key than the entry's.
    Key(String),
    /// Another CA's key than the entry's, by its fingerprint.
    Ca(String),
    /// It got into an account that the entry does not name; the principals.
    Account(Vec<String>),
    /// It got in on this host, for which it is not; the principals.
    Host(String, Vec<String>),
    /// It got in outside of the certificate's time.
    Time(UnixTime, UnixTime),
    /// The signer never signed it.
    NeverSigned,
    /// The signer signed something else under this serial.
    SignedAnother,
    /// The emergency key signed it, and the ledger was never told.
    Untold,
    /// This key of the CA's never signs for people, or not any more.
    NotForPeople,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn clean(&self) -> bool {
        self.wrong.is_empty()
    }
}
