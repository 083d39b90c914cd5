//! Sorts the layers so that few arrows cross: sweeps with medians and means, exchanges of neighbours, and many
//! beginnings, because readers mind crossings more than anything else (Purchase 1997).

use super::exact::{self, Found};
use super::{Crossings, Point, Proper};

/// Work that is spent in all, counted in visits of an item by one of its neighbours.
const WORK: u64 = 3_000_000;
/// Beginnings at most.
const MAX_BEGINNINGS: u64 = 400;
/// Sweeps without a gain after which a beginning is given up.
const MAX_IDLE: u32 = 5;
/// Rounds of exchanges at most after a sweep.
const MAX_EXCHANGES: u32 = 12;
/// Of so many items one is moved when the best order so far is the next beginning.
const MOVED: usize = 6;
/// Boxes up to which the minimum of crossings is searched.
const MAX_EXACT: usize = 15;

/// Sorts the rows of a graph. Only rows of boxes are searched: those of labels follow from them.
pub(super) fn arrange(proper: &mut Proper) -> Crossings {
    let mut sorter = Sorter::new(proper);
    let links: u64 = sorter.below.iter().map(|below| below.len() as u64).sum();
    let first = sorter.depth_first();
    let mut best = (u64::MAX, first.clone());
    let mut beginning = 0;
    while beginning < MAX_BEGINNINGS && (beginning < 2 || sorter.work < WORK) && best.0 > 0 {
        if beginning < 2 {
            sorter.rows.clone_from(&first);
        } else {
            sorter.rows.clone_from(&best.1);
            sorter.random = Random(beginning);
            // Now and then from anywhere, mostly from near the best.
            sorter.shuffle(if beginning % 8 == 7 { 1 } else { MOVED });
        }
        sorter.number();
        let found = sorter.improve(beginning % 2 == 1, links);
        if found.0 <= best.0 {
            best = found;
        }
        beginning += 1;
    }
    let boxes = proper.items.iter().filter(|item| item.is_box).count();
    let mut is_minimum = best.0 == 0;
    if !is_minimum && boxes <= MAX_EXACT {
        match exact::search(&best.1, &sorter.above, &sorter.below, best.0) {
            Found::Minimum => is_minimum = true,
            Found::Fewer(count, rows) => (best, is_minimum) = ((count, rows), true),
            Found::Unknown => {}
        }
    }
    for (row, sorted) in best.1.into_iter().enumerate() {
        proper.rows[2 * row] = sorted;
    }
    sort_labels(proper);
    Crossings { count: best.0, is_minimum }
}

/// Moves the arrows and the new boxes of sorted rows so that fewer arrows cross. Boxes that were drawn before keep their
/// order.
pub(super) fn adjust(proper: &mut Proper, previous: &[Option<Point>]) -> Crossings {
    let mut sorter = Sorter::new(proper);
    sorter.is_fixed = previous.iter().map(Option::is_some).collect();
    sorter.is_fixed.resize(proper.items.len(), false);
    sorter.exchange(false);
    let count = sorter.crossings();
    for (row, sorted) in sorter.rows.into_iter().enumerate() {
        proper.rows[2 * row] = sorted;
    }
    sort_labels(proper);
    Crossings { count, is_minimum: count == 0 }
}

/// Sorts the rows of labels by the items above and below, so that arrows cross as often as without them.
fn sort_labels(proper: &mut Proper) {
    let mut places = vec![0; proper.items.len()];
    for row in proper.rows.iter().step_by(2) {
        row.iter().enumerate().for_each(|(place, &item)| places[item] = place);
    }
    let mut keys = vec![(0, 0, 0); proper.items.len()];
    for (number, chain) in proper.chains.iter().enumerate() {
        for three in chain.windows(3).filter(|three| proper.items[three[1]].layer % 2 == 1) {
            keys[three[1]] = (places[three[0]], places[three[2]], number);
        }
    }
    for row in proper.rows.iter_mut().skip(1).step_by(2) {
        row.sort_by_key(|&item| keys[item]);
    }
}

