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
//! # Layers
//!
//! A module uses only modules above it; plug-ins (the files of a folder) never name a sibling. A test reads this
//! table.
//!
//! ```text
//! language   source
//!            value
//!            diagnostic
//!            syntax       syntax/
//!            secret
//!            template     template/
//!            recipe
//!            lower
//!            graph
//!            evidence
//!            schema
//!            contract
//!            infer
//!            site
//!            topology     topology/
//!            document
//!            lint         lint/rules/
//!            suppress
//!            compile
//!            names
//!            fix
//!            format
//!            baseline
//! views      report       report/
//!            draw         draw/
//!            diff
//! runtime    settings
//!            library
//!            project
//!            bind
//!            message
//!            transport    transport/
//!            telemetry    telemetry/
//!            connection
//!            http
//!            runtime      runtime/  runtime/services/
//!            wrapper
//!            rehearsal
//!            ops          ops/
//! front end  lsp          lsp/requests/
//!            cli          cli/commands/
//! ```
//!
//! # Invariants
//!
//! - The language is pure: no I/O, no clock, no async. Every pass returns a value; what is wrong with a document is
//!   data in that value, never an `Err`.
//! - Spans are bytes of the [`source::Source`] and lie on character boundaries; columns are made when a report is
//!   written.
//! - Numbers are their text, from the file to the wire.
//! - A string is read as a template once ([`template::parse`]); check and bind use the same result.
//! - Every front end calls [`compile::compile`]; none parses, lints or binds on its own.
//! - Nothing is reported as done before the broker has it safely; a delivery is acknowledged last.
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

pub use zrecipe_broker::{message, transport};
pub use zrecipe_language::{
    baseline, bind, compile, contract, diagnostic, diff, document, draw, evidence, fix, format, graph, infer, lint,
    lower, names, recipe, report, schema, secret, site, source, suppress, syntax, template, topology, value,
};
pub use zrecipe_project::{library, project, settings};
pub use zrecipe_runtime::{connection, http, ops, rehearsal, runtime, telemetry, wrapper};
