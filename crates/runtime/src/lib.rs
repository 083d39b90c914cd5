//! Services, programs and wrappers, and the tools of operators.
//!
//! A delivery is acknowledged last: nothing is reported as done before the broker has it safely.
//!
//! # Modules, in the order of the pipeline
//!
//! A module uses only modules above it; files of a plug-in folder never name each other.
//!
//! | module | contents |
//! |---|---|
//! | [`telemetry`] | log lines, Graylog, traces |
//! | [`connection`] | broker of a site environment, and the credentials |
//! | [`http`] | HTTP requests to servers that answer in JSON |
//! | [`books`] | what became of all messages, where the broker cannot be asked for them |
//! | [`runtime`] | the host: takes messages, calls services, settles deliveries; one file a service |
//! | [`wrapper`] | runs a program for a recipe step and reports its progress |
//! | [`rehearsal`] | plays a recipe on an embedded broker against a script |
//! | [`ops`] | what an operator does to messages between programs and brokers |
//! | [`settings`] | tables of `zrecipe.toml` that services and programs define |

pub mod books;
pub mod connection;
pub mod http;
pub mod ops;
pub mod rehearsal;
pub mod runtime;
pub mod settings;
pub mod telemetry;
pub mod wrapper;
