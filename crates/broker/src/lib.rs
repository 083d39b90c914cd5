//! Messages of Zocalo services, and the brokers that carry them.
//!
//! # Modules, in the order of the pipeline
//!
//! A module uses only modules above it; files of a plug-in folder never name each other.
//!
//! | module | contents |
//! |---|---|
//! | [`backoff`] | pauses between attempts |
//! | [`message`] | the wire: recipe messages, requests, dead letters, and all names that travel |
//! | [`address`] | hosts, logins and TLS of brokers, as settings and URLs state them |
//! | [`books`] | what became of all messages that a broker accepted |
//! | [`failure`] | what can go wrong between us and a broker, and the causes that programs decide by |
//! | [`trust`] | what clients need for TLS, and what its errors mean |
//! | [`connections`] | connections that are made again when they are lost |
//! | [`delivery`] | messages that are handed to consumers, and how they are settled |
//! | [`holdings`] | deliveries that wait to be settled, and accepted ids |
//! | [`standing`] | how we stand with a broker: connected, blocked or lost |
//! | [`transport`] | the interface of every broker; one file a transport |

#[cfg(feature = "transports")]
pub mod address;
#[cfg(feature = "transports")]
pub mod backoff;
pub mod books;
#[cfg(feature = "transports")]
pub mod connections;
#[cfg(feature = "transports")]
pub mod delivery;
#[cfg(feature = "transports")]
pub mod failure;
#[cfg(feature = "transports")]
pub mod holdings;
pub mod message;
#[cfg(feature = "transports")]
pub mod standing;
#[cfg(feature = "transports")]
pub mod transport;
#[cfg(feature = "transports")]
pub mod trust;
