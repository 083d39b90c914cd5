//! A drawing that is drawn after an edit stays where it was.
//!
//! Two drawings are compared after the translation that makes most boxes stay. A box has moved if its middle is then
//! outside the rectangle that it had.

use std::collections::BTreeMap;
use std::sync::Arc;

use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::draw::{Diagram, Direction, Edge, EdgeKind, format, keep};
use zrecipe::source::Source;

use super::{Picture, Rect, attribute, layered, number, recipes};

/// Rectangles of boxes by their places in the diagram.
fn boxes(svg: &str) -> BTreeMap<usize, Rect> {
    let (mut found, mut place) = (BTreeMap::new(), 0);
    for line in svg.lines() {
        if line.starts_with("<g id=\"n") {
            place = attribute(line, "id")[1..].parse().expect("a place");
        } else if line.starts_with("<rect class=\"box\"") {
            let (left, top) = (number(line, "x"), number(line, "y"));
            let (right, bottom) = (left + number(line, "width"), top + number(line, "height"));
            found.insert(place, Rect { left, top, right, bottom });
        }
    }
    found
}

fn middle(rect: &Rect) -> (f64, f64) {
    ((rect.left + rect.right) / 2.0, (rect.top + rect.bottom) / 2.0)
}

/// Boxes that have moved.
fn moved(before: &BTreeMap<usize, Rect>, after: &BTreeMap<usize, Rect>) -> usize {
    let stay = |anchor: &usize| {
        let ((old_x, old_y), (new_x, new_y)) = (middle(&before[anchor]), middle(&after[anchor]));
        let is_inside = |(place, old): (&usize, &Rect)| {
            let (x, y) = middle(&after[place]);
            let (x, y) = (x - new_x + old_x, y - new_y + old_y);
            old.left <= x && x <= old.right && old.top <= y && y <= old.bottom
        };
        before.iter().filter(|&pair| is_inside(pair)).count()
    };
    before.len() - before.keys().map(stay).max().unwrap_or(0)
}

fn compiled((name, text): (String, String)) -> Compilation {
    compile(Arc::new(Source::from_text(name, text)), Options::default())
}

fn diagram(compilation: &Compilation) -> Diagram {
    Diagram::new("a", &compilation.recipe)
}

/// Whether there are links to edit.
fn has_links(diagram: &Diagram) -> bool {
    !diagram.edges.is_empty() && diagram.nodes.iter().filter(|node| node.step.is_some()).count() > 1
}

fn svg(diagram: Diagram, direction: Direction) -> String {
    (format("svg").expect("a format").render)(&[diagram], direction)
}

/// Removes, adds or redirects one link.
fn edit(diagram: &mut Diagram, random: &mut impl FnMut(usize) -> usize) {
    let steps: Vec<usize> = (0..diagram.nodes.len()).filter(|&place| diagram.nodes[place].step.is_some()).collect();
    let (link, from, to) = (random(diagram.edges.len()), steps[random(steps.len())], steps[random(steps.len())]);
    match random(3) {
        0 => _ = diagram.edges.remove(link),
        1 => {
            let label = Some("another".to_owned());
            diagram.edges.insert(link, Edge { from, to, kind: EdgeKind::Output, label, mark: None });
        }
        _ => diagram.edges[link].to = to,
    }
}

fn random(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |bound| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    }
}

/// Mean part of the boxes that move when one link of a recipe is edited, of this many edits. Nothing lies on anything
/// else in the edited drawings.
fn mean(recipes: &[Compilation], edits: usize, direction: Direction) -> f64 {
    let mut random = random(7);
    let mut sum = 0.0;
    for _ in 0..edits {
        let recipe = &recipes[random(recipes.len())];
        let (earlier, mut edited) = (diagram(recipe), diagram(recipe));
        edit(&mut edited, &mut random);
        keep(&mut edited, &earlier, direction);
        let (before, after) = (svg(earlier, direction), svg(edited, direction));
        for (what, count) in Picture::read(&after).faults() {
            assert_eq!(count, 0, "{}, edited, {direction:?}: {what}\n{after}", recipe.source.name());
        }
        let (before, after) = (boxes(&before), boxes(&after));
        sum += moved(&before, &after) as f64 / before.len() as f64;
    }
    sum / edits as f64
}

#[test]
fn an_edited_link_moves_few_boxes() {
    let all = ["recipes", "examples", "tests/graph", "tests/lint", "tests/conformance", "tests/campaign"];
    let all = all.map(recipes).concat().into_iter().map(compiled);
    let all: Vec<Compilation> = all.filter(|recipe| has_links(&diagram(recipe))).collect();
    for direction in [Direction::Down, Direction::Right] {
        let mean = mean(&all, 500, direction);
        assert!(mean < 0.1, "{:.1} % of the boxes move, {direction:?}", 100.0 * mean);
    }
}

#[test]
fn an_edited_link_moves_few_boxes_of_a_large_recipe() {
    let made: Vec<_> = (0..20).map(|seed| compiled((format!("layered {seed}"), layered(20, seed)))).collect();
    let mean = mean(&made, 30, Direction::Down);
    assert!(mean < 0.1, "{:.1} % of the boxes move", 100.0 * mean);
}

#[test]
fn a_drawing_without_edit_stays() {
    let recipe = compiled(("a.json".to_owned(), layered(20, 1)));
    let (earlier, mut same) = (diagram(&recipe), diagram(&recipe));
    keep(&mut same, &earlier, Direction::Down);
    let (before, after) = (boxes(&svg(earlier, Direction::Down)), boxes(&svg(same, Direction::Down)));
    assert_eq!(moved(&before, &after), 0);
}
