//! Environments that lack what services need.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::site::{plugin_of, plugins};

declare_rule! {
    /// An environment of the site lacks a storage or a broker.
    ///
    /// # Why
    /// In an environment without a block of `storage`, the dispatcher fails to start. In one without a broker, services
    /// connect to a broker on their own machine. An environment with neither may be intended as an addition to another
    /// one. A block counts as missing only if the site has such a block elsewhere.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments:
    ///   prod: [broker]
    ///   test: [broker, places]
    /// broker: {plugin: stomp, host: mq.example.org, port: 61613, username: "", password: "", prefix: zocalo}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments:
    ///   prod: [broker, places]
    ///   test: [broker, places]
    /// broker: {plugin: stomp, host: mq.example.org, port: 61613, username: "", password: "", prefix: zocalo}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// ```
    ///
    /// # When not to follow it
    /// The environment is only used together with another one.
    "incomplete-environment", Note, about [Site]
}

/// Plugins that say how a broker is reached, or that none is.
const TRANSPORTS: [&str; 3] = ["pika", "stomp", "transport"];

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(site) = cx.whole_site() else { return };
    let blocks = site.files().into_iter().flat_map(|site| site.blocks().iter().map(move |block| (site, block)));
    let there: Vec<_> = blocks.filter_map(|(site, block)| plugin_of(site.content(block)?)).collect();
    let site_has = |wanted: &[&str]| there.iter().any(|plugin| wanted.contains(&&**plugin));
    for environment in site.environments() {
        // One that is a name for another is reported as that one, if at all.
        if environment.alias.is_some() {
            continue;
        }
        let Ok(active) = site.activate(&environment.name) else { continue };
        let found: Option<Vec<_>> = active.iter().map(|active| active.block.and_then(plugin_of)).collect();
        // A plugin of the site's own may bring anything.
        let Some(found) = found.filter(|found| found.iter().all(|plugin| plugins().any(|known| known == plugin)))
        else {
            continue;
        };
        let (name, key) = (&environment.name, site.node(environment.key).span());
        let has_storage = found.iter().any(|plugin| plugin == "storage");
        let has_transport = found.iter().any(|plugin| TRANSPORTS.contains(&&**plugin));
        match (has_transport, has_storage) {
            (true, false) if site_has(&["storage"]) => sink.report(
                RULE.at(key, format!("environment `{name}` has a broker, but no block of `storage`"))
                    .help("the dispatcher does not start in it"),
            ),
            (false, true) if site_has(&TRANSPORTS) => sink.report(
                RULE.at(key, format!("environment `{name}` has a block of `storage`, but no broker"))
                    .help("services connect to a broker on their own machine, unless the command line names one"),
            ),
            _ => {}
        }
    }
}
