//! Layers and orders for a graph that has been drawn before: a box stays where it was, unless an arrow moves it.

use std::collections::BTreeMap;

use super::layers::Edge;
use super::{Link, Point, Proper};

/// Layers of the earlier drawing: boxes of one row have their middles at one height.
fn earlier_ranks(previous: &[Option<Point>]) -> Vec<Option<i64>> {
    let height = |point: &Point| point.y.round() as i64;
    let mut rows: Vec<i64> = previous.iter().flatten().map(height).collect();
    rows.sort_unstable();
    // Middles of one row differ by rounding at most.
    rows.dedup_by(|next, row| *next - *row < 3);
    let rank = |point: &Point| rows.partition_point(|&row| row <= height(point)) as i64 - 1;
    previous.iter().map(|point| point.as_ref().map(rank)).collect()
}

/// The layer of each box: that of the earlier drawing. A box moves down, if an arrow that closes no circle needs it and
/// no other box moves with it; otherwise the arrow points up.
pub(super) fn assign(previous: &[Option<Point>], links: &[Link]) -> Vec<usize> {
    let earlier = earlier_ranks(previous);
    let links = || links.iter().filter(|link| link.from != link.to);
    let down = |link: &Link| Edge { top: link.from, bottom: link.to };
    let is_down = |link: &&Link| matches!((earlier[link.from], earlier[link.to]), (Some(from), Some(to)) if from < to);
    let mut ranks: Vec<i64> = earlier.iter().map(|rank| rank.unwrap_or(0)).collect();
    let mut graph = Graph::new(previous.len());
    links().filter(is_down).for_each(|link| graph.add(down(link)));
    for link in links().filter(|link| !is_down(link)) {
        let edge = down(link);
        let is_new = earlier[edge.top].is_none() || earlier[edge.bottom].is_none();
        let is_level = ranks[edge.top] == ranks[edge.bottom];
        let turned = Edge { top: edge.bottom, bottom: edge.top };
        let moved = graph.pushed(&ranks, edge, is_new || is_level);
        let (edge, moved) = match moved {
            Some(moved) => (edge, moved),
            None => match graph.pushed(&ranks, turned, true) {
                Some(moved) => (turned, moved),
                None => continue,
            },
        };
        moved.into_iter().for_each(|(place, rank)| ranks[place] = rank);
        graph.add(edge);
    }
    let lowest = ranks.iter().copied().min().unwrap_or(0);
    ranks.iter().map(|rank| usize::try_from(rank - lowest).unwrap_or(0)).collect()
}

/// Arrows that point down.
struct Graph {
    below: Vec<Vec<usize>>,
}

impl Graph {
    fn new(count: usize) -> Self {
        Self { below: vec![Vec::new(); count] }
    }

    fn add(&mut self, edge: Edge) {
        self.below[edge.top].push(edge.bottom);
    }

    /// The boxes that move down, with their new layers, if an arrow is added. None if the arrow closes a circle, or if
    /// more than one box moves and not `any` number may.
    fn pushed(&self, ranks: &[i64], edge: Edge, any: bool) -> Option<Vec<(usize, i64)>> {
        let mut moved = Vec::new();
        // By layer: when a box is taken, all that may move it have been.
        let mut waiting = BTreeMap::from([((ranks[edge.bottom], edge.bottom), ranks[edge.top] + 1)]);
        while let Some(((rank, place), least)) = waiting.pop_first() {
            if rank >= least {
                continue;
            }
            if place == edge.top || (!any && !moved.is_empty()) {
                return None;
            }
            moved.push((place, least));
            for &next in &self.below[place] {
                let wanted = waiting.entry((ranks[next], next)).or_insert(least + 1);
                *wanted = (*wanted).max(least + 1);
            }
        }
        Some(moved)
    }
}

/// Sorts the rows by where the boxes were. An arrow that passes is where a straight line between its ends would be.
pub(super) fn sort(proper: &mut Proper, previous: &[Option<Point>]) {
    let mut keys: Vec<Option<f64>> = vec![None; proper.items.len()];
    for (key, point) in keys.iter_mut().zip(previous) {
        *key = point.map(|point| point.x);
    }
    // A new box is below or above the middle of its neighbours.
    let mut sums = vec![(0.0, 0.0); previous.len()];
    for chain in &proper.chains {
        let (Some(&top), Some(&bottom)) = (chain.first(), chain.last()) else { continue };
        for (place, other) in [(top, bottom), (bottom, top)] {
            let (sum, count): &mut (f64, f64) = &mut sums[place];
            if let Some(x) = previous[other].map(|point| point.x) {
                *sum += x;
                *count += 1.0;
            }
        }
    }
    for (key, (sum, count)) in keys.iter_mut().zip(sums) {
        *key = key.or((count > 0.0).then_some(sum / count));
    }
    for chain in &proper.chains {
        let [top, inner @ .., bottom] = chain.as_slice() else { continue };
        let (Some(from), Some(to)) = (keys[*top], keys[*bottom]) else { continue };
        for (place, &item) in inner.iter().enumerate() {
            keys[item] = Some(from + (to - from) * (place + 1) as f64 / (inner.len() + 1) as f64);
        }
    }
    for row in &mut proper.rows {
        row.sort_by(|&a, &b| keys[a].unwrap_or(f64::MAX).total_cmp(&keys[b].unwrap_or(f64::MAX)));
    }
}
