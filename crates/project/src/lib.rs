//! Projects on disk: settings, recipe libraries, and what a document is judged against.

pub mod library;
pub mod project;
pub mod settings;
