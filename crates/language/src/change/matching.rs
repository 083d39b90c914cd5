//! Which step of one recipe is which step of another.
//!
//! Steps that are alike in every respect are matched first. Of the others, pairs are scored by service, queue,
//! parameters and neighbours that are matched already, and the best pair is taken until none is good enough. A number
//! only decides between pairs that are otherwise equal.

use std::collections::HashMap;

use crate::compile::Reading;
use crate::recipe::{Recipe, Step};
use crate::syntax::{Kind, NodeRef};

/// Pairs of steps, and steps without a partner; all are places in [`Recipe::steps`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matching {
    /// For each older step, the newer one.
    pub newer: Vec<Option<usize>>,
    /// For each newer step, the older one.
    pub older: Vec<Option<usize>>,
}

impl Matching {
    /// The pairs, in the order of the newer steps.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.older.iter().enumerate().filter_map(|(new, old)| Some(((*old)?, new)))
    }

    /// Older steps without a partner.
    pub fn removed(&self) -> impl Iterator<Item = usize> {
        self.newer.iter().enumerate().filter(|(_, new)| new.is_none()).map(|(old, _)| old)
    }

    /// Newer steps without a partner.
    pub fn added(&self) -> impl Iterator<Item = usize> {
        self.older.iter().enumerate().filter(|(_, old)| old.is_none()).map(|(new, _)| new)
    }

    fn join(&mut self, old: usize, new: usize) {
        self.newer[old] = Some(new);
        self.older[new] = Some(old);
    }
}

/// From how many steps with one service and queue on only those with the same number are compared.
const MAX_ALIKE: usize = 200;

/// The score from which on a pair is one step.
const ENOUGH: u32 = 30;

/// What a step is compared by.
struct Traits {
    id: i64,
    service: String,
    target: String,
    /// Everything but links, canonical.
    content: String,
    /// The parameters: path and value.
    leaves: Vec<(String, String)>,
    is_started: bool,
}

/// Matches the steps of two recipes.
pub fn match_steps(old: &Reading, new: &Reading) -> Matching {
    let (before, after) = (traits(&old.recipe), traits(&new.recipe));
    let mut matching = Matching { newer: vec![None; before.len()], older: vec![None; after.len()] };
    // Replaced definitions are not steps of the recipe.
    let counts = |recipe: &Recipe, place: usize| recipe.step_index(recipe.steps()[place].id) == Some(place);
    let mut alike: HashMap<&str, (Vec<usize>, Vec<usize>)> = HashMap::new();
    for (place, step) in before.iter().enumerate().filter(|(place, _)| counts(&old.recipe, *place)) {
        alike.entry(&step.content).or_default().0.push(place);
    }
    for (place, step) in after.iter().enumerate().filter(|(place, _)| counts(&new.recipe, *place)) {
        alike.entry(&step.content).or_default().1.push(place);
    }
    for (olds, news) in alike.values() {
        if let ([old], [new]) = (&olds[..], &news[..]) {
            matching.join(*old, *new);
        }
    }
    // Each round knows more neighbours than the one before.
    for _ in 0..3 {
        let mut pairs = candidates(&before, &after, &matching, (&old.recipe, &new.recipe), &counts);
        for pair in &mut pairs {
            pair.0 += neighbours(old, new, &matching, pair.1, pair.2);
        }
        pairs.retain(|(score, ..)| *score >= ENOUGH);
        // The best first; of equals those in the order of the text.
        pairs.sort_by_key(|&(score, old, new)| (std::cmp::Reverse(score), old, new));
        let mut is_changed = false;
        for (_, old, new) in pairs {
            if matching.newer[old].is_none() && matching.older[new].is_none() {
                matching.join(old, new);
                is_changed = true;
            }
        }
        if !is_changed {
            break;
        }
    }
    matching
}

/// The pairs that could be one step, with the score of what they are by themselves.
fn candidates(
    before: &[Traits],
    after: &[Traits],
    matching: &Matching,
    (old_recipe, new_recipe): (&Recipe, &Recipe),
    counts: &dyn Fn(&Recipe, usize) -> bool,
) -> Vec<(u32, usize, usize)> {
    let olds: Vec<usize> = matching.removed().filter(|&place| counts(old_recipe, place)).collect();
    let news: Vec<usize> = matching.added().filter(|&place| counts(new_recipe, place)).collect();
    let is_large = olds.len().max(news.len()) > MAX_ALIKE;
    let mut pairs = Vec::new();
    for &old in &olds {
        for &new in &news {
            let (a, b) = (&before[old], &after[new]);
            if is_large && a.id != b.id && a.content != b.content {
                continue;
            }
            pairs.push((score(a, b), old, new));
        }
    }
    pairs
}

