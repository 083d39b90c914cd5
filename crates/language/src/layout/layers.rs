//! Assigns boxes to layers, so that arrows point down and are short in all: the network simplex method of Gansner,
//! Koutsofios, North and Vo (1993).

use super::Link;

/// Boxes beyond which layers are not made optimal: the method takes time by the square.
const MAX_OPTIMAL: usize = 2_000;

/// An arrow that points down, and how many do so between the same boxes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) top: usize,
    pub(super) bottom: usize,
}

/// The layer of each box. Arrows that would close a circle point up, all others down.
pub(super) fn assign(count: usize, links: &[Link]) -> Vec<usize> {
    let edges = acyclic(count, links);
    let mut ranks = longest_paths(count, &edges);
    if count <= MAX_OPTIMAL {
        for part in components(count, &edges) {
            Simplex::new(part, &edges, &mut ranks).run();
        }
    }
    let lowest = ranks.iter().copied().min().unwrap_or(0);
    ranks.iter().map(|rank| usize::try_from(rank - lowest).unwrap_or(0)).collect()
}

/// The arrows, where those that close a circle are turned round. Loops are left out.
fn acyclic(count: usize, links: &[Link]) -> Vec<Edge> {
    let mut targets = vec![Vec::new(); count];
    let mut has_source = vec![false; count];
    for link in links.iter().filter(|link| link.from != link.to) {
        targets[link.from].push(link.to);
        has_source[link.to] = true;
    }
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Left,
    }
    let mut marks = vec![Mark::New; count];
    let mut back = std::collections::HashSet::new();
    let (first, rest): (Vec<usize>, Vec<usize>) = (0..count).partition(|&place| !has_source[place]);
    for root in first.into_iter().chain(rest) {
        if marks[root] != Mark::New {
            continue;
        }
        marks[root] = Mark::Open;
        let mut stack = vec![(root, 0)];
        while let Some((place, next)) = stack.pop() {
            let Some(&target) = targets[place].get(next) else {
                marks[place] = Mark::Left;
                continue;
            };
            stack.push((place, next + 1));
            match marks[target] {
                Mark::New => {
                    marks[target] = Mark::Open;
                    stack.push((target, 0));
                }
                Mark::Open => _ = back.insert((place, target)),
                Mark::Left => {}
            }
        }
    }
    let edges = links.iter().filter(|link| link.from != link.to).map(|link| {
        let is_back = back.contains(&(link.from, link.to));
        let (top, bottom) = if is_back { (link.to, link.from) } else { (link.from, link.to) };
        Edge { top, bottom }
    });
    edges.collect()
}

/// Each box one layer below the lowest that leads to it.
fn longest_paths(count: usize, edges: &[Edge]) -> Vec<i64> {
    let mut waiting = vec![0; count];
    let mut below = vec![Vec::new(); count];
    for edge in edges {
        waiting[edge.bottom] += 1;
        below[edge.top].push(edge.bottom);
    }
    let mut ranks = vec![0; count];
    let mut ready: Vec<usize> = (0..count).filter(|&place| waiting[place] == 0).collect();
    while let Some(place) = ready.pop() {
        for &next in &below[place] {
            ranks[next] = ranks[next].max(ranks[place] + 1);
            waiting[next] -= 1;
            if waiting[next] == 0 {
                ready.push(next);
            }
        }
    }
    ranks
}

/// The boxes that hang together.
fn components(count: usize, edges: &[Edge]) -> Vec<Vec<usize>> {
    let mut near = vec![Vec::new(); count];
    for edge in edges {
        near[edge.top].push(edge.bottom);
        near[edge.bottom].push(edge.top);
    }
    let mut seen = vec![false; count];
    let mut parts = Vec::new();
    for root in 0..count {
        if std::mem::replace(&mut seen[root], true) {
            continue;
        }
        let mut part = vec![root];
        let mut next = 0;
        while let Some(&place) = part.get(next) {
            next += 1;
            for &other in &near[place] {
                if !std::mem::replace(&mut seen[other], true) {
                    part.push(other);
                }
            }
        }
        parts.push(part);
    }
    parts
}

/// Shortens the arrows of one component. A spanning tree of arrows that are one layer long holds the layers; as long as
/// an arrow of the tree has a negative cut value, another takes its place.
struct Simplex<'a> {
    part: Vec<usize>,
    edges: Vec<Edge>,
    ranks: &'a mut [i64],
    /// Whether each edge is of the tree.
    is_tree: Vec<bool>,
}

impl<'a> Simplex<'a> {
    fn new(part: Vec<usize>, edges: &[Edge], ranks: &'a mut [i64]) -> Self {
        let mut is_here = vec![false; ranks.len()];
        part.iter().for_each(|&place| is_here[place] = true);
        let edges: Vec<Edge> = edges.iter().filter(|edge| is_here[edge.top]).copied().collect();
        let is_tree = vec![false; edges.len()];
        Self { part, edges, ranks, is_tree }
    }

