//! Two versions of a recipe as one diagram: the newer one, with the removed boxes and arrows of the older one.

use std::collections::HashSet;

use super::{Diagram, Edge, EdgeKind, Mark, NodeKind};
use crate::change::{Difference, Subject};
use crate::compile::Reading;

/// What an arrow is found by in both versions.
type Same = (usize, usize, EdgeKind, Option<String>);

fn same(edge: &Edge) -> Same {
    (edge.from, edge.to, edge.kind, edge.label.clone())
}

/// Draws two versions of a recipe over each other. Marks are also in words: in the box, and as a sign on the arrow.
pub fn overlay(name: &str, old: &Reading, new: &Reading, difference: &Difference) -> Diagram {
    let mut diagram = Diagram::new(name, &new.recipe);
    let before = Diagram::new(name, &old.recipe);
    let partners = join(&mut diagram, &before, old, new, difference);
    arrows(&mut diagram, &before, &partners);
    for change in &difference.changes {
        let place = match (change.new, change.old) {
            (Some(span), _) => diagram.place_of(&new.recipe, span.start),
            (None, Some(span)) => before.place_of(&old.recipe, span.start).map(|place| partners[place]),
            (None, None) => None,
        };
        let Some(node) = place.map(|place| &mut diagram.nodes[place]) else { continue };
        node.details.push(("change".to_owned(), change.text.clone()));
        let mark = match change.subject {
            Subject::Step => Mark::Changed,
            Subject::Link | Subject::Start => Mark::Rewired,
            _ => continue,
        };
        if node.mark.is_none_or(|old| old == Mark::Rewired) {
            node.mark = Some(mark);
        }
    }
    for node in &mut diagram.nodes {
        node.lines.extend(node.mark.map(|mark| format!("{} {}", mark.symbol(), mark.name())));
    }
    diagram
}

/// Marks added boxes and adds removed ones. Returns the place of each older box.
fn join(diagram: &mut Diagram, before: &Diagram, old: &Reading, new: &Reading, difference: &Difference) -> Vec<usize> {
    let (old, new) = (&old.recipe, &new.recipe);
    let mut is_new = vec![true; diagram.nodes.len()];
    let mut partners = Vec::with_capacity(before.nodes.len());
    for node in &before.nodes {
        let id = node.step.and_then(|id| old.step_index(id));
        let id = id.and_then(|place| difference.steps.newer.get(place).copied().flatten());
        let id = id.map(|place| new.steps()[place].id);
        let found = match node.kind {
            NodeKind::Start | NodeKind::Error => diagram.places(node.kind).next(),
            NodeKind::Missing => {
                diagram.nodes.iter().position(|other| other.kind == node.kind && other.lines == node.lines)
            }
            _ => id.and_then(|id| diagram.nodes.iter().position(|other| other.step == Some(id))),
        };
        if let Some(place) = found {
            is_new[place] = false;
            let renumbered = node.step.filter(|_| diagram.nodes[place].step != node.step);
            diagram.nodes[place].details.extend(renumbered.map(|step| ("older number".to_owned(), step.to_string())));
            partners.push(place);
            continue;
        }
        partners.push(diagram.nodes.len());
        diagram.nodes.push(super::Node {
            kind: node.kind,
            lines: node.lines.clone(),
            // Its number is that of another step now, or of none.
            step: None,
            mark: Some(Mark::Removed),
            details: node.details.clone(),
            findings: Vec::new(),
            contract: None,
            state: None,
            previous: None,
        });
    }
    for (node, is_new) in diagram.nodes.iter_mut().zip(is_new) {
        node.mark = node.mark.or(is_new.then_some(Mark::Added));
    }
    if !diagram.nodes.is_empty() {
        diagram.empty = None;
    }
    partners
}

/// Marks added arrows and adds removed ones.
fn arrows(diagram: &mut Diagram, before: &Diagram, partners: &[usize]) {
    let moved = |edge: &Edge| Edge {
        from: partners[edge.from],
        to: partners[edge.to],
        kind: edge.kind,
        label: edge.label.clone(),
        mark: Some(Mark::Removed),
    };
    let olds: Vec<Edge> = before.edges.iter().map(moved).collect();
    let old_arrows: HashSet<Same> = olds.iter().map(same).collect();
    let new_arrows: HashSet<Same> = diagram.edges.iter().map(same).collect();
    for edge in &mut diagram.edges {
        edge.mark = (!old_arrows.contains(&same(edge))).then_some(Mark::Added);
    }
    diagram.edges.extend(olds.into_iter().filter(|edge| !new_arrows.contains(&same(edge))));
    for edge in &mut diagram.edges {
        if let Some(mark) = edge.mark {
            edge.label =
                Some(format!("{} {}", mark.symbol(), edge.label.as_deref().unwrap_or_default()).trim_end().to_owned());
        }
    }
}
