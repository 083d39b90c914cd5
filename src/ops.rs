//! What an operator does to messages between programs and brokers.

pub mod dead_letters;
pub mod drain;
pub mod drop_files;
pub mod logbook;
pub mod management;
pub mod rebase;
