//! The order of rows with the fewest crossings, by branch and bound over the permutations of one row after the other.
//!
//! A part of an order is given up when its crossings, and those that the rest cannot avoid, are as many as those of the
//! best order. What follows a row depends only on the order of its items that lead on, so each such order is searched
//! again only with fewer crossings before it.

use std::collections::HashMap;

/// Work of one search, counted in comparisons of two items of a row.
const WORK: u64 = 2_000_000;

/// Result of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No order has fewer crossings.
    Minimum,
    /// The minimum and its order.
    Fewer(u64, Vec<Vec<usize>>),
    /// The search ended before all orders were excluded.
    Unknown,
}

/// Searches an order with fewer crossings than `most`, which `rows` have, from the first row and then from the last.
/// `above` and `below` hold the neighbours of each item.
pub(super) fn search(rows: &[Vec<usize>], above: &[Vec<usize>], below: &[Vec<usize>], most: u64) -> Found {
    let found = Search::new(rows, above, below, most).run();
    if found != Found::Unknown {
        return found;
    }
    let turned: Vec<Vec<usize>> = rows.iter().rev().cloned().collect();
    match Search::new(&turned, below, above, most).run() {
        Found::Fewer(count, rows) => Found::Fewer(count, rows.into_iter().rev().collect()),
        found => found,
    }
}

struct Search<'a> {
    rows: &'a [Vec<usize>],
    above: &'a [Vec<usize>],
    below: &'a [Vec<usize>],
    /// Crossings that no order of the rows from this one on avoids, with those between it and the row before.
    rest: Vec<u64>,
    /// Crossings of the best order, and the order if the search has found it.
    best: (u64, Option<Vec<Vec<usize>>>),
    order: Vec<Vec<usize>>,
    places: Vec<usize>,
    /// Fewest crossings before each order of the items of a row that lead on.
    seen: HashMap<(usize, Vec<usize>), u64>,
    work: u64,
}

/// A row whose order is searched.
struct Row {
    number: usize,
    items: Vec<usize>,
    /// Crossings of the arrows from above to two items, if the first is left of the second.
    costs: Vec<Vec<u64>>,
    /// For each item, an earlier one with the same neighbours: their order does not matter.
    twins: Vec<Option<usize>>,
}

impl<'a> Search<'a> {
    fn new(rows: &'a [Vec<usize>], above: &'a [Vec<usize>], below: &'a [Vec<usize>], most: u64) -> Self {
        let mut rest = vec![0; rows.len() + 1];
        for (number, row) in rows.iter().enumerate().rev() {
            rest[number] = rest[number + 1] + unavoidable(row, above);
        }
        Self {
            rows,
            above,
            below,
            rest,
            best: (most, None),
            order: Vec::new(),
            places: vec![0; above.len()],
            seen: HashMap::new(),
            work: 0,
        }
    }

    fn run(mut self) -> Found {
        self.sort(0, 0);
        match self.best {
            _ if self.work > WORK => Found::Unknown,
            (count, Some(rows)) => Found::Fewer(count, rows),
            (_, None) => Found::Minimum,
        }
    }

    /// Tries all orders of a row and of those after it. `crossings` are those above it.
    fn sort(&mut self, number: usize, crossings: u64) {
        let Some(items) = self.rows.get(number) else {
            self.best = (crossings, Some(self.order.clone()));
            return;
        };
        let near = |&item: &usize| {
            let mut places: Vec<usize> = self.above[item].iter().map(|&other| self.places[other]).collect();
            places.sort_unstable();
            places
        };
        let near: Vec<Vec<usize>> = items.iter().map(near).collect();
        let cost = |left: &Vec<usize>| near.iter().map(|right| crossed(left, right)).collect();
        let is_twin = |a: usize, b: usize| near[a] == near[b] && same(&self.below[items[a]], &self.below[items[b]]);
        let row = Row {
            number,
            items: items.clone(),
            costs: near.iter().map(cost).collect(),
            twins: (0..items.len()).map(|item| (0..item).rev().find(|&other| is_twin(item, other))).collect(),
        };
        self.work += (items.len() * items.len()) as u64;
        let all: Vec<usize> = (0..items.len()).collect();
        let pairs = all.iter().flat_map(|&a| (0..a).map(move |b| (a, b)));
        let least = pairs.map(|(a, b)| row.costs[a][b].min(row.costs[b][a])).sum();
        self.extend(&row, &mut Vec::new(), &all, crossings, least);
    }

    /// Appends each of the remaining items to the order of a row. `least` is what the remaining ones cost at least.
    fn extend(&mut self, row: &Row, order: &mut Vec<usize>, remaining: &[usize], crossings: u64, least: u64) {
        if self.work > WORK || crossings + least + self.rest[row.number + 1] >= self.best.0 {
            return;
        }
        if remaining.is_empty() {
            self.finish(row, order, crossings);
            return;
        }
        for &item in remaining {
            if row.twins[item].is_some_and(|twin| remaining.contains(&twin)) {
                continue;
            }
            self.work += remaining.len() as u64;
            let others: Vec<usize> = remaining.iter().copied().filter(|&other| other != item).collect();
            let cost: u64 = others.iter().map(|&other| row.costs[item][other]).sum();
            let pairs = others.iter().map(|&other| row.costs[item][other].min(row.costs[other][item]));
            let least = least - pairs.sum::<u64>();
            order.push(row.items[item]);
            self.extend(row, order, &others, crossings + cost, least);
            order.pop();
        }
    }

