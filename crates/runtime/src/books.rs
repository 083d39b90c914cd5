//! The books of services on a broker that cannot be asked for its messages: what became of each, in files of the state
//! directory.
//!
//! Each process appends to a file of its own, without a lock and without waiting for the disk; it holds a lock on the
//! file for as long as it lives. Together the files say which messages were accepted and what became of them; what
//! waits in a queue is held against the broker's own count. A failure of the books stops no work, and is told.
//!
//! Submodules: `clerk` (writing), `ledger` (reading), `balance` (the books against the broker's counts).

mod balance;
mod clerk;
mod ledger;
#[cfg(test)]
mod tests;

pub use self::balance::{Balance, Counts};
pub use self::clerk::open;
pub use self::ledger::Ledger;

/// The directory of the books in the state directory.
pub const DIRECTORY: &str = "books";
