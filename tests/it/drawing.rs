//! What a reader sees of a drawing, measured on its SVG: nothing lies on anything else, and few arrows cross.

mod stays;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zrecipe::compile::{Options, compile};
use zrecipe::draw::{Diagram, Direction, format};
use zrecipe::source::Source;

#[derive(Debug, Clone, Copy)]
struct Rect {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Rect {
    /// Whether both have points in common, not counting touching edges.
    fn meets(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    fn holds(&self, (x, y): (f64, f64)) -> bool {
        // Numbers are rounded to tenths, and an arrow ends on the edge of its box.
        let inside = |least: f64, value: f64, most: f64| least + 0.5 < value && value < most - 0.5;
        inside(self.left, x, self.right) && inside(self.top, y, self.bottom)
    }
}

/// A picture as it is drawn.
#[derive(Debug, Default)]
struct Picture {
    boxes: Vec<Rect>,
    /// Each label with the place of its arrow.
    labels: Vec<(usize, Rect)>,
    /// Points along each arrow.
    arrows: Vec<Vec<(f64, f64)>>,
}

fn attribute<'t>(element: &'t str, name: &str) -> &'t str {
    let (_, rest) = element.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("no {name} in {element}"));
    rest.split_once('"').expect("a quoted value").0
}

fn number(element: &str, name: &str) -> f64 {
    attribute(element, name).parse().expect("a number")
}

impl Picture {
    fn read(svg: &str) -> Self {
        let mut picture = Self::default();
        for line in svg.lines() {
            if line.starts_with("<rect class=\"box\"") {
                let (left, top) = (number(line, "x"), number(line, "y"));
                let (width, height) = (number(line, "width"), number(line, "height"));
                picture.boxes.push(Rect { left, top, right: left + width, bottom: top + height });
            } else if line.starts_with("<path") && line.contains("arrow") {
                picture.arrows.push(points(attribute(line, "d")));
            } else if line.starts_with("<text class=\"label\"") {
                let text = line.split_once('>').and_then(|(_, rest)| rest.split_once('<')).expect("a text").0;
                let text = text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
                let (left, base) = (number(line, "x"), number(line, "y"));
                // Letters of 11 px in an average sans-serif font.
                let width = |letter| if "fijlrt-. '".contains(letter) { 3.7 } else { 6.2 };
                let right = left + text.chars().map(width).sum::<f64>();
                picture
                    .labels
                    .push((picture.arrows.len() - 1, Rect { left, top: base - 9.0, right, bottom: base + 2.0 }));
            }
        }
        picture
    }

    fn faults(&self) -> BTreeMap<&'static str, usize> {
        let mut faults = BTreeMap::new();
        let mut add = |what, count: usize| *faults.entry(what).or_insert(0) += count;
        for (place, (arrow, label)) in self.labels.iter().enumerate() {
            add("label on box", self.boxes.iter().filter(|rect| rect.meets(label)).count());
            add("label on label", self.labels[..place].iter().filter(|(_, other)| other.meets(label)).count());
            let foreign = self.arrows.iter().enumerate().filter(|(other, _)| other != arrow);
            let under = foreign.filter(|(_, points)| points.iter().any(|&point| label.holds(point)));
            add("label under a foreign arrow", under.count());
        }
        for (place, rect) in self.boxes.iter().enumerate() {
            add("box on box", self.boxes[..place].iter().filter(|other| other.meets(rect)).count());
            let through = |points: &&Vec<(f64, f64)>| {
                // Its own boxes are where it begins and ends.
                points.iter().any(|&point| rect.holds(point))
            };
            add("arrow through box", self.arrows.iter().filter(through).count());
        }
        faults
    }

    /// Places where two arrows cross.
    fn crossings(&self) -> usize {
        let mut count = 0;
        for (place, first) in self.arrows.iter().enumerate() {
            for second in &self.arrows[..place] {
                for a in first.windows(2) {
                    let (low, high) = (a[0].1.min(a[1].1), a[0].1.max(a[1].1));
                    let near = |b: &&[(f64, f64)]| b[0].1.min(b[1].1) <= high && b[0].1.max(b[1].1) >= low;
                    count += second.windows(2).filter(near).filter(|b| crosses(a, b)).count();
                }
            }
        }
        count
    }
}

