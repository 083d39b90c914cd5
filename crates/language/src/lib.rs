//! Zocalo recipes as a language: everything that is known from text alone.
//!
//! No I/O, no clock, no randomness, no async: every pass is a function from values to values. Errors in a document
//! are data in the result, never an `Err`.
//!
//! ```text
//! text ─syntax▶ Tree ─lower▶ Recipe ─lint▶ diagnostics ─▶ report
//!                              ├─graph▶ draw
//!                              └─bind(parameters)▶ bound recipe
//! ```

pub mod baseline;
pub mod bind;
pub mod compile;
pub mod contract;
pub mod diagnostic;
pub mod diff;
pub mod document;
pub mod draw;
pub mod evidence;
pub mod fix;
pub mod format;
pub mod graph;
pub mod infer;
pub mod lint;
pub mod lower;
pub mod names;
pub mod recipe;
pub mod report;
pub mod schema;
pub mod secret;
pub mod site;
pub mod source;
pub mod suppress;
pub mod syntax;
pub mod template;
pub mod topology;
pub mod value;
