//! Counted work, for tests of how the cost of a command grows with its input: looks at nodes of trees.
//!
//! Only builds with debug assertions count, and each thread by itself.

use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts one look.
#[inline]
pub(crate) fn count() {
    if cfg!(debug_assertions) {
        COUNT.set(COUNT.get() + 1);
    }
}

/// The number of looks that something takes, and what comes of it.
pub fn counted<R>(work: impl FnOnce() -> R) -> (u64, R) {
    let before = COUNT.get();
    let result = work();
    (COUNT.get() - before, result)
}