    /// Continues with the row after a sorted one.
    fn finish(&mut self, row: &Row, order: &[usize], crossings: u64) {
        let leads_on = order.iter().copied().filter(|&item| !self.below[item].is_empty());
        let before = self.seen.entry((row.number, leads_on.collect())).or_insert(u64::MAX);
        if *before <= crossings {
            return;
        }
        *before = crossings;
        order.iter().enumerate().for_each(|(place, &item)| self.places[item] = place);
        self.order.push(order.to_vec());
        self.sort(row.number + 1, crossings);
        self.order.pop();
    }
}

/// Crossings of the arrows to two items, of which the first is at the left; places in ascending order.
fn crossed(left: &[usize], right: &[usize]) -> u64 {
    left.iter().map(|place| right.partition_point(|other| other < place) as u64).sum()
}

/// Whether two items have the same neighbours.
fn same(a: &[usize], b: &[usize]) -> bool {
    let sorted = |near: &[usize]| {
        let mut near = near.to_vec();
        near.sort_unstable();
        near
    };
    a.len() == b.len() && sorted(a) == sorted(b)
}

/// Crossings of the arrows from above to a row in every order: of two items that have two neighbours in common, either
/// both arrows of the one pair cross or both of the other.
fn unavoidable(row: &[usize], above: &[Vec<usize>]) -> u64 {
    let count = |item: usize, other: usize| above[item].iter().filter(|&&near| near == other).count() as u64;
    let mut sum = 0;
    for (place, &a) in row.iter().enumerate() {
        for &b in &row[..place] {
            let mut common: Vec<usize> = above[a].iter().copied().filter(|near| above[b].contains(near)).collect();
            common.sort_unstable();
            common.dedup();
            for (place, &c) in common.iter().enumerate() {
                let crossings = |&d: &usize| (count(a, c) * count(b, d)).min(count(a, d) * count(b, c));
                sum += common[..place].iter().map(crossings).sum::<u64>();
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(mut seed: u64) -> impl FnMut(usize) -> usize {
        move |bound| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % bound
        }
    }

    fn crossings(rows: &[Vec<usize>], below: &[Vec<usize>]) -> u64 {
        let mut count = 0;
        for pair in rows.windows(2) {
            let place = |item: usize| pair[1].iter().position(|&other| other == item).expect("is of the next row");
            for (at, &left) in pair[0].iter().enumerate() {
                for &right in &pair[0][at + 1..] {
                    for &a in &below[left] {
                        count += below[right].iter().filter(|&&b| place(b) < place(a)).count() as u64;
                    }
                }
            }
        }
        count
    }

    fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
        if items.is_empty() {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for (place, &item) in items.iter().enumerate() {
            let rest = [&items[..place], &items[place + 1..]].concat();
            all.extend(permutations(&rest).into_iter().map(|order| [vec![item], order].concat()));
        }
        all
    }

    /// The minimum of all orders of all rows.
    fn brute_force(rows: &[Vec<usize>], below: &[Vec<usize>], sorted: &mut Vec<Vec<usize>>) -> u64 {
        let Some(row) = rows.get(sorted.len()) else { return crossings(sorted, below) };
        let mut least = u64::MAX;
        for order in permutations(row) {
            sorted.push(order);
            least = least.min(brute_force(rows, below, sorted));
            sorted.pop();
        }
        least
    }

    /// Rows of one to four items with random arrows, some of them twice; neighbours above and below each item.
    fn graph(seed: u64) -> [Vec<Vec<usize>>; 3] {
        let mut random = random(seed);
        let (mut rows, mut next): (Vec<Vec<usize>>, usize) = (Vec::new(), 0);
        for _ in 0..2 + random(2) {
            let size = 1 + random(4);
            rows.push((next..next + size).collect());
            next += size;
        }
        let (mut above, mut below) = (vec![Vec::new(); next], vec![Vec::new(); next]);
        for pair in rows.windows(2) {
            for _ in 0..random(10) {
                let (top, bottom) = (pair[0][random(pair[0].len())], pair[1][random(pair[1].len())]);
                below[top].push(bottom);
                above[bottom].push(top);
            }
        }
        [rows, above, below]
    }

    #[test]
    fn a_search_finds_what_brute_force_finds() {
        let (mut improved, mut kept) = (0, 0);
        for seed in 0..300 {
            let [rows, above, below] = graph(seed);
            let least = brute_force(&rows, &below, &mut Vec::new());
            let now = crossings(&rows, &below);
            match search(&rows, &above, &below, now) {
                Found::Minimum => {
                    assert_eq!(now, least, "graph {seed}");
                    kept += 1;
                }
                Found::Fewer(count, order) => {
                    assert_eq!((count, crossings(&order, &below)), (least, least), "graph {seed}");
                    improved += 1;
                }
                Found::Unknown => panic!("graph {seed} is too small to end the search"),
            }
        }
        assert!(improved > 50 && kept > 50, "{improved} improved, {kept} kept");
    }

    #[test]
    fn a_search_that_is_too_large_proves_nothing() {
        let rows: Vec<Vec<usize>> = (0..3).map(|row| (20 * row..20 * row + 20).collect()).collect();
        let (mut above, mut below) = (vec![Vec::new(); 60], vec![Vec::new(); 60]);
        let mut random = random(1);
        for row in 0..2 {
            for _ in 0..60 {
                let (top, bottom) = (20 * row + random(20), 20 * (row + 1) + random(20));
                below[top].push(bottom);
                above[bottom].push(top);
            }
        }
        assert_eq!(search(&rows, &above, &below, 100), Found::Unknown);
    }
}