/// The points of a path, of its curves 24 each.
fn points(path: &str) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    let commands =
        ["M", "L", "C"].iter().fold(path.replace(',', " "), |path, kind| path.replace(kind, &format!("\n{kind}")));
    for command in commands.lines().filter(|command| !command.is_empty()) {
        let (kind, rest) = command.split_at(1);
        let numbers: Vec<f64> = rest.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        match (kind, numbers.as_slice()) {
            ("M" | "L", &[x, y]) => points.push((x, y)),
            ("C", &[a, b, c, d, e, f]) => {
                let (x, y) = *points.last().expect("a beginning");
                points.extend((1..=24).map(|step| {
                    let t = f64::from(step) / 24.0;
                    let s = 1.0 - t;
                    let at = |p: f64, q: f64, r: f64, u: f64| {
                        s * s * s * p + 3.0 * s * s * t * q + 3.0 * s * t * t * r + t * t * t * u
                    };
                    (at(x, a, c, e), at(y, b, d, f))
                }));
            }
            _ => panic!("{command}"),
        }
    }
    points
}

/// Whether two straight lines cross, not counting that they touch.
fn crosses(a: &[(f64, f64)], b: &[(f64, f64)]) -> bool {
    let side = |line: &[(f64, f64)], point: (f64, f64)| {
        (line[1].0 - line[0].0) * (point.1 - line[0].1) - (line[1].1 - line[0].1) * (point.0 - line[0].0)
    };
    side(a, b[0]) * side(a, b[1]) < 0.0 && side(b, a[0]) * side(b, a[1]) < 0.0
}

fn picture(name: &str, text: &str, direction: Direction) -> Picture {
    let compilation = compile(Arc::new(Source::from_text(name, text)), Options::default());
    let diagram = Diagram::new(name, &compilation.recipe);
    Picture::read(&(format("svg").expect("a format").render)(&[diagram], direction))
}

/// The recipes below a folder of the repository.
fn recipes(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "json") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found.sort();
    let read = |path: PathBuf| Some((path.display().to_string(), std::fs::read_to_string(&path).ok()?));
    found.into_iter().filter_map(read).collect()
}

/// A recipe with this many steps in layers of one to six, each linked to one to three of the next.
fn layered(steps: usize, mut seed: u64) -> String {
    let mut random = move |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    let mut layers: Vec<Vec<usize>> = vec![vec![1]];
    let mut next = 2;
    while next <= steps {
        let size = (1 + random(6)).min(steps + 1 - next);
        layers.push((next..next + size).collect());
        next += size;
    }
    let mut parts = Vec::new();
    for (place, layer) in layers.iter().enumerate() {
        for step in layer {
            let below = layers.get(place + 1).map_or(&[][..], Vec::as_slice);
            let links: Vec<String> = (0..(1 + random(3)).min(below.len()))
                .map(|link| format!("\"channel{link}\": {}", below[random(below.len())]))
                .collect();
            parts.push(format!("\"{step}\": {{\"queue\": \"queue.{step}\", \"output\": {{{}}}}}", links.join(", ")));
        }
    }
    format!("{{{}, \"start\": [[1, []]]}}", parts.join(",\n"))
}

#[test]
fn nothing_lies_on_anything_else() {
    let all = ["recipes", "examples", "tests/graph", "tests/lint", "tests/conformance"].map(recipes).concat();
    let made = (0..20).map(|seed| (format!("layered {seed}"), layered(60, seed)));
    let mut seen = 0;
    for (name, text) in all.into_iter().chain(made) {
        for direction in [Direction::Down, Direction::Right] {
            let picture = picture(&name, &text, direction);
            seen += usize::from(!picture.arrows.is_empty());
            for (what, count) in picture.faults() {
                assert_eq!(count, 0, "{name}, {direction:?}: {what}");
            }
        }
    }
    assert!(seen > 200, "{seen} recipes with arrows");
}

/// Crossings of twenty recipes of 60 steps.
const CROSSINGS: usize = 433;

#[test]
fn few_arrows_cross() {
    let crossings: usize = (0..20).map(|seed| picture("a.json", &layered(60, seed), Direction::Down).crossings()).sum();
    assert!(crossings <= CROSSINGS, "{crossings} crossings, and there were {CROSSINGS}");
}
