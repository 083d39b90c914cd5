//! Gives everything in sorted rows its place: as near below its neighbours as the others of the row let it, arrows over
//! several layers straight.

use super::{GAP, Input, LOOP, Layout, Part, Point, Proper, Rect, Way, loops};

/// Space between two boxes of a row, and between other things.
const BETWEEN_BOXES: f64 = 24.0;
const BETWEEN: f64 = 6.0;
/// Space between two rows: at least, at most, and for each pixel that the longest arrow between them moves sideways.
const ROWS: (f64, f64, f64) = (14.0, 36.0, 0.03);
/// Space around the whole.
const MARGIN: f64 = 10.0;
/// Distance of two arrows at a box: if it is wide enough, and how far from its corners they stay.
const PORTS: (f64, f64) = (14.0, 8.0);
/// How much the place of a box in an earlier drawing counts.
const STAY: f64 = 1_000.0;
/// Pixels below which nothing has moved.
const UNMOVED: f64 = 1e-6;
/// How often rows are moved towards one neighbour, and then towards both.
const SWEEPS: (usize, usize) = (6, 12);
/// How often ports follow the items and items the ports.
const ROUNDS: usize = 4;

/// A neighbour in the next row.
#[derive(Clone, Copy)]
struct Near {
    item: usize,
    /// Where this item's x should be, from the neighbour's.
    offset: f64,
    /// How much it counts.
    weight: f64,
}

/// Places the items of a graph and leads the arrows along theirs.
pub(super) fn place(input: &Input, proper: &Proper) -> Layout {
    let sides = sides(input, proper);
    let mut x = start(proper);
    let mut ports = ports(input, &sides, None, proper.chains.len());
    for _ in 0..ROUNDS {
        columns(proper, &input.previous, &ports, &mut x);
        straighten(proper, &mut x);
        ports = self::ports(input, &sides, Some(&x), proper.chains.len());
    }
    let rows = heights(proper, &input.previous, &ports, &x);
    let mut layout = Layout::default();
    for (place, &(width, height)) in input.boxes.iter().enumerate() {
        let (top, bottom) = rows[proper.items[place].layer];
        layout.boxes.push(Rect { x: x[place] - width / 2.0, y: (top + bottom - height) / 2.0, width, height });
    }
    let loops = loops(input);
    for (number, link) in input.links.iter().enumerate() {
        let way = if link.from == link.to {
            let beside = &loops[link.from];
            let slot = beside.iter().position(|&other| other == number).unwrap_or(0);
            turn(layout.boxes[link.from], slot, beside.len(), link.label)
        } else {
            lead(proper, &layout.boxes, &rows, &x, number, ports[number], link.label)
        };
        layout.ways.push(way);
    }
    let items = proper.items.iter().zip(&x);
    layout.width = items.map(|(item, x)| x + item.right).fold(MARGIN, f64::max) + MARGIN;
    layout.height = rows.last().map_or(MARGIN, |row| row.1) + MARGIN;
    layout
}

/// The arrows at the lower and at the upper edge of a box, from left to right: the index of each, and the item that it
/// leads to.
type Side = Vec<(usize, usize)>;

/// The arrows at each box: below it, and above it.
fn sides(input: &Input, proper: &Proper) -> [Vec<Side>; 2] {
    let mut places = vec![0; proper.items.len()];
    for row in &proper.rows {
        row.iter().enumerate().for_each(|(place, &item)| places[item] = place);
    }
    let mut sides = [vec![Side::new(); input.boxes.len()], vec![Side::new(); input.boxes.len()]];
    for (number, chain) in proper.chains.iter().enumerate() {
        if let [top, next, ..] = chain.as_slice()
            && let [.., before, bottom] = chain.as_slice()
        {
            sides[0][*top].push((number, *next));
            sides[1][*bottom].push((number, *before));
        }
    }
    for side in sides.iter_mut().flatten() {
        side.sort_by_key(|&(number, item)| (places[item], number));
    }
    sides
}

