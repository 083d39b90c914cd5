//! Messages of Zocalo services, and the brokers that carry them.

pub mod message;
pub mod transport;
