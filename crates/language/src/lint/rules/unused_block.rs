//! Plugin blocks that no environment names.

use crate::diagnostic::Sink;
use crate::lint::{Context, nearest};

declare_rule! {
    /// No environment names a block.
    ///
    /// # Why
    /// A block has an effect only in environments that name it. A block that no environment names is obsolete, or its
    /// name is missing in an environment.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {default: [places]}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// mail: {plugin: smtp, host: mail.example.org, port: 25, from: zocalo@example.org}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {default: [places, mail]}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// mail: {plugin: smtp, host: mail.example.org, port: 25, from: zocalo@example.org}
    /// ```
    ///
    /// # When not to follow it
    /// The block is activated by its name, with `-e NAME`.
    "unused-block", Note, about [Site]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(site) = cx.whole_site() else { return };
    let used = site.named_blocks();
    // Without environments it is a part of another configuration.
    if used.is_empty() {
        return;
    }
    let misspelt: Vec<&str> = used.iter().copied().filter(|name| site.block(name).is_none()).collect();
    for block in site.blocks().iter().filter(|block| !used.contains(&*block.name)) {
        let is_meant = nearest(&block.name, misspelt.iter().copied()).is_some();
        if !is_meant && !site.is_copied(block.value) {
            let message = format!("no environment names block `{}`", block.name);
            sink.report(RULE.at(site.node(block.key).span(), message));
        }
    }
}
