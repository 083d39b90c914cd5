//! Recipes of a project as evidence: what the files in its recipe directories say together.

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{each_in_order, walk};
use crate::endings;
use crate::library;
use crate::paths::plain;
use crate::selection::Selection;
use crate::settings::Settings;
use zrecipe_language::compile::recipe_facts;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::evidence::Facts;

/// How many recipes are read: those of a large site say no more.
const MAX_RECIPES: usize = 2_000;
/// How many bytes of text are read: who checks one file does not want to wait.
const MAX_BYTES: u64 = 8 << 20;

/// Reads the recipes in directories that are not checked themselves, first those that stand beside one that is. Files
/// that cannot be read are skipped: nobody asked for them.
pub(super) fn read(
    directories: &[PathBuf],
    settings: &Settings,
    checked: &HashSet<PathBuf>,
    mut take: impl FnMut(Facts),
) {
    if checked.len() >= MAX_RECIPES {
        return;
    }
    let is_named = |path: &Path| settings.kind_of(path) == Some(DocumentKind::Recipe);
    let files = directories.iter().flat_map(|directory| walk(directory, &Selection::default(), is_named).files);
    let is_recipe = |path: &Path| match settings.kind_of(path) {
        Some(kind) => kind == DocumentKind::Recipe,
        None => endings::is_document(path),
    };
    // The settings name these directories, so that `include` does not matter.
    let files = files.filter(|path| is_recipe(path) && !settings.selection.is_excluded(path)).map(|path| plain(&path));
    let beside: HashSet<&Path> = checked.iter().filter_map(|path| path.parent()).collect();
    let is_apart = |path: &Path| !path.parent().is_some_and(|directory| beside.contains(directory));
    let paths: BTreeSet<(bool, PathBuf)> =
        files.filter(|path| !checked.contains(path)).map(|path| (is_apart(&path), path)).collect();
    let mut room = MAX_BYTES;
    let has_room = |path: &PathBuf| {
        let size = std::fs::metadata(path).map_or(0, |found| found.len());
        let fits = size <= room;
        if fits {
            room -= size;
        }
        fits
    };
    let paths: Vec<PathBuf> = paths.into_iter().map(|(_, path)| path).take(MAX_RECIPES).filter(has_room).collect();
    let Ok(()) = each_in_order(
        &paths,
        |path| facts(path, settings.max_bytes()),
        |_, facts| {
            facts.into_iter().for_each(&mut take);
            Ok::<(), Infallible>(())
        },
    );
}

fn facts(path: &Path, max_bytes: u64) -> Option<Facts> {
    let source = library::read_in_bulk(path, &path.to_string_lossy(), max_bytes).ok()?;
    recipe_facts(Arc::new(source)).filter(|facts| !facts.steps.is_empty())
}
