//! The services that come with zrecipe, one file each.

pub mod cluster;
pub mod dispatcher;
pub mod jsonlines;
pub mod mailer;
pub mod runner;

/// The services there are, by the name that the command line uses.
pub const SERVICES: &[&str] = &["cluster", "dispatcher", "jsonlines", "mailer", "runner"];
