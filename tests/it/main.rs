//! The integration tests that run in-process, in one binary.

mod books;
mod broker_mutations;
mod campaign;
mod changes;
mod cli;
mod cluster;
mod commands;
mod conformance;
#[path = "../contract/mod.rs"]
mod contract;
mod contract_extract;
mod damaged;
mod dlq;
mod draw;
mod drawing;
#[path = "../shared/files.rs"]
mod files;
mod first_steps;
mod fix;
mod fmt;
mod foreign;
mod fuzz;
mod hostile;
mod judge;
mod kinds;
mod known;
mod layers;
mod limits;
mod lists;
mod lsp;
mod mistakes;
mod mutations;
mod options;
mod placeholders;
#[path = "../shared/port.rs"]
mod port;
mod pressure;
mod progress;
mod properties;
mod published;
mod queues;
mod readme;
mod recall;
mod report;
mod report_formats;
mod rules;
mod rules_page;
mod run;
mod runner;
mod schemas;
mod secret_doors;
mod secrets;
mod service;
mod settings_mutations;
mod site;
mod site_mutations;
mod site_rules;
mod suite;
mod suite_yaml;
mod transport;
#[path = "../shared/wait.rs"]
mod wait;
mod wire;
mod worker_protocol;
mod wrap;
