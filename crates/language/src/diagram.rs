//! A recipe as boxes and arrows: what a drawing shows, independent of its format.
//!
//! A diagram shows what is written, right or wrong: a link that leads nowhere has an arrow to a box that says so.
//! What is drawn depends on nothing but the recipe, and lies in the order of its text. [`overlay`] shows two versions
//! of a recipe at once.

mod overlay;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::compile::Compilation;
use crate::contract::Contracts;
use crate::diagnostic::Level;
use crate::document::DocumentKind;
use crate::recipe::{Recipe, Role, Step, Target};
use crate::report::printable;
use crate::secret;
use crate::source::{Source, Unit};
use crate::syntax::{Kind, NodeId, NodeRef};

pub use overlay::overlay;

/// One recipe as boxes and arrows. All text in it is on one line, printable and short; nothing is escaped.
#[derive(Debug, PartialEq, Eq)]
pub struct Diagram {
    /// What it shows.
    pub name: String,
    /// Boxes.
    pub nodes: Vec<Node>,
    /// Arrows, by the places of the boxes.
    pub edges: Vec<Edge>,
    /// Text of the recipe without secrets; empty if the text is too long to be part of a drawing.
    pub text: String,
    /// Findings that belong to no box.
    pub findings: Vec<Finding>,
    /// Why there is nothing to draw: a sentence.
    pub empty: Option<String>,
}

/// A box.
#[derive(Debug, PartialEq, Eq)]
pub struct Node {
    /// What it stands for.
    pub kind: NodeKind,
    /// What is written in it.
    pub lines: Vec<String>,
    /// The number of the step that it stands for.
    pub step: Option<i64>,
    /// Difference from the other version, in a drawing of two versions.
    pub mark: Option<Mark>,
    /// Contents of the step, and what its contract states: names and values.
    pub details: Vec<(String, String)>,
    /// Findings about it.
    pub findings: Vec<Finding>,
    /// Whether a contract describes its service; none if contracts were not consulted.
    pub contract: Option<bool>,
    /// State of the step in a run, in a drawing of a run.
    pub state: Option<State>,
    /// Middle of the box in an earlier drawing, in pixels from the left and from the top: see
    /// [`keep`](crate::picture::keep).
    pub previous: Option<(i32, i32)>,
}

/// State of a step in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No message has reached it.
    Pending,
    /// Messages wait for it.
    Running,
    /// All its messages succeeded at once.
    Succeeded,
    /// All its messages succeeded, some after several attempts.
    Retried,
    /// A message failed, timed out or was dead-lettered.
    Failed,
}

impl State {
    /// The state as a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Retried => "retried",
            Self::Failed => "failed",
        }
    }
}

/// What became of a step in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its state.
    pub state: State,
    /// Counts and times: one line in the box.
    pub line: String,
    /// Reasons of failed attempts.
    pub reasons: Vec<String>,
}

/// A finding about a part of a drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its level.
    pub level: Level,
    /// The rule.
    pub rule: &'static str,
    /// What is wrong: a clause.
    pub message: String,
    /// Line in the text of the recipe, from 1.
    pub line: u32,
}

/// Difference of a box or an arrow between two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// Only in the newer version.
    Added,
    /// Only in the older version.
    Removed,
    /// A step with other contents.
    Changed,
    /// A step with other links.
    Rewired,
}

impl Mark {
    /// The mark as a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Rewired => "rewired",
        }
    }

    /// The mark as one character.
    pub fn symbol(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Changed | Self::Rewired => '~',
        }
    }
}

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// The messages that start the recipe.
    Start,
    /// The recipe's own `error`.
    Error,
    /// A step that reads a queue.
    Queue,
    /// A step that reads a topic.
    Topic,
    /// A step with both.
    QueueAndTopic,
    /// A step with neither.
    Nowhere,
    /// Something a link names that is no step.
    Missing,
}

/// An arrow.
#[derive(Debug, PartialEq, Eq)]
pub struct Edge {
    /// Place of the box it leaves.
    pub from: usize,
    /// Place of the box it leads to.
    pub to: usize,
    /// What it stands for.
    pub kind: EdgeKind,
    /// What is written on it.
    pub label: Option<String>,
    /// Difference from the other version, in a drawing of two versions.
    pub mark: Option<Mark>,
}

