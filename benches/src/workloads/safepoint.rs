//! Where a cspace may collect, and how long that takes.

use cspace::ExclusiveGuard;

use crate::pause::PauseLog;

/// A safepoint that notes its pause if it has something to do; otherwise it costs what a bare one does.
#[inline]
pub(super) fn safepoint(lock: &mut ExclusiveGuard<'_>, pauses: &mut PauseLog) {
    if lock.should_yield() {
        pauses.time(|| lock.safepoint());
    }
}
