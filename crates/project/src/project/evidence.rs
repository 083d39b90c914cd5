//! Recipes of a project as evidence: what the files in its recipe directories say together.

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{each_in_order, walk};
use crate::library;
use crate::paths::plain;
use crate::selection::Selection;
use zrecipe_language::compile::structure;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::evidence::Facts;

/// How many recipes are read: those of a large site say no more.
const MAX_RECIPES: usize = 2_000;

/// Reads the recipes in directories that are not checked themselves. Files that cannot be read are skipped: nobody asked
/// for them.
pub(super) fn read(
    directories: &[PathBuf],
    selection: &Selection,
    checked: &HashSet<PathBuf>,
    max_bytes: u64,
) -> Vec<Facts> {
    if checked.len() >= MAX_RECIPES {
        return Vec::new();
    }
    let files = directories.iter().flat_map(|directory| walk(directory, &Selection::default(), |_| false).files);
    let is_recipe =
        |path: &PathBuf| path.extension().is_some_and(|end| ["json", "yml", "yaml"].iter().any(|known| end == *known));
    // The settings name these directories, so that `include` does not matter.
    let files = files.filter(|path| is_recipe(path) && !selection.is_excluded(path)).map(|path| plain(&path));
    let paths: BTreeSet<PathBuf> = files.filter(|path| !checked.contains(path)).collect();
    let paths: Vec<PathBuf> = paths.into_iter().take(MAX_RECIPES).collect();
    let mut found = Vec::new();
    let Ok(()) = each_in_order(
        &paths,
        |path| facts(path, max_bytes),
        |_, facts| {
            found.extend(facts);
            Ok::<(), Infallible>(())
        },
    );
    found
}

fn facts(path: &Path, max_bytes: u64) -> Option<Facts> {
    let source = library::read_in_bulk(path, &path.to_string_lossy(), max_bytes).ok()?;
    let compilation = structure(Arc::new(source), None);
    let is_recipe = compilation.document.kind() == DocumentKind::Recipe;
    Some(compilation.facts()).filter(|facts| is_recipe && !facts.steps.is_empty())
}