struct Sorter {
    /// Rows of boxes, and of arrows that pass them.
    rows: Vec<Vec<usize>>,
    /// Neighbours of each item in the rows above and below.
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    /// Place of each item in its row.
    places: Vec<usize>,
    /// Whether each item keeps its order among all others of which this holds.
    is_fixed: Vec<bool>,
    work: u64,
    random: Random,
}

impl Sorter {
    fn new(proper: &Proper) -> Self {
        let count = proper.items.len();
        let (mut above, mut below) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        for chain in &proper.chains {
            let mut searched = chain.iter().copied().filter(|&item| proper.items[item].layer.is_multiple_of(2));
            let Some(mut top) = searched.next() else { continue };
            for bottom in searched {
                // In a graph that is too large, a chain skips rows; what it skips is not counted.
                if proper.items[bottom].layer == proper.items[top].layer + 2 {
                    below[top].push(bottom);
                    above[bottom].push(top);
                }
                top = bottom;
            }
        }
        let rows = proper.rows.iter().step_by(2).cloned().collect();
        let (places, is_fixed) = (vec![0; count], vec![false; count]);
        let mut sorter = Self { rows, above, below, places, is_fixed, work: 0, random: Random(0) };
        sorter.number();
        sorter
    }

    fn number(&mut self) {
        for row in &self.rows {
            row.iter().enumerate().for_each(|(place, &item)| self.places[item] = place);
        }
    }

    /// The order in which a search finds the items; it goes down before it goes on.
    fn depth_first(&self) -> Vec<Vec<usize>> {
        let mut rows = vec![Vec::new(); self.rows.len()];
        let mut layers = vec![0; self.places.len()];
        for (layer, row) in self.rows.iter().enumerate() {
            row.iter().for_each(|&item| layers[item] = layer);
        }
        let mut seen = vec![false; self.places.len()];
        for &root in self.rows.iter().flatten() {
            let mut stack = vec![root];
            while let Some(item) = stack.pop() {
                if !std::mem::replace(&mut seen[item], true) {
                    rows[layers[item]].push(item);
                    stack.extend(self.below[item].iter().rev());
                }
            }
        }
        rows
    }

    /// Moves one of so many items of each row to a place of chance.
    fn shuffle(&mut self, of: usize) {
        for row in &mut self.rows {
            for _ in 0..row.len().div_ceil(of) {
                if of == 1 || self.random.below(2) == 0 {
                    let item = row.remove(self.random.below(row.len()));
                    row.insert(self.random.below(row.len() + 1), item);
                }
            }
        }
    }

