//! What files are checked against and cannot be used.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::cli::files::Input;
use crate::cli::{Error, say};
use zrecipe_project::library::matching;
use zrecipe_project::project::Unusable;
use zrecipe_project::regular;

/// What files that are not checked are to be held against, and whether it cannot be had. If the configuration in
/// question is checked itself that is found out anyway.
pub(super) fn usable<T>(
    found: Result<Option<T>, impl Into<Error>>,
    named: &[PathBuf],
    inputs: &[Input],
) -> (Option<T>, bool) {
    let error = match found {
        Ok(found) => return (found, false),
        Err(error) => error.into(),
    };
    let named = named.iter().flat_map(|pattern| matching(pattern).unwrap_or_default());
    let named: HashSet<PathBuf> = named.filter_map(|path| regular::canonicalize(&path).ok()).collect();
    let is_named = |path: &PathBuf| regular::canonicalize(path).is_ok_and(|path| named.contains(&path));
    let is_checked = inputs.iter().any(|input| input.path.as_ref().is_some_and(is_named));
    if !is_checked {
        // It only says it.
        let _ = error.tell();
    }
    (None, !is_checked)
}

/// Says which contracts are not used, and why. Of those that are checked themselves it is found out anyway.
pub(super) fn tell_unusable(unusable: &[Unusable], inputs: &[Input]) -> usize {
    let checked: HashSet<PathBuf> = match unusable {
        [] => HashSet::new(),
        _ => inputs.iter().filter_map(|input| regular::canonicalize(input.path.as_ref()?).ok()).collect(),
    };
    let is_checked =
        |contract: &Unusable| regular::canonicalize(&contract.path).is_ok_and(|path| checked.contains(&path));
    let told = unusable.iter().filter(|contract| !is_checked(contract));
    told.inspect(|contract| {
        say(&format!("error: {}", contract.why));
        say(&format!("  help: `zrecipe check {}` shows all that is wrong with it", contract.name));
    })
    .count()
}