/// What an arrow stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EdgeKind {
    /// A message that starts the recipe.
    Start,
    /// An output.
    Output,
    /// An `error` link.
    Error,
    /// A link that leads to no step.
    Broken,
}

/// How much of a name is shown.
const MOST_NAME: usize = 60;
/// How much of a payload is shown.
const MOST_PAYLOAD: usize = 24;
/// How much of a parameter's value is shown.
const MAX_VALUE: usize = 200;
/// How many parameters of a step are shown.
const MAX_DETAILS: usize = 60;
/// Bytes of a recipe that a drawing carries.
const MAX_TEXT: usize = 256 * 1024;

impl Diagram {
    /// The diagram of a recipe. Of several steps with one number it shows the one that counts.
    pub fn new(name: &str, recipe: &Recipe) -> Self {
        let shown = secret::shown(recipe.tree());
        let mut builder = Builder { recipe, shown, nodes: Vec::new(), arrows: Vec::new(), places: HashMap::new() };
        builder.starts();
        for (index, step) in recipe.steps().iter().enumerate() {
            if recipe.step_index(step.id) == Some(index) {
                builder.step(step);
            }
        }
        builder.errors();
        let text = if builder.shown.text().len() <= MAX_TEXT { builder.shown.text().to_owned() } else { String::new() };
        let (nodes, edges) = builder.finish();
        let empty = nodes.is_empty().then(|| {
            if recipe.is_object() { "The recipe has no steps." } else { "The document is not a recipe." }.to_owned()
        });
        Self { name: printable(name, MOST_NAME), nodes, edges, text, findings: Vec::new(), empty }
    }

    /// The diagram of a checked recipe, with its findings and with what contracts state of its steps.
    pub fn of(name: &str, compilation: &Compilation, contracts: &Contracts) -> Self {
        let mut diagram = Self::new(name, &compilation.recipe);
        diagram.consult(&compilation.recipe, contracts);
        let kind = compilation.document.kind();
        if let Some(why) = diagram.empty.as_mut().filter(|_| kind != DocumentKind::Recipe) {
            *why = format!("The document is not a recipe: its kind is {}.", kind.name());
        }
        for found in &compilation.diagnostics {
            let at = found.primary.span.start;
            let finding = Finding {
                level: found.level,
                rule: found.rule,
                message: found.message.clone(),
                line: compilation.source.position(at, Unit::Char).line,
            };
            match diagram.place_of(&compilation.recipe, at) {
                Some(place) => diagram.nodes[place].findings.push(finding),
                None => diagram.findings.push(finding),
            }
        }
        diagram
    }

    /// Adds what contracts state of the steps.
    fn consult(&mut self, recipe: &Recipe, contracts: &Contracts) {
        for node in &mut self.nodes {
            let Some(step) = node.step.and_then(|id| recipe.step(id)) else { continue };
            let under = contracts.under(recipe, step);
            node.contract = Some(under.sender().is_some());
            for contract in under.all() {
                let origin = if contract.built_in { " (built in)" } else { "" };
                node.details.push(("contract".to_owned(), format!("{}{origin}", contract.name())));
                node.details.extend(contract.description.iter().map(|text| ("description".to_owned(), text.clone())));
            }
        }
    }

    /// Adds what became of each step in a run.
    pub fn follow(&mut self, mut progress: impl FnMut(i64) -> Progress) {
        for node in &mut self.nodes {
            let Some(step) = node.step else { continue };
            let Progress { state, line, reasons } = progress(step);
            node.state = Some(state);
            node.details.insert(0, ("state".to_owned(), format!("{}: {line}", state.name())));
            node.details.splice(1..1, reasons.into_iter().map(|reason| ("reason".to_owned(), reason)));
            node.lines.push(printable(&line, MOST_NAME));
        }
    }

    /// Whether anything in it differs from the other version.
    pub fn is_marked(&self) -> bool {
        self.nodes.iter().any(|node| node.mark.is_some()) || self.edges.iter().any(|edge| edge.mark.is_some())
    }

