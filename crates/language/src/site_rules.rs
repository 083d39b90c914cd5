//! Rules of a site, written in its settings: which parts of a recipe, what they must be, and what to say if they are
//! not.
//!
//! A rule selects values by a path (`steps.parameters.workingdir`), keeps those whose surroundings are as `where` says,
//! and reports each that does not meet its conditions. It is compiled once; a check walks only the selected parts.

mod path;

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use fancy_regex::Regex;

use crate::diagnostic::{Diagnostic, Level, Sink, nearest};
use crate::document::DocumentKind;
use crate::guard::guarded;
use crate::lint::{Context, SITE_PREFIX, rules};
use crate::syntax::{Kind, NodeRef};
use crate::value::write_string;
use path::{Path, Selected};

/// A rule as it is written in the settings.
#[derive(Debug, Clone, Default)]
pub struct Definition {
    /// The values that it is about: a path.
    pub select: String,
    /// What else must hold for it: paths from the selected value's step, and patterns; none for "is not there".
    pub conditions: Vec<(String, Vec<String>, bool)>,
    /// A regular expression that the text must match.
    pub matches: Option<String>,
    /// A regular expression that the text must not match.
    pub not_matches: Option<String>,
    /// The only texts that are allowed.
    pub one_of: Option<Vec<String>>,
    /// Paths from the value on that must be there.
    pub has: Vec<String>,
    /// Paths from the value on that must not be there.
    pub lacks: Vec<String>,
    /// Parameters of the recipe that must be used in it.
    pub uses: Vec<String>,
    /// What to say.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The level of its findings.
    pub level: Option<Level>,
    /// The text to write in place of the value, or of the part that `not-matches` found.
    pub fix: Option<String>,
}

/// What is wrong with a definition: the key, and a clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The key of the definition.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
}

/// A rule of a site.
#[derive(Debug)]
pub struct SiteRule {
    /// Its name, with `site/` before it.
    pub name: &'static str,
    /// The level of its findings.
    pub level: Level,
    /// How it was written.
    pub definition: Definition,
    select: Path,
    conditions: Vec<(Path, Vec<String>, bool)>,
    matches: Option<Regex>,
    not_matches: Option<Regex>,
    has: Vec<Path>,
    lacks: Vec<Path>,
}

/// A rule, and whether it is about the document.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// The rule.
    pub rule: &'a SiteRule,
    /// Whether its `paths` match.
    pub applies: bool,
}

/// Names that a message may have in braces.
const NAMES: [&str; 6] = ["value", "key", "step", "service", "queue", "missing"];

/// A name that lives as long as the program: findings name their rule by it. Names are few, and each is kept once.
fn interned(name: &str) -> &'static str {
    static KNOWN: RwLock<BTreeSet<&'static str>> = RwLock::new(BTreeSet::new());
    if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(name) {
        return known;
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    match known.get(name) {
        Some(name) => name,
        None => {
            let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
            known.insert(name);
            name
        }
    }
}

