//! Paths that select parts of a recipe: `steps.parameters.workingdir`, `steps.output.*`, `recipe.**`.

use crate::diagnostic::nearest;
use crate::recipe::Recipe;
use crate::syntax::NodeRef;

/// A part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Key(String),
    /// `*`: every member or item.
    Each,
    /// `**`: everything below, and the value itself.
    All,
}

/// Where a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// The whole document.
    Recipe,
    /// Every step.
    Steps,
    /// The payload of every entry of `start`.
    Start,
    /// A value that is given.
    Here,
}

/// The words that a path can begin with.
const ROOTS: [(&str, Root); 3] = [("recipe", Root::Recipe), ("steps", Root::Steps), ("start", Root::Start)];

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    root: Root,
    parts: Vec<Part>,
}

/// A selected value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selected<'t> {
    pub node: NodeRef<'t>,
    /// Its key, if it is a member.
    pub key: Option<NodeRef<'t>>,
    /// The step that it is in: its place in [`Recipe::steps`].
    pub step: Option<usize>,
}

impl Path {
    /// Reads a path from the recipe on.
    pub fn absolute(text: &str) -> Result<Self, String> {
        let words = words(text)?;
        let (first, rest) = words.split_first().ok_or("a path is missing")?;
        match ROOTS.iter().find(|(name, _)| name == first) {
            Some((_, root)) => Ok(Self { root: *root, parts: parts(rest) }),
            None => {
                let meant = nearest(first, ROOTS.map(|(name, _)| name));
                let meant = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                Err(format!("a path begins with `recipe`, `steps` or `start`, not with `{first}`{meant}"))
            }
        }
    }

    /// Reads a path from a value on.
    pub fn relative(text: &str) -> Result<Self, String> {
        Ok(Self { root: Root::Here, parts: parts(&words(text)?) })
    }

    /// The values of a recipe that it names.
    pub fn select<'t>(&self, recipe: &'t Recipe) -> Vec<Selected<'t>> {
        let mut found: Vec<Selected<'t>> = match self.root {
            Root::Steps => {
                let counts = |place: &usize| recipe.step_index(recipe.steps()[*place].id) == Some(*place);
                let places = (0..recipe.steps().len()).filter(counts);
                let select = |place: usize| {
                    let step = &recipe.steps()[place];
                    Selected { node: recipe.node(step.value), key: Some(recipe.node(step.key)), step: Some(place) }
                };
                places.map(select).collect()
            }
            Root::Start => {
                let entries = recipe.start().into_iter().flat_map(|start| &start.entries);
                let payloads = entries.filter_map(|entry| entry.pair.map(|(_, _, payload)| payload));
                payloads.map(|payload| Selected { node: recipe.node(payload), key: None, step: None }).collect()
            }
            Root::Recipe | Root::Here => vec![Selected { node: recipe.tree().root(), key: None, step: None }],
        };
        for part in &self.parts {
            found = found.into_iter().flat_map(|selected| follow(part, selected)).collect();
        }
        if self.root == Root::Recipe {
            found.iter_mut().for_each(|selected| selected.step = step_around(recipe, selected.node));
        }
        found
    }

    /// The values below another that it names.
    pub fn find<'t>(&self, node: NodeRef<'t>) -> Vec<NodeRef<'t>> {
        let mut found = vec![Selected { node, key: None, step: None }];
        for part in &self.parts {
            found = found.into_iter().flat_map(|selected| follow(part, selected)).collect();
        }
        found.into_iter().map(|selected| selected.node).collect()
    }
}

fn follow<'t>(part: &Part, from: Selected<'t>) -> Vec<Selected<'t>> {
    match part {
        // Of a repeated key the last counts.
        Part::Key(name) => {
            let member = from.node.member(name);
            member.map(|member| Selected { node: member.value, key: Some(member.key), ..from }).into_iter().collect()
        }
        Part::Each => {
            let members =
                from.node.members().map(|member| Selected { node: member.value, key: Some(member.key), ..from });
            members.chain(from.node.items().map(|node| Selected { node, ..from })).collect()
        }
        Part::All => {
            let mut all = vec![from];
            let mut at = 0;
            while at < all.len() {
                let next = follow(&Part::Each, all[at]);
                all.extend(next);
                at += 1;
            }
            all
        }
    }
}

fn step_around(recipe: &Recipe, node: NodeRef<'_>) -> Option<usize> {
    let after = recipe.steps().partition_point(|step| step.value <= node.id());
    let step = after.checked_sub(1)?;
    recipe.node(recipe.steps()[step].value).holds(node.id()).then_some(step)
}

fn parts(words: &[String]) -> Vec<Part> {
    let part = |word: &String| match word.as_str() {
        "*" => Part::Each,
        "**" => Part::All,
        key => Part::Key(key.to_owned()),
    };
    words.iter().map(part).collect()
}

/// The words between dots; one with dots stands in quotes.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (word, after) =
                    quoted.split_once('"').ok_or_else(|| format!("a quote of `{text}` is not closed"))?;
                (word, after)
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        if word.is_empty() {
            return Err(format!("a part of the path `{text}` is empty"));
        }
        words.push(word.to_owned());
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(words),
            None => return Err(format!("after a quoted part of `{text}`, only a dot or the end may follow")),
        }
    }
}
