//! Environments that are names for each other.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::site::Fault;

declare_rule! {
    /// # Why
    /// Environments that are names for each other lead to no blocks, and make the whole configuration invalid: no
    /// service and no tool starts.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments:
    ///   live: default
    ///   default: live
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments:
    ///   live: [places]
    ///   default: live
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// ```
    "alias-cycle", Error, about [Site]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(site) = cx.document.site() else { return };
    let mut told: Vec<String> = Vec::new();
    for environment in site.environments() {
        let Err(Fault::Circle(path)) = site.aliased(&environment.name) else { continue };
        // Those that only lead to it are told with it.
        if path.first() != path.last() || told.contains(&environment.name) {
            continue;
        }
        let names: Vec<String> = path.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("environments are names for each other: {}", names.join(" → "));
        sink.report(
            RULE.at(site.node(environment.value).span(), message)
                .refused().help("one of them needs a list of blocks, or groups of them"),
        );
        told.extend(path);
    }
}
