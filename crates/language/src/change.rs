//! What a change of a recipe or a contract means: differences that matter at run time, and whom they break.
//!
//! Steps are matched by what they do, not by their numbers. The layout, the order of keys and comments do not count.
//! The comparison is pure: text of both sides in, [`Difference`] out.

mod contracts;
mod matching;
mod parameters;
mod recipes;

use std::borrow::Cow;

use crate::compile::Reading;
use crate::contract::Contracts;
use crate::infer::Parameter;
use crate::source::Span;

pub use contracts::{ContractDifference, contracts};
pub use matching::{Matching, match_steps};
pub use recipes::recipes;

/// How something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sign {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is different.
    Changed,
}

impl Sign {
    /// The sign as one character.
    pub fn symbol(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Changed => '~',
        }
    }

    /// The sign as a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A parameter of the recipe: its signature.
    Parameter,
    /// A step.
    Step,
    /// A link between steps.
    Link,
    /// An entry of `start`, or the top-level `error`.
    Start,
    /// The name of a service.
    Service,
    /// A queue.
    Queue,
    /// A parameter or payload key of a service.
    Input,
    /// A channel of a service.
    Channel,
}

impl Subject {
    /// The subject as a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameter => "parameter",
            Self::Step => "step",
            Self::Link => "link",
            Self::Start => "start",
            Self::Service => "service",
            Self::Queue => "queue",
            Self::Input => "input",
            Self::Channel => "channel",
        }
    }
}

/// Who is affected by a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Affected {
    /// Programs that start the recipe.
    Callers,
    /// Recipes that use the service.
    Recipes,
    /// Requests that are being processed: their messages carry the recipe as it was when they started.
    RunningRequests,
}

impl Affected {
    /// The group in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Callers => "callers",
            Self::Recipes => "recipes",
            Self::RunningRequests => "running requests",
        }
    }
}

/// A group that a change breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Who.
    pub who: Affected,
    /// What happens to them: a clause.
    pub why: String,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// How it changed.
    pub sign: Sign,
    /// What changed.
    pub subject: Subject,
    /// The name of the parameter, queue, service or channel; of a step its number in the newer state.
    pub name: String,
    /// The change in words, Markdown: a clause.
    pub text: String,
    /// Where it stood, in the older text.
    pub old: Option<Span>,
    /// Where it stands, in the newer text.
    pub new: Option<Span>,
    /// Whom it breaks; empty if nobody.
    pub breaks: Vec<Break>,
}

impl Change {
    fn new(sign: Sign, subject: Subject, name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { sign, subject, name: name.into(), text: text.into(), old: None, new: None, breaks: Vec::new() }
    }

    fn at(mut self, old: Option<Span>, new: Option<Span>) -> Self {
        (self.old, self.new) = (old, new);
        self
    }

    fn breaking(mut self, who: Affected, why: impl Into<String>) -> Self {
        self.breaks.push(Break { who, why: why.into() });
        self
    }
}

/// One state of a recipe.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The recipe.
    pub reading: &'a Reading,
    /// The contracts that hold.
    pub contracts: &'a Contracts,
}

impl Side<'_> {
    fn signature(&self) -> Vec<Parameter> {
        crate::infer::infer(&self.reading.recipe, &self.reading.templates, self.contracts)
    }
}

/// The difference of two states of a recipe.
#[derive(Debug, Default)]
pub struct Difference {
    /// Which step of the older state is which of the newer one.
    pub steps: Matching,
    /// Links that are gone: place of the step in the older recipe, and of the link among its links.
    pub gone_links: Vec<(usize, usize)>,
    /// Links that are new: the same in the newer recipe.
    pub new_links: Vec<(usize, usize)>,
    /// What changed, the signature first, then in the order of the newer text.
    pub changes: Vec<Change>,
}

/// The most characters of a value in a message.
const MAX_SHOWN: usize = 60;

/// A text, shortened.
fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
        None => Cow::Borrowed(text),
    }
}

/// Words as a list: `a, b and c`.
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
