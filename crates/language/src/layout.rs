//! Layout of diagrams: boxes in layers from top to bottom, each below what it follows from, with places of their own
//! for labels and for arrows that pass a layer.
//!
//! The stages are those of Sugiyama, Tagawa and Toda (1981). `layers` assigns boxes to layers, `order` sorts each
//! layer so that few arrows cross, `place` gives everything its place. Between two layers of boxes lies a layer of
//! labels. An arrow crosses a layer vertically, at a place where nothing else is, and moves sideways only between
//! layers. So no arrow passes under a foreign box or label, and two arrows cross only where their order changes.

mod exact;
mod layers;
mod order;
mod place;
mod stay;

/// A graph to lay out. Lengths are in pixels.
#[derive(Debug, Default)]
pub struct Input {
    /// Width and height of each box.
    pub boxes: Vec<(f64, f64)>,
    /// Arrows between boxes.
    pub links: Vec<Link>,
    /// Middle of each box in an earlier drawing, to which the boxes keep as far as the arrows allow it. Empty if there
    /// is none.
    pub previous: Vec<Option<Point>>,
}

/// An arrow to lay out.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Index of the box that it leaves.
    pub from: usize,
    /// Index of the box that it leads to.
    pub to: usize,
    /// Width and height of its label.
    pub label: Option<(f64, f64)>,
}

/// A point; y grows downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Distance from the left edge.
    pub x: f64,
    /// Distance from the top edge.
    pub y: f64,
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// Direction in which a drawing reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// From top to bottom.
    #[default]
    Down,
    /// From left to right.
    Right,
}

/// A part of an arrow's line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    /// A straight line to this point.
    Line(Point),
    /// A curve to this point that begins and ends in the direction of the drawing.
    Bend(Point),
    /// A loop beside a box, as far out as this: at its right, or below it in a drawing from left to right.
    Loop(Point, f64),
}

/// Where an arrow is.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// Where it leaves its box.
    pub start: Point,
    /// Its line; the last part ends at the arrow's head.
    pub parts: Vec<Part>,
    /// Place of its label.
    pub label: Option<Rect>,
}

/// Where everything is.
#[derive(Debug, Default)]
pub struct Layout {
    /// Places of the boxes, in the order of the input.
    pub boxes: Vec<Rect>,
    /// Places of the arrows, in the order of the input.
    pub ways: Vec<Way>,
    /// Width of the whole.
    pub width: f64,
    /// Height of the whole.
    pub height: f64,
    /// How often arrows cross.
    pub crossings: Crossings,
}

/// Crossings of arrows. Arrows that are drawn straight through layers, in graphs that are too large, do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crossings {
    /// Their number.
    pub count: u64,
    /// Whether it is proven that no other order of the boxes in these layers has fewer.
    pub is_minimum: bool,
}

/// Layers that arrows may cross in all. Beyond it long arrows are drawn straight: no picture of that size is readable.
const MAX_CROSSED_LAYERS: usize = 60_000;

/// Space beside a line.
const GAP: f64 = 6.0;
/// Space that a loop takes beside its box, and how far apart two are.
const LOOP: f64 = 20.0;

/// An item of a layer: a box, a label, or an arrow that passes.
#[derive(Debug, Clone, Copy)]
struct Item {
    layer: usize,
    /// Space that it takes to the left and to the right of its x.
    left: f64,
    right: f64,
    height: f64,
    is_box: bool,
}

/// A graph with an item in each layer that an arrow crosses: what [`order`] and [`place`] work on.
#[derive(Debug)]
struct Proper {
    items: Vec<Item>,
    /// Items of each layer, from left to right.
    rows: Vec<Vec<usize>>,
    /// Items of each arrow from top to bottom; of a loop, its box alone.
    chains: Vec<Vec<usize>>,
    /// Whether an arrow points up.
    is_upward: Vec<bool>,
}

