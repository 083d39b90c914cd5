//! The integration tests that run in-process, in one binary.

mod conformance;
