//! Settings that a plugin does not know.

use crate::diagnostic::{Edit, Level, Sink};
use crate::lint::{Context, nearest, respelled};
use crate::schema::Schema;
use crate::site::{Written, form_of};
use crate::syntax::NodeRef;

declare_rule! {
    /// A plugin does not know a setting.
    ///
    /// # Why
    /// Plugins ignore unknown settings silently, so a misspelt setting has no effect. Blocks of `storage` may contain
    /// any keys for services of the site: only keys that look like one of Zocalo's own are reported there.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {default: [places]}
    /// places: {plugin: storage, zocalo.recipe_directroy: /site/recipes}
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
    /// A service of the site reads the setting.
    "unknown-setting", Warning, about [Site, Plugin]
}

/// Plugins that hand nothing on: what they do not know themselves is of no use to anybody.
const CLOSED: [&str; 6] = ["graylog", "logging", "opentelemetry", "pika", "stomp", "transport"];

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for block in cx.plugin_blocks() {
        let Some(form) = form_of(&block.plugin) else { continue };
        let known: Vec<&str> = form.properties().map(|(name, _)| name).collect();
        of_object(&block, "", block.content, &known, sink);
        if block.plugin == "logging" {
            of_logging(&block, form, block.content, sink);
        }
    }
}

fn of_logging(block: &Written<'_>, form: &Schema, scope: NodeRef<'_>, sink: &mut Sink) {
    let names = |definition: &str| -> Vec<&str> {
        let properties = form.root()["$defs"][definition]["properties"].as_object();
        properties.into_iter().flat_map(|properties| properties.keys()).map(String::as_str).collect()
    };
    if let Some(root) = scope.get("root") {
        of_object(block, "root.", root, &names("root"), sink);
    }
    for logger in scope.get("loggers").into_iter().flat_map(NodeRef::members) {
        of_object(block, &format!("loggers.{}.", logger.key.text()), logger.value, &names("logger"), sink);
    }
    for step in scope.get("verbose").into_iter().flat_map(NodeRef::items) {
        of_object(block, "verbose.", step, &names("verbosity"), sink);
        of_logging(block, form, step, sink);
    }
}

fn of_object(block: &Written<'_>, path: &str, object: NodeRef<'_>, known: &[&str], sink: &mut Sink) {
    for key in object.members().map(|member| member.key).filter(|key| block.holds(*key)) {
        let name = key.text();
        if known.contains(&&*name) {
            continue;
        }
        let what = format!("`{path}{name}` of {} is not a setting of plugin `{}`", block.called(), block.plugin);
        let found = RULE.at(key.span(), what);
        let absent = known.iter().copied().filter(|known| object.get(known).is_none());
        match nearest(&name, absent).filter(|meant| block.plugin != "storage" || meant.starts_with("zocalo.")) {
            Some(meant) => {
                let edit = Edit { span: key.span(), replacement: respelled(key.raw(), meant) };
                let found = found.help(format!("did you mean `{meant}`?"));
                sink.report(found.with_fix(false, format!("rename it to `{meant}`"), vec![edit]));
            }
            None if CLOSED.contains(&&*block.plugin) => {
                sink.report(found.level(Level::Note).help(format!("it has no effect; there are {}", list(known))));
            }
            None => {}
        }
    }
}

fn list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
