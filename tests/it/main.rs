//! The integration tests that run in-process, in one binary.

mod conformance;
mod draw;
mod report;
mod run;
mod transport;
