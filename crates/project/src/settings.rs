//! `zrecipe.toml`: what a project or a site sets once instead of typing it.
//!
//! Each table is defined with what it configures: those of services and programs in the runtime ([`Settings::section`]),
//! all others in `settings/written.rs`. The JSON Schema `schemas/settings.schema.json` and `docs/settings.md` are derived
//! from these types.
//!
//! The file is searched for in the working directory and its parents; the command line comes before it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;

use crate::endings;
use crate::paths::plain;
use crate::pattern::{Pattern, Patterns};
use crate::selection::Selection;
use zrecipe_language::compile;
use zrecipe_language::contract::{BuiltIn, Declared};
use zrecipe_language::diagnostic::Level;
use zrecipe_language::document::{DocumentKind, is_pattern};
use zrecipe_language::lint::{Choice, Levels};
use zrecipe_language::schema::{Schema, SchemaValue, path_text};
use zrecipe_language::site_rules::{Chosen, SiteRule};
use zrecipe_language::source::{Position, Source, Unit};
use zrecipe_language::suppress::Pointed;

mod forms;
mod reference;
mod schema;
mod section;
mod site_rules;
mod written;

pub use forms::Seconds;
pub use reference::reference;
pub use schema::schema;
pub use section::{Command, Registered, Section};
use section::{Problem, Text, problem};
use written::{Written, WrittenLevels};

/// The file's name.
pub const FILE_NAME: &str = "zrecipe.toml";

/// Settings, as far as they are given.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where recipes are looked up by name, in this order.
    pub recipe_directories: Vec<PathBuf>,
    /// Where runs and the embedded broker are kept.
    pub state_directory: Option<PathBuf>,
    /// The largest recipe that is read, in bytes.
    pub max_file_size: Option<u64>,
    /// The file of known findings.
    pub baseline: Option<PathBuf>,
    /// Files of directories to read.
    pub selection: Selection,
    /// Files with the contracts of services: patterns.
    pub contracts: Vec<PathBuf>,
    /// Python packages that contracts are read from: directories and files.
    pub python: Vec<PathBuf>,
    /// What the contracts that come with zrecipe count for.
    pub built_in: BuiltIn,
    /// The site configuration that recipes are held against.
    pub site: Option<PathBuf>,
    /// The broker configurations that recipes are held against: patterns.
    pub broker: Vec<PathBuf>,
    /// The types of the parameters that the site's dispatcher adds.
    pub declared: Arc<Declared>,
    /// The text, for the tables that are defined elsewhere.
    text: Text,
    /// The directory of the settings file, which paths are relative to.
    base: PathBuf,
    levels: Levels,
    /// By the pattern, the place of what is decided.
    overrides: Patterns<usize>,
    decided: Vec<Levels>,
    suppressions: Patterns<Pointed>,
    kinds: Patterns<DocumentKind>,
    site_rules: Vec<site_rules::Rule>,
    /// Whether programs of the site read requests before the dispatcher does.
    pub has_filters: bool,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or holds a setting that there is not.
    #[error("{}:{}:{}: {message}", path.display(), position.line, position.column)]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where.
        position: Position,
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
}

impl Error {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Unreadable { path, .. } | Self::Invalid { path, .. } => path,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Invalid { help, .. } => help.as_deref(),
        }
    }
}

impl Settings {
    /// The settings that hold in a directory: those of the nearest file in it or in a parent.
    ///
    /// # Errors
    /// The file is there and cannot be used.
    pub fn find(directory: &Path) -> Result<Self, Error> {
        Self::find_with(directory, &|_| None)
    }

