//! Blocks that a later block of the same environment replaces.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::site::{Site, plugin_of, plugins};
use crate::syntax::NodeId;

declare_rule! {
    /// A block of an environment replaces another one.
    ///
    /// # Why
    /// If an environment has two blocks of the same plugin, the block that is activated later replaces all settings of
    /// the other. That is not always the one further down: groups are activated in the order of their names, and
    /// `plugins` last. Blocks of `storage` and of the logging plugins are merged, and not reported.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments:
    ///   test: {transport: test-cluster, cluster: live-cluster}
    /// test-cluster: {plugin: slurm, url: "https://test.example.org", api_version: v0.0.40, user_token: /site/token}
    /// live-cluster: {plugin: slurm, url: "https://live.example.org", api_version: v0.0.40, user_token: /site/token}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments:
    ///   test: {cluster: test-cluster}
    ///   live: {cluster: live-cluster}
    /// test-cluster: {plugin: slurm, url: "https://test.example.org", api_version: v0.0.40, user_token: /site/token}
    /// live-cluster: {plugin: slurm, url: "https://live.example.org", api_version: v0.0.40, user_token: /site/token}
    /// ```
    ///
    /// # When not to follow it
    /// The later block is meant to replace the earlier one, as in an environment for tests.
    "shadowed-block", Warning, about [Site]
}

/// Plugins of which an environment may well have several blocks.
const ADDED_UP: [&str; 3] = ["graylog", "logging", "storage"];

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(site) = cx.whole_site() else { return };
    for environment in site.environments().iter().filter(|environment| environment.alias.is_none()) {
        let Ok(active) = site.activate(&environment.name) else { continue };
        let plugins_of: Vec<_> = active.iter().map(|active| active.block.and_then(plugin_of)).collect();
        for (at, plugin) in plugins_of.iter().enumerate() {
            let Some(plugin) = plugin.as_deref().filter(|plugin| !ADDED_UP.contains(plugin)) else { continue };
            // What a plugin of the site's own does with several blocks is not known.
            if plugins().all(|known| known != plugin) {
                continue;
            }
            let Some(later) = plugins_of.iter().rposition(|other| other.as_deref() == Some(plugin)) else { continue };
            let mention = |name: &str| mention(site, &environment.name, name);
            let (name, winner) = (active[at].name, active[later].name);
            if later > at
                && let Some(place) = mention(name)
            {
                let message = format!(
                    "in environment `{}` block `{winner}` replaces block `{name}`: both are of plugin `{plugin}`",
                    environment.name
                );
                let found = RULE.at(site.node(place).span(), message).label("replaced");
                sink.report(match mention(winner) {
                    Some(winner) => found.also(site.node(winner).span(), "activated later"),
                    None => found,
                });
            }
        }
    }
}

/// Where an environment of this file names a block.
fn mention(site: &Site, environment: &str, block: &str) -> Option<NodeId> {
    let environments = site.environments().iter().filter(|found| found.name == environment);
    let groups = environments.flat_map(|environment| &environment.groups);
    groups.flat_map(|group| &group.blocks).find(|(name, _)| name == block).map(|&(_, node)| node)
}
