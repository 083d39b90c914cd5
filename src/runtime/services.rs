//! The services that come with zrecipe, one file each.

pub mod dispatcher;
pub mod runner;

/// The services there are, by the name that the command line uses.
pub const SERVICES: &[&str] = &["dispatcher", "runner"];
