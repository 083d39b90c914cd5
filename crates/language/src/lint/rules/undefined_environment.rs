//! Environments that are names for environments which there are not.

use crate::diagnostic::Sink;
use crate::lint::{Context, respelled};

declare_rule! {
    /// An alias names an environment that does not exist.
    ///
    /// # Why
    /// An alias of an environment that does not exist makes the whole configuration invalid: no service and no tool
    /// starts.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments:
    ///   live: [places]
    ///   default: life
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
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
    /// The file is part of a site configuration that zrecipe does not know. Then name it with `--site`.
    "undefined-environment", Error, about [Site]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(site) = cx.whole_site() else { return };
    let known = site.environment_names();
    for environment in site.environments() {
        let (Some(alias), value) = (&environment.alias, site.node(environment.value)) else { continue };
        if known.contains(&&**alias) {
            continue;
        }
        let name = &environment.name;
        let found = RULE
            .at(value.span(), format!("`{name}` is an alias of the environment `{alias}`, which does not exist"))
            .refused();
        sink.report(if site.block(alias).is_some() {
            found.help("that is a plugin block; write blocks in a list").fix(
                "make it a list",
                value.span(),
                format!("[{}]", value.raw()),
            )
        } else {
            let others = known.iter().copied().filter(|known| known != name);
            match sink.nearest(RULE.name, alias, others) {
                Some(meant) => found.help(format!("did you mean `{meant}`?")).unsafe_fix(
                    format!("write `{meant}`"),
                    value.span(),
                    respelled(cx.tree.source().slice(value.span()), meant),
                ),
                None => found,
            }
        });
    }
}
