//! A panic ends one answer, never the server.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is said when something has panicked; where, is on standard error.
pub(super) const FAULT: &str = "internal error in zrecipe; please report it";

/// Does something that may panic; nothing if it did. What it was about is then as it was, or will be made anew: no
/// state is half changed for longer than it takes to put a value in its place.
pub(super) fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_nothing() {
        assert_eq!(guarded(|| 1), Some(1));
        #[expect(clippy::panic, reason = "a fault is what is tested")]
        let outcome = guarded(|| panic!("a fault"));
        assert_eq!(outcome, None::<()>);
    }
}
