//! zrecipe: compiler, linter and runtime for Zocalo recipes.
//!
//! A compiler with two back ends: it *reports* on a recipe, or it *runs* one.
//!
//! ```text
//! text ─parse▶ Tree ─lower▶ Recipe ─check▶ diagnostics ─▶ report          check
//!                             ├─graph▶ draw                               graph
//!                             └─bind(parameters)▶ bound recipe ─emit▶ messages ─▶ transport ─▶ services
//!                                                                        expand, emit, run
//! ```
//!
//! # Crates
//!
//! ```text
//! language   ◀── project ◀── runtime ◀── front ends (this package)
//! language   ◀── broker  ◀── runtime
//! ```
//!
//! | crate | contents |
//! |---|---|
//! | [`zrecipe_language`] | syntax, templates, contracts, rules, reports, drawings; pure |
//! | [`zrecipe_project`] | settings, files, recipe sets; what a document is checked against |
//! | [`zrecipe_broker`] | messages and transports |
//! | [`zrecipe_runtime`] | services, programs, wrappers, operator's tools |
//!
//! Without the feature `runtime` there are the first two crates and the form of messages: the linter and the language
//! server, without brokers and services.
//!
//! Cargo keeps this order. Within a crate, a test keeps the order of the table in its `lib.rs`.
//!
//! # Front ends, in order
//!
//! Front ends call [`compile::compile`] through the project; none parses, lints or binds on its own.
//!
//! | module | contents |
//! |---|---|
//! | [`lsp`] | language server; one file a request |
//! | [`cli`] | command line; one file a command |
//!
//! # As a library
//!
//! ```
//! use std::sync::Arc;
//! use zrecipe::{compile, source::Source};
//!
//! let text = r#"{ "1": { "queue": "images", "output": 2 }, "start": [[1, []]] }"#;
//! let source = Arc::new(Source::from_text("images.json", text));
//! let compilation = compile::compile(source, compile::Options::default());
//! let found: Vec<&str> = compilation.diagnostics.iter().map(|found| found.rule).collect();
//! assert_eq!(found, ["unknown-step"]);
//! ```

pub mod cli;
pub mod lsp;

#[cfg(feature = "runtime")]
pub use zrecipe_broker::{address, transport};
pub use zrecipe_broker::{books, message};
pub use zrecipe_language::{
    baseline, bind, change, compile, contract, diagnostic, diff, document, draw, evidence, fix, flow, format, graph,
    guard, infer, lint, lower, names, recipe, report, schema, secret, site, site_rules, source, suppress, syntax,
    template, topology, value, work,
};
pub use zrecipe_project::{callers, comparison, judge, library, project, python, regular, revision, settings};
#[cfg(feature = "runtime")]
pub use zrecipe_runtime::{books as ledgers, connection, http, ops, rehearsal, runtime, telemetry, wrapper};
