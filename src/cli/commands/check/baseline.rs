//! What becomes of known findings: they are not shown, and the baseline file is renewed or pruned.

use std::path::{Path, PathBuf};

use super::{Args, since};
use crate::cli::target::Output;
use crate::cli::{Error, Session, say};
use zrecipe_language::diagnostic::counted;
use zrecipe_project::known::{Known, Ledger};
use zrecipe_project::regular;

/// What happens to the baseline file.
#[derive(Debug, Clone)]
pub(super) enum Writing {
    /// It stays as it is.
    Nothing,
    /// New findings are added, and those that no longer occur removed.
    Renew(PathBuf),
    /// Findings that no longer occur are removed.
    Prune(PathBuf),
}

/// A ledger with the known findings: of a revision, of the baseline that is named, or of the settings' baseline.
///
/// # Errors
/// The baseline or the revision cannot be read, or `--prune` has no baseline.
pub(super) fn open(args: &Args, session: &Session) -> Result<(Ledger, Writing), Error> {
    let named = args.baseline.as_ref().or(session.settings.baseline.as_ref());
    let (known, writing) = match (&args.write_baseline, &args.since) {
        (Some(path), _) if path.exists() => (Known::read(path)?, Writing::Renew(path.clone())),
        (Some(path), _) => (Known::beside(path), Writing::Renew(path.clone())),
        (None, Some(revision)) => (since::findings_at(revision, args, session)?, Writing::Nothing),
        (None, None) => match named {
            Some(path) if args.prune => (Known::read(path)?, Writing::Prune(path.clone())),
            Some(path) => (Known::read(path)?, Writing::Nothing),
            None if args.prune => {
                return Err(Error::new("there is no baseline to prune")
                    .hint("name one with `--baseline FILE`, or with `baseline` in zrecipe.toml"));
            }
            None => (Known::default(), Writing::Nothing),
        },
    };
    let is_whole = args.paths.iter().any(|path| regular::is_dir(Path::new(path)));
    let is_renewing = matches!(writing, Writing::Renew(_));
    Ok((Ledger { known, is_renewing, is_whole, ..Ledger::default() }, writing))
}

/// Writes the baseline file, if that is asked for, and says what became of known findings. Where something could not be
/// read (`is_blind`), findings may be missing: then nothing is removed or written.
///
/// # Errors
/// The file cannot be written.
pub(super) fn close(mut ledger: Ledger, writing: &Writing, args: &Args, is_blind: bool) -> Result<(), Error> {
    if !is_blind {
        let directories = args.paths.iter().map(PathBuf::from).filter(|path| regular::is_dir(path));
        ledger.gone += ledger.known.drop_missing(&directories.collect::<Vec<_>>());
    }
    match ledger.occurred {
        _ if ledger.is_renewing || args.since.is_some() => {}
        0 => {}
        1 => say("1 known finding is not shown"),
        more => say(&format!("{more} known findings are not shown")),
    }
    let gone = ledger.gone;
    match writing {
        _ if is_blind => {}
        Writing::Renew(path) => {
            let renewed = ledger.known.renewed();
            write(path, &renewed.to_text())?;
            let (all, path) = (counted(renewed.count(), "finding"), path.display());
            let new = ledger.known.new_count();
            match (new == renewed.count(), gone) {
                (true, 0) => say(&format!("wrote {all} to {path}")),
                _ => say(&format!("wrote {all} to {path}: {new} new, {gone} removed")),
            }
        }
        Writing::Prune(path) if gone > 0 => {
            write(path, &ledger.known.pruned().to_text())?;
            let left = counted(ledger.known.pruned().count(), "finding");
            say(&format!("removed {} from {}; {left} left", counted(gone, "finding"), path.display()));
        }
        Writing::Prune(path) => say(&format!("nothing to remove from {}", path.display())),
        Writing::Nothing if args.since.is_some() => {}
        Writing::Nothing => match gone {
            0 => {}
            1 => say("1 known finding no longer occurs; `--prune` removes it from the baseline"),
            more => say(&format!("{more} known findings no longer occur; `--prune` removes them from the baseline")),
        },
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = Output::open(Some(path))?;
    file.write(text)?;
    file.close()
}
