//! Environments that name plugin blocks which there are not.

use std::collections::HashSet;

use crate::diagnostic::Sink;
use crate::lint::{Context, respelled};
use crate::site::{RESERVED, Site};

declare_rule! {
    /// An environment names a block that does not exist.
    ///
    /// # Why
    /// An environment that names a block that does not exist makes the whole configuration invalid: no service and no
    /// tool starts, in any environment. A file that the site configuration includes is checked against the whole
    /// configuration, if it is known from `site` in `zrecipe.toml`, `--site` or `ZOCALO_CONFIG`.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {default: [plcaes]}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {default: [places]}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// ```
    ///
    /// # When not to follow it
    /// The file is part of a site configuration that zrecipe does not know. Then name it with `--site`.
    "undefined-block", Error, about [Site]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(site) = cx.whole_site() else { return };
    let mut known: Vec<&str> = site.files().into_iter().flat_map(Site::blocks).map(|block| &*block.name).collect();
    known.sort_unstable();
    let environments: HashSet<&str> = site.environment_names().into_iter().collect();
    for environment in site.environments() {
        for (name, node) in environment.groups.iter().flat_map(|group| &group.blocks) {
            if RESERVED.contains(&&**name) || known.binary_search(&&**name).is_ok() {
                continue;
            }
            let span = site.node(*node).span();
            let found = RULE
                .at(span, format!("environment `{}` names block `{name}`, which does not exist", environment.name))
                .refused();
            sink.report(match sink.nearest(RULE.name, name, known.iter().copied()) {
                Some(meant) => found.help(format!("did you mean `{meant}`?")).unsafe_fix(
                    format!("write `{meant}`"),
                    span,
                    respelled(cx.tree.source().slice(span), meant),
                ),
                None if environments.contains(&**name) => {
                    found.help("that is an environment, and environments hold blocks only")
                }
                None => found.help(format!("add a block `{name}` with a `plugin`, or remove the name")),
            });
        }
    }
}
