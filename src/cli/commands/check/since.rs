//! `check --since REV`: the findings of a revision, so that only those are shown that came after it.
//!
//! The files of the revision are written to a temporary directory and checked there with their own settings, contracts
//! and neighbours. The working tree, the index and the references of the repository are not touched.

use std::path::{Path, PathBuf};

use super::Args;
use crate::cli::{Common, Error, Session};
use zrecipe_language::baseline::Baseline;
use zrecipe_language::diagnostic::Diagnostic;
use zrecipe_language::document::DocumentKind;
use zrecipe_project::batch::Batch;
use zrecipe_project::files::{Input, gather};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::known::{Findings, Known};
use zrecipe_project::paths::plain;
use zrecipe_project::project::Project;
use zrecipe_project::revision::{self, Checkout};

/// The findings of a revision in the repository of the working directory. If the revision is on another branch, its
/// common ancestor with `HEAD` counts: findings that came on the other branch are not those of this one.
///
/// # Errors
/// Git is not installed, this is not a repository, or there is no such revision.
pub(super) fn findings_at(revision: &str, args: &Args, session: &Session) -> Result<Known, Error> {
    let here = std::env::current_dir()?.canonicalize()?;
    let may_read = |path: &Path| session.settings.may_read(path);
    let checkout = Checkout::at_base(&here, revision, &may_read).map_err(|error| refused(&error, revision))?;
    let then = Then { here, checkout };
    let mut known = Known::of(Baseline::default(), then.checkout.directory());
    if then.directory().is_dir() {
        enter_all(&mut known, &then, args, session)?;
    }
    Ok(known.moved_to(then.checkout.top()))
}

fn refused(error: &revision::Error, revision: &str) -> Error {
    use revision::Error as Refused;
    match error {
        Refused::NoRevision(_) => Error::new(format!("`{revision}` is not a revision of this repository"))
            .hint("in CI, fetch it first: `git fetch origin BRANCH`"),
        Refused::NoGit(_) | Refused::NoRepository(_) | Refused::Failed { .. } => {
            Error::new(format!("`--since` needs a git repository: {error}"))
                .hint("use it inside of a repository; `--baseline FILE` works without git")
        }
        Refused::NoContent { .. } | Refused::Unwritable { .. } => {
            Error::new(format!("cannot read the files of `{revision}`: {error}"))
        }
    }
}

/// The working directory, and the working tree of another time.
struct Then {
    here: PathBuf,
    checkout: Checkout,
}

impl Then {
    /// The working directory at that time.
    fn directory(&self) -> PathBuf {
        self.path(Path::new(""))
    }

    /// The path at that time; files outside of the repository are the same at all times.
    fn path(&self, path: &Path) -> PathBuf {
        let whole = plain(&self.here.join(path));
        self.checkout.inside(&whole).unwrap_or(whole)
    }

    fn common(&self, common: &Common) -> Common {
        let paths = |paths: &[PathBuf]| paths.iter().map(|path| self.path(path)).collect();
        Common {
            recipe_dir: paths(&common.recipe_dir),
            site: common.site.as_ref().map(|path| self.path(path)),
            broker: paths(&common.broker),
            ..common.clone()
        }
    }

    /// A finding as it would be worded in the working tree.
    fn worded(&self, mut finding: Diagnostic) -> Diagnostic {
        let (here, top) = (format!("{}/", self.directory().display()), self.checkout.directory().display().to_string());
        let message = finding.message.replace(&here, "");
        finding.message = message.replace(&top, &self.checkout.top().to_string_lossy());
        finding
    }
}

/// Checks the files of that time as those of the working tree are checked.
fn enter_all(known: &mut Known, then: &Then, args: &Args, now: &Session) -> Result<(), Error> {
    let common = then.common(&now.common);
    let project = Project::of_directory(&then.directory(), common.given(), None);
    let session = Session { common, project };
    let selection = args.selection(&session, &then.directory())?;
    let paths = args.paths.iter().filter(|path| *path != "-").map(|path| then.path(Path::new(path)));
    let paths: Vec<String> = paths.map(|path| path.to_string_lossy().into_owned()).collect();
    // New files are not there; the pattern of others may match none.
    let inputs: Vec<Input> = paths
        .iter()
        .filter_map(|path| {
            gather(std::slice::from_ref(path), "", &selection, |path| session.kind_of(path).is_some()).ok()
        })
        .flatten()
        .filter(|input| input.path.as_ref().is_some_and(|path| path.is_file()))
        .collect();
    // Rules of the site may be new: the names are those of today.
    let (levels, parameters) = (args.levels.read(&now.settings)?, args.parameters.given()?);
    let request = CheckOptions {
        parameters: parameters.as_ref(),
        kind: args.kind.as_deref().and_then(DocumentKind::parse),
        levels: Some(&levels),
        ..CheckOptions::default()
    };
    let batch = Batch { project: &session.project, request, fixes: None };
    batch.check(&inputs, &mut None, |input, checked| {
        // A file that could not be read has no findings.
        if let Ok(checked) = checked {
            let findings = checked.diagnostics.iter().chain(&checked.silenced).cloned();
            let mut reported: Vec<Diagnostic> = findings.map(|finding| then.worded(finding)).collect();
            let findings = Findings { reported: &mut reported, silenced: &[], is_complete: &|_| true };
            known.meet(&input.name, findings);
        }
        Ok(())
    })
}