    /// The same where texts that are not saved yet count before the files, as long as they can be used.
    ///
    /// # Errors
    /// See [`Settings::find`].
    pub fn find_with<'t>(directory: &Path, unsaved: &dyn Fn(&Path) -> Option<&'t str>) -> Result<Self, Error> {
        for directory in directory.ancestors() {
            let path = directory.join(FILE_NAME);
            if let Some(settings) = unsaved(&path).and_then(|text| Self::parse(&path, text).ok()) {
                return Ok(settings);
            }
            match crate::regular::read_text(&path) {
                Ok(text) => return Self::parse(&path, &text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {}
                Err(source) => return Err(Error::Unreadable { path, source }),
            }
        }
        Ok(Self::default())
    }

    /// The settings that hold in a directory, where `text` gives the text of a file in place of the file's own; a file
    /// for which it gives none counts as it is.
    ///
    /// # Errors
    /// See [`Settings::find`].
    pub fn find_in(directory: &Path, text: &dyn Fn(&Path) -> Option<String>) -> Result<Self, Error> {
        let found = directory.ancestors().map(|directory| directory.join(FILE_NAME));
        match found.into_iter().find_map(|path| Some((text(&path)?, path))) {
            Some((text, path)) => Self::parse(&path, &text),
            None => Self::find(directory),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let source = Arc::new(Source::from_text(FILE_NAME, text));
        let position = |at: u32| source.position(at, Unit::Char);
        // What `check` says of the file is said by every command, in the same words.
        let mut found = compile::alone(Arc::clone(&source), Some(DocumentKind::Settings)).diagnostics.into_iter();
        if let Some(found) = found.find(|found| found.level == Level::Error) {
            let (path, position) = (path.to_owned(), position(found.primary.span.start));
            return Err(Error::Invalid { path, position, message: found.message, help: found.help });
        }
        let invalid = |(at, message): Problem| {
            let (path, position) = (path.to_owned(), position(at as u32));
            Error::Invalid { path, position, message, help: None }
        };
        let written: Written = toml::from_str(text).map_err(|error| invalid(problem(&error)))?;
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { text: Text(text.into()), ..Self::read(written, base).map_err(invalid)? })
    }

    /// The table of what it configures; its defaults where the file has none.
    ///
    /// # Errors
    /// The table cannot be used.
    pub fn section<S: Section>(&self) -> Result<S, Error> {
        section::read(&self.text.0, &self.base).map_err(|(at, message)| Error::Invalid {
            path: self.base.join(FILE_NAME),
            position: Source::from_text(FILE_NAME, &*self.text.0).position(at as u32, Unit::Char),
            message,
            help: None,
        })
    }

    fn read(written: Written, base: PathBuf) -> Result<Self, Problem> {
        let site_rules = site_rules::read(written.site_rules)?;
        let own: Vec<&'static str> = site_rules.iter().map(|(_, rule)| rule.name).collect();
        let mut overrides = Vec::new();
        let mut decided = Vec::new();
        for written in &written.overrides {
            for path in &written.paths {
                overrides.push((glob(path)?, decided.len()));
            }
            decided.push(levels(&written.rules, &own)?);
        }
        let mut kinds = Vec::new();
        for written in &written.files {
            let name = written.kind.get_ref();
            let kind = DocumentKind::parse(name).ok_or_else(|| {
                let known = DocumentKind::ALL.map(DocumentKind::name).join("`, `");
                (written.kind.span().start, format!("`{name}` is not one of the kinds `{known}`"))
            })?;
            for path in &written.paths {
                kinds.push((glob(path)?, kind));
            }
        }
        let suppressions = written.suppress.iter().map(|written| {
            let name = written.rule.get_ref();
            let decided = Levels::default().decide_among(name, Choice::Allow, &own);
            decided.map_err(|problem| (written.rule.span().start, problem))?;
            let pointer = written.pointer.as_ref().map_or("", |pointer| pointer.get_ref());
            if !pointer.is_empty() && !pointer.starts_with('/') {
                let at = written.pointer.as_ref().map_or(0, |pointer| pointer.span().start);
                return Err((at, format!("`{pointer}` is not a JSON pointer, which begins with `/`")));
            }
            let is_exact = !is_pattern(written.path.get_ref());
            Ok((glob(&written.path)?, Pointed { rule: name.clone(), pointer: pointer.to_owned(), is_exact }))
        });
        let declared = written.parameters.iter().map(|(name, schema)| Ok((name.clone(), declared(name, schema)?)));
        let contracts = written.contracts.table();
        Ok(Self {
            recipe_directories: written.recipe_directories.iter().map(|path| base.join(path)).collect(),
            state_directory: written.state_directory.map(|path| base.join(path)),
            max_file_size: written.max_file_size,
            baseline: written.baseline.map(|path| base.join(path)),
            selection: selection(&written.include, &written.exclude, &base)?,
            python: contracts.python.iter().map(|path| base.join(path)).collect(),
            built_in: contracts.built_in.into(),
            contracts: contracts.files.iter().map(|path| base.join(path)).collect(),
            site: written.site.map(|path| base.join(path)),
            broker: written.broker.iter().map(|path| base.join(path)).collect(),
            kinds: kinds.into_iter().collect(),
            declared: Arc::new(declared.collect::<Result<Declared, Problem>>()?),
            text: Text::default(),
            levels: levels(&written.rules, &own)?,
            overrides: overrides.into_iter().collect(),
            decided,
            suppressions: suppressions.collect::<Result<_, Problem>>()?,
            site_rules,
            has_filters: !written.dispatcher.filters.is_empty(),
            base,
        })
    }

    /// The settings file, if there is one.
    pub fn path(&self) -> Option<PathBuf> {
        (!self.base.as_os_str().is_empty()).then(|| self.base.join(FILE_NAME))
    }

    /// The largest recipe that is read, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_file_size.unwrap_or(Source::MAX_BYTES).min(u64::from(u32::MAX) - 1)
    }

    /// Forgets the paths that do not pass.
    pub fn keep_paths(&mut self, passes: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let mut others = Vec::new();
        for paths in [&mut self.recipe_directories, &mut self.contracts, &mut self.python, &mut self.broker] {
            others.extend(paths.extract_if(.., |path| !passes(path)));
        }
        for path in [&mut self.site, &mut self.baseline, &mut self.state_directory] {
            others.extend(path.take_if(|path| !passes(path)));
        }
        others
    }

    /// Puts other paths in the place of those that the settings name, and of the directory they are relative to.
    pub fn map_paths(&mut self, map: impl Fn(&Path) -> PathBuf) {
        for paths in [&mut self.recipe_directories, &mut self.contracts, &mut self.python, &mut self.broker] {
            paths.iter_mut().for_each(|path| *path = map(path));
        }
        let optional = [&mut self.site, &mut self.baseline, &mut self.state_directory];
        optional.into_iter().flatten().chain([&mut self.base]).for_each(|path| *path = map(path));
        self.selection.map_bases(map);
    }

    /// What a file is said to be.
    pub fn kind_of(&self, path: &Path) -> Option<DocumentKind> {
        if self.kinds.is_empty() {
            return None;
        }
        let path = self.relative(path);
        self.kinds.matches(&path).next_back().copied()
    }

    /// Whether what is found in a document may depend on a file, by its name: also one that `[[files]]` names.
    pub fn may_read(&self, path: &Path) -> bool {
        endings::matters(path) || self.kind_of(path).is_some()
    }

    /// The rules of the site, and which of them are about a file.
    pub fn site_rules(&self, path: &Path) -> Vec<Chosen<'_>> {
        if self.site_rules.is_empty() {
            return Vec::new();
        }
        let path = self.relative(path);
        let applies = |paths: &[Pattern]| paths.is_empty() || paths.iter().any(|glob| glob.is_match(&path));
        self.site_rules.iter().map(|(paths, rule)| Chosen { rule, applies: applies(paths) }).collect()
    }

    /// All rules of the site.
    pub fn all_site_rules(&self) -> impl Iterator<Item = &SiteRule> {
        self.site_rules.iter().map(|(_, rule)| &**rule)
    }

    fn relative(&self, path: &Path) -> PathBuf {
        let absolute = plain(path);
        absolute.strip_prefix(&self.base).unwrap_or(path).to_owned()
    }

    /// What is decided about rules for a file, and where in it rules are silenced.
    pub fn decisions(&self, path: &Path) -> (Levels, Vec<Pointed>) {
        let mut levels = self.levels.clone();
        if self.overrides.is_empty() && self.suppressions.is_empty() {
            return (levels, Vec::new());
        }
        let path = self.relative(path);
        self.overrides.matches(&path).for_each(|&place| levels.extend(&self.decided[place]));
        (levels, self.suppressions.matches(&path).cloned().collect())
    }
}

