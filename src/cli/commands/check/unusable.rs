//! What files are checked against and cannot be used.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::cli::{Error, Session, say_error};
use zrecipe_language::diagnostic::counted;
use zrecipe_project::files::Input;
use zrecipe_project::library::matching;
use zrecipe_project::project::Unusable;
use zrecipe_project::regular;

/// Reports what files cannot be checked against; returns how the check ends because of it, the most important first.
pub(super) fn tell(session: &Session, inputs: &[Input]) -> Vec<Error> {
    let mut ends = Vec::new();
    let contracts = tell_unusable(session.usable_contracts().1, inputs);
    if contracts > 0 {
        let end = Error::new(format!("{} could not be used", counted(contracts, "contract")));
        ends.push(end.hint("`contracts` in zrecipe.toml may name only contracts"));
    }
    let (settings, broken) = match session.settled() {
        Ok(()) => (Ok(()), None),
        Err((error, path)) => (Err(error), Some(path.to_owned())),
    };
    let site = session.site_files();
    let unusable = [
        (settings, broken.as_slice(), "the settings could not be used"),
        (
            session.recipe_names().map(drop).map_err(Error::from),
            site.as_slice(),
            "the site configuration could not be used",
        ),
        (
            session.topology().map(drop).map_err(Error::from),
            session.broker_paths(),
            "the broker configuration could not be used",
        ),
    ];
    for (found, named, end) in unusable {
        if let Err(error) = found
            && !is_checked(named, inputs)
        {
            // It only says it.
            let _ = error.tell();
            ends.push(Error::new(end));
        }
    }
    ends
}

/// Whether a configuration is among the files that are checked: then what is wrong with it is found out anyway.
pub(super) fn is_checked(named: &[PathBuf], inputs: &[Input]) -> bool {
    let named = named.iter().flat_map(|pattern| matching(pattern).unwrap_or_default());
    let named: HashSet<PathBuf> = named.filter_map(|path| regular::canonicalize(&path).ok()).collect();
    let is_named = |path: &Path| regular::canonicalize(path).is_ok_and(|path| named.contains(&path));
    inputs.iter().any(|input| input.path.as_deref().is_some_and(is_named))
}

/// Says which contracts are not used, and why. Of those that are checked themselves it is found out anyway.
fn tell_unusable(unusable: &[Unusable], inputs: &[Input]) -> usize {
    let checked: HashSet<PathBuf> = match unusable {
        [] => HashSet::new(),
        _ => inputs.iter().filter_map(|input| regular::canonicalize(input.path.as_ref()?).ok()).collect(),
    };
    let is_checked =
        |contract: &Unusable| regular::canonicalize(&contract.path).is_ok_and(|path| checked.contains(&path));
    let told = unusable.iter().filter(|contract| !is_checked(contract));
    told.inspect(|contract| {
        say_error(&format!("error: {}", contract.why));
        say_error(&format!("  help: run `zrecipe check {}` to see all errors", contract.name));
    })
    .count()
}
