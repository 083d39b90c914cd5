//! The one canonical layout of a recipe, and the one canonical numbering of its steps.
//!
//! Layout: two spaces a level; an object that is the document or the value of a key has one member a line; a list,
//! and an object in a list, stands on one line if that fits in [`WIDTH`] columns and holds nothing that must not;
//! a comment (a repeated step key) keeps the lines in which it was written. The order of keys, repeated keys, and
//! the spelling of numbers and texts stay as they are, and so does the kind of line end; a byte order mark goes.
//!
//! Numbering: 1 to n along the links, so that every link leads to a higher number: first what `start` names, in its
//! order, then what comes first in the text. Steps stand in the order of their numbers, each after its comments;
//! keys that are no steps stay in front of all steps, or come after all of them. Text that mentions a number is text.

use std::collections::HashMap;

use crate::compile::Compilation;
use crate::graph::Graph;
use crate::recipe::{Recipe, Target};
use crate::source::Source;
use crate::syntax::{Kind, Member, NodeId, NodeRef, Notation, ProblemKind, Tree};

/// Columns of a line, the comma at its end included. A text that is longer by itself is not broken.
pub const WIDTH: usize = 100;
const INDENT: usize = 2;
/// A layout that takes more bytes is not written: lists in lists need the square of their depth in spaces.
const MOST_BYTES: usize = 4 * Source::MAX_BYTES as usize;

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Its canonical layout.
    Text(String),
    /// It has none.
    None(Reason),
}

/// Why a text has no canonical layout or numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is YAML or TOML, whose comments and line breaks are their author's.
    NotJson,
    /// It is not JSON, so some of it would be lost.
    SyntaxErrors,
    /// It is not UTF-8.
    NotUtf8,
    /// The layout would be larger than anything that is read.
    TooLarge,
    /// The dispatcher refuses the recipe.
    Refused,
    /// Something is defined twice.
    Repeated,
    /// A link is not written as a whole number.
    Links,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::NotJson => "only JSON has a canonical layout",
            Reason::SyntaxErrors => "it has syntax errors",
            Reason::NotUtf8 => "it is not UTF-8",
            Reason::TooLarge => "its layout would be too large",
            Reason::Refused => "its steps cannot be numbered, because the dispatcher refuses the recipe",
            Reason::Repeated => "its steps cannot be numbered, because a key that is not a comment is repeated",
            Reason::Links => "its steps cannot be numbered, because a link is not written as a whole number",
        })
    }
}

/// The canonical layout of a recipe, or of any other JSON text.
pub fn format(recipe: &Recipe) -> Layout {
    match obstacle(recipe.tree()) {
        Some(reason) => Layout::None(reason),
        None => {
            let members: Vec<Member<'_>> = recipe.tree().root().members().collect();
            lay_out(recipe, &members, HashMap::new())
        }
    }
}

/// The canonical layout of a recipe with its steps numbered from 1 on.
pub fn renumber(compilation: &Compilation) -> Layout {
    let recipe = &compilation.recipe;
    let repeated = recipe.repeated().iter().any(|repeated| !repeated.comment);
    if let Some(reason) = obstacle(recipe.tree()) {
        return Layout::None(reason);
    } else if repeated || recipe.has_repeated_steps() || !recipe.shadowed().is_empty() {
        return Layout::None(Reason::Repeated);
    } else if compilation.is_refused() {
        return Layout::None(Reason::Refused);
    }
    let Some(order) = order(recipe, &compilation.graph) else { return Layout::None(Reason::Refused) };
    let numbers: HashMap<i64, usize> =
        order.iter().enumerate().map(|(place, &step)| (recipe.steps()[step].id, place + 1)).collect();
    let mut written: HashMap<NodeId, String> = HashMap::new();
    for (node, target) in links(recipe) {
        match target {
            Target::Step(id) => {
                if let Some(number) = numbers.get(&id) {
                    written.insert(node, number.to_string());
                }
            }
            Target::Meant(_) => return Layout::None(Reason::Links),
            Target::Unreadable => {}
        }
    }
    let mut number_of_key: HashMap<NodeId, usize> =
        recipe.steps().iter().filter_map(|step| Some((step.key, *numbers.get(&step.id)?))).collect();
    for comment in recipe.repeated() {
        if let Some(&number) = number_of_key.get(&comment.last) {
            number_of_key.insert(comment.key, number);
        }
    }
    written.extend(number_of_key.iter().map(|(&key, number)| (key, format!("\"{number}\""))));
    let mut members: Vec<Member<'_>> = recipe.tree().root().members().collect();
    let in_front = members.iter().take_while(|member| !number_of_key.contains_key(&member.key.id())).count();
    members[in_front..].sort_by_key(|member| number_of_key.get(&member.key.id()).copied().unwrap_or(usize::MAX));
    lay_out(recipe, &members, written)
}