fn selection(include: &[Spanned<String>], exclude: &[Spanned<String>], base: &Path) -> Result<Selection, Problem> {
    let mut selection = Selection::default();
    for pattern in include.iter().chain(exclude) {
        let alone = Selection::default().exclude(base, &[pattern.get_ref()]);
        alone.map_err(|problem| (pattern.span().start, problem))?;
    }
    let texts =
        |patterns: &[Spanned<String>]| patterns.iter().map(|pattern| pattern.get_ref().clone()).collect::<Vec<_>>();
    selection.include(base, &texts(include)).map_err(|problem| (0, problem))?;
    selection.exclude(base, &texts(exclude)).map_err(|problem| (0, problem))?;
    Ok(selection)
}

fn glob(written: &Spanned<String>) -> Result<Pattern, Problem> {
    let pattern = written.get_ref().strip_prefix("./").unwrap_or(written.get_ref());
    Pattern::of_path(pattern).map_err(|reason| (written.span().start, reason))
}

/// The type of a parameter: a JSON Schema, or the name of a type.
fn declared(name: &str, schema: &Spanned<serde_json::Value>) -> Result<Schema, Problem> {
    let value = match schema.get_ref() {
        SchemaValue::String(kind) => serde_json::json!({ "type": kind }),
        other => other.clone(),
    };
    Schema::new(value).map_err(|flaw| {
        let at = if flaw.path.is_empty() { String::new() } else { format!("{}: ", path_text(&flaw.path)) };
        let message = format!("the type of the parameter `{name}` is not a JSON Schema: {at}{}", flaw.message);
        (schema.span().start, message)
    })
}

