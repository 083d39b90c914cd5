//! Messages of Zocalo services, and the brokers that carry them.
//!
//! # Modules, in the order of the pipeline
//!
//! A module uses only modules above it; files of a plug-in folder never name each other.
//!
//! | module | contents |
//! |---|---|
//! | [`message`] | the envelope on the wire: reading, writing, following a link |
//! | `address` | hosts, logins and TLS of brokers, as settings and URLs state them |
//! | [`books`] | what became of all messages that a broker accepted |
//! | `holdings` | deliveries that wait to be settled, and accepted ids |
//! | [`transport`] | the interface of every broker; one file a transport |

#[cfg(feature = "transports")]
pub mod address;
pub mod books;
#[cfg(feature = "transports")]
mod holdings;
pub mod message;
#[cfg(feature = "transports")]
pub mod transport;