/// Every node that names a step.
fn links(recipe: &Recipe) -> impl Iterator<Item = (NodeId, Target)> {
    let links = recipe.steps().iter().flat_map(|step| recipe.links(step)).map(|link| (link.node, link.target));
    let entries = recipe.start().into_iter().flat_map(|start| &start.entries);
    let starts = entries.filter_map(|entry| entry.pair.map(|(node, target, _)| (node, target)));
    links.chain(starts).chain(recipe.error().into_iter().flat_map(|error| error.targets.iter().copied()))
}

/// Steps in the order of the links: of those that may come next what `start` names first, then the text.
fn order(recipe: &Recipe, graph: &Graph) -> Option<Vec<usize>> {
    let mut rank = vec![usize::MAX; recipe.steps().len()];
    let entries = recipe.start().into_iter().flat_map(|start| &start.entries).enumerate();
    for (place, entry) in entries {
        let step = entry.pair.and_then(|(_, target, _)| recipe.step_index(target.id()?));
        if let Some(step) = step {
            rank[step] = rank[step].min(place);
        }
    }
    graph.order_by(|step| rank[step])
}

/// What stands in the way of writing a document again without loss.
fn obstacle(tree: &Tree) -> Option<Reason> {
    let is_json = |kind: ProblemKind| kind.is_python() || kind == ProblemKind::OversizedInteger;
    if Notation::of(tree.source().name()) != Notation::Json {
        Some(Reason::NotJson)
    } else if !tree.source().undecodable().is_empty() {
        Some(Reason::NotUtf8)
    } else if tree.problems().iter().any(|problem| !is_json(problem.kind)) {
        Some(Reason::SyntaxErrors)
    } else {
        None
    }
}

