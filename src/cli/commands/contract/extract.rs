//! `zrecipe contract extract`: contracts from the source of services.

use std::path::PathBuf;

use super::extracted;
use crate::cli::{Error, print, say};
use zrecipe_language::diagnostic::counted;

/// Draft the contracts of services and wrappers from their Python source
///
/// No code is imported or executed. Queues, names, parameters, channels and payloads are read from the source, each
/// with its line. Anything that cannot be inferred is left out. Directories are searched for Python files and for the
/// entry points of the package. Tests are skipped.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directories with Python packages, or single files.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Write each contract to a separate file in this directory, which is created if needed.
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Overwrite existing contracts that differ.
    #[arg(long, requires = "output")]
    force: bool,
    /// Only the service or wrapper of this name or queue (repeatable).
    #[arg(long = "only", value_name = "NAME")]
    only: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args) -> Result<(), Error> {
    let from = extracted(&args.paths)?;
    let mut found = from.drafts;
    for finding in &from.findings {
        say(&format!("{}: {}", finding.evidence, finding.message));
    }
    if !args.only.is_empty() {
        found.retain(|draft| draft.names().chain(draft.queues()).any(|name| args.only.iter().any(|only| only == name)));
    }
    if found.is_empty() {
        let error = Error::new(format!("no service or wrapper was found in {}", counted(from.files, "file")));
        return Err(
            error.hint("a service is a class with CommonService as a base, or an entry point of `workflows.services`")
        );
    }
    let said = format!("drafted {} from {}", counted(found.len(), "contract"), counted(from.files, "file"));
    let Some(directory) = &args.output else {
        say(&said);
        return match &found[..] {
            [only] => print(&only.text()),
            many => {
                let all = serde_json::Value::Array(many.iter().map(|draft| draft.contract.clone()).collect());
                print(&format!("{all:#}\n"))
            }
        };
    };
    std::fs::create_dir_all(directory)
        .map_err(|error| Error::new(format!("cannot create {}: {error}", directory.display())))?;
    for (name, draft) in zrecipe_project::python::file_names(&found) {
        let path = directory.join(name);
        let failed = |error: std::io::Error| Error::new(format!("cannot write {}: {error}", path.display()));
        // Who has completed a draft by hand does not lose it.
        if !args.force && path.exists() && std::fs::read_to_string(&path).map_err(failed)? != draft.text() {
            let error = Error::new(format!("{} exists and differs", path.display()));
            return Err(error.hint("`zrecipe contract check` shows the differences, `--force` overwrites the file"));
        }
        std::fs::write(&path, draft.text()).map_err(failed)?;
    }
    say(&format!("{said}, written to {}", directory.display()));
    Ok(())
}
