//! `check --show-settings`: the resolved settings, and where each is from.

use std::path::{Path, PathBuf};

use super::Args;
use crate::cli::{Error, Session, print};
use zrecipe_language::contract::BuiltIn;
use zrecipe_language::diagnostic::Diagnostic;
use zrecipe_language::lint::RULES;
use zrecipe_language::value::Value;

/// Prints the settings of the working directory, and the levels of rules for the first path.
///
/// # Errors
/// The settings cannot be used, or standard output is closed.
pub(super) fn show(args: &Args, session: &Session) -> Result<(), Error> {
    session.settled().map_err(|(error, _)| error)?;
    let settings = &session.settings;
    let file = settings.path();
    let source = file.as_ref().map_or_else(|| "no settings file".to_owned(), |path| path.display().to_string());
    let mut lines = format!("# {source}\n");
    let mut line = |key: &str, value: String, from: &str| lines.push_str(&format!("{key} = {value}  # {from}\n"));
    let from = |is_set: bool| if is_set { "settings file" } else { "default" };
    let given = |given: bool, is_set: bool| if given { "command line" } else { from(is_set) };
    let list = |paths: &[PathBuf]| texts(paths.iter().map(|path| path.display().to_string()));
    let common = &session.common;
    let directories: Vec<PathBuf> = common.recipe_dir.iter().chain(&settings.recipe_directories).cloned().collect();
    line("recipe-directories", list(&directories), given(!common.recipe_dir.is_empty(), !directories.is_empty()));
    line("include", texts(settings.selection.included()), from(settings.selection.included().next().is_some()));
    let excluded = settings.selection.excluded().chain(args.exclude.iter().cloned());
    let has_excluded = settings.selection.excluded().next().is_some();
    line("exclude", texts(excluded), given(!args.exclude.is_empty(), has_excluded));
    line("max-file-size", settings.max_bytes().to_string(), from(settings.max_file_size.is_some()));
    let baseline = args.baseline.as_ref().or(settings.baseline.as_ref());
    if let Some(path) = baseline {
        line("baseline", text(&path.display().to_string()), given(args.baseline.is_some(), true));
    }
    line("contracts.files", list(&settings.contracts), from(!settings.contracts.is_empty()));
    line("contracts.python", list(&settings.python), from(!settings.python.is_empty()));
    let built_in = match settings.built_in {
        BuiltIn::Advice => "advice",
        BuiltIn::Strict => "strict",
        BuiltIn::Off => "off",
    };
    line("contracts.built-in", text(built_in), from(built_in != "advice"));
    if let Some(site) = session.site_path() {
        let is_named = common.site.as_deref().is_some_and(|path| !path.as_os_str().is_empty());
        line("site", text(&site.display().to_string()), given(is_named, true));
    }
    line("broker", list(session.broker_paths()), given(!common.broker.is_empty(), !settings.broker.is_empty()));
    #[cfg(feature = "runtime")]
    if let Ok(state) = session.state_directory() {
        line(
            "state-directory",
            text(&state.display().to_string()),
            given(common.state.is_some(), settings.state_directory.is_some()),
        );
    }
    let path = args.paths.first().map_or(".", String::as_str);
    let (decided, suppressed) = settings.decisions(Path::new(path));
    let mut levels = decided;
    levels.extend(&args.levels.read(&session.settings)?);
    lines.push_str(&format!("\n[rules]  # levels that differ from the default, for {path}\n"));
    let rules = RULES.iter().map(|rule| (rule.name, rule.level));
    for (name, usual) in rules.chain(settings.all_site_rules().map(|rule| (rule.name, rule.level))) {
        let level = levels.level_of(&Diagnostic::new(name, usual, Default::default(), ""));
        if level != Some(usual) {
            let name = if name.contains('/') { text(name) } else { name.to_owned() };
            lines.push_str(&format!("{name} = \"{}\"\n", level.map_or("allow", |level| level.as_str())));
        }
    }
    if !suppressed.is_empty() {
        lines.push_str(&format!("\n# {} of [[suppress]] apply to {path}\n", suppressed.len()));
    }
    print(&lines)
}

fn text(text: &str) -> String {
    Value::from(text).to_json()
}

fn texts(texts: impl Iterator<Item = String>) -> String {
    Value::Array(texts.map(|text| Value::from(text.as_str())).collect()).to_json()
}
