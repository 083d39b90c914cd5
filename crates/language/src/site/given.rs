//! Settings of plugins that do not come from a configuration file: the command line gives them.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Plugins, Setting, Site};
use crate::source::{Position, Source, Span, Unit};
use crate::syntax::{Tree, json};
use crate::value::Value;

/// The name of the block that settings of the command line are in.
const BLOCK: &str = "command line";

/// When a given setting counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precedence {
    /// It replaces the setting of the configuration.
    Replaces,
    /// It replaces the setting of the configuration, if the environments have a block of the plugin.
    ReplacesInBlock,
    /// It counts if the configuration does not have the setting.
    Default,
}

/// A setting of a plugin that is given on the command line. Later ones count more.
#[derive(Clone)]
pub struct Given {
    plugin: &'static str,
    name: &'static str,
    precedence: Precedence,
    tree: Arc<Tree>,
}

impl Given {
    /// A text. `origin` is the option that it is from, for messages.
    pub fn new(
        plugin: &'static str,
        name: &'static str,
        precedence: Precedence,
        origin: impl Into<String>,
        text: &str,
    ) -> Self {
        let source = Source::from_text(origin.into(), Value::from(text).to_json());
        Self { plugin, name, precedence, tree: Arc::new(json::parse(Arc::new(source))) }
    }

    /// A text from a file, which replaces the setting of the configuration. Messages have its place in the file.
    pub fn in_file(plugin: &'static str, name: &'static str, file: &Source, span: Span, text: &str) -> Self {
        let Position { line, column } = file.position(span.start, Unit::Char);
        let before = "\n".repeat(line.saturating_sub(1) as usize) + &" ".repeat(column.saturating_sub(1) as usize);
        let source = Source::from_text(file.name().to_owned(), before + &Value::from(text).to_json());
        let tree = Arc::new(json::parse(Arc::new(source)));
        Self { plugin, name, precedence: Precedence::Replaces, tree }
    }
}

/// Without the value, which may be secret.
impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.name, self.plugin)
    }
}

impl Site {
    /// The configuration with settings from the command line.
    #[must_use]
    pub fn with_given(mut self, given: Vec<Given>) -> Self {
        self.given = given;
        self
    }

    /// Adds the given settings to those of blocks.
    pub(super) fn add_given<'s>(&'s self, plugins: &mut Plugins<'s>) {
        for Given { plugin, name, precedence, tree } in &self.given {
            let at = match plugins.iter().position(|(known, _)| known == plugin) {
                Some(at) => at,
                None if *precedence == Precedence::ReplacesInBlock => continue,
                None => {
                    plugins.push((Cow::Borrowed(*plugin), Vec::new()));
                    plugins.len() - 1
                }
            };
            let settings = &mut plugins[at].1;
            let setting = Setting { name: (*name).to_owned(), node: tree.root(), block: BLOCK };
            match settings.iter_mut().find(|setting| setting.name == *name) {
                Some(_) if *precedence == Precedence::Default => {}
                Some(known) => *known = setting,
                None => settings.push(setting),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::yaml;

    #[test]
    fn the_command_line_comes_before_blocks_and_defaults_after_them() {
        let text = "version: 1\nb: {plugin: pika, host: a, port: 1}\nenvironments: {default: [b]}\n";
        let site = Site::new(Arc::new(yaml::parse(Arc::new(Source::from_text("site.yml", text)))));
        let given = |plugin, name, precedence, text| Given::new(plugin, name, precedence, "--option", text);
        let site = site.with_given(vec![
            given("pika", "host", Precedence::Replaces, "b"),
            given("pika", "port", Precedence::Default, "2"),
            given("pika", "vhost", Precedence::Default, "/"),
            given("pika", "vhost", Precedence::ReplacesInBlock, "v"),
            given("stomp", "prefix", Precedence::ReplacesInBlock, "v"),
        ]);
        for (environments, expected) in
            [(&["default"][..], "pika: host=b port=1 vhost=v"), (&[], "pika: host=b port=2 vhost=v")]
        {
            let plugins = site.resolve(environments).expect("is right");
            let shown: Vec<String> = plugins
                .iter()
                .map(|(plugin, settings)| {
                    let settings = settings.iter().map(|setting| format!(" {}={}", setting.name, setting.node.text()));
                    format!("{plugin}:{}", settings.collect::<String>())
                })
                .collect();
            assert_eq!(shown, [expected], "{environments:?}");
        }
        assert!(!format!("{:?}", given("pika", "password", Precedence::Replaces, "s3cret")).contains("s3cret"));
    }
}
