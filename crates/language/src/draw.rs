//! Recipes as diagrams: which boxes and arrows there are and what they say, and the list of formats. Each format is
//! one file in `draw/` and knows only how to write a [`Diagram`] down.
//!
//! A diagram shows what is written, right or wrong: a link that leads nowhere has an arrow to a box that says so.
//! What is drawn depends on nothing but the recipe, and lies in the order of its text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::compile::Compilation;
use crate::recipe::{Recipe, Role, Step, Target};
use crate::report::printable;
use crate::secret;
use crate::source::Source;
use crate::syntax::{Kind, NodeId, NodeRef};

/// A way to write diagrams down.
#[derive(Debug)]
pub struct Format {
    /// The name by which the user asks for it: its file's stem.
    pub name: &'static str,
    /// What it is for, in a clause.
    pub description: &'static str,
    /// Writes recipes into one document, side by side.
    pub render: fn(&[Diagram]) -> String,
}

/// The format of this name.
pub fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name).copied()
}

/// Draws recipes under the names the user knows them by.
pub fn render(format: &Format, recipes: &[(&str, &Compilation)]) -> String {
    let diagrams: Vec<Diagram> = recipes.iter().map(|(name, recipe)| Diagram::new(name, &recipe.recipe)).collect();
    (format.render)(&diagrams)
}

/// One recipe as boxes and arrows. All text in it is on one line, printable and short; nothing is escaped.
#[derive(Debug, PartialEq, Eq)]
pub struct Diagram {
    /// What it shows.
    pub name: String,
    /// Boxes.
    pub nodes: Vec<Node>,
    /// Arrows, by the places of the boxes.
    pub edges: Vec<Edge>,
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
        let (nodes, edges) = builder.finish();
        Self { name: printable(name, MOST_NAME), nodes, edges }
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
    fn add(&mut self, key: Key, kind: NodeKind, lines: Vec<String>) {
        let step = if let Key::Number(id) = key { Some(id) } else { None };
        self.places.entry(key).or_insert_with(|| {
            self.nodes.push(Node { kind, lines, step });
            self.nodes.len() - 1
        });
    }

    fn starts(&mut self) {
        let recipe = self.recipe;
        let Some(start) = recipe.start() else { return };
        self.add(Key::Start, NodeKind::Start, vec!["start".to_owned()]);
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
        self.add(Key::Number(step.id), kind, lines);
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

    fn errors(&mut self) {
        let recipe = self.recipe;
        let Some(error) = recipe.error() else { return };
        self.add(Key::Error, NodeKind::Error, vec!["error".to_owned()]);
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
                self.add(to.clone(), NodeKind::Missing, vec![line.clone()]);
            }
            let (from, to) = (self.places[&from], self.places[&to]);
            let place = *seen.entry((from, to, kind, label.clone())).or_insert(edges.len());
            match edges.get_mut(place) {
                Some((_, times)) => *times += 1,
                None => edges.push((Edge { from, to, kind, label }, 1)),
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

/// Declares the modules of `draw/` and the list of their formats.
macro_rules! formats {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// Every format there is.
        pub static FORMATS: &[&Format] = &[$(&$module::FORMAT),+];
    };
}

formats! {
    mermaid,
    dot,
    svg,
}
