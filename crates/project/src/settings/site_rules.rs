//! `[site-rules]` of `zrecipe.toml`.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{Problem, glob};
use crate::pattern::Pattern;
use zrecipe_language::lint::Choice;
use zrecipe_language::site_rules::{Definition, SiteRule};

/// The table as written: rules by their names.
pub(super) type Written = BTreeMap<Spanned<String>, WrittenRule>;

/// A rule of the site.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "site-rule")]
pub(super) struct WrittenRule {
    /// The files that the rule is about: patterns such as `recipes/mx/**`. Unless given, all recipes.
    #[serde(default)]
    #[schemars(with = "Vec<String>", example = ["recipes/mx/**"])]
    paths: Vec<Spanned<String>>,
    /// The values that the rule is about: a path such as `steps.queue`, where `steps` are the steps.
    #[schemars(with = "String", example = &"steps.queue")]
    select: Spanned<String>,
    /// What must be at paths beside the selected value for the rule to be about it: a text, a list of texts, or whether
    /// there is a value. A `!` before a text stands for any other text.
    #[serde(default, rename = "where")]
    #[schemars(example = BTreeMap::from([("service", "Mailer")]))]
    conditions: BTreeMap<String, WrittenCondition>,
    /// The regular expression that texts must match.
    #[schemars(with = "Option<String>", example = &"^mx")]
    matches: Option<Spanned<String>>,
    /// The regular expression that texts must not match.
    #[schemars(with = "Option<String>", example = &"test$")]
    not_matches: Option<Spanned<String>>,
    /// The texts that the value may be.
    #[schemars(example = ["images", "archiver"])]
    one_of: Option<Vec<String>>,
    /// Keys that the object must have.
    #[serde(default)]
    #[schemars(example = ["error"])]
    has: Texts,
    /// Keys that the object must not have.
    #[serde(default)]
    #[schemars(example = ["timeout"])]
    lacks: Texts,
    /// Placeholders that the value must use.
    #[serde(default)]
    #[schemars(example = ["ispyb_dcid"])]
    uses: Texts,
    /// The message of a finding: `{value}` stands for the value, `{step}` for the step.
    #[schemars(with = "String", example = &"queue `{value}` has no team")]
    message: Spanned<String>,
    /// The help of a finding.
    #[schemars(example = &"begin it with the name of the team")]
    help: Option<String>,
    /// The level of findings: `note`, `warning` or `error`. Unless given, `warning`.
    #[schemars(with = "Option<String>", example = &"error")]
    level: Option<Spanned<String>>,
    /// The text with which a fix replaces the value.
    #[schemars(with = "Option<String>", example = &"mx.{value}")]
    fix: Option<Spanned<String>>,
}

/// One text, or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a text, or a list of texts")]
#[schemars(inline)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Default for Texts {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Texts {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// What must be at a path beside the selected value.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(untagged, expecting = "a text, a list of texts, or whether there is a value: true or false")]
enum WrittenCondition {
    There(bool),
    Like(Texts),
}

/// A rule, and the files that it is about; none for all.
pub(super) type Rule = (Vec<Pattern>, Arc<SiteRule>);

/// The rules of the table.
pub(super) fn read(written: Written) -> Result<Vec<Rule>, Problem> {
    let rules = written.into_iter().map(|(name, written)| {
        let paths = written.paths.iter().map(glob).collect::<Result<Vec<_>, Problem>>()?;
        let place = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.span().start);
        let places = [
            ("select", Some(written.select.span().start)),
            ("matches", place(&written.matches)),
            ("not-matches", place(&written.not_matches)),
            ("message", Some(written.message.span().start)),
            ("fix", place(&written.fix)),
        ];
        let level = match &written.level {
            None => None,
            Some(text) => match Choice::parse(text.get_ref()) {
                Some(Choice::At(level)) => Some(level),
                _ => {
                    let message = format!("`{}` is not one of `note`, `warning` and `error`", text.get_ref());
                    return Err((text.span().start, message));
                }
            },
        };
        let condition = |(path, written): (String, WrittenCondition)| match written {
            WrittenCondition::There(is_there) => (path, Vec::new(), is_there),
            WrittenCondition::Like(texts) => {
                let texts = texts.list();
                let is_negated = !texts.is_empty() && texts.iter().all(|text| text.starts_with('!'));
                let plain = |text: String| if is_negated { text[1..].to_owned() } else { text };
                (path, texts.into_iter().map(plain).collect(), !is_negated)
            }
        };
        let text = |text: Option<Spanned<String>>| text.map(Spanned::into_inner);
        let definition = Definition {
            select: written.select.into_inner(),
            conditions: written.conditions.into_iter().map(condition).collect(),
            matches: text(written.matches),
            not_matches: text(written.not_matches),
            one_of: written.one_of,
            has: written.has.list(),
            lacks: written.lacks.list(),
            uses: written.uses.list(),
            message: written.message.into_inner(),
            help: written.help,
            level,
            fix: text(written.fix),
        };
        let rule = SiteRule::new(name.get_ref(), definition).map_err(|flaw| {
            let known = places.iter().find(|(key, _)| *key == flaw.key).and_then(|(_, place)| *place);
            let at = known.unwrap_or(name.span().start);
            let key = if known.is_some() || flaw.key.is_empty() { String::new() } else { format!("`{}`: ", flaw.key) };
            (at, format!("{key}{}", flaw.message))
        })?;
        Ok((paths, Arc::new(rule)))
    });
    rules.collect()
}

/// A table of rules, for the schema and the reference.
pub(super) fn example() -> serde_json::Value {
    serde_json::json!({ "queue-names": { "select": "steps.queue", "matches": "^em\\.", "message": "queue `{value}` lacks the prefix of the team" } })
}
