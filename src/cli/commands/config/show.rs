//! `zrecipe config show`: the settings that hold in an environment.

use std::fmt::Write as _;

use crate::cli::table::align;
use crate::cli::{Error, Session, print, say};
use zrecipe_language::secret::{self, hidden};
use zrecipe_language::site::{Plugins, Setting, Unusable};
use zrecipe_language::source::Unit;
use zrecipe_language::syntax::NodeRef;
use zrecipe_language::value::Value;

/// Show the resolved settings of an environment by plugin, and the source of each setting.
///
/// Passwords and tokens are masked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The environment (repeatable; later ones take precedence); defaults to ZOCALO_DEFAULT_ENV, then `default`.
    #[arg(short = 'e', long = "environment", value_name = "ENV")]
    environments: Vec<String>,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let site = session.site()?;
    let environments = session.environments(&args.environments, &site)?;
    let names: Vec<&str> = environments.iter().map(String::as_str).collect();
    let plugins = site.resolve(&names).map_err(|fault| Error::new(fault.to_string()))?;
    let unusable = site.unusable_blocks(&names).map_err(|fault| Error::new(fault.to_string()))?;
    // What was read of them is a guess.
    let is_known = |setting: &Setting<'_>| unusable.iter().all(|block| block.block != setting.block);
    let plugins: Plugins<'_> = plugins
        .into_iter()
        .map(|(plugin, settings)| (plugin, settings.into_iter().filter(is_known).collect::<Vec<_>>()))
        .filter(|(_, settings)| !settings.is_empty())
        .collect();
    show(args, &names, &plugins)?;
    for Unusable { block, path, reason, is_denied } in &unusable {
        let level = if *is_denied { "note" } else { "error" };
        say(&format!("{level}: the file `{path}` of block `{block}` {reason}; its settings are not shown"));
    }
    if unusable.iter().all(|block| block.is_denied) { Ok(()) } else { Err(Error::exit(2)) }
}

fn show(args: &Args, names: &[&str], plugins: &Plugins<'_>) -> Result<(), Error> {
    let mut text = String::new();
    if args.format == "json" {
        let plugins = plugins.iter().map(|(plugin, settings)| {
            let settings = settings.iter().map(|setting| {
                let (file, line) = place(setting.node);
                let value = Value::from([
                    ("value", hidden(&setting.name, setting.node.to_value())),
                    ("block", Value::from(setting.block)),
                    ("file", Value::from(file)),
                    ("line", Value::from(i64::from(line))),
                ]);
                (shown_name(setting), value)
            });
            (plugin.to_string(), Value::Object(settings.collect()))
        });
        let environments = names.iter().map(|&name| Value::from(name)).collect();
        let document = Value::from([
            ("version", Value::from(1)),
            ("environments", Value::Array(environments)),
            ("plugins", Value::Object(plugins.collect())),
        ]);
        return print(&(document.to_json_pretty() + "\n"));
    }
    for (number, (plugin, settings)) in plugins.iter().enumerate() {
        let _ = writeln!(text, "{}{plugin}", if number == 0 { "" } else { "\n" });
        let rows: Vec<[String; 4]> = settings.iter().map(row).collect();
        text.push_str(&align(&rows));
    }
    print(&text)
}

fn row(setting: &Setting<'_>) -> [String; 4] {
    let (file, line) = place(setting.node);
    let value = match hidden(&setting.name, setting.node.to_value()) {
        Value::String(text) if !text.contains(char::is_control) => text,
        other => other.to_json(),
    };
    ["  ".to_owned() + &shown_name(setting), value, setting.block.to_owned(), format!("{file}:{line}")]
}

/// The name of a setting, unless it is a piece of a secret that YAML took for a key.
fn shown_name(setting: &Setting<'_>) -> String {
    let is_piece = || secret::covers(&secret::find(setting.node.tree()), setting.node.span());
    if !secret::is_secret(&setting.name) && setting.node.span().range().is_empty() && is_piece() {
        return secret::MASK.to_owned();
    }
    setting.name.clone()
}

fn place(node: NodeRef<'_>) -> (&str, u32) {
    let source = node.tree().source();
    (source.name(), source.position(node.span().start, Unit::Char).line)
}
