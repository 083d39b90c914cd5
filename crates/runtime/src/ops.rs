//! What an operator does to messages between programs and brokers.

pub mod apis;
pub mod checkup;
pub mod dead_letters;
pub mod definitions;
pub mod drain;
pub mod drop_files;
pub mod jolokia;
pub mod logbook;
pub mod management;
pub mod prospects;
pub mod rebase;
pub mod services;