/// Where each arrow leaves its upper box and where it reaches the lower one, from their middles: as near to where it
/// leads as the other arrows and the corners let it.
fn ports(input: &Input, sides: &[Vec<Side>; 2], x: Option<&[f64]>, count: usize) -> Vec<(f64, f64)> {
    let mut ports = vec![(0.0, 0.0); count];
    for (number, side) in sides.iter().enumerate() {
        for (place, (arrows, (width, _))) in side.iter().zip(&input.boxes).enumerate() {
            let between = (arrows.len() as f64 - 1.0).max(1.0);
            let half = width / 2.0 - PORTS.1;
            let apart = PORTS.0.min(2.0 * half / between);
            let mut row = Spread::default();
            for (at, &(_, item)) in arrows.iter().enumerate() {
                let middle = (at as f64 - (arrows.len() as f64 - 1.0) / 2.0) * apart;
                let wish = x.map_or(middle, |x| x[item] - x[place]);
                row.add(wish, 1.0, if at > 0 { apart } else { 0.0 });
            }
            for (at, (&(arrow, _), offset)) in arrows.iter().zip(row.finish()).enumerate() {
                let (before, after) = (at as f64 * apart, (arrows.len() - 1 - at) as f64 * apart);
                let offset = offset.max(before - half).min(half - after);
                if number == 0 { ports[arrow].0 = offset } else { ports[arrow].1 = offset }
            }
        }
    }
    ports
}

/// Places on a line in a given order: as near to where each wants to be as their distances let them, by the least sum of
/// weighted squares (pooling adjacent violators).
#[derive(Default)]
struct Spread {
    offset: f64,
    offsets: Vec<f64>,
    /// Mean, weight, and number of places.
    pools: Vec<(f64, f64, usize)>,
}

impl Spread {
    /// Adds a place at the right, at least so far from the one before.
    fn add(&mut self, wish: f64, weight: f64, distance: f64) {
        self.offset += distance;
        self.offsets.push(self.offset);
        let mut pool = (wish - self.offset, weight, 1);
        while let Some(&(mean, weight, count)) = self.pools.last().filter(|last| last.0 >= pool.0) {
            let all = weight + pool.1;
            pool = ((mean * weight + pool.0 * pool.1) / all, all, count + pool.2);
            self.pools.pop();
        }
        self.pools.push(pool);
    }

    fn clear(&mut self) {
        self.offset = 0.0;
        self.offsets.clear();
        self.pools.clear();
    }

    fn finish(&self) -> impl Iterator<Item = f64> {
        let means = self.pools.iter().flat_map(|&(mean, _, count)| std::iter::repeat_n(mean, count));
        means.zip(&self.offsets).map(|(mean, offset)| mean + offset)
    }
}

/// The items of each row side by side.
fn start(proper: &Proper) -> Vec<f64> {
    let mut x = vec![0.0; proper.items.len()];
    for row in &proper.rows {
        let mut at = 0.0;
        for (place, &item) in row.iter().enumerate() {
            at += if place > 0 { distance(proper, row[place - 1], item) } else { 0.0 };
            x[item] = at;
        }
    }
    x
}

/// Moves items towards their neighbours.
fn columns(proper: &Proper, previous: &[Option<Point>], ports: &[(f64, f64)], x: &mut [f64]) {
    let count = proper.items.len();
    let (mut above, mut below) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    for (chain, &(first, last)) in proper.chains.iter().zip(ports) {
        for (place, pair) in chain.windows(2).enumerate() {
            let (top, bottom) = (pair[0], pair[1]);
            let offset = |is_end: bool, offset: f64| if is_end { offset } else { 0.0 };
            let shift = offset(place == 0, first) - offset(place + 2 == chain.len(), last);
            let boxes = u8::from(proper.items[top].is_box) + u8::from(proper.items[bottom].is_box);
            // Long arrows are to be straight.
            let weight = match boxes {
                0 => 8.0,
                1 => 2.0,
                _ => 1.0,
            };
            above[bottom].push(Near { item: top, offset: shift, weight });
            below[top].push(Near { item: bottom, offset: -shift, weight });
        }
    }
    let rows = proper.rows.len();
    let mut spread = Spread::default();
    // Sweeps one after the other that moved nothing: after one down and one up, the others would not either.
    let mut idle = 0;
    for sweep in 0..SWEEPS.0 + SWEEPS.1 {
        let downward = sweep % 2 == 0;
        let both = sweep >= SWEEPS.0;
        if sweep == SWEEPS.0 {
            idle = 0;
        }
        if idle >= 2 {
            continue;
        }
        let mut farthest = 0.0_f64;
        for step in 0..rows {
            let row = &proper.rows[if downward { step } else { rows - 1 - step }];
            let none = Vec::new();
            let moved = settle(proper, previous, row, x, &mut spread, |item| {
                let (first, second) =
                    if downward { (&above[item], &below[item]) } else { (&below[item], &above[item]) };
                first.iter().chain(if both { second } else { &none })
            });
            farthest = farthest.max(moved);
        }
        idle = if farthest < UNMOVED { idle + 1 } else { 0 };
    }
    let left = proper.items.iter().zip(&*x).map(|(item, x)| x - item.left).fold(f64::MAX, f64::min).min(1e9);
    x.iter_mut().for_each(|x| *x += MARGIN - left);
}

