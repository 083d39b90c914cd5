//! Which files are recipes and configurations, and which belong to other programs.

use std::path::{Path, PathBuf};

use zrecipe_language::compile::Compilation;
use zrecipe_language::diagnostic::nearest;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::syntax::{Kind, ProblemKind};

/// Whether a file that nobody named is one of ours: its content shows a kind, or it is broken and mentions steps.
pub fn is_ours(compilation: &Compilation) -> bool {
    let (tree, root) = (&compilation.tree, compilation.tree.root());
    if compilation.document.kind() != DocumentKind::of(tree) {
        // The settings or an option say what it is.
        return true;
    }
    let recipe = &compilation.recipe;
    let text = compilation.source.text();
    let mentions = |key: &str| text.contains(key);
    // What ends before anybody can tell may have been a recipe; comments and the like are in other files as well.
    let mut keys = root.members().map(|member| member.key.text());
    let is_truncated = || tree.problems().iter().any(|problem| problem.kind == ProblemKind::Truncated);
    let mut is_cut = || {
        tree.is_broken() && text.trim().is_empty() && is_among_recipes(compilation.source.name())
            || root.kind() == Kind::Object && is_truncated() && keys.all(|key| key.parse::<u32>().is_ok())
    };
    DocumentKind::detect(tree).is_some()
        || is_cut()
        || (!recipe.is_object() && mentions("\"start\"") && mentions("\"queue\""))
}

/// Whether a path leads through a directory `recipes`: an empty file elsewhere may belong to any program.
fn is_among_recipes(name: &str) -> bool {
    let absolute = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
    absolute.parent().is_some_and(|parent| parent.iter().any(|part| part == "recipes"))
}

/// Whether a file that somebody named is to be checked as what it seems to be: it is one of ours, or a JSON or YAML file
/// that is damaged, or in which the parts of a recipe may be missing, broken or misspelt.
pub fn is_meant(compilation: &Compilation) -> bool {
    let root = compilation.tree.root();
    let source = &compilation.source;
    let has_data = match Path::new(source.name()).extension().and_then(|ending| ending.to_str()) {
        _ if source.name().starts_with('<') => true,
        Some("json" | "yml" | "yaml") => true,
        Some("toml" | "ini") => false,
        _ => source.text().trim_start().starts_with('{'),
    };
    let may_be_recipe = || {
        root.kind() != Kind::Object
            || root.is_empty()
            || root.members().any(|member| {
                let key = member.key.text();
                key.trim().parse::<i64>().is_ok() || nearest(&key, ["start"]).is_some()
            })
    };
    is_ours(compilation) || (has_data && (may_be_recipe() || is_damaged(compilation)))
}

/// Whether `check` reports on a file that it finds in a directory, whatever is beside it: one of ours, or a damaged one
/// that may be.
pub fn is_reported(compilation: &Compilation) -> bool {
    let name = compilation.source.name();
    is_ours(compilation) || is_damaged(compilation) && (is_among_recipes(name) || mentions_steps(compilation))
}

/// Whether a text has words of recipes. Of UTF-16 read as UTF-8 every other byte is null.
fn mentions_steps(compilation: &Compilation) -> bool {
    let text = compilation.source.text().replace('\0', "");
    text.contains("queue") && ["start", "output", "parameters"].iter().any(|word| text.contains(word))
}

/// Whether a text cannot be read, so that what it holds says nothing about what it is. Comments and commas too many,
/// which files of other programs have, and what only their YAML readers know lose nothing; an empty text has nothing to
/// lose.
pub fn is_damaged(compilation: &Compilation) -> bool {
    let source = &compilation.source;
    if compilation.document.kind() != DocumentKind::Recipe {
        return false;
    }
    if source.text().trim().is_empty() && source.undecodable().is_empty() {
        return false;
    }
    use ProblemKind::{Comment, SecondDocument, TrailingComma, UnknownTag};
    let loses_nothing = |kind| matches!(kind, Comment | SecondDocument | TrailingComma | UnknownTag);
    let mut mistakes = compilation.tree.mistakes();
    !source.undecodable().is_empty() || mistakes.any(|problem| !loses_nothing(problem.kind))
}