    /// The box that a byte of the text belongs to.
    fn place_of(&self, recipe: &Recipe, at: u32) -> Option<usize> {
        let holds = |key: NodeId, value: NodeId| recipe.span(key).start <= at && at <= recipe.span(value).end;
        if let Some(step) = recipe.steps().iter().find(|step| holds(step.key, step.value)) {
            return self.nodes.iter().position(|node| node.step == Some(step.id));
        }
        recipe.start().filter(|start| holds(start.key, start.value))?;
        self.places(NodeKind::Start).next()
    }

    /// What a box is called in a sentence: its lines on one line.
    pub fn title(&self, place: usize) -> String {
        let node = &self.nodes[place];
        let kind = if node.step.is_some() { "step " } else { "" };
        format!("{kind}{}", node.lines.join(", "))
    }

    /// The places of the boxes of one kind.
    pub fn places(&self, kind: NodeKind) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(move |&place| self.nodes[place].kind == kind)
    }
}

/// What a box is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Start,
    Error,
    Number(i64),
    /// What is written in it.
    Missing(String),
}

struct Arrow {
    from: Key,
    to: Key,
    kind: EdgeKind,
    label: Option<String>,
}

struct Builder<'r> {
    recipe: &'r Recipe,
    /// The text without what is secret.
    shown: Arc<Source>,
    nodes: Vec<Node>,
    arrows: Vec<Arrow>,
    places: HashMap<Key, usize>,
}

