//! `zrecipe contract check`: whether contracts are still what the source of the services says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::extracted;
use crate::cli::impact::{ExitCode, FORMATS, render, summary};
use crate::cli::{Error, Session, print, say};
use zrecipe_language::compile::Reading;
use zrecipe_language::contract::{Contract, Contracts};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::Value;
use zrecipe_project::comparison::{Checked, Report, services};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::python::drift::{Difference, differences};
use zrecipe_project::python::{Draft, is_source};
use zrecipe_project::revision::Checkout;
use zrecipe_project::{library, project};

/// Compare contracts with the current Python source of the services
///
/// Prints the differences with their lines in the source, and exits with code 1 if there are any. `+` marks what only
/// the source has, `-` what only the contract has, and `~` what differs. Contracts of services that are not in the
/// source are skipped.
///
/// `--since REVISION` compares the source in a git revision with the current source. `!` marks a change that breaks
/// recipes, with the affected steps; the exit code is then 1. Recipes come from `--recipes`, from `recipe-directories`
/// in zrecipe.toml, or from the working directory.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directories with Python packages, or single files; defaults to `python` of `[contracts]` in zrecipe.toml.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Contracts to compare: files or patterns (repeatable); defaults to those of zrecipe.toml.
    #[arg(long = "contract", value_name = "FILE", conflicts_with = "since")]
    contracts: Vec<PathBuf>,
    /// Compare with the source in this git revision, and show the recipes that the changes break.
    #[arg(long, value_name = "REVISION")]
    since: Option<String>,
    /// Recipes to check with `--since`: files or directories (repeatable).
    #[arg(long, value_name = "PATH", requires = "since")]
    recipes: Vec<PathBuf>,
    /// Output format of the changes since a revision.
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = FORMATS, requires = "since")]
    format: String,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let paths = if args.paths.is_empty() { &session.settings.python } else { &args.paths };
    if paths.is_empty() {
        let error = Error::new("no Python source is given");
        return Err(error.hint("name directories on the command line, or as `python` of `[contracts]` in zrecipe.toml"));
    }
    if let Some(revision) = &args.since {
        return since(revision, paths, args, session);
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
        let tree = zrecipe_language::syntax::parse(Arc::new(source));
        if tree.is_broken() {
            return Err(Error::new(format!("{} cannot be read", path.display()))
                .hint(format!("run `zrecipe check {}` to see all errors", path.display())));
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
        report.push_str(&format!("{name}: the source defines this {}, but no contract describes it\n", draft.kind()));
    }
    print(&report)?;
    let beside = if skipped == 0 { String::new() } else { format!(", skipped {skipped} not in the source") };
    say(&format!("compared {} with the source{beside}", counted(compared, "contract")));
    if report.is_empty() { Ok(()) } else { Err(Error::findings()) }
}

/// What changed in the source since a revision, and what that breaks.
fn since(revision: &str, paths: &[PathBuf], args: &Args, session: &Session) -> Result<(), Error> {
    let now = extracted(paths)?;
    let mut before = Vec::new();
    // A path that is new has no contracts there.
    for path in paths {
        let is_source = |path: &Path| path.file_name().is_some_and(|name| is_source(&name.to_string_lossy()));
        let checkout = Checkout::new(path, revision, &is_source)?;
        if let Some(inside) = checkout.inside(path).filter(|inside| inside.exists()) {
            before.extend(extracted(&[inside])?.drafts);
        }
    }
    for finding in &now.findings {
        say(&format!("{}: {}", finding.evidence, finding.message));
    }
    let built_in = session.settings.built_in;
    let contracts = |drafts: &[Draft]| -> Result<Contracts, Error> {
        let parse = |draft: &Draft| Contract::parse(&draft.file, &draft.text()).map(Arc::new).map_err(Error::new);
        Ok(Contracts::assemble(drafts.iter().map(parse).collect::<Result<Vec<_>, Error>>()?, built_in))
    };
    let (old, new) = (contracts(&before)?, contracts(&now.drafts)?);
    let recipes = recipes(args, session)?;
    let checked: Vec<Checked<'_>> =
        recipes.iter().map(|(path, reading)| Checked { name: reading.source.name(), path, reading }).collect();
    let entries = services(&old, &new, &session.project, &checked, &[]);
    let report = Report { entries, recipes: checked.len(), contracts: now.drafts.len().max(before.len()) };
    print(&render(&report, &args.format))?;
    say(&summary(&report));
    ExitCode::Breaking.apply(&report)
}

/// The recipes that changes of services may break.
fn recipes(args: &Args, session: &Session) -> Result<Vec<(PathBuf, Arc<Reading>)>, Error> {
    let mut places = args.recipes.clone();
    if places.is_empty() {
        places.clone_from(&session.settings.recipe_directories);
    }
    if places.is_empty() {
        places.push(PathBuf::from("."));
    }
    let here = std::env::current_dir().ok();
    let mut found = Vec::new();
    for place in places {
        let unreadable =
            |(path, reason): (PathBuf, String)| Error::new(format!("cannot read {}: {reason}", path.display()));
        let files = match place.is_file() {
            true => vec![place],
            false => project::walk(&place, &session.settings.selection, |_| false).complete().map_err(unreadable)?,
        };
        for file in files {
            let below = here.as_ref().and_then(|here| file.strip_prefix(here).ok()).or(file.strip_prefix("./").ok());
            let file = below.map_or(file.clone(), Path::to_owned);
            let Ok(source) = library::read(&file, &file.to_string_lossy(), session.settings.max_bytes()) else {
                continue;
            };
            let request = CheckOptions { path: Some(&file), ..CheckOptions::default() };
            let compilation = session.structure(Arc::new(source), request);
            if compilation.document.kind() == DocumentKind::Recipe && project::is_ours(&compilation) {
                found.push((file, compilation.reading));
            }
        }
    }
    Ok(found)
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