impl Proper {
    fn new(input: &Input, ranks: &[usize]) -> Self {
        let loops = loops(input);
        let items = input.boxes.iter().zip(ranks).zip(&loops).map(|((&(width, height), rank), loops)| {
            // Loops stand out to the right, one below the other.
            let beside = loops.iter().map(|&link| LOOP + input.links[link].label.map_or(0.0, |label| label.0 + GAP));
            let height = height.max(loops.len() as f64 * LOOP);
            let right = width / 2.0 + beside.fold(0.0, f64::max);
            Item { layer: 2 * rank, left: width / 2.0, right, height, is_box: true }
        });
        let items: Vec<Item> = items.collect();
        let count = items.iter().map(|item| item.layer + 1).max().unwrap_or(0);
        let mut proper = Self { items, rows: vec![Vec::new(); count], chains: Vec::new(), is_upward: Vec::new() };
        for (place, item) in proper.items.iter().enumerate() {
            proper.rows[item.layer].push(place);
        }
        let crossed: usize = input.links.iter().map(|link| 2 * ranks[link.from].abs_diff(ranks[link.to])).sum();
        for link in &input.links {
            let is_upward = ranks[link.from] > ranks[link.to];
            let (top, bottom) = if is_upward { (link.to, link.from) } else { (link.from, link.to) };
            let between = 2 * ranks[top] + 1..(2 * ranks[bottom]).max(2 * ranks[top] + 1);
            // A channel belongs to the step that sends, so its label is near the sender.
            let at = if is_upward { between.end - 1 } else { between.start };
            let is_kept = |layer: &usize| crossed <= MAX_CROSSED_LAYERS || *layer == at;
            let mut chain = vec![top];
            for layer in between.clone().filter(is_kept) {
                chain.push(proper.pass(layer, link.label.filter(|_| layer == at)));
            }
            chain.extend((top != bottom).then_some(bottom));
            proper.chains.push(chain);
            proper.is_upward.push(is_upward);
        }
        proper
    }

    /// Adds the item of an arrow that passes a layer.
    fn pass(&mut self, layer: usize, label: Option<(f64, f64)>) -> usize {
        let (right, height) = label.map_or((GAP, 0.0), |(width, height)| (GAP + width, height));
        self.items.push(Item { layer, left: GAP, right, height, is_box: false });
        self.rows[layer].push(self.items.len() - 1);
        self.items.len() - 1
    }
}

/// The loops of each box, by their indices among the links.
fn loops(input: &Input) -> Vec<Vec<usize>> {
    let mut loops = vec![Vec::new(); input.boxes.len()];
    for (place, link) in input.links.iter().enumerate().filter(|(_, link)| link.from == link.to) {
        loops[link.from].push(place);
    }
    loops
}

/// Lays out a graph in a direction. The same input always has the same layout.
pub fn layout(input: &Input, direction: Direction) -> Layout {
    match direction {
        Direction::Down => downward(input),
        // Mirrored at the diagonal, before and after.
        Direction::Right => {
            let swap = |(width, height): (f64, f64)| (height, width);
            let link = |link: &Link| Link { label: link.label.map(swap), ..*link };
            let boxes = input.boxes.iter().copied().map(swap).collect();
            let links = input.links.iter().map(link).collect();
            let previous = input.previous.iter().map(|middle| middle.map(|Point { x, y }| Point { x: y, y: x }));
            mirrored(downward(&Input { boxes, links, previous: previous.collect() }))
        }
    }
}

fn mirrored(layout: Layout) -> Layout {
    let point = |point: Point| Point { x: point.y, y: point.x };
    let rect = |rect: Rect| Rect { x: rect.y, y: rect.x, width: rect.height, height: rect.width };
    let part = |part: Part| match part {
        Part::Line(to) => Part::Line(point(to)),
        Part::Bend(to) => Part::Bend(point(to)),
        Part::Loop(to, far) => Part::Loop(point(to), far),
    };
    let way = |way: Way| Way {
        start: point(way.start),
        parts: way.parts.into_iter().map(part).collect(),
        label: way.label.map(rect),
    };
    Layout {
        boxes: layout.boxes.into_iter().map(rect).collect(),
        ways: layout.ways.into_iter().map(way).collect(),
        width: layout.height,
        height: layout.width,
        crossings: layout.crossings,
    }
}

fn downward(input: &Input) -> Layout {
    let known = input.previous.iter().flatten().count();
    // A drawing with few known boxes is another one.
    let is_kept = known > 0 && input.previous.len() == input.boxes.len() && 2 * known >= input.boxes.len();
    let ranks = if is_kept {
        stay::assign(&input.previous, &input.links)
    } else {
        layers::assign(input.boxes.len(), &input.links)
    };
    let mut proper = Proper::new(input, &ranks);
    let crossings = if is_kept {
        stay::sort(&mut proper, &input.previous);
        order::adjust(&mut proper, &input.previous)
    } else {
        order::arrange(&mut proper)
    };
    Layout { crossings, ..place::place(input, &proper) }
}
