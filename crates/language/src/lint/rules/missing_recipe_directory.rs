//! Recipe directories that are not there.

use crate::diagnostic::{Level, Sink};
use crate::lint::Context;
use crate::site::Look;
use crate::syntax::Kind;

declare_rule! {
    /// The recipe directory of the site does not exist.
    ///
    /// # Why
    /// The dispatcher looks up recipes by name in `zocalo.recipe_directory`. It starts without that directory, and then
    /// every request for a recipe is dead-lettered. The path is not expanded: `~` has no meaning, and a relative path
    /// starts at the working directory of the dispatcher.
    ///
    /// # Example
    /// ```yaml missing=/site/recipies
    /// version: 1
    /// environments: {live: [places]}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipies}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {live: [places]}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// ```
    ///
    /// # When not to follow it
    /// The directory exists on the machine of the dispatcher, and not on this one.
    "missing-recipe-directory", Warning, about [Site, Plugin]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (node, look) in cx.document.site().into_iter().flat_map(|site| site.recipe_directories()) {
        let path = cx.node(*node);
        let at = |rest: &str| RULE.at(path.span(), format!("the recipe directory `{}` {rest}", path.text()));
        sink.extend(match look {
            Look::Missing => Some(at("does not exist")),
            Look::File { .. } => Some(at("is a file")),
            Look::Elsewhere => {
                Some(at("is not on this machine").level(Level::Note).help("nor is its topmost directory"))
            }
            Look::Unknown | Look::Directory | Look::Denied | Look::Unreadable(_) => None,
        });
    }
    for block in cx.plugin_blocks().into_iter().filter(|block| block.plugin == "storage") {
        let Some(path) = block.own("zocalo.recipe_directory") else { continue };
        if path.kind() == Kind::String && path.text().starts_with('~') {
            let message = format!("`~` is not expanded in the recipe directory `{}`", path.text());
            sink.report(RULE.at(path.span(), message).help("write the whole path"));
        }
    }
}
