//! The host: takes messages from queues, hands them to services, and settles them with what they led to.
//!
//! A delivery is settled once, last, and together with everything it led to. A service that fails on a message
//! (by returning so, or by a panic) does not take its neighbours with it.

pub mod ask;
pub mod cluster;
mod consumer;
pub mod ending;
pub mod foreign;
pub mod handover;
pub mod health;
mod host;
pub mod instance;
pub mod journal;
mod kept;
mod lines;
pub mod metrics;
pub mod order;
mod outcome;
pub mod pressure;
pub mod process;
pub mod python;
pub mod roots;
pub mod run;
pub mod said;
mod service;
pub mod services;
pub mod status;
pub mod stem;
pub mod supervisor;
pub mod supervisors;
pub mod surroundings;
pub mod why;
pub mod workers;

pub use self::host::Host;
pub use self::outcome::{DEAD_LETTERED, Event, Outcome, RETRY, StepResult};
pub use self::service::{Job, Service};

/// Setting of plugin `storage` that names the directory of the dispatcher's logbook.
pub const LOGBOOK: &str = "zocalo.dispatcher.logbook_location";