    /// Layers that an edge is longer than it must be.
    fn slack(&self, edge: usize) -> i64 {
        let Edge { top, bottom } = self.edges[edge];
        self.ranks[bottom] - self.ranks[top] - 1
    }

    fn run(mut self) {
        if self.part.len() < 3 {
            return;
        }
        self.span();
        let lowest = self.part.iter().map(|&place| self.ranks[place]).min().unwrap_or(0);
        // It ends sooner; the limit is for graphs on which it would go in circles.
        for _ in 0..4 * self.part.len() {
            let Some((leaving, is_below)) = self.worst() else { break };
            let Some(entering) = self.entering(leaving, &is_below) else { break };
            let shift = self.slack(entering);
            // The part with the leaving edge's top moves up, until the entering edge is one layer long.
            let top_is_below = is_below[self.edges[leaving].top];
            for &place in &self.part {
                if is_below[place] == top_is_below {
                    self.ranks[place] -= shift;
                }
            }
            self.is_tree[leaving] = false;
            self.is_tree[entering] = true;
        }
        let now = self.part.iter().map(|&place| self.ranks[place]).min().unwrap_or(0);
        for &place in &self.part {
            self.ranks[place] += lowest - now;
        }
    }

    /// Makes a spanning tree of edges without slack.
    fn span(&mut self) {
        let mut near = vec![Vec::new(); self.ranks.len()];
        for (place, edge) in self.edges.iter().enumerate() {
            near[edge.top].push(place);
            near[edge.bottom].push(place);
        }
        let mut is_in = vec![false; self.ranks.len()];
        let Some(&root) = self.part.first() else { return };
        is_in[root] = true;
        let mut inside = vec![root];
        let mut next = 0;
        loop {
            while let Some(&place) = inside.get(next) {
                next += 1;
                for &edge in &near[place] {
                    let Edge { top, bottom } = self.edges[edge];
                    let other = if top == place { bottom } else { top };
                    if !is_in[other] && self.slack(edge) == 0 {
                        is_in[other] = true;
                        self.is_tree[edge] = true;
                        inside.push(other);
                    }
                }
            }
            if inside.len() == self.part.len() {
                return;
            }
            let crosses = |&edge: &usize| is_in[self.edges[edge].top] != is_in[self.edges[edge].bottom];
            let Some(edge) = (0..self.edges.len()).filter(crosses).min_by_key(|&edge| self.slack(edge)) else { return };
            let slack = self.slack(edge);
            let shift = if is_in[self.edges[edge].top] { slack } else { -slack };
            inside.iter().for_each(|&place| self.ranks[place] += shift);
            // Boxes at the edge of the tree may have a new neighbour without slack.
            next = 0;
        }
    }

    /// The tree's edge with the lowest negative cut value, and the boxes on that side of it that is away from the root.
    fn worst(&self) -> Option<(usize, Vec<bool>)> {
        let mut near = vec![Vec::new(); self.ranks.len()];
        let mut net = vec![0_i64; self.ranks.len()];
        for (place, edge) in self.edges.iter().enumerate() {
            net[edge.top] += 1;
            net[edge.bottom] -= 1;
            if self.is_tree[place] {
                near[edge.top].push(place);
                near[edge.bottom].push(place);
            }
        }
        let root = *self.part.first()?;
        let mut order = vec![(root, usize::MAX)];
        let mut next = 0;
        while let Some(&(place, above)) = order.get(next) {
            next += 1;
            for &edge in near[place].iter().filter(|&&edge| edge != above) {
                let Edge { top, bottom } = self.edges[edge];
                order.push((if top == place { bottom } else { top }, edge));
            }
        }
        // Edges that leave a subtree less those that enter it: what is inside cancels out.
        let mut worst: Option<(i64, usize, usize)> = None;
        for &(place, above) in order.iter().skip(1).rev() {
            let Edge { top, bottom } = self.edges[above];
            let value = if top == place { net[place] } else { -net[place] };
            if value < worst.map_or(0, |worst| worst.0) {
                worst = Some((value, above, place));
            }
            net[if top == place { bottom } else { top }] += net[place];
        }
        let (_, edge, place) = worst?;
        let mut is_below = vec![false; self.ranks.len()];
        is_below[place] = true;
        for &(place, above) in order.iter().skip(1).filter(|(_, above)| *above != edge) {
            let Edge { top, bottom } = self.edges[above];
            let parent = if top == place { bottom } else { top };
            is_below[place] |= is_below[parent];
        }
        Some((edge, is_below))
    }

    /// The edge with the least slack that leads from the bottom's side of the leaving edge to the top's.
    fn entering(&self, leaving: usize, is_below: &[bool]) -> Option<usize> {
        let top_side = is_below[self.edges[leaving].top];
        let candidates = (0..self.edges.len()).filter(|&edge| {
            let Edge { top, bottom } = self.edges[edge];
            !self.is_tree[edge] && is_below[top] != top_side && is_below[bottom] == top_side
        });
        candidates.min_by_key(|&edge| self.slack(edge))
    }
}