impl Builder<'_> {
    fn add(&mut self, key: Key, kind: NodeKind, lines: Vec<String>, details: Vec<(String, String)>) {
        let step = if let Key::Number(id) = key { Some(id) } else { None };
        self.places.entry(key).or_insert_with(|| {
            self.nodes.push(Node {
                kind,
                lines,
                step,
                mark: None,
                details,
                findings: Vec::new(),
                contract: None,
                state: None,
                previous: None,
            });
            self.nodes.len() - 1
        });
    }

    fn starts(&mut self) {
        let recipe = self.recipe;
        let Some(start) = recipe.start() else { return };
        self.add(Key::Start, NodeKind::Start, vec!["start".to_owned()], Vec::new());
        for entry in &start.entries {
            match entry.pair {
                Some((node, target, payload)) => {
                    let payload = recipe.node(payload);
                    // An empty payload says nothing.
                    let is_empty = matches!(payload.kind(), Kind::Array | Kind::Object) && payload.is_empty();
                    let label = (!is_empty).then(|| self.one_line(payload, MOST_PAYLOAD));
                    self.arrow(Key::Start, node, target, EdgeKind::Start, label);
                }
                None => {
                    let shown = self.one_line(recipe.node(entry.node), MOST_PAYLOAD);
                    let to = Key::Missing(format!("malformed entry {shown}"));
                    self.arrows.push(Arrow { from: Key::Start, to, kind: EdgeKind::Broken, label: None });
                }
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let recipe = self.recipe;
        let kind = match (step.queue, step.topic) {
            (Some(_), Some(_)) => NodeKind::QueueAndTopic,
            (Some(_), None) => NodeKind::Queue,
            (None, Some(_)) => NodeKind::Topic,
            (None, None) => NodeKind::Nowhere,
        };
        let service = step.service.map(|node| self.text(recipe.node(node)));
        let mut lines =
            vec![[Some(step.id.to_string()), service].into_iter().flatten().collect::<Vec<_>>().join(" · ")];
        for (what, node) in [("queue", step.queue), ("topic", step.topic)] {
            lines.extend(node.map(|node| format!("{what} {}", self.text(recipe.node(node)))));
        }
        if let Some(delay) = recipe.node(step.value).get("transport-delay") {
            let unit = if delay.kind() == Kind::Number { " s" } else { "" };
            lines.push(format!("delay {}{unit}", self.text(delay)));
        }
        let details = self.details(step);
        self.add(Key::Number(step.id), kind, lines, details);
        for link in recipe.links(step) {
            let channel = link.channel.map(|channel| self.text(recipe.node(channel)));
            let (kind, label) = match (link.role, channel) {
                (Role::Output, channel) => (EdgeKind::Output, channel),
                (Role::Error, None) => (EdgeKind::Error, Some("error".to_owned())),
                (Role::Error, Some(channel)) => (EdgeKind::Error, Some(format!("error {channel}"))),
            };
            self.arrow(Key::Number(step.id), link.node, link.target, kind, label);
        }
    }

    /// The contents of a step, one entry a parameter; links and what the box says are left out.
    fn details(&self, step: &Step) -> Vec<(String, String)> {
        let mut details = Vec::new();
        let skipped = ["queue", "topic", "service", "output", "error", "transport-delay"];
        for member in self.recipe.node(step.value).members() {
            let key = member.key.text();
            if skipped.contains(&&*key) {
                continue;
            }
            let is_section = matches!(&*key, "parameters" | "job_parameters") && member.value.kind() == Kind::Object;
            if !is_section {
                details.push((self.text(member.key), self.one_line(member.value, MAX_VALUE)));
                continue;
            }
            for inner in member.value.members() {
                details.push((format!("{key}.{}", self.text(inner.key)), self.one_line(inner.value, MAX_VALUE)));
                if details.len() == MAX_DETAILS {
                    details.push(("…".to_owned(), "further parameters are left out".to_owned()));
                    return details;
                }
            }
        }
        details
    }

    fn errors(&mut self) {
        let recipe = self.recipe;
        let Some(error) = recipe.error() else { return };
        self.add(Key::Error, NodeKind::Error, vec!["error".to_owned()], Vec::new());
        for &(node, target) in &error.targets {
            self.arrow(Key::Error, node, target, EdgeKind::Error, None);
        }
    }

    fn arrow(&mut self, from: Key, node: NodeId, target: Target, kind: EdgeKind, label: Option<String>) {
        let node = self.recipe.node(node);
        let found = target.id().filter(|&id| self.recipe.step(id).is_some());
        let (to, kind) = match found {
            Some(id) => (Key::Number(id), kind),
            // `null` ends a chain.
            None if matches!(node.kind(), Kind::Null | Kind::Missing) => return,
            None => {
                let shown = target.id().map_or_else(|| self.one_line(node, MOST_PAYLOAD), |id| id.to_string());
                (Key::Missing(format!("no step {shown}")), EdgeKind::Broken)
            }
        };
        self.arrows.push(Arrow { from, to, kind, label });
    }

    /// Boxes for what is missing, and one arrow for links that say the same.
    fn finish(mut self) -> (Vec<Node>, Vec<Edge>) {
        let mut edges: Vec<(Edge, usize)> = Vec::new();
        let mut seen = HashMap::new();
        for Arrow { from, to, kind, label } in std::mem::take(&mut self.arrows) {
            if let Key::Missing(line) = &to {
                self.add(to.clone(), NodeKind::Missing, vec![line.clone()], Vec::new());
            }
            let (from, to) = (self.places[&from], self.places[&to]);
            let place = *seen.entry((from, to, kind, label.clone())).or_insert(edges.len());
            match edges.get_mut(place) {
                Some((_, times)) => *times += 1,
                None => edges.push((Edge { from, to, kind, label, mark: None }, 1)),
            }
        }
        let edges = edges.into_iter().map(|(mut edge, times)| {
            if times > 1 {
                edge.label = Some(format!("{} ×{times}", edge.label.unwrap_or_default()).trim_start().to_owned());
            }
            edge
        });
        (self.nodes, edges.collect())
    }

    /// A name: a string's text if there is anything to see in it, anything else as written.
    fn text(&self, node: NodeRef<'_>) -> String {
        let is_shown = self.shown.slice(node.span()) == node.raw();
        match node.text() {
            text if is_shown && node.kind() == Kind::String && !text.trim().is_empty() => printable(&text, MOST_NAME),
            _ => self.one_line(node, MOST_NAME),
        }
    }

    /// A value as written, white space shortened.
    fn one_line(&self, node: NodeRef<'_>, most: usize) -> String {
        let raw = self.shown.slice(node.span());
        // Enough to fill the line unless it is mostly white space; a payload may be megabytes.
        let head = match raw.char_indices().nth(most * 20) {
            Some((end, _)) => Cow::Owned(format!("{}…", &raw[..end])),
            None => Cow::Borrowed(raw),
        };
        let is_text = node.kind() == Kind::String;
        let shown = if is_text { head.into_owned() } else { head.split_whitespace().collect::<Vec<_>>().join(" ") };
        printable(&shown, most)
    }
}
