//! The ways in which a value does not fit its schema.

use crate::source::Span;
use crate::syntax::NodeId;

/// The ways in which a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// An object lacks a key.
    Missing(String),
    /// An object has a key that it may not have.
    Unknown {
        /// The key.
        name: String,
        /// Its node, if it has one.
        key: Option<NodeId>,
        /// The known key that it looks like.
        meant: Option<String>,
    },
    /// Anything else.
    Unfit {
        /// Of which kind it is.
        why: Unfit,
        /// A predicate: ``is a string, not a number``.
        predicate: String,
        /// What may have been meant.
        meant: Option<String>,
        /// What to write in its place, and whether that is surely meant.
        replacement: Option<(String, bool)>,
    },
}

/// Kinds of values that do not fit, as far as a caller has words of its own for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Text does not match a pattern.
    Pattern,
    /// The value has none of the forms that are allowed.
    Form,
    /// The value may not be given there.
    Forbidden,
    /// Anything else.
    Other,
}

/// Something wrong with a file that is to be of a certain form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// What: a clause.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// A key is missing; it may stand where the text is broken.
    pub is_missing: bool,
}
