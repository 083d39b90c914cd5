//! Settings that a plugin does without and its users do not.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A plugin lacks a setting that its users need.
    ///
    /// # Why
    /// Some settings are optional, but a service fails without them. The Mailer needs `from` for every mail, even if a
    /// recipe names a sender. Without `user_token`, all requests to Slurm fail.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {live: [mail]}
    /// mail: {plugin: smtp, host: mail.example.org, port: 25}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {live: [mail]}
    /// mail: {plugin: smtp, host: mail.example.org, port: 25, from: zocalo@example.org}
    /// ```
    ///
    /// # When not to follow it
    /// No service of the site uses the setting: for example, no recipe sends mail, and no service uses Slurm.
    "absent-setting", Warning, about [Site, Plugin]
}

/// Plugins, what they may lack, and what fails then.
const NEEDED: [(&str, &str, &str); 3] = [
    ("smtp", "from", "without it, the Mailer rejects every mail, even if a recipe names a sender"),
    ("slurm", "user_token", "no job can be submitted; it is a token, or better the path of a file that holds one"),
    ("iris", "user_token", "no job can be submitted; it is a token, or better the path of a file that holds one"),
];

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if cx.is_broken() {
        return;
    }
    for block in cx.plugin_blocks() {
        for (plugin, key, why) in NEEDED {
            if block.plugin == plugin && block.content.get(key).is_none() {
                let message = format!("{}, of plugin `{plugin}`, has no `{key}`", block.called());
                sink.report(RULE.at(block.place, message).help(why));
            }
        }
    }
}