fn score(a: &Traits, b: &Traits) -> u32 {
    let mut score = 0;
    let is_same = |a: &str, b: &str| !a.is_empty() && a == b;
    if is_same(&a.service, &b.service) {
        score += 25;
    }
    if is_same(&a.target, &b.target) {
        score += 20;
    }
    score += 2 * u32::from(a.id == b.id) + 5 * u32::from(a.is_started && b.is_started);
    if a.content == b.content {
        return score + 40;
    }
    // Equal parameters count more than parameters of the same name.
    let total = a.leaves.len().max(b.leaves.len());
    let names = a.leaves.iter().filter(|(path, _)| b.leaves.iter().any(|(other, _)| other == path)).count();
    let equal = a.leaves.iter().filter(|leaf| b.leaves.contains(leaf)).count();
    score += (10 * names + 15 * equal).checked_div(total).and_then(|part| u32::try_from(part).ok()).unwrap_or_default();
    score
}

/// What the neighbours say: links on the same channel with partners at their other ends.
fn neighbours(old: &Reading, new: &Reading, matching: &Matching, at: usize, to: usize) -> u32 {
    let channel = |reading: &Reading, step: usize, link: usize| {
        let recipe = &reading.recipe;
        let link = &recipe.links(&recipe.steps()[step])[link];
        link.channel.map(|channel| recipe.node(channel).text().into_owned())
    };
    let mut score = 0;
    for (edge, target) in old.graph.outgoing(at) {
        let Some(partner) = matching.newer[target] else { continue };
        let name = channel(old, at, edge.link);
        let has = new.graph.outgoing(to).into_iter().any(|(other, target)| {
            target == partner && other.role == edge.role && channel(new, to, other.link) == name
        });
        score += 6 * u32::from(has);
    }
    for (edge, source) in old.graph.incoming(at) {
        let Some(partner) = matching.newer[source] else { continue };
        let name = channel(old, source, edge.link);
        let has = new.graph.incoming(to).into_iter().any(|(other, source)| {
            source == partner && other.role == edge.role && channel(new, source, other.link) == name
        });
        score += 10 * u32::from(has);
    }
    score.min(20)
}

fn traits(recipe: &Recipe) -> Vec<Traits> {
    let started: Vec<i64> = recipe
        .start()
        .into_iter()
        .flat_map(|start| &start.entries)
        .filter_map(|entry| entry.pair.and_then(|(_, target, _)| target.id()))
        .collect();
    let describe = |step: &Step| {
        let mut leaves = Vec::new();
        for (name, part) in [("parameters", step.parameters), ("job_parameters", step.job_parameters)] {
            if let Some(part) = part {
                collect(recipe.node(part), &mut name.to_owned(), &mut leaves);
            }
        }
        let mut content: Vec<String> = recipe
            .node(step.value)
            .members()
            .filter(|member| !matches!(&*member.key.text(), "output" | "error"))
            .map(|member| format!("{}:{}", member.key.text(), canonical(member.value)))
            .collect();
        content.sort();
        let text = |part| recipe.text(part).unwrap_or_default().into_owned();
        Traits {
            id: step.id,
            service: text(step.service),
            target: text(step.queue.or(step.topic)),
            content: content.join("\n"),
            leaves,
            is_started: started.contains(&step.id),
        }
    };
    recipe.steps().iter().map(describe).collect()
}

fn collect(node: NodeRef<'_>, path: &mut String, leaves: &mut Vec<(String, String)>) {
    if node.kind() != Kind::Object {
        leaves.push((path.clone(), canonical(node)));
        return;
    }
    for member in node.members() {
        let length = path.len();
        path.push('.');
        path.push_str(&member.key.text());
        collect(member.value, path, leaves);
        path.truncate(length);
    }
}

/// A value as text that does not depend on layout and the order of keys.
pub(super) fn canonical(node: NodeRef<'_>) -> String {
    match node.kind() {
        Kind::Object => {
            let mut members: Vec<String> =
                node.members().map(|member| format!("{:?}:{}", member.key.text(), canonical(member.value))).collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        Kind::Array => format!("[{}]", node.items().map(canonical).collect::<Vec<_>>().join(",")),
        Kind::String => format!("{:?}", node.text()),
        _ => node.to_value().to_json(),
    }
}
