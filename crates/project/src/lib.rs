//! Projects on disk: settings, recipe libraries, and what a document is checked against.
//!
//! # Modules, in the order of the pipeline
//!
//! A module uses only modules above it; files of a plug-in folder never name each other.
//!
//! | module | contents |
//! |---|---|
//! | [`settings`] | `zrecipe.toml` |
//! | [`library`] | recipes by name, in directories and built in |
//! | [`project`] | settings, contracts, site, broker configuration and recipe set of a directory |

pub mod library;
pub mod project;
pub mod settings;
