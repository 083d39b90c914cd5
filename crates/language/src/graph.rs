//! The recipe as a graph: which step feeds which, in what order, what is never reached and what goes in circles.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use petgraph::Direction;
use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::recipe::{Recipe, Role};

/// A recipe's steps and the links between them that lead somewhere.
///
/// Nodes are places in [`Recipe::steps`]; of several definitions with one id only the last has edges to it.
#[derive(Debug)]
pub struct Graph {
    edges: DiGraph<(), Edge, u32>,
    /// Places of the steps that `start` and the top-level `error` name.
    roots: Vec<usize>,
    /// Places of definitions that a later one with the same id replaces.
    replaced: Vec<usize>,
}

/// A link that leads to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Its place among the links of the step it leaves.
    pub link: usize,
    /// `output` or `error`.
    pub role: Role,
}

/// A circle of steps.
#[derive(Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The steps of a shortest circle, each linked to the next and the last to the first.
    pub steps: Vec<usize>,
    /// The edge that leaves each of them.
    pub edges: Vec<Edge>,
    /// How many steps are tangled up with them, these included.
    pub tangle: usize,
}

/// A step that no message reaches.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreached {
    /// The step.
    pub step: usize,
    /// How many further steps are reached only from here.
    pub behind: usize,
}

impl Graph {
    /// The graph of a recipe. Links that were meant as numbers (`"2"`) count, so that one mistake is reported once.
    pub fn new(recipe: &Recipe) -> Self {
        let mut edges = DiGraph::with_capacity(recipe.steps().len(), recipe.links.len());
        recipe.steps().iter().for_each(|_| {
            edges.add_node(());
        });
        for (from, step) in recipe.steps().iter().enumerate() {
            for (link, found) in recipe.links(step).iter().enumerate() {
                if let Some(to) = found.target.id().and_then(|id| recipe.step_index(id)) {
                    edges.add_edge(index(from), index(to), Edge { link, role: found.role });
                }
            }
        }
        let started = recipe.start().into_iter().flat_map(|start| &start.entries);
        let started = started.filter_map(|entry| entry.pair.and_then(|(_, target, _)| target.id()));
        let on_error = recipe.error().into_iter().flat_map(|error| &error.targets);
        let on_error = on_error.filter_map(|(_, target)| target.id());
        let roots = started.chain(on_error).filter_map(|id| recipe.step_index(id)).collect();
        let is_replaced = |&place: &usize| recipe.step_index(recipe.steps()[place].id) != Some(place);
        let replaced = (0..recipe.steps().len()).filter(is_replaced).collect();
        Self { edges, roots, replaced }
    }

    /// The links that leave a step, with the steps they lead to, in the order of the text.
    pub fn outgoing(&self, step: usize) -> Vec<(Edge, usize)> {
        let mut outgoing: Vec<_> =
            self.edges.edges(index(step)).map(|edge| (*edge.weight(), edge.target().index())).collect();
        outgoing.sort_by_key(|(edge, _)| edge.link);
        outgoing
    }

    /// The links that lead to a step, with the steps they leave.
    pub fn incoming(&self, step: usize) -> Vec<(Edge, usize)> {
        let incoming = self.edges.edges_directed(index(step), Direction::Incoming);
        let mut incoming: Vec<_> = incoming.map(|edge| (*edge.weight(), edge.source().index())).collect();
        incoming.sort_by_key(|&(edge, from)| (from, edge.link));
        incoming
    }

    /// Steps in an order in which every link points forward, if there is one: of the possible orders the one
    /// nearest to the order of the text.
    pub fn order(&self) -> Option<Vec<usize>> {
        self.order_by(|_| 0)
    }

    /// The same, where of the steps that may come next those of the lowest rank come first, and then the text decides.
    pub fn order_by(&self, rank: impl Fn(usize) -> usize) -> Option<Vec<usize>> {
        let ranked = |step: usize| Reverse((rank(step), step));
        let count = self.edges.node_count();
        let sources = |step| self.edges.edges_directed(index(step), Direction::Incoming).count();
        let mut waiting: Vec<usize> = (0..count).map(sources).collect();
        let mut ready: BinaryHeap<_> = (0..count).filter(|&step| waiting[step] == 0).map(ranked).collect();
        let mut order = Vec::with_capacity(count);
        while let Some(Reverse((_, step))) = ready.pop() {
            order.push(step);
            for next in self.edges.neighbors(index(step)) {
                waiting[next.index()] -= 1;
                if waiting[next.index()] == 0 {
                    ready.push(ranked(next.index()));
                }
            }
        }
        (order.len() == count).then_some(order)
    }

