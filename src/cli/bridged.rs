//! Services that are Python classes: found by a contract or by an entry point, and started before anything relies on
//! them.

use std::path::Path;
use std::sync::Arc;

use crate::cli::{Error, Session};
use zrecipe_language::contract::{Contract, Contracts};
use zrecipe_runtime::runtime::Service as _;
use zrecipe_runtime::runtime::foreign::Foreign;
use zrecipe_runtime::runtime::python::{self, EntryPoint, Interpreter};
use zrecipe_runtime::runtime::why::Why;
use zrecipe_runtime::runtime::workers::{Failure, Hello};

/// The interpreter for these environments of the site.
///
/// # Errors
/// The settings cannot be used.
pub fn interpreter(session: &Session, environments: &[String]) -> Result<Interpreter, Error> {
    Ok(Interpreter::of(&session.settings)?.for_site(session.site_path().map(Path::new), environments))
}

/// Starts the Python class of a service; nothing for another service.
///
/// # Errors
/// It cannot be started.
pub async fn open(service: &Foreign, python: &Interpreter) -> Result<Option<Hello>, Error> {
    service.open().await.map_err(|failure| explain(service.name(), failure, python))
}

/// Why it is not known whether there is a service of a name, or why it does not work.
#[derive(Debug)]
pub enum Fault {
    /// The interpreter cannot be asked what its packages register.
    Unasked(Error),
    /// The service cannot be started.
    Unstarted(Error),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unasked(error) | Fault::Unstarted(error) => error,
        }
    }
}

/// The service of an entry point with this name, started; nothing if no package registers one.
///
/// # Errors
/// It cannot be started, or the interpreter cannot be asked.
pub async fn by_name(
    name: &str,
    contracts: &Contracts,
    python: &Interpreter,
    make: impl FnOnce(Foreign) -> Foreign,
) -> Result<Option<Foreign>, Fault> {
    let listed = python.entry_points().await.map_err(|why| Fault::Unasked(why.into()))?;
    let services = || listed.iter().filter(|entry| entry.is_service());
    let exact = services().find(|entry| entry.name == name);
    match exact.or_else(|| services().find(|entry| entry.name.eq_ignore_ascii_case(name))) {
        Some(entry) => start(entry, contracts, python, make).await.map(Some).map_err(Fault::Unstarted),
        None => Ok(None),
    }
}

async fn start(
    entry: &EntryPoint,
    contracts: &Contracts,
    python: &Interpreter,
    make: impl FnOnce(Foreign) -> Foreign,
) -> Result<Foreign, Error> {
    let unusable = || Error::new(format!("`{}` cannot be the name of a service", entry.name));
    let contract = provisional(&entry.name, Vec::new()).ok_or_else(unusable)?;
    let service = make(Foreign::new(Arc::new(contract), python).ok_or_else(unusable)?);
    let hello = open(&service, python).await?.unwrap_or_default();
    // What the site promises of it holds; else what it says itself.
    let promised = contracts.all_of_service(&entry.name).any(|contract| !contract.built_in);
    let contract = match contracts.shared_of_service(&entry.name).filter(|_| promised) {
        Some(contract) => Some(contract),
        None => provisional(&entry.name, hello.queues.into_iter().map(|(queue, _)| queue).collect()).map(Arc::new),
    };
    Ok(match contract {
        Some(contract) => service.with_contract(contract),
        None => service,
    })
}

/// A contract that says no more than what runs the service.
fn provisional(name: &str, queues: Vec<String>) -> Option<Contract> {
    let text = serde_json::json!({ "names": [name], "queues": ["-"], "run": { "entry-point": name } });
    let contract = Contract::parse(name, &text.to_string()).ok()?;
    Some(Contract { queues, ..contract })
}

/// Why a service does not start, and what to do about it.
fn explain(name: &str, failure: Failure, python: &Interpreter) -> Error {
    let last = failure.said.last().map(String::as_str).unwrap_or_default();
    let error = match failure.hint {
        Some(hint) => return Error::new(failure.reason).hint(hint),
        None if python::missing_module(last).is_some() => Error::from(python.explain(last)),
        None if failure.is_of_system => Error::from(
            Why::new(format!("service `{name}`: the Python interpreter `{}` cannot be started", python.program()))
                .hint("set `interpreter` in `[python]` of zrecipe.toml, or ZRECIPE_PYTHON")
                .hint("install the required package: `python3 -m pip install zrecipe`"),
        ),
        None => Error::new(failure.reason),
    };
    let lines = failure.said.iter().map(|line| format!("\n  {line}")).collect::<String>();
    if lines.is_empty() { error } else { error.hint(format!("it has written:{lines}")) }
}
