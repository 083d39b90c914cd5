//! Panics that stay where they happen: a fault of zrecipe in one file does not end the work on the others.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// How many calls of [`guarded`] this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// File and line of zrecipe's source; unknown where the program has no hook that calls [`note`].
    pub place: Option<String>,
}

impl Panic {
    /// ` at src/syntax/yaml.rs:286`, or nothing.
    pub fn at(&self) -> String {
        self.place.as_ref().map_or_else(String::new, |place| format!(" at {place}"))
    }
}

/// Calls `work` and catches its panic. The text of the panic is dropped: it may hold parts of a document, and these
/// may be secret.
///
/// # Errors
/// `work` panicked.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|_| Panic { place: PLACE.take() })
}

/// Whether a panic in this thread will be caught by [`guarded`].
pub fn is_guarded() -> bool {
    DEPTH.get() > 0
}

/// Keeps the place of a panic for [`guarded`]; for panic hooks.
pub fn note(place: String) {
    PLACE.set(Some(place));
}