    /// One shortest circle out of every tangle of steps, in the order of the text.
    pub fn cycles(&self) -> Vec<Cycle> {
        // Most recipes number their steps in the order of the messages, and then there is nothing to search.
        let forward = self.edges.raw_edges().iter().all(|edge| edge.source() < edge.target());
        if forward || toposort(&self.edges, None).is_ok() {
            return Vec::new();
        }
        let mut tangle_of = vec![usize::MAX; self.edges.node_count()];
        let tangles = kosaraju_scc(&self.edges);
        for (number, tangle) in tangles.iter().enumerate() {
            tangle.iter().for_each(|node| tangle_of[node.index()] = number);
        }
        let mut cycles: Vec<Cycle> = tangles
            .iter()
            .filter_map(|tangle| {
                let first = tangle.iter().map(|node| node.index()).min()?;
                let (steps, edges) = self.circle(first, &tangle_of)?;
                Some(Cycle { steps, edges, tangle: tangle.len() })
            })
            .collect();
        cycles.sort_by_key(|cycle| cycle.steps[0]);
        cycles
    }

    /// A shortest way from `first` back to itself inside its tangle.
    fn circle(&self, first: usize, tangle_of: &[usize]) -> Option<(Vec<usize>, Vec<Edge>)> {
        let mut from: std::collections::HashMap<usize, (usize, Edge)> = std::collections::HashMap::new();
        let mut queue = VecDeque::from([first]);
        while let Some(step) = queue.pop_front() {
            for (edge, next) in self.outgoing(step) {
                if next == first {
                    let (mut steps, mut edges) = (vec![step], vec![edge]);
                    let mut at = step;
                    while at != first {
                        let (previous, edge) = from[&at];
                        steps.push(previous);
                        edges.push(edge);
                        at = previous;
                    }
                    steps.reverse();
                    edges.reverse();
                    return Some((steps, edges));
                }
                if tangle_of[next] == tangle_of[first] && !from.contains_key(&next) {
                    from.insert(next, (step, edge));
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// The steps that neither `start` nor the top-level `error` leads to: of each unreached part where it begins.
    pub fn unreached(&self) -> Vec<Unreached> {
        let mut reached = vec![false; self.edges.node_count()];
        self.replaced.iter().for_each(|&step| reached[step] = true);
        for &root in &self.roots {
            self.reach(root, &mut reached);
        }
        let left: Vec<usize> = (0..reached.len()).filter(|&step| !reached[step]).collect();
        let begins = |step: usize| {
            let mut sources = self.edges.neighbors_directed(index(step), Direction::Incoming);
            sources.all(|source| source.index() == step)
        };
        // First those that nothing links to, then, for what goes in circles, whatever comes first.
        let (beginnings, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|&step| begins(step));
        let mut unreached: Vec<Unreached> = Vec::new();
        for step in beginnings.into_iter().chain(rest) {
            if !reached[step] {
                let behind = self.reach(step, &mut reached) - 1;
                unreached.push(Unreached { step, behind });
            }
        }
        unreached.sort_by_key(|unreached| unreached.step);
        unreached
    }

    /// Marks everything that a step leads to, and counts what was not marked before.
    fn reach(&self, from: usize, reached: &mut [bool]) -> usize {
        if std::mem::replace(&mut reached[from], true) {
            return 0;
        }
        let mut count = 0;
        let mut stack = vec![from];
        while let Some(step) = stack.pop() {
            count += 1;
            for next in self.edges.neighbors(index(step)) {
                if !std::mem::replace(&mut reached[next.index()], true) {
                    stack.push(next.index());
                }
            }
        }
        count
    }
}

fn index(step: usize) -> NodeIndex<u32> {
    NodeIndex::new(step)
}
