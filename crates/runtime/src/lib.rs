//! Services, programs and wrappers, and the tools of those who operate them.

pub mod connection;
pub mod http;
pub mod ops;
pub mod rehearsal;
pub mod runtime;
pub mod telemetry;
pub mod wrapper;
