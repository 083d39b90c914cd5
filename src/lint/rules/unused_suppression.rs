//! Suppressions that silence nothing.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// # Why
    /// A suppression outlives the mistake that it was written for, and then hides the next one.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": ["zrecipe: allow(two-destinations) both are read"],
    ///   "1": { "queue": "images" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": ["zrecipe: allow(two-destinations) both are read"],
    ///   "1": { "queue": "images", "topic": "transient.images" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    "unused-suppression", Warning
}

/// Only when all rules have had their say is it known what is unused: see [`crate::suppress`].
fn check(_cx: &Context<'_>, _sink: &mut Sink) {}
