//! Projects on disk: settings, recipe libraries, and what a document is checked against.
//!
//! # Modules, in the order of the pipeline
//!
//! A module uses only modules above it; files of a plug-in folder never name each other.
//!
//! | module | contents |
//! |---|---|
//! | [`platform`] | what differs between operating systems: identities of files, permissions, processes |
//! | [`regular`] | the reader of files: regular files only, within a time limit |
//! | [`durable`] | the writer of files: whole or not at all, and safe |
//! | [`paths`] | paths as text: absolute, without `.` and `..` |
//! | [`pattern`] | patterns with wildcards |
//! | [`endings`] | names of files that may be ours |
//! | [`python`] | services and wrappers in Python source: facts for contracts |
//! | [`selection`] | files of directories to read: `include` and `exclude` |
//! | [`settings`] | `zrecipe.toml` |
//! | [`library`] | recipes by name, in directories and built in |
//! | [`known`] | baseline files: known findings, and the directory of their paths |
//! | [`project`] | settings, contracts, site, broker configuration and recipe set of a directory |
//! | [`judge`] | what a document is checked against: every check of every front end starts here |
//! | [`files`] | files that arguments name, and what tells whether they have changed |
//! | [`batch`] | many documents checked together: each alone, and again those that the others contradict |
//! | [`revision`] | files of a git revision |
//! | [`callers`] | who starts recipes: Python code, shell scripts, request files |
//! | [`comparison`] | what changed between two states of a project, and whom it breaks |

pub mod batch;
pub mod callers;
pub mod comparison;
pub mod durable;
pub mod endings;
pub mod files;
pub mod judge;
pub mod known;
pub mod library;
pub mod paths;
pub mod pattern;
pub mod platform;
pub mod project;
pub mod python;
pub mod regular;
pub mod revision;
pub mod selection;
pub mod settings;
