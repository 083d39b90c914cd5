//! What an operator does to messages between programs and brokers.

pub mod drop_files;
