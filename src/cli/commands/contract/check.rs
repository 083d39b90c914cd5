//! `zrecipe contract check`: whether contracts are still what the source of the services says.

use std::path::PathBuf;

use super::extracted;
use crate::cli::{Error, Session, print, say};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::Value;
use zrecipe_project::library;
use zrecipe_project::python::Draft;
use zrecipe_project::python::drift::{Difference, differences};

/// Compare the contracts with the Python source of the services today
///
/// Prints what differs, with the line in the source, and ends with 1 if something does. `+` is what the source has and
/// the contract does not, `-` the other way round, `~` what is different. Contracts of services that are not in the
/// source are skipped.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directories with Python packages, or single files; `python` of `[contracts]` in zrecipe.toml unless given.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Contracts to compare: files or patterns; those of zrecipe.toml unless given (repeatable).
    #[arg(long = "contract", value_name = "FILE")]
    contracts: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let paths = if args.paths.is_empty() { &session.settings.python } else { &args.paths };
    if paths.is_empty() {
        let error = Error::new("no Python source is named");
        return Err(error.hint("name directories on the command line, or as `python` of `[contracts]` in zrecipe.toml"));
    }
    let from = extracted(paths)?;
    let found = from.drafts;
    for finding in &from.findings {
        say(&format!("{}: {}", finding.evidence, finding.message));
    }
    let patterns = if args.contracts.is_empty() { &session.settings.contracts } else { &args.contracts };
    let mut files = Vec::new();
    for pattern in patterns {
        files.extend(library::matching(pattern).unwrap_or_else(|_| vec![pattern.clone()]));
    }
    let mut seen = vec![false; found.len()];
    let (mut report, mut compared, mut skipped) = (String::new(), 0, 0);
    for path in &files {
        let source = library::read(path, &path.to_string_lossy(), session.settings.max_bytes());
        let source = source.map_err(|error| Error::new(error.to_string()))?;
        let tree = zrecipe_language::syntax::parse(std::sync::Arc::new(source));
        if tree.is_broken() {
            return Err(Error::new(format!("{} cannot be read", path.display()))
                .hint(format!("`zrecipe check {}` shows all that is wrong", path.display())));
        }
        let contract = tree.root().to_value();
        let Some(index) = found.iter().position(|draft| is_of(&contract, draft)) else {
            skipped += 1;
            continue;
        };
        seen[index] = true;
        compared += 1;
        let all = differences(&contract, &value_of(&found[index])?);
        let here = std::env::current_dir().ok();
        let shown = here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
        add(&mut report, &shown.to_string_lossy(), &all);
    }
    for (draft, _) in found.iter().zip(&seen).filter(|(_, seen)| !**seen) {
        let name = draft.names().next().unwrap_or_default();
        report.push_str(&format!("{name}: the source has this {}, and no contract is for it\n", draft.kind()));
    }
    print(&report)?;
    let beside =
        if skipped == 0 { String::new() } else { format!(", skipped {skipped} that the source does not have") };
    say(&format!("compared {} with the source{beside}", counted(compared, "contract")));
    if report.is_empty() { Ok(()) } else { Err(Error::findings()) }
}

fn add(report: &mut String, name: &str, all: &[Difference]) {
    if all.is_empty() {
        return;
    }
    report.push_str(&format!("{name}\n"));
    for difference in all {
        report.push_str(&format!("  {difference}\n"));
    }
}

fn value_of(draft: &Draft) -> Result<Value, Error> {
    read_value(draft.text().as_bytes()).map_err(Error::new)
}

/// Whether a contract is for the service of a draft: a wrapper by its name, a service by its queue and its name.
fn is_of(contract: &Value, draft: &Draft) -> bool {
    let texts = |key: &str| {
        let items = contract.get(key).and_then(Value::as_array).unwrap_or_default();
        items.iter().filter_map(Value::as_str).collect::<Vec<&str>>()
    };
    let shares_name = texts("names").iter().any(|name| draft.names().any(|own| own == *name));
    let is_wrapper = matches!(contract.get("wrapper"), Some(Value::Bool(true)));
    if is_wrapper || draft.is_wrapper() {
        return shares_name && is_wrapper == draft.is_wrapper();
    }
    shares_name && texts("queues").iter().any(|queue| draft.queues().any(|own| own == *queue))
}
