//! Zocalo recipes as a language: everything that can be derived from text alone.
//!
//! ```text
//! text ─syntax▶ Tree ─lower▶ Recipe ─lint▶ diagnostics ─▶ report
//!                              ├─graph▶ draw
//!                              └─bind(parameters)▶ bound recipe
//! ```
//!
//! # Invariants
//!
//! - No I/O, no clock, no randomness, no async. `Cargo.toml` lacks such dependencies, and `clippy.toml` denies the
//!   parts of the standard library that reach the outside.
//! - Every pass returns a value. Errors in a document are data in that value, never an `Err`.
//! - Spans are bytes of the [`source::Source`] on character boundaries. A report computes columns when it is written.
//! - Numbers keep their text, from the file to the wire.
//! - A string is parsed as a template once ([`template::parse`]); check and bind use the same result.
//!
//! # Modules, in the order of the pipeline
//!
//! A module uses only modules above it; files of a plug-in folder never name each other.
//!
//! | module | contents |
//! |---|---|
//! | [`work`] | counted work, for tests of growing cost |
//! | [`guard`] | runs a pass so that a panic is a value |
//! | [`source`] | text of a document, byte spans, lines and columns |
//! | [`value`] | JSON values: key order kept, numbers as written |
//! | [`nearest`] | "did you mean": the known name that a misspelt one is nearest to |
//! | [`diagnostic`] | findings, their labels and fixes |
//! | [`syntax`] | one spanned tree for JSON, YAML and TOML |
//! | [`secret`] | passwords and tokens, and how text is shown without them |
//! | [`template`] | the `{placeholder}` language |
//! | [`recipe`] | typed model of a recipe |
//! | [`lower`] | tree to recipe |
//! | [`graph`] | which step feeds which |
//! | [`evidence`] | what a set of recipes has in common |
//! | [`schema`] | JSON Schema over a tree |
//! | [`ini`] | `.ini` files |
//! | [`topology`] | broker configuration |
//! | [`contract`] | what a service promises |
//! | [`infer`] | types of recipe parameters |
//! | [`flow`] | what each step receives: payload flow through the graph |
//! | [`site`] | site configuration |
//! | [`identity`] | identity of a finding from one version of a file to the next |
//! | [`document`] | kind of a file, detected from its content |
//! | [`lint`] | rules: their interface, and the runner; one file a rule |
//! | [`site_rules`] | rules of a site, written in its settings |
//! | [`suppress`] | suppressed findings |
//! | [`compile`] | the whole pipeline as one function |
//! | [`names`] | definitions and uses of names |
//! | [`fix`] | fixes applied to a text |
//! | [`mod@format`] | canonical layout of a recipe |
//! | [`baseline`] | known findings |
//! | [`report`] | report formats; one file a format |
//! | [`diff`] | unified difference of two texts |
//! | [`change`] | what a change of recipes and contracts means, and whom it breaks |
//! | [`layout`] | where boxes and arrows of a drawing are |
//! | [`diagram`] | a recipe, or two versions of it, as boxes and arrows |
//! | [`picture`] | a diagram as elements of SVG |
//! | [`draw`] | drawing formats; one file a format |
//! | [`bind`] | parameters substituted into recipes; recipes merged |

pub mod baseline;
pub mod bind;
pub mod change;
pub mod compile;
pub mod contract;
pub mod diagnostic;
pub mod diagram;
pub mod diff;
pub mod document;
pub mod draw;
pub mod evidence;
pub mod fix;
pub mod flow;
pub mod format;
pub mod graph;
pub mod guard;
pub mod identity;
pub mod infer;
pub mod ini;
pub mod layout;
pub mod lint;
pub mod lower;
pub mod names;
pub mod nearest;
pub mod picture;
pub mod recipe;
pub mod report;
pub mod schema;
pub mod secret;
pub mod site;
pub mod site_rules;
pub mod source;
pub mod suppress;
pub mod syntax;
pub mod template;
pub mod topology;
pub mod value;
pub mod work;