/// Least distance between the x of two neighbours of a row.
fn distance(proper: &Proper, left: usize, right: usize) -> f64 {
    let (left, right) = (proper.items[left], proper.items[right]);
    left.right + right.left + if left.is_box && right.is_box { BETWEEN_BOXES } else { BETWEEN }
}

/// Moves the items of a row as near to their neighbours as they let each other. Returns how far the farthest moved.
fn settle<'n, N>(
    proper: &Proper,
    previous: &[Option<Point>],
    row: &[usize],
    x: &mut [f64],
    spread: &mut Spread,
    near: impl Fn(usize) -> N,
) -> f64
where
    N: Iterator<Item = &'n Near>,
{
    spread.clear();
    for (place, &item) in row.iter().enumerate() {
        let (mut sum, mut weight) = (0.0, 0.0);
        for near in near(item) {
            sum += near.weight * (x[near.item] + near.offset);
            weight += near.weight;
        }
        if let Some(&Some(Point { x, .. })) = previous.get(item) {
            sum += STAY * x;
            weight += STAY;
        }
        let (wish, weight) = if weight > 0.0 { (sum / weight, weight) } else { (x[item], 0.01) };
        spread.add(wish, weight, if place > 0 { distance(proper, row[place - 1], item) } else { 0.0 });
    }
    let mut farthest = 0.0_f64;
    for (&item, place) in row.iter().zip(spread.finish()) {
        farthest = farthest.max((x[item] - place).abs());
        x[item] = place;
    }
    farthest
}

/// Makes long arrows straight, as far as there is space: of the items of an arrow as many as possible have one x.
fn straighten(proper: &Proper, x: &mut [f64]) {
    let mut beside = vec![(None, None); proper.items.len()];
    for row in &proper.rows {
        for pair in row.windows(2) {
            beside[pair[0]].1 = Some(pair[1]);
            beside[pair[1]].0 = Some(pair[0]);
        }
    }
    for _ in 0..ROUNDS {
        for chain in &proper.chains {
            let inner = chain.get(1..chain.len() - 1).unwrap_or_default();
            let mut from = 0;
            while from < inner.len() {
                // The space that all have in common.
                let (mut low, mut high) = (f64::MIN, f64::MAX);
                let mut to = from;
                while let Some(&item) = inner.get(to) {
                    let (left, right) = beside[item];
                    let least = left.map_or(low, |left: usize| low.max(x[left] + distance(proper, left, item)));
                    let most = right.map_or(high, |right: usize| high.min(x[right] - distance(proper, item, right)));
                    if least > most && to > from {
                        break;
                    }
                    (low, high) = (least, most.max(least));
                    to += 1;
                }
                let run = &inner[from..to];
                let mean = run.iter().map(|&item| x[item]).sum::<f64>() / run.len() as f64;
                run.iter().for_each(|&item| x[item] = mean.max(low).min(high));
                from = to;
            }
        }
    }
}

