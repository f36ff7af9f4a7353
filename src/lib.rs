//! hallpass: an SSH certificate authority that people talk to with the ssh they already have.
//!
//! It finds out who is asking (a key they prove), reads the ticket they give as the reason, asks
//! policy, writes what it is about to sign into a tamper-evident ledger, and signs an OpenSSH user
//! certificate that lives for minutes and names the accounts and hosts of the task. This page is the
//! architecture; how to use hallpass is in `README.md`.
//!
//! # The life of a request
//!
//! `ssh ca deploy@web01 OPS-7 > cert.pub` goes this way:
//!
//! 1. **Who.** [`front`] accepts the connection and has a key proved. [`front::identity`] holds what
//!    that proof means: the person is the key that was *proved*, never one that was offered. The
//!    door decides nothing else.
//! 2. **What.** [`front::verbs`] turns the words into an [`Ask`](desk::request::Ask), parsed once into
//!    [types](certificate::names) that are never checked again.
//! 3. **Facts.** [`desk::Desk`] finds person and host in [`config`], reads the ticket anew through
//!    [`outside`], reads the clock once, and puts it all into [`decide::facts::Facts`].
//! 4. **Decision.** [`decide::decide`] is a pure function of policy and facts. It gives a
//!    [`Grant`](decide::Grant), a [`Refusal`](decide::Refusal) (the answer is no: said, with what to do
//!    next, and recorded) or a [fault](decide::PolicyFault) (something broke: never a yes).
//!    Several accounts are decided one by one and granted whole or not at all; what a live grant of
//!    the person's covers is decided again, within that grant.
//! 5. **Delivery and draft.** A forwarded agent is tried out before anything is written
//!    ([`desk::delivery`], [`outside::agent`]): then the certificate is for a fresh key that goes into it,
//!    bound to its places; else it is for the very key that was proved. [`certificate::draft`] makes the certificate, complete but for serial and proof, and
//!    the facts that the ledger will keep.
//! 6. **Record.** [`ledger::record`] has the one writer. It takes what is queued as a batch, gives each
//!    certificate its index and so its serial, lints the final bytes ([`certificate::lint`]), and
//!    commits once, fsynced. Then, not before, it signs the [checkpoint](ledger::checkpoint) of what
//!    was committed. From here on a crash leaves at most a logged certificate that nobody holds.
//! 7. **Sign.** [`signer::client`] hands the batch to `hallpass-signer`, another process, the only one
//!    with the CA keys. Its [`Witness`](signer::witness::Witness) believes nothing of what it is sent: the
//!    ledger must have grown from the head it remembers ([`signer::mark`]), the certificate must be in
//!    the tree, agree with its facts, stand the same lint and the signer's own
//!    [limits](signer::limits) and clock. It writes down what it is about to sign, cosigns the
//!    checkpoint, staples the [proof](ledger::proof) into the certificate, and signs.
//! 8. **Answer.** [`ledger::recorded`] checks that what came back is what was recorded; it is put into the
//!    agent, or kept so that `ensure` can give it again.
//!    [`front::reply`] puts the outcome into words: the artefact on standard output, everything for
//!    people on standard error.
//!
//! A grant lives and dies with its ticket: while it lives [`desk::watch_tickets`] looks at it, and what
//! closes ends its grants ([`desk::ending`]) by an entry behind which the writer commits no certificate of
//! theirs. [`desk::write_back`] goes over the ledger behind the writer and tells tickets of it.
//!
//! What decides is replaced while that goes on: `hallpass reload` reaches the daemon over the operator's
//! socket ([`front::control`]), and [`desk::reload`] has the order of steps. [`config::snapshot`] reads people,
//! hosts and policy as they were at one moment, or not at all; whoever decides takes
//! [what is in force](desk::in_force) once.
//!
//! [`desk`] is the only module that knows this whole order. In Rust the order is a type: a `Grant`
//! becomes an [`Unsigned`](certificate::draft::Unsigned), that a
//! [`Recorded`](ledger::recorded::Recorded), that a [`Certificate`](ledger::recorded::Certificate); fields
//! are private, nothing can be cloned, and each step consumes the one before it.
//!
//! # The modules, in reading order
//!
//! | module | what it is | depends on |
//! |---|---|---|
//! | [`front`] | the SSH door: listener and limits, who was proved, the grammar of words, the voice | `desk` (in [`front::counter`] and [`front::reply`]), the public keys in [`config::trust`], the limits in [`config::ca`], `certificate` |
//! | [`desk`] | the order of things; the state of grants, a fold over the ledger's facts | `config`, `decide`, `certificate`, `ledger`, `outside` |
//! | [`config`] | `ca.toml`, people, hosts to types; `init`; what is given to others to trust | `decide`, `certificate`, formats of `ledger`; `init` also makes the store and the signer's memory |
//! | [`decide`] | policy (Cedar), the terms of offers, refusals and their reasons; pure | `certificate` |
//! | [`certificate`] | names and times, the bytes, the draft, the lint; pure | `ledger`'s formats; [`draft`](certificate::draft) takes a grant from `decide` |
//! | [`ledger`], formats | [`leaf`](ledger::leaf), [`tree`](ledger::tree), [`note`](ledger::note), [`checkpoint`](ledger::checkpoint), [`proof`](ledger::proof), [`facts`](ledger::facts); pure | `certificate` |
//! | [`ledger`], on disk | [`store`](ledger::store), [`edge`](ledger::edge), [`record`](ledger::record), [`export`](ledger::export) | the formats, [`signer::client`] |
//! | [`audit`] | searches, stories, and servers' logs compared with what was issued; reads beside the writer | the ledger's store and formats, `certificate`, hosts and public keys of `config`, [`signer::mark`] |
//! | [`review`] | policy as something that is tested, compared and reviewed; reads files and past moments, and decides nothing by itself | `config`, `decide`, locks of `desk`, the ledger's store |
//! | [`ledger::verify`] | recomputes everything and believes nothing, with leaves and a tree of its own | parsers of the formats, the lint |
//! | [`signer`] | protocol, memory, limits, keys; [`client`](signer::client) and [`spawn`](signer::spawn) are the daemon's end | formats of `ledger`, `certificate`, [`outside::manager`]; never `decide`, `config`, `desk`, `front` |
//! | [`host`] | what servers and clients are given: the file that puts a server under the CA, known_hosts; pure | `config`, `certificate` |
//! | [`fault_point`] | the steps that cannot be taken back, and how tests make each of them fail | nothing |
//! | [`page_cache`] | how a start reads what the disk has, not what the kernel shows | nothing |
//! | [`outside`] | what is not ours: the clock, [tickets](outside::tickets), the [service manager](outside::manager) | `certificate`, the types of [`decide::facts`], the trackers' mappings in [`config`] |
//!
//! Two programs are made of it. `src/bin/hallpass/` is the daemon (`serve.rs` puts it together, in the
//! order in which a start must go) and the operator's command line. `src/bin/hallpass-signer.rs` can be
//! built without the feature `desk` (`cargo build --no-default-features --bin hallpass-signer`): of this
//! crate it then holds `certificate` without the draft, the ledger's formats, `signer`, and the service
//! manager; of other crates as few as possible. `systemd/` has the units that run the two.
//!
//! # Invariants
//!
//! - Nothing is signed that is not durable in the ledger and under a signed checkpoint.
//! - A serial is an index + 1. An index is signed once, ever; the signer keeps its own list.
//! - A certificate names what was granted and nothing more, checked on its final bytes by the writer
//!   and again by the signer, from the same facts.
//! - `decide`, `certificate` and the ledger's formats do no I/O, read no clock and draw no randomness:
//!   the clock is [`outside::clock`] and the signer's own, randomness is drawn by the desk.
//! - A refusal, a fault and a bug are three things. Refusals are values, told to the person and written
//!   in the ledger. Faults fail closed, say "try again" and an id; details go to the journal. A panic
//!   costs a connection, or the process; the next start recovers.
//! - Bytes become types at the edge, and foreign text goes to a terminal or a journal through
//!   [`certificate::safe`] or as JSON.
//! - There are never two truths: the desk's state is rebuilt from the ledger at start.
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

#[cfg(feature = "desk")]
pub mod audit;
pub mod certificate;
#[cfg(feature = "desk")]
pub mod config;
#[cfg(feature = "desk")]
pub mod decide;
#[cfg(feature = "desk")]
pub mod desk;
pub mod fault_point;
#[cfg(feature = "desk")]
pub mod front;
#[cfg(feature = "desk")]
pub mod host;
pub mod ledger;
pub mod outside;
mod page_cache;
#[cfg(feature = "desk")]
pub mod review;
pub mod signer;