fn levels(written: &WrittenLevels, own: &[&'static str]) -> Result<Levels, Problem> {
    let mut levels = Levels::default();
    for (rule, choice) in written {
        let parsed = Choice::parse(choice.get_ref()).ok_or_else(|| {
            let problem = format!("`{}` is not one of `allow`, `note`, `warning` and `error`", choice.get_ref());
            (choice.span().start, problem)
        })?;
        levels.decide_among(rule.get_ref(), parsed, own).map_err(|problem| (rule.span().start, problem))?;
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_relative_to_their_file() {
        let path = Path::new("/site/zrecipe.toml");
        let settings = Settings::parse(path, "recipe-directories = [\"recipes\", \"/other\"]").expect("is right");
        assert_eq!(settings.recipe_directories, [PathBuf::from("/site/recipes"), PathBuf::from("/other")]);
        for (text, expected, hint) in [
            ("max-file-size = \"big\"", "/site/zrecipe.toml:1:17: ", ""),
            ("[parameters]\na = \"integer\"\nb = { type = \"int\" }", "/site/zrecipe.toml:3:5: the type of", ""),
            ("\nrecipe-directory = []", "/site/zrecipe.toml:2:1: ", "did you mean `recipe-directories`?"),
            ("[runner]\nrots = []", "/site/zrecipe.toml:2:1: ", "did you mean `roots`?"),
            ("[rules]\ncylce = \"allow\"", "/site/zrecipe.toml:2:1: ", "did you mean `cycle`?"),
            ("[rules]\ncycle = \"off\"", "/site/zrecipe.toml:2:9: ", ""),
            ("[[overrides]]\npaths = [\"[\"]\nrules = {}", "/site/zrecipe.toml:2:10: error parsing glob", ""),
            ("[[files]]\npaths = []\nkind = \"sight\"", "/site/zrecipe.toml:3:8: ", ""),
            ("[[suppress]]\npath = \"x\"\nrule = \"x\"", "/site/zrecipe.toml:3:8: ", ""),
        ] {
            let error = Settings::parse(path, text).expect_err("is wrong");
            assert!(error.to_string().starts_with(expected), "{error}");
            let help = error.help().unwrap_or_default();
            assert!(help.contains(hint), "{error}: {help}");
        }
    }

    #[test]
    fn decisions_hold_for_the_files_they_name() {
        let text = "
[rules]
cycle = \"warning\"
[[overrides]]
paths = [\"old/**\"]
rules = { cycle = \"allow\" }
[[suppress]]
path = \"old/x.json\"
pointer = \"/1\"
rule = \"duplicate-key\"
";
        let settings = Settings::parse(Path::new("/site/zrecipe.toml"), text).expect("is right");
        let found = zrecipe_language::diagnostic::Diagnostic::new(
            "cycle",
            zrecipe_language::diagnostic::Level::Error,
            Default::default(),
            "",
        );
        for (path, level, suppressions) in [
            ("/site/new/x.json", Some(zrecipe_language::diagnostic::Level::Warning), 0),
            ("/site/old/x.json", None, 1),
            ("/site/old/deep/y.json", None, 0),
        ] {
            let (levels, pointed) = settings.decisions(Path::new(path));
            assert_eq!(levels.level_of(&found), level, "{path}");
            assert_eq!(pointed.len(), suppressions, "{path}");
        }
    }
}
