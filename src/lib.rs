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

pub mod baseline;
pub mod bind;
pub mod cli;
pub mod compile;
pub mod connection;
pub mod contract;
pub mod diagnostic;
pub mod diff;
pub mod document;
pub mod draw;
pub mod evidence;
pub mod fix;
pub mod format;
pub mod graph;
pub mod http;
pub mod infer;
pub mod library;
pub mod lint;
pub mod lower;
pub mod lsp;
pub mod message;
pub mod names;
pub mod ops;
pub mod project;
pub mod recipe;
pub mod rehearsal;
pub mod report;
pub mod runtime;
pub mod schema;
pub mod secret;
pub mod settings;
pub mod site;
pub mod source;
pub mod suppress;
pub mod syntax;
pub mod telemetry;
pub mod template;
pub mod topology;
pub mod transport;
pub mod value;
pub mod wrapper;
