//! `zrecipe contract`: drafts of contracts, from recipes, from models or from the source of services.

mod check;
mod extract;
mod import;
mod init;

use std::path::PathBuf;

use crate::cli::{Error, Session, print};
use zrecipe_language::value::Value;
use zrecipe_project::python::files;
use zrecipe_project::python::{Draft, Finding};

/// Draft the contract of a service from source code, a model or recipes
///
/// A contract describes the interface of a service: the queues that it consumes, JSON Schemas of its parameters and its
/// input, and its output channels. To activate contracts, set `contracts = ["contracts/*.json"]` in zrecipe.toml.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Init(init::Args),
    Import(import::Args),
    Extract(extract::Args),
    Check(check::Args),
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    match &args.action {
        Action::Init(args) => init::run(args, session),
        Action::Import(args) => import::run(args, session),
        Action::Extract(args) => extract::run(args),
        Action::Check(args) => check::run(args, session),
    }
}

/// Prints a contract.
fn print_contract(contract: &Value) -> Result<(), Error> {
    print(&(contract.to_json_pretty() + "\n"))
}

fn texts(items: &[String]) -> Value {
    Value::Array(items.iter().map(|item| Value::from(item.as_str())).collect())
}

/// What Python source gives.
struct Extracted {
    /// How many files were read.
    files: usize,
    drafts: Vec<Draft>,
    findings: Vec<Finding>,
}

/// Reads Python source and drafts contracts from it.
fn extracted(paths: &[PathBuf]) -> Result<Extracted, Error> {
    let files = files::read(paths).map_err(|reason| {
        let error = Error::new(reason);
        match paths.iter().find_map(|path| crate::cli::files::whereabouts(path)) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })?;
    let (drafts, findings) = zrecipe_project::python::contracts(&files);
    Ok(Extracted { files: files.len(), drafts, findings })
}
