//! `freeze`, `thaw` and `freezes` on the CA's own machine, by the daemon that serves.

use std::path::Path;

use hallpass::certificate::time::Span;
use hallpass::config::ca::Ca;
use hallpass::desk::freezing::FreezeAsk;
use hallpass::front::control::Order;

use crate::Stop;
use crate::control::order;

/// Sets a freeze, or lifts one.
pub(crate) fn change(path: &Path, ask: FreezeAsk) -> Result<(), Stop> {
    let FreezeAsk { name, lifting, tags, period, reason } = ask;
    let (seconds, reason) = (period.map(Span::as_secs), reason.as_str().to_owned());
    order(&Ca::load(path)?, &Order::Freeze { name, lifting, tags, seconds, reason })
}

/// What is frozen.
pub(crate) fn list(path: &Path) -> Result<(), Stop> {
    order(&Ca::load(path)?, &Order::Freezes)
}
