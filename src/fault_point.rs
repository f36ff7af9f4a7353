//! Fault points: every step that cannot be taken back can be made to fail, in four flavours.
//!
//! | flavour | the step | then |
//! |---|---|---|
//! | `fail-before` | is not taken | an error is reported |
//! | `fail-after` | is taken | an error is reported all the same |
//! | `kill-before` | is not taken | the process is gone |
//! | `kill-after` | is taken | the process is gone |
//!
//! In a fifth, `stop-before`, the process stops before the step until somebody sends it SIGCONT: so
//! something else can happen at that very moment.
//!
//! They exist with the cargo feature `fault-points` alone, which no release is built with: without it
//! [`around`] is the step and nothing else. With it, an environment variable names one point, a
//! flavour and the passage at which it strikes, `NAME:FLAVOUR:COUNT`. It strikes once in each process,
//! or, where a second variable names a file for it, once in all: whoever strikes makes that file.

/// A step that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point(&'static str);

impl Point {
    /// The name by which it is asked for.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// The writer begins a batch's transaction.
pub const BEGIN: Point = Point("writer.begin");
/// The writer adds a leaf.
pub const INSERT: Point = Point("writer.insert");
/// The writer keeps a grant with its certificate: the savepoint is released.
pub const KEEP: Point = Point("writer.keep");
/// The writer adds a full tile.
pub const TILE: Point = Point("writer.tile");
/// The writer commits.
pub const COMMIT: Point = Point("writer.commit");
/// The writer signs the checkpoint of what was committed.
pub const CHECKPOINT: Point = Point("writer.checkpoint");
/// The writer hands the batch to the signer's stage.
pub const HAND_ON: Point = Point("writer.hand-on");
/// The daemon asks the signer and hears its answer.
pub const ASK: Point = Point("stage.ask");
/// The daemon replaces the checkpoint file.
pub const PUBLISH: Point = Point("stage.publish");
/// The daemon checks what was signed, before anybody is answered.
pub const RECEIVE: Point = Point("stage.receive");
/// The signer adds to its list what it is about to sign.
pub const LIST: Point = Point("signer.list");
/// The signer moves its mark.
pub const MARK: Point = Point("signer.mark");
/// The signer cosigns the checkpoint.
pub const COSIGN: Point = Point("signer.cosign");
/// The signer signs a certificate.
pub const CERTIFY: Point = Point("signer.certify");
/// The signer sends its answer.
pub const ANSWER: Point = Point("signer.answer");
/// `init` writes a file.
pub const INIT_FILE: Point = Point("init.file");
/// `init` makes the ledger.
pub const INIT_LEDGER: Point = Point("init.ledger");
/// `init` makes the signer's list.
pub const INIT_LIST: Point = Point("init.list");
/// `init` makes the signer's mark.
pub const INIT_MARK: Point = Point("init.mark");

/// The points that a running CA passes, in the order in which a certificate passes them.
pub const SERVING: [Point; 15] = [
    BEGIN, INSERT, KEEP, TILE, COMMIT, CHECKPOINT, HAND_ON, ASK, LIST, MARK, COSIGN, CERTIFY,
    ANSWER, PUBLISH, RECEIVE,
];

/// The points that `init` passes, in order.
pub const MAKING: [Point; 4] = [INIT_FILE, INIT_LEDGER, INIT_LIST, INIT_MARK];

/// The flavour in which the process only stops.
pub const STOP: &str = "stop-before";

/// The names of the others.
pub const FLAVOURS: [&str; 4] = ["fail-before", "fail-after", "kill-before", "kill-after"];

/// Takes a step, unless this point is to fail now.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) fn around<T, E: From<std::io::Error>>(
    _point: Point,
    step: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    step()
}

#[cfg(feature = "fault-points")]
pub(crate) use armed::around;

#[cfg(feature = "fault-points")]
mod armed {
    use std::fs::File;
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Point;

    const VARIABLE: &str = "HALLPASS_FAULT";

    /// A file that is there once the fault has struck.
    const ONCE: &str = "HALLPASS_FAULT_ONCE";

    struct Armed {
        name: String,
        flavour: String,
        count: u64,
        passed: AtomicU64,
    }

    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let read = || {
            let text = std::env::var(VARIABLE).ok()?;
            let mut words = text.split(':').map(str::to_owned);
            let (name, flavour, count) = (words.next()?, words.next()?, words.next()?);
            Some(Armed { name, flavour, count: count.parse().ok()?, passed: AtomicU64::new(0) })
        };
        ARMED.get_or_init(read).as_ref()
    }

    /// Takes a step, unless this point is to fail now.
    pub(crate) fn around<T, E: From<io::Error>>(
        point: Point,
        step: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let strikes = armed().filter(|armed| {
            armed.name == point.name()
                && armed.passed.fetch_add(1, Ordering::SeqCst) + 1 == armed.count
                && std::env::var_os(ONCE).is_none_or(|path| File::create_new(path).is_ok())
        });
        let Some(armed) = strikes else { return step() };
        let injected = || E::from(io::Error::other(format!("injected at {}", point.name())));
        match armed.flavour.as_str() {
            "fail-before" => Err(injected()),
            "fail-after" => step().and_then(|_| Err(injected())),
            "kill-before" => std::process::abort(),
            super::STOP => {
                let stop = rustix::process::Signal::STOP;
                rustix::process::kill_process(rustix::process::getpid(), stop)
                    .map_err(io::Error::from)?;
                step()
            }
            _ => {
                drop(step());
                std::process::abort()
            }
        }
    }
}
