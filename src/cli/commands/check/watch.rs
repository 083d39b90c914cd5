//! `check --watch`: checks again whenever a file changes.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use super::{Args, check_all};
use crate::cli::watch::Changes;
use crate::cli::{Error, Session, print, say};
use zrecipe_project::batch::Memory;
use zrecipe_project::files::Stamp;
use zrecipe_project::library::matching;
use zrecipe_project::settings;

/// Checks again and again, each time only what has changed.
pub(super) fn keep_checking(args: &Args, first: &Session) -> Result<(), Error> {
    if args.paths.iter().any(|path| path == "-") {
        return Err(Error::new("standard input cannot be watched").hint("name files or directories"));
    }
    let (mut memory, mut before) = (None, None);
    loop {
        let basis = basis(args, Session::new(first.common.clone()).ok())?;
        let changes = Changes::of(args.paths.iter().map(Path::new).chain(basis.iter().map(PathBuf::as_path)))?;
        // Everything is read after this, so that no change is missed.
        let basis: Vec<Stamp> = basis.iter().map(|path| Stamp::of(path)).collect();
        let files = Session::new(first.common.clone()).and_then(|session| args.inputs(&session)).unwrap_or_default();
        let files: Vec<Stamp> = files.iter().filter_map(|file| file.path.as_deref()).map(Stamp::of).collect();
        let (same_basis, same_files) =
            before.as_ref().map_or((false, false), |before: &(Vec<_>, Vec<_>)| (before.0 == basis, before.1 == files));
        if !same_basis {
            memory = Some(Memory::default());
        }
        if !same_basis || !same_files {
            if io::stdout().is_terminal() {
                // Clears the screen and goes to its first line.
                print("\x1b[2J\x1b[H")?;
            }
            if let Err(error) =
                Session::new(first.common.clone()).and_then(|session| check_all(args, &session, &mut memory))
            {
                error.tell()?;
            }
            say("watching for changes");
        }
        before = Some((basis, files));
        changes.wait()?;
    }
}

/// The files beside the recipes that a result depends on.
fn basis(args: &Args, session: Option<Session>) -> Result<Vec<PathBuf>, Error> {
    let folder = std::env::current_dir()?;
    let mut paths: Vec<PathBuf> = folder.ancestors().map(|folder| folder.join(settings::FILE_NAME)).collect();
    // Those above the one that holds do not matter, and without one only the nearest is likely to appear.
    paths.truncate(paths.iter().position(|path| path.exists()).unwrap_or_default() + 1);
    paths.extend(args.parameters.params.iter().chain(&args.baseline).cloned());
    if let Some(session) = session {
        paths.extend(session.site_files());
        paths.extend(session.common.broker.iter().cloned());
        paths.extend(session.settings.baseline.clone());
        for pattern in &session.settings.contracts {
            paths.extend(matching(pattern).unwrap_or_default());
            paths.push(pattern.clone());
        }
    }
    Ok(paths)
}
