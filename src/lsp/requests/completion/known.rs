//! Names that the workspace knows.

use std::collections::{BTreeMap, BTreeSet};

use crate::lsp::session::Session;
use crate::lsp::view::View;
use zrecipe_language::diagnostic::counted;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::names::Name;
use zrecipe_language::source::Span;

/// The names that there are in the workspace, and how many files have each.
pub(super) struct Known {
    pub(super) counts: BTreeMap<Name, usize>,
    pub(super) recipes: Vec<String>,
}

impl Known {
    /// What there is in all files, but for what is being written at the cursor.
    pub(super) fn of(session: &Session, view: &View, offset: u32) -> Self {
        let mut counts = BTreeMap::new();
        let mut recipes: Vec<String> = view.basis.project.known_recipes().into_iter().flatten().cloned().collect();
        for folder in session.folders().iter().filter(|folder| folder.basis.root == view.basis.root) {
            for (path, file) in folder.files() {
                if path != view.path {
                    file.names.iter().for_each(|name| *counts.entry(name.clone()).or_default() += 1);
                }
                if view.basis.project.known_recipes().is_none() && file.kind == Some(DocumentKind::Recipe) {
                    recipes.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
                }
            }
        }
        let is_here = |span: Span| span.start <= offset && offset <= span.end;
        let own: BTreeSet<&Name> =
            view.names().iter().filter(|found| !is_here(found.span)).map(|found| &found.name).collect();
        own.into_iter().for_each(|name| *counts.entry(name.clone()).or_default() += 1);
        recipes.sort();
        recipes.dedup();
        Self { counts, recipes }
    }

    /// The names that `pick` takes, each once.
    pub(super) fn texts<'k>(&'k self, pick: impl Fn(&'k Name) -> Option<&'k str>) -> Vec<(&'k str, usize)> {
        self.counts.iter().filter_map(|(name, &count)| Some((pick(name)?, count))).collect()
    }
}

pub(super) fn files(count: usize) -> String {
    format!("in {}", counted(count, "file"))
}
