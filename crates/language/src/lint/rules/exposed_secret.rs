//! Passwords that everybody can read.

use crate::diagnostic::{Level, Sink};
use crate::lint::Context;
use crate::secret::is_secret;
use crate::site::{Look, Site, secrets};
use crate::syntax::NodeRef;

declare_rule! {
    /// All users of the machine can read a password.
    ///
    /// # Why
    /// A plugin block can be in a separate file, so that only services can read its password. A file that all users of
    /// the machine can read exposes the password. The site configuration itself must be readable by all users of
    /// Zocalo, so put passwords of the environments `default` and `live` into a separate file.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {live: [broker, places]}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// broker: {plugin: pika, host: mq.example.org, port: 5672, username: zocalo, password: "example", vhost: /}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {live: [broker, places]}
    /// places: {plugin: storage, zocalo.recipe_directory: /site/recipes}
    /// broker: secrets/broker.yml
    /// ```
    ///
    /// # When not to follow it
    /// All users of the machine may know the password, or the file is a template without real passwords.
    "exposed-secret", Warning, about [Site]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(site) = cx.document.site() else { return };
    let everyday = everyday(site);
    for block in site.blocks() {
        let name = &block.name;
        match &block.file {
            Some(Look::File { tree, public: true }) => {
                let Some(key) = secrets(tree.root()).into_iter().next() else { continue };
                let path = site.node(block.value);
                let message = format!("all users of this machine can read the {} of block `{name}`", what(key));
                sink.report(RULE.at(path.span(), message).help(format!("`chmod o-r {}`", path.text())));
            }
            None if everyday.contains(&&**name) => {
                for key in secrets(site.node(block.value)) {
                    let message =
                        format!("all users of this configuration can read the {} of block `{name}`", what(key));
                    let help = format!(
                        "move the block to a file that only services can read, and write the path of the file here: `{name}: secrets.yml`"
                    );
                    sink.report(RULE.at(key.span(), message).level(Level::Note).help(help));
                }
            }
            _ => {}
        }
    }
}

/// The secret under a key.
fn what(key: NodeRef<'_>) -> String {
    let name = key.text();
    if is_secret(&name) { format!("`{name}`") } else { format!("password in the `{name}`") }
}

/// The blocks of the environments that are in use everywhere.
fn everyday(site: &Site) -> Vec<&str> {
    let environments = ["default", "live"].into_iter().filter_map(|name| site.names_in(name).ok());
    environments.flatten().collect()
}
