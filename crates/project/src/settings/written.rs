//! The settings file as written, without the tables of services and programs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::forms::{JsonPointer, Kind, Levels, Parameter, Rule};
use super::site_rules;
use zrecipe_language::contract::BuiltIn;

/// `zrecipe.toml`: settings of a project or a site. Paths are relative to the file; the command line takes precedence.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
#[schemars(deny_unknown_fields, title = "zrecipe settings")]
pub(super) struct Written {
    /// Directories where recipes are looked up by name, in this order.
    #[schemars(example = ["recipes", "/site/recipes"])]
    pub recipe_directories: Vec<PathBuf>,
    /// Directory of runs and of the embedded broker. Default: the data directory of the platform.
    #[schemars(example = &"/site/zrecipe")]
    pub state_directory: Option<PathBuf>,
    /// Maximum size of a recipe in bytes. Default: 67108864; maximum: 4294967294.
    #[schemars(example = 1048576)]
    pub max_file_size: Option<u64>,
    /// The baseline file of known findings, which are not reported again.
    #[schemars(example = &"zrecipe-baseline.json")]
    pub baseline: Option<PathBuf>,
    /// Files to read in directories: patterns as in `.gitignore`, relative to this file. Without patterns, all files.
    /// Files that are arguments of a command are always read.
    #[schemars(with = "Vec<String>", example = ["recipes/", "services/*.json"])]
    pub include: Vec<Spanned<String>>,
    /// Files and directories to leave out of directories: patterns as in `.gitignore`, relative to this file.
    #[schemars(with = "Vec<String>", example = ["vendor/", "*.lock.json"])]
    pub exclude: Vec<Spanned<String>>,
    /// Files with the contracts of services: patterns such as `contracts/*.json`. Or a table with these files and
    /// further keys.
    #[schemars(example = ["contracts/*.json"])]
    pub contracts: WrittenContracts,
    /// The site configuration that recipes are checked against; ZOCALO_CONFIG and `--site` take precedence.
    #[schemars(example = &"/site/configuration.yml")]
    pub site: Option<PathBuf>,
    /// The broker configurations that recipes are checked against: patterns such as `rabbitmq/*.yml`.
    #[schemars(example = ["rabbitmq/*.yml"])]
    pub broker: Vec<PathBuf>,
    /// Kinds of files that cannot be detected from the content; later entries take precedence.
    pub files: Vec<WrittenFiles>,
    /// Parameters that the site's dispatcher adds: a JSON Schema for each, or the name of a type.
    #[schemars(with = "BTreeMap<String, Parameter>")]
    #[schemars(example = BTreeMap::from([("ispyb_beamline", "string")]))]
    pub parameters: BTreeMap<String, Spanned<serde_json::Value>>,
    /// Levels of the findings of rules. Further names: `all`, or `errors`, `warnings` and `notes` for the rules with
    /// that default level; the name of a rule takes precedence.
    #[schemars(with = "Levels", example = BTreeMap::from([("two-destinations", "allow")]))]
    pub rules: WrittenLevels,
    /// Rules of the site, by their names: `[site-rules.queue-names]` is the rule `site/queue-names`.
    #[schemars(with = "BTreeMap<String, site_rules::WrittenRule>", example = site_rules::example())]
    pub site_rules: site_rules::Written,
    /// Levels for some files only; later entries take precedence.
    pub overrides: Vec<WrittenOverride>,
    /// Findings that are not reported.
    pub suppress: Vec<WrittenSuppression>,
    /// What checks know of the dispatcher; the table is defined where it is configured.
    #[schemars(skip)]
    pub dispatcher: Peeked,
}

/// What checks know of the dispatcher.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Peeked {
    /// Programs that change requests.
    #[serde(default)]
    pub filters: Vec<serde::de::IgnoredAny>,
}

pub(super) type WrittenLevels = BTreeMap<Spanned<String>, Spanned<String>>;

/// `contracts` as written: a list of files, or a table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "`contracts` is a list of files, or a table with `files`, `python` and `built-in`")]
#[schemars(inline)]
pub(super) enum WrittenContracts {
    Files(Vec<PathBuf>),
    Table(WrittenContractsTable),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(inline)]
pub(super) struct WrittenContractsTable {
    /// Files with the contracts of services: patterns such as `contracts/*.json`.
    #[schemars(example = ["contracts/*.json"])]
    pub files: Vec<PathBuf>,
    /// Python packages of services: directories and files that contracts are read from. Nothing is imported or run. A
    /// contract in `files` for the same service takes precedence.
    #[schemars(example = ["../services/src"])]
    pub python: Vec<PathBuf>,
    /// The effect of the built-in contracts. `advice`, the default: other services may consume these queues, so
    /// findings are warnings. `strict`: services of zrecipe consume them, so findings are errors. `off`: they are not
    /// used. When zrecipe runs the steps, they are strict.
    #[schemars(example = &"strict")]
    pub built_in: WrittenBuiltIn,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(super) enum WrittenBuiltIn {
    #[default]
    Advice,
    Strict,
    Off,
}

impl Default for WrittenContracts {
    fn default() -> Self {
        Self::Files(Vec::new())
    }
}

impl WrittenContracts {
    pub(super) fn table(self) -> WrittenContractsTable {
        match self {
            Self::Files(files) => WrittenContractsTable { files, ..WrittenContractsTable::default() },
            Self::Table(table) => table,
        }
    }
}

impl From<WrittenBuiltIn> for BuiltIn {
    fn from(written: WrittenBuiltIn) -> Self {
        match written {
            WrittenBuiltIn::Advice => Self::Advice,
            WrittenBuiltIn::Strict => Self::Strict,
            WrittenBuiltIn::Off => Self::Off,
        }
    }
}

/// Levels for some files only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "override")]
pub(super) struct WrittenOverride {
    /// The files: patterns such as `recipes/old/**`.
    #[schemars(with = "Vec<String>", example = ["recipes/old/**"])]
    pub paths: Vec<Spanned<String>>,
    /// Levels of the findings of rules in these files, as in `[rules]`.
    #[schemars(with = "Levels", example = BTreeMap::from([("duplicate-key", "warning")]))]
    pub rules: WrittenLevels,
}

/// The kind of some files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "files")]
pub(super) struct WrittenFiles {
    /// The files: patterns such as `config/*.yml`.
    #[schemars(with = "Vec<String>", example = ["config/*.yml"])]
    pub paths: Vec<Spanned<String>>,
    /// Their kind.
    #[schemars(with = "Kind", example = &"site")]
    pub kind: Spanned<String>,
}

/// One finding at one place that is not reported.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "suppression")]
pub(super) struct WrittenSuppression {
    /// The file, or a pattern for several.
    #[schemars(with = "String", example = &"recipes/tomography.json")]
    pub path: Spanned<String>,
    /// The place in it: a JSON Pointer. Unless given, the whole file.
    #[serde(default)]
    #[schemars(with = "Option<JsonPointer>", example = &"/4/queue")]
    pub pointer: Option<Spanned<String>>,
    /// The rule of the finding.
    #[schemars(with = "Rule", example = &"malformed-destination")]
    pub rule: Spanned<String>,
    /// The reason, as documentation.
    #[serde(rename = "reason", default)]
    #[schemars(example = &"read by an external tool")]
    pub _reason: Option<String>,
}
