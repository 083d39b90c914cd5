//! What is fuzzed, for cargo-fuzz and for the bounded run among the tests.

pub mod targets;