    /// Sweeps down and up until nothing is gained; the fewest crossings, and the rows that have them.
    fn improve(&mut self, by_mean: bool, links: u64) -> (u64, Vec<Vec<usize>>) {
        let mut best = (self.crossings(), self.rows.clone());
        let mut idle = 0;
        let mut sweep = 0;
        while idle < MAX_IDLE && best.0 > 0 && self.work < 2 * WORK {
            let downward = sweep % 2 == 0;
            let count = self.rows.len();
            for step in 0..count {
                self.sort(if downward { step } else { count - 1 - step }, downward, by_mean, sweep % 4 > 1);
            }
            self.exchange(sweep % 4 > 1);
            self.work += links * 4;
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.rows.clone());
                idle = 0;
            } else {
                idle += 1;
            }
            sweep += 1;
        }
        best
    }

    /// Sorts a row by where the neighbours above, or below, are. Items without any stay where they are.
    fn sort(&mut self, layer: usize, downward: bool, by_mean: bool, turned: bool) {
        let near = if downward { &self.above } else { &self.below };
        let row = &self.rows[layer];
        let mut wishes: Vec<(f64, usize, usize)> = Vec::with_capacity(row.len());
        for (place, &item) in row.iter().enumerate() {
            if !near[item].is_empty() {
                let mut places: Vec<usize> = near[item].iter().map(|&other| self.places[other]).collect();
                let wish = if by_mean { mean(&places) } else { median(&mut places) };
                wishes.push((wish, if turned { usize::MAX - place } else { place }, item));
            }
        }
        wishes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut sorted = wishes.into_iter().map(|wish| wish.2);
        let row = &mut self.rows[layer];
        for item in row.iter_mut().filter(|item| !near[**item].is_empty()) {
            *item = sorted.next().unwrap_or(*item);
        }
        row.iter().enumerate().for_each(|(place, &item)| self.places[item] = place);
    }

    /// Exchanges neighbours in all rows as long as crossings become fewer; with `turned`, once also where they stay.
    fn exchange(&mut self, turned: bool) {
        for round in 0..MAX_EXCHANGES {
            let mut gain = 0;
            for layer in 0..self.rows.len() {
                for place in 1..self.rows[layer].len() {
                    let (left, right) = (self.rows[layer][place - 1], self.rows[layer][place]);
                    if self.is_fixed[left] && self.is_fixed[right] {
                        continue;
                    }
                    let (now, then) = self.between(left, right);
                    if then < now || (turned && round == 0 && then == now) {
                        gain += now - then;
                        self.rows[layer].swap(place - 1, place);
                        self.places[left] = place;
                        self.places[right] = place - 1;
                    }
                }
            }
            if gain == 0 && !(turned && round == 0) {
                return;
            }
        }
    }

    /// Crossings between the arrows of two neighbours of a row, as they are and exchanged.
    fn between(&mut self, left: usize, right: usize) -> (u64, u64) {
        let (mut now, mut then) = (0, 0);
        for near in [&self.above, &self.below] {
            self.work += (near[left].len() * near[right].len()) as u64;
            for a in near[left].iter().map(|&item| self.places[item]) {
                for b in near[right].iter().map(|&item| self.places[item]) {
                    now += u64::from(a > b);
                    then += u64::from(a < b);
                }
            }
        }
        (now, then)
    }

    /// Crossings of all arrows.
    fn crossings(&self) -> u64 {
        let mut count = 0;
        let mut ends = Vec::new();
        for (layer, row) in self.rows.iter().enumerate() {
            let Some(next) = self.rows.get(layer + 1) else { break };
            ends.clear();
            for &item in row {
                let from = ends.len();
                ends.extend(self.below[item].iter().map(|&other| self.places[other]));
                ends[from..].sort_unstable();
            }
            count += inversions(&ends, next.len());
        }
        count
    }
}

/// Pairs of numbers below `bound` of which the later one is smaller.
fn inversions(numbers: &[usize], bound: usize) -> u64 {
    let mut tree = vec![0_u64; bound + 1];
    let mut count = 0;
    for (seen, &number) in numbers.iter().enumerate() {
        let (mut at, mut smaller) = (number + 1, 0);
        while at > 0 {
            smaller += tree[at];
            at &= at - 1;
        }
        count += seen as u64 - smaller;
        let mut at = number + 1;
        while at <= bound {
            tree[at] += 1;
            at += at & at.wrapping_neg();
        }
    }
    count
}

fn mean(places: &[usize]) -> f64 {
    places.iter().sum::<usize>() as f64 / places.len() as f64
}

/// The median; of an even number, the two in the middle count by how near the others are to them.
fn median(places: &mut [usize]) -> f64 {
    places.sort_unstable();
    let middle = places.len() / 2;
    match places {
        [a, b] => (*a + *b) as f64 / 2.0,
        _ if places.len() % 2 == 1 => places[middle] as f64,
        _ => {
            let (first, last) = (places[0] as f64, places[places.len() - 1] as f64);
            let (before, after) = (places[middle - 1] as f64, places[middle] as f64);
            let (left, right) = (before - first, last - after);
            if left + right > 0.0 { (before * right + after * left) / (left + right) } else { before }
        }
    }
}

/// Numbers that look random, the same each time: SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}