/// Writes the document with its top-level members in this order, and `written` in the place of some of its nodes.
fn lay_out(recipe: &Recipe, members: &[Member<'_>], written: HashMap<NodeId, String>) -> Layout {
    let tree = recipe.tree();
    let text = tree.source().text();
    let first_line = memchr::memchr(b'\n', text.as_bytes());
    let newline = if first_line.is_some_and(|end| text[..end].ends_with('\r')) { "\r\n" } else { "\n" };
    let mut writer = Writer { out: String::with_capacity(text.len() + text.len() / 4), newline, written };
    let comments: std::collections::HashSet<NodeId> =
        recipe.repeated().iter().filter(|repeated| repeated.comment).map(|repeated| repeated.value).collect();
    if members.is_empty() {
        writer.value(tree.root(), 0, 0, true);
    } else {
        writer.out.push('{');
        for (place, member) in members.iter().enumerate() {
            if place > 0 {
                writer.out.push(',');
            }
            let column = writer.key(member.key, 1);
            if comments.contains(&member.value.id()) && member.value.kind() == Kind::Array {
                writer.comment(member.value);
            } else {
                writer.value(member.value, 1, column, true);
            }
        }
        writer.line(0);
        writer.out.push('}');
    }
    writer.out.push_str(newline);
    if writer.out.len() > MOST_BYTES { Layout::None(Reason::TooLarge) } else { Layout::Text(writer.out) }
}

/// The document so far.
struct Writer {
    out: String,
    newline: &'static str,
    /// What is written in the place of some nodes.
    written: HashMap<NodeId, String>,
}

/// An array or object that is not closed yet.
struct Frame<I, M> {
    rest: Rest<I, M>,
    level: usize,
    is_first: bool,
}

/// What is still to come of an array or object.
enum Rest<I, M> {
    Items(I),
    Members(M),
}

impl Writer {
    fn line(&mut self, level: usize) {
        self.out.push_str(self.newline);
        self.out.extend(std::iter::repeat_n(' ', INDENT * level));
    }

    /// Begins a line with a key; the column after it.
    fn key(&mut self, key: NodeRef<'_>, level: usize) -> usize {
        self.line(level);
        let before = self.out.len();
        self.scalar(key);
        let width = self.out[before..].chars().count();
        self.out.push_str(": ");
        INDENT * level + width + 2
    }

    fn scalar(&mut self, node: NodeRef<'_>) {
        match self.written.get(&node.id()) {
            Some(written) => self.out.push_str(written),
            None => self.out.push_str(node.raw()),
        }
    }

    /// Writes a value behind `column`; with a stack of its own, since documents may be deeper than ours.
    fn value(&mut self, root: NodeRef<'_>, level: usize, column: usize, is_member: bool) {
        let mut stack = Vec::new();
        let mut next = Some((root, level, column, is_member));
        loop {
            if let Some((node, level, column, is_member)) = next.take() {
                // The comma comes behind it.
                let room = WIDTH.saturating_sub(column + 1);
                let is_scalar = !matches!(node.kind(), Kind::Array | Kind::Object) || node.is_empty();
                if is_scalar || self.flat_width(node, is_member, room).is_some() {
                    self.flat(node);
                } else {
                    let is_array = node.kind() == Kind::Array;
                    self.out.push(if is_array { '[' } else { '{' });
                    let rest = if is_array { Rest::Items(node.items()) } else { Rest::Members(node.members()) };
                    stack.push(Frame { rest, level: level + 1, is_first: true });
                }
            }
            let Some(frame) = stack.last_mut() else { return };
            if self.out.len() > MOST_BYTES {
                return;
            }
            let level = frame.level;
            let is_first = std::mem::replace(&mut frame.is_first, false);
            let (member, close) = match &mut frame.rest {
                Rest::Items(items) => (items.next().map(|item| (None, item)), ']'),
                Rest::Members(members) => (members.next().map(|member| (Some(member.key), member.value)), '}'),
            };
            let Some((key, value)) = member else {
                stack.pop();
                self.line(level - 1);
                self.out.push(close);
                continue;
            };
            if !is_first {
                self.out.push(',');
            }
            let column = match key {
                Some(key) => self.key(key, level),
                None => {
                    self.line(level);
                    INDENT * level
                }
            };
            next = Some((value, level, column, key.is_some()));
        }
    }

    /// The columns of a value on one line, if it may stand on one and takes no more than `room`. It looks no deeper
    /// than there is room for brackets.
    fn flat_width(&self, node: NodeRef<'_>, is_member: bool, room: usize) -> Option<usize> {
        let width = match node.kind() {
            Kind::Array | Kind::Object if node.is_empty() => 2,
            Kind::Array => {
                let mut width = 2;
                for (place, item) in node.items().enumerate() {
                    width += if place > 0 { 2 } else { 0 };
                    width += self.flat_width(item, false, room.checked_sub(width)?)?;
                }
                width
            }
            Kind::Object if is_member => return None,
            Kind::Object => {
                let mut width = 2;
                for (place, member) in node.members().enumerate() {
                    width += if place > 0 { 4 } else { 2 };
                    width += self.flat_width(member.key, true, room.checked_sub(width)?)?;
                    width += self.flat_width(member.value, true, room.checked_sub(width)?)?;
                }
                width
            }
            _ => {
                let raw = self.written.get(&node.id()).map_or(node.raw(), String::as_str);
                if raw.len() > 4 * room {
                    return None;
                }
                raw.chars().count()
            }
        };
        (width <= room).then_some(width)
    }

    /// Writes a value on one line.
    fn flat(&mut self, node: NodeRef<'_>) {
        match node.kind() {
            Kind::Array => {
                self.out.push('[');
                for (place, item) in node.items().enumerate() {
                    self.out.push_str(if place > 0 { ", " } else { "" });
                    self.flat(item);
                }
                self.out.push(']');
            }
            Kind::Object => {
                self.out.push('{');
                for (place, member) in node.members().enumerate() {
                    self.out.push_str(if place > 0 { ", " } else { "" });
                    self.scalar(member.key);
                    self.out.push_str(": ");
                    self.flat(member.value);
                }
                self.out.push('}');
            }
            _ => self.scalar(node),
        }
    }

    /// Writes a comment: texts that stand on a line of their own keep it.
    fn comment(&mut self, list: NodeRef<'_>) {
        let text = list.tree().source().text();
        let breaks = |from: u32, to: u32| text[from as usize..to as usize].contains('\n');
        let Some(last) = list.items().last() else { return self.out.push_str("[]") };
        let mut at = list.span().start;
        let mut lines = Vec::new();
        for item in list.items() {
            lines.push(breaks(at, item.span().start));
            at = item.span().end;
        }
        let open = lines.contains(&true) || breaks(last.span().end, list.span().end);
        self.out.push('[');
        for (place, (item, own_line)) in list.items().zip(lines).enumerate() {
            if place > 0 {
                self.out.push(',');
            }
            if own_line || (open && place == 0) {
                self.line(2);
            } else if place > 0 {
                self.out.push(' ');
            }
            self.scalar(item);
        }
        if open {
            self.line(1);
        }
        self.out.push(']');
    }
}
