//! Environments that are names for each other.

use std::collections::HashSet;

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// Environments of the site are aliases of each other.
    ///
    /// # Why
    /// Environments that are aliases of each other lead to no plugin blocks, and make the whole configuration invalid:
    /// no service and no tool starts.
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
    ///
    /// # When not to follow it
    /// Never: the site configuration cannot be used.
    "alias-cycle", Error, about [Site]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(site) = cx.document.site() else { return };
    let mut seen: HashSet<&str> = HashSet::new();
    for environment in site.environments() {
        let mut path: Vec<&str> = Vec::new();
        let mut next = Some(&*environment.name);
        while let Some(name) = next.filter(|name| seen.insert(name)) {
            path.push(name);
            next = site.alias(name).flatten();
        }
        // Where it goes on has been looked at: just now, if it is a circle.
        let Some(start) = next.and_then(|next| path.iter().position(|name| *name == next)) else { continue };
        let circle: Vec<&str> = path[start..].iter().chain(&next).copied().collect();
        let written = |name: &str| site.environments().iter().rfind(|environment| environment.name == name);
        let Some(environment) = circle.iter().find_map(|name| written(name)) else { continue };
        let names: Vec<String> = circle.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("environments are aliases of each other: {}", names.join(" → "));
        sink.report(
            RULE.at(site.node(environment.value).span(), message)
                .refused()
                .help("one of them needs a list of blocks, or groups of them"),
        );
    }
}
