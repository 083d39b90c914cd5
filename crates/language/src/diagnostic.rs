//! What zrecipe says about a document: diagnostics, their labels and fixes, and the sink that orders them.

use std::collections::HashMap;

use crate::source::Span;
use crate::value::Object;

pub use crate::nearest::nearest;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Style, or something worth knowing.
    Note,
    /// It runs and is probably wrong.
    Warning,
    /// The runtime would reject it or lose it.
    Error,
}

impl Level {
    /// `note`, `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What this is, in a few words; may be empty for the primary label.
    pub text: String,
}

/// A replacement of the bytes of `span`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty to insert.
    pub span: Span,
    /// What comes in its place.
    pub replacement: String,
}

/// A change to the text that ends the finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What applying it does: an imperative clause such as ``write `2` ``.
    pub title: String,
    /// Edits that do not overlap.
    pub edits: Vec<Edit>,
    /// Whether a valid recipe does the same afterwards; an unsafe fix is a guess, and asks to be looked at.
    pub safe: bool,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule's name, kebab-case.
    pub rule: &'static str,
    /// Its level.
    pub level: Level,
    /// One lower-case clause without a full stop, user text in backticks.
    pub message: String,
    /// The place it is about.
    pub primary: Label,
    /// Places that explain it.
    pub secondary: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
    /// How to do it.
    pub fix: Option<Fix>,
    /// Whether the dispatcher refuses a recipe with this problem. Some errors are not refused: the reference
    /// implementation accepts the recipe and loses messages later, so it still runs and is an error all the same.
    pub refused: bool,
    /// The keys that lead to the place, without numbers of steps; see [`crate::identity::place`]. The compiler sets it.
    pub path: String,
}

impl Diagnostic {
    /// A finding at `span`.
    pub fn new(rule: &'static str, level: Level, span: Span, message: impl Into<String>) -> Self {
        Self {
            rule,
            level,
            message: message.into(),
            primary: Label { span, text: String::new() },
            secondary: Vec::new(),
            help: None,
            fix: None,
            refused: false,
            path: String::new(),
        }
    }

    /// Says what the primary place is.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// Points at another place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Offers a change of one place after which a valid recipe does the same.
    #[must_use]
    pub fn fix(self, title: impl Into<String>, span: Span, replacement: impl Into<String>) -> Self {
        self.with_fix(true, title, vec![Edit { span, replacement: replacement.into() }])
    }

    /// Offers a change of one place that the author should look at.
    #[must_use]
    pub fn unsafe_fix(self, title: impl Into<String>, span: Span, replacement: impl Into<String>) -> Self {
        self.with_fix(false, title, vec![Edit { span, replacement: replacement.into() }])
    }

    /// Offers a change of several places.
    #[must_use]
    pub fn with_fix(mut self, safe: bool, title: impl Into<String>, edits: Vec<Edit>) -> Self {
        self.fix = Some(Fix { title: title.into(), edits, safe });
        self
    }

    /// Marks it as something the dispatcher refuses.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// Marks it as refused when `condition` holds.
    #[must_use]
    pub fn refused_if(mut self, condition: bool) -> Self {
        self.refused |= condition;
        self
    }

    /// Lowers or raises its level.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }
}

/// Collects the findings about one file.
///
/// A file can be wrong in a million places for one reason. Of each rule the first [`Sink::MOST`] findings are kept
/// and the rest are counted.
#[derive(Debug, Default)]
pub struct Sink {
    kept: Vec<Diagnostic>,
    counts: HashMap<&'static str, usize>,
}

impl Sink {
    /// How many findings of one rule are kept for a file.
    pub const MOST: usize = 1000;

    /// Takes a finding.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        let count = self.counts.entry(diagnostic.rule).or_default();
        *count += 1;
        if *count <= Self::MOST {
            self.kept.push(diagnostic);
        }
    }

    /// The known name nearest to a misspelt one, as long as findings of the rule are kept: nobody reads it in others.
    pub fn nearest<'n>(
        &self,
        rule: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) -> Option<&'n str> {
        let is_kept = self.counts.get(rule).is_none_or(|&count| count < Self::MOST);
        is_kept.then(|| nearest(name, known)).flatten()
    }

    /// Takes a finding if there is one.
    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        diagnostics.into_iter().for_each(|diagnostic| self.report(diagnostic));
    }

    /// Everything that was kept, in order of place (then level, rule and wording), and how many were not.
    pub fn finish(mut self) -> (Vec<Diagnostic>, usize) {
        let total: usize = self.counts.values().sum();
        let dropped = total - self.kept.len();
        self.kept.sort_by(|a, b| {
            let place = |d: &Diagnostic| (d.primary.span, std::cmp::Reverse(d.level), d.rule);
            place(a).cmp(&place(b)).then_with(|| a.message.cmp(&b.message))
        });
        self.kept.dedup();
        (self.kept, dropped)
    }
}

/// How many there are of something: `1 step`, `2 steps`.
pub fn counted<N: std::fmt::Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Refuses an object with other keys than these, which alone mean something.
///
/// # Errors
/// The first other one, in words, and what is nearly like it.
pub fn only(object: &Object, keys: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(match nearest(key, keys.iter().copied()) {
            Some(meant) => format!("there is no `{key}`; did you mean `{meant}`?"),
            None => format!("there is no `{key}`, only `{}`", keys.join("`, `")),
        }),
    }
}