impl SiteRule {
    /// Compiles a definition.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(name: &str, definition: Definition) -> Result<Self, Flaw> {
        let flaw = |key, message: String| Flaw { key, message };
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(is_word) {
            return Err(flaw(
                "",
                format!("`{name}` is not the name of a rule: use lower-case letters, digits and `-`"),
            ));
        }
        let paths = |key: &'static str, texts: &[String]| {
            texts.iter().map(|text| Path::relative(text).map_err(|why| flaw(key, why))).collect::<Result<Vec<_>, _>>()
        };
        let regex = |key: &'static str, text: &Option<String>| {
            let compiled = text.as_ref().map(|text| Regex::new(text)).transpose();
            compiled.map_err(|error| flaw(key, format!("the regular expression is malformed: {error}")))
        };
        let conditions = definition.conditions.iter().map(|(path, patterns, is_there)| {
            let path = Path::relative(path).map_err(|why| flaw("where", why))?;
            Ok((path, patterns.clone(), *is_there))
        });
        let rule = Self {
            name: interned(&format!("{SITE_PREFIX}{name}")),
            level: definition.level.unwrap_or(Level::Warning),
            select: Path::absolute(&definition.select).map_err(|why| flaw("select", why))?,
            conditions: conditions.collect::<Result<_, Flaw>>()?,
            matches: regex("matches", &definition.matches)?,
            not_matches: regex("not-matches", &definition.not_matches)?,
            has: paths("has", &definition.has)?,
            lacks: paths("lacks", &definition.lacks)?,
            definition,
        };
        let definition = &rule.definition;
        let is_silent = rule.matches.is_none()
            && rule.not_matches.is_none()
            && definition.one_of.is_none()
            && [&definition.has, &definition.lacks, &definition.uses].iter().all(|list| list.is_empty());
        if is_silent {
            let all = "`matches`, `not-matches`, `one-of`, `has`, `lacks` or `uses`";
            return Err(flaw("", format!("rule `{name}` has no condition: add {all}")));
        }
        if definition.fix.is_some()
            && rule.matches.is_none()
            && rule.not_matches.is_none()
            && definition.one_of.is_none()
        {
            let only = "`matches`, `not-matches` or `one-of`";
            return Err(flaw("fix", format!("a fix replaces a text: it needs {only}")));
        }
        for word in words_in_braces(&definition.message) {
            if !NAMES.contains(&word)
                && let Some(meant) = nearest(word, NAMES)
            {
                return Err(flaw(
                    "message",
                    format!("there is no `{{{word}}}` for messages; did you mean `{{{meant}}}`?"),
                ));
            }
        }
        Ok(rule)
    }

    /// Reports the parts of a recipe that do not meet the rule.
    pub fn check(&self, cx: &Context<'_>, sink: &mut Sink) {
        if cx.document.kind() != DocumentKind::Recipe {
            return;
        }
        for selected in self.select.select(cx.recipe) {
            if self.is_meant(cx, selected) {
                self.judge(cx, selected, sink);
            }
        }
    }

    /// Whether the surroundings of a value are as `where` says.
    fn is_meant(&self, cx: &Context<'_>, selected: Selected<'_>) -> bool {
        let base = selected.step.map_or(selected.node, |step| cx.recipe.node(cx.recipe.steps()[step].value));
        self.conditions.iter().all(|(path, patterns, is_there)| {
            let found = path.find(base);
            match (patterns.is_empty(), is_there) {
                (true, is_there) => found.is_empty() != *is_there,
                (false, is_there) => {
                    let fits = |node: &NodeRef<'_>| patterns.iter().any(|pattern| is_like(pattern, &text_of(*node)));
                    found.iter().any(fits) == *is_there
                }
            }
        })
    }

    fn judge(&self, cx: &Context<'_>, selected: Selected<'_>, sink: &mut Sink) {
        let node = selected.node;
        let missing: Vec<&str> = (self.has.iter().zip(&self.definition.has))
            .filter(|(path, _)| path.find(node).is_empty())
            .map(|(_, text)| text.as_str())
            .chain(self.unused(cx, node))
            .collect();
        if !missing.is_empty() {
            let span = match (selected.key, node.kind()) {
                (Some(key), _) => key.span(),
                (None, Kind::Object | Kind::Array) => node.first(),
                _ => node.span(),
            };
            sink.report(self.finding(cx, selected, span, &missing.join("`, `")));
        }
        for found in self.lacks.iter().flat_map(|path| path.find(node)) {
            sink.report(self.finding(cx, selected, found.span(), ""));
        }
        if self.matches.is_none() && self.not_matches.is_none() && self.definition.one_of.is_none() {
            return;
        }
        // Of a list every item counts.
        let items: Vec<NodeRef<'_>> = if node.kind() == Kind::Array { node.items().collect() } else { vec![node] };
        for item in items.into_iter().filter(|item| !matches!(item.kind(), Kind::Array | Kind::Object | Kind::Missing))
        {
            self.judge_text(cx, Selected { node: item, ..selected }, sink);
        }
    }

    /// The parameters that a part of the recipe should use and does not.
    fn unused(&self, cx: &Context<'_>, node: NodeRef<'_>) -> Vec<&str> {
        if self.definition.uses.is_empty() {
            return Vec::new();
        }
        let inside = cx.parsed_templates().filter(|(place, _)| node.holds(place.id()));
        let names: BTreeSet<&str> =
            inside.flat_map(|(_, template)| template.fields()).map(|field| field.name.as_str()).collect();
        self.definition.uses.iter().map(String::as_str).filter(|name| !names.contains(name)).collect()
    }

    fn judge_text(&self, cx: &Context<'_>, selected: Selected<'_>, sink: &mut Sink) {
        let node = selected.node;
        let text = text_of(node);
        // What a placeholder becomes is known only with parameters, unless the rule is about placeholders.
        let is_about_braces = [&self.definition.matches, &self.definition.not_matches]
            .into_iter()
            .flatten()
            .any(|regex| regex.contains(['{', '}']) && !is_repetition(regex))
            || self.definition.one_of.iter().flatten().any(|text| text.contains('{'));
        let text = if node.has_braces() && !is_about_braces {
            match cx.view(node).values.get(&node.id()) {
                Some(value) => value.as_str().map_or_else(|| value.to_json(), str::to_owned),
                // What is there in any case can be wrong in any case.
                None if self.not_matches.is_some() && self.matches.is_none() && self.definition.one_of.is_none() => {
                    text
                }
                None => return,
            }
        } else {
            text
        };
        let is_match = |regex: &Regex| regex.is_match(&text).unwrap_or(false);
        let is_wrong = self.matches.as_ref().is_some_and(|regex| !is_match(regex))
            || self.not_matches.as_ref().is_some_and(is_match)
            || self.definition.one_of.as_ref().is_some_and(|all| !all.contains(&text));
        if !is_wrong {
            return;
        }
        let mut found = self.finding(cx, selected, node.span(), "");
        let own = text_of(node);
        let replacement = match (&self.definition.fix, &self.definition.one_of) {
            (Some(fix), _) => Some(match &self.not_matches {
                Some(regex) => regex.replace_all(&own, fix.as_str()).into_owned(),
                None => fix.clone(),
            }),
            (None, Some(all)) => nearest(&own, all.iter().map(String::as_str)).map(str::to_owned),
            (None, None) => None,
        };
        if let Some(replacement) = replacement.filter(|replacement| *replacement != own) {
            let mut written = String::new();
            write_string(&mut written, &replacement);
            found = found.unsafe_fix(format!("write `{replacement}`"), node.span(), written);
        }
        sink.report(found);
    }

    fn finding(
        &self,
        cx: &Context<'_>,
        selected: Selected<'_>,
        span: crate::source::Span,
        missing: &str,
    ) -> Diagnostic {
        let step = selected.step.map(|step| &cx.recipe.steps()[step]);
        let mut message = self.definition.message.clone();
        for name in words_in_braces(&self.definition.message) {
            let value = match name {
                "value" => cx.show(selected.node).trim_matches(['`', '"']).to_owned(),
                "key" => selected.key.map_or_else(String::new, |key| key.text().into_owned()),
                "step" => step.map_or_else(String::new, |step| cx.recipe.name(step).into_owned()),
                "service" => step.and_then(|step| cx.recipe.text(step.service)).unwrap_or_default().into_owned(),
                "queue" => step.and_then(|step| cx.recipe.text(step.queue)).unwrap_or_default().into_owned(),
                "missing" => missing.to_owned(),
                _ => continue,
            };
            message = message.replace(&format!("{{{name}}}"), &value);
        }
        let found = Diagnostic::new(self.name, self.level, span, message);
        match &self.definition.help {
            Some(help) => found.help(help.clone()),
            None => found,
        }
    }

    /// The rule as a page: what it is about and what it wants.
    pub fn page(&self) -> String {
        let definition = &self.definition;
        let mut lines = vec![definition.message.clone(), String::new(), format!("select: `{}`", definition.select)];
        for (path, patterns, is_there) in &definition.conditions {
            let what = match (patterns.is_empty(), is_there) {
                (true, true) => "is present".to_owned(),
                (true, false) => "is absent".to_owned(),
                (false, true) => format!("is `{}`", patterns.join("` or `")),
                (false, false) => format!("is not `{}`", patterns.join("` or `")),
            };
            lines.push(format!("where: `{path}` {what}"));
        }
        let lists = [("has", &definition.has), ("lacks", &definition.lacks), ("uses", &definition.uses)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        lines.extend(lists.map(|(key, list)| format!("{key}: `{}`", list.join("`, `"))));
        for (key, text) in [("matches", &definition.matches), ("not-matches", &definition.not_matches)] {
            lines.extend(text.iter().map(|text| format!("{key}: `{text}`")));
        }
        lines.extend(definition.one_of.iter().map(|all| format!("one-of: `{}`", all.join("`, `"))));
        lines.extend(definition.help.iter().map(|help| format!("help: {help}")));
        lines.extend(definition.fix.iter().map(|fix| format!("fix: write `{fix}`")));
        lines.join("\n")
    }
}

/// Runs rules over a document.
pub fn run(all: &[Chosen<'_>], context: &Context<'_>, sink: &mut Sink) {
    for chosen in all.iter().filter(|chosen| chosen.applies) {
        if let Err(panic) = guarded(|| chosen.rule.check(context, sink)) {
            sink.report(rules::internal::in_rule(chosen.rule.name, &panic));
        }
    }
}

/// The words that stand in braces.
fn words_in_braces(text: &str) -> Vec<&str> {
    let parts = text.split('{').skip(1).filter_map(|part| part.split_once('}'));
    parts.map(|(word, _)| word).collect()
}

/// Whether all braces of a regular expression count repetitions: `[a-z]{2,4}`.
fn is_repetition(regex: &str) -> bool {
    let is_count = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || c == ',');
    let words = words_in_braces(regex);
    words.len() == regex.matches('{').count() && words.iter().all(is_count)
}

/// The text of a scalar.
fn text_of(node: NodeRef<'_>) -> String {
    match node.kind() {
        Kind::String => node.text().into_owned(),
        _ => node.as_json().to_owned(),
    }
}

/// Whether a text is like a pattern, in which `*` stands for anything.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| is_like(rest, &text[at..]))
        }),
    }
}