/// Top and bottom of each row.
fn heights(proper: &Proper, previous: &[Option<Point>], ports: &[(f64, f64)], x: &[f64]) -> Vec<(f64, f64)> {
    let mut sideways = vec![0.0_f64; proper.rows.len()];
    for (chain, &port) in proper.chains.iter().zip(ports) {
        for (place, pair) in chain.windows(2).enumerate() {
            let from = x[pair[0]] + if place == 0 { port.0 } else { 0.0 };
            let to = x[pair[1]] + if place + 2 == chain.len() { port.1 } else { 0.0 };
            let most = &mut sideways[proper.items[pair[0]].layer];
            *most = most.max((from - to).abs());
        }
    }
    let mut top = MARGIN;
    let mut rows = Vec::with_capacity(proper.rows.len());
    // The highest box of the earlier drawing may have moved down.
    let mut shift = None;
    for (row, sideways) in proper.rows.iter().zip(sideways) {
        let height = row.iter().map(|&item| proper.items[item].height).fold(0.0, f64::max);
        let middles = row.iter().filter_map(|&item| previous.get(item).copied().flatten()).map(|point| point.y);
        let mut middles: Vec<f64> = middles.collect();
        middles.sort_by(f64::total_cmp);
        if let Some(middle) = middles.get(middles.len() / 2) {
            let earlier = middle - height / 2.0;
            let shift = *shift.get_or_insert(top - earlier);
            top = top.max(earlier + shift);
        }
        rows.push((top, top + height));
        top += height + (ROWS.0 + sideways * ROWS.2).min(ROWS.1);
    }
    rows
}

/// The line of an arrow: straight across rows, in curves between them.
fn lead(
    proper: &Proper,
    boxes: &[Rect],
    rows: &[(f64, f64)],
    x: &[f64],
    number: usize,
    (first, last): (f64, f64),
    label: Option<(f64, f64)>,
) -> Way {
    let chain = &proper.chains[number];
    let mut points: Vec<(Point, bool)> = Vec::with_capacity(2 * chain.len());
    let mut way = Way { start: Point { x: 0.0, y: 0.0 }, parts: Vec::new(), label: None };
    for (place, &item) in chain.iter().enumerate() {
        let (top, bottom) = rows[proper.items[item].layer];
        let (x, y) = match place {
            0 => (x[item] + first, boxes[item].y + boxes[item].height),
            _ if place + 1 == chain.len() => (x[item] + last, boxes[item].y),
            _ => (x[item], top),
        };
        if place > 0 {
            points.push((Point { x, y: top }, true));
        }
        points.push((Point { x, y }, false));
        if place + 1 < chain.len() {
            points.push((Point { x, y: bottom }, false));
        }
        let is_inner = place > 0 && place + 1 < chain.len();
        if let Some((width, height)) = label.filter(|_| is_inner && proper.items[item].height > 0.0) {
            way.label = Some(Rect { x: x + GAP, y: (top + bottom - height) / 2.0, width, height });
        }
    }
    if proper.is_upward[number] {
        // Each part ends where it began.
        let bends: Vec<bool> = points.iter().map(|point| point.1).collect();
        points.reverse();
        for (point, bend) in points.iter_mut().skip(1).zip(bends.into_iter().rev()) {
            point.1 = bend;
        }
    }
    let mut points = points.into_iter();
    way.start = points.next().map_or(way.start, |point| point.0);
    let mut at = way.start;
    for (point, bends) in points {
        if point == at {
            continue;
        }
        let is_straight = (point.x - at.x).abs() < 0.05;
        match way.parts.last_mut() {
            Some(Part::Line(end)) if is_straight => *end = point,
            _ if bends && !is_straight => way.parts.push(Part::Bend(point)),
            _ => way.parts.push(Part::Line(point)),
        }
        at = point;
    }
    way
}

/// A loop at the right of a box, in its slot of several.
fn turn(rect: Rect, slot: usize, slots: usize, label: Option<(f64, f64)>) -> Way {
    let right = rect.x + rect.width;
    let y = rect.y + rect.height / 2.0 + (slot as f64 - (slots as f64 - 1.0) / 2.0) * LOOP;
    let half = (LOOP / 4.0).min(rect.height / 4.0);
    let far = right + LOOP - GAP;
    let label = label.map(|(width, height)| Rect { x: far + GAP, y: y - height / 2.0, width, height });
    Way { start: Point { x: right, y: y - half }, parts: vec![Part::Loop(Point { x: right, y: y + half }, far)], label }
}
