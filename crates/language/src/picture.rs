//! A diagram as elements of SVG: boxes in layers, each behind what it follows from.
//!
//! Each box is a group with the id `n` and its place, a title that screen readers read, and its place in the focus
//! order, which is the reading order of the drawing. Arrows are decoration for screen readers: the title of a box names
//! where it sends. Classes name kinds and marks; formats define their looks.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::diagnostic::Level;
use crate::diagram::{Diagram, Edge, EdgeKind, Mark, Node, NodeKind};
use crate::layout::{Direction, Input, Layout, Link, Part, Point, Rect, Way, layout};

/// Sizes of the letters in boxes and in labels.
const LETTERS: f64 = 12.0;
const LABEL_LETTERS: f64 = 11.0;
/// Height of a line of a box, and of a label.
const LINE: f64 = 16.0;
const LABEL_LINE: f64 = 14.0;
/// Space around the text of a box.
const PADDING: f64 = 10.0;

/// The definition of the heads of arrows, which a document has once.
pub const HEAD: &str = "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" \
                        markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"head\" \
                        d=\"M0 0L8 4L0 8z\"/></marker></defs>\n";

/// The elements of a diagram.
#[derive(Debug)]
pub struct Picture {
    /// Elements of SVG, one a line.
    pub body: String,
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
}

/// How a diagram becomes a picture.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look<'a> {
    /// Direction in which it reads.
    pub direction: Direction,
    /// Beginning of all ids.
    pub prefix: &'a str,
    /// ARIA role of a box.
    pub role: &'a str,
    /// Whether boxes show findings and contracts.
    pub badges: bool,
}

/// Draws a diagram.
pub fn draw(diagram: &Diagram, look: Look<'_>) -> Picture {
    let layout = layout(&input(diagram), look.direction);
    let mut body = String::from("<g class=\"arrows\" aria-hidden=\"true\">\n");
    for (edge, way) in diagram.edges.iter().zip(&layout.ways) {
        arrow(edge, way, look.direction, &mut body);
    }
    body.push_str("</g>\n");
    for place in order_of(&layout, look.direction) {
        node(diagram, place, &layout, look, &mut body);
    }
    Picture { body, width: layout.width, height: layout.height }
}

/// Boxes in the order in which a drawing from top to bottom is read.
pub fn reading_order(diagram: &Diagram) -> Vec<usize> {
    order_of(&layout(&input(diagram), Direction::Down), Direction::Down)
}

fn order_of(layout: &Layout, direction: Direction) -> Vec<usize> {
    let middle = |place: usize| {
        let rect = layout.boxes[place];
        let (x, y) = (rect.x + rect.width / 2.0, rect.y + rect.height / 2.0);
        match direction {
            Direction::Down => (y, x),
            Direction::Right => (x, y),
        }
    };
    let mut order: Vec<usize> = (0..layout.boxes.len()).collect();
    // Middles of one row differ by rounding at most.
    order.sort_by(|&a, &b| {
        let (a, b) = (middle(a), middle(b));
        (a.0.round(), a.1).partial_cmp(&(b.0.round(), b.1)).unwrap_or(std::cmp::Ordering::Equal)
    });
    order
}

/// The sizes of boxes and labels.
fn input(diagram: &Diagram) -> Input {
    let size = |node: &Node| {
        let width = node.lines.iter().map(|line| length(line, LETTERS)).fold(0.0, f64::max);
        (width + 2.0 * PADDING, node.lines.len() as f64 * LINE + PADDING)
    };
    let label = |text: &String| (length(text, LABEL_LETTERS), LABEL_LINE);
    let link = |edge: &Edge| Link { from: edge.from, to: edge.to, label: edge.label.as_ref().map(label) };
    let previous = |node: &Node| node.previous.map(|(x, y)| Point { x: x.into(), y: y.into() });
    Input {
        boxes: diagram.nodes.iter().map(size).collect(),
        links: diagram.edges.iter().map(link).collect(),
        previous: diagram.nodes.iter().map(previous).collect(),
    }
}

/// Makes the boxes of a diagram stay where they are in an earlier drawing of the same recipe, as far as its arrows allow
/// it. Boxes of steps belong together by the number of the step.
pub fn keep(diagram: &mut Diagram, earlier: &Diagram, direction: Direction) {
    let layout = layout(&input(earlier), direction);
    let key = |node: &Node| (node.kind == NodeKind::Start, node.kind == NodeKind::Error, node.step);
    let name = |node: &Node| if node.kind == NodeKind::Missing { node.lines.clone() } else { Vec::new() };
    let middle = |rect: &Rect| {
        let (x, y) = (rect.x + rect.width / 2.0, rect.y + rect.height / 2.0);
        (x.round() as i32, y.round() as i32)
    };
    let middles = earlier.nodes.iter().zip(&layout.boxes);
    let middles: HashMap<_, _> = middles.map(|(node, rect)| ((key(node), name(node)), middle(rect))).collect();
    for node in &mut diagram.nodes {
        node.previous = middles.get(&(key(node), name(node))).copied();
    }
}

fn mark_class(mark: Option<Mark>) -> String {
    mark.map_or(String::new(), |mark| format!(" {}", mark.name()))
}

fn arrow(edge: &Edge, way: &Way, direction: Direction, out: &mut String) {
    let class = match edge.kind {
        EdgeKind::Start => "start",
        EdgeKind::Output => "output",
        EdgeKind::Error => "error",
        EdgeKind::Broken => "broken",
    };
    let (line, mark) = (line(way, direction), mark_class(edge.mark));
    let ends = format!("data-from=\"{}\" data-to=\"{}\"", edge.from, edge.to);
    let _ = writeln!(out, "<path class=\"{class} arrow{mark}\" {ends} d=\"{line}\" marker-end=\"url(#head)\"/>");
    if let (Some(text), Some(rect)) = (&edge.label, way.label) {
        let (x, y, text) = (rect.x, rect.y + LABEL_LETTERS, escape(text));
        let _ = writeln!(out, "<text class=\"label\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
    }
}

fn node(diagram: &Diagram, place: usize, layout: &Layout, look: Look<'_>, out: &mut String) {
    let (node, rect) = (&diagram.nodes[place], layout.boxes[place]);
    let (class, round) = match node.kind {
        NodeKind::Start => ("start", 12.0),
        NodeKind::Error => ("error", 12.0),
        NodeKind::Queue => ("queue", 3.0),
        NodeKind::Topic => ("topic", 8.0),
        NodeKind::QueueAndTopic => ("both", 3.0),
        NodeKind::Nowhere => ("nowhere", 3.0),
        NodeKind::Missing => ("missing", 3.0),
    };
    let (prefix, role) = (look.prefix, look.role);
    let state = node.state.map_or(String::new(), |state| format!(" run-{}", state.name()));
    let mark = mark_class(node.mark) + &state;
    let step = node.step.map_or(String::new(), |step| format!(" data-step=\"{step}\""));
    let _ = writeln!(
        out,
        "<g id=\"{prefix}n{place}\" class=\"{class} node{mark}\"{step} tabindex=\"0\" role=\"{role}\">\n<title>{}</title>",
        escape(&title(diagram, place, look))
    );
    let _ = writeln!(
        out,
        "<rect class=\"box\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"{round}\"/>",
        rect.x, rect.y, rect.width, rect.height
    );
    if look.badges && node.contract == Some(true) {
        let (x, y, height) = (rect.x + 2.0, rect.y + 4.0, rect.height - 8.0);
        let _ = writeln!(out, "<path class=\"contract\" d=\"M{x:.1} {y:.1}v{height:.1}\"/>");
    }
    let (x, lines) = (rect.x + rect.width / 2.0, node.lines.len() as f64 * LINE);
    let top = rect.y + (rect.height - lines) / 2.0;
    for (number, line) in node.lines.iter().enumerate() {
        let y = top + LINE * (number as f64 + 0.75);
        let class = if number > 0 { " class=\"further\"" } else { "" };
        let _ = writeln!(out, "<text{class} x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(line));
    }
    if let Some(worst) = node.findings.iter().map(|finding| finding.level).max().filter(|_| look.badges) {
        let (x, y, count) = (rect.x + rect.width, rect.y, node.findings.len());
        let _ = writeln!(
            out,
            "<g class=\"badge {}\"><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"8\"/><text x=\"{x:.1}\" y=\"{:.1}\">{}</text></g>",
            worst.as_str(),
            y + 3.5,
            if count > 9 { "9+".to_owned() } else { count.to_string() },
        );
    }
    out.push_str("</g>\n");
}

/// What a box is and where it sends: a sentence for screen readers, and for the pointer that rests on it.
fn title(diagram: &Diagram, place: usize, look: Look<'_>) -> String {
    let node = &diagram.nodes[place];
    let mut title = diagram.title(place);
    let target = |edge: &Edge| {
        let to = &diagram.nodes[edge.to];
        let to = to.step.map_or_else(|| to.lines.join(", "), |step| format!("step {step}"));
        edge.label.as_ref().map_or_else(|| to.clone(), |label| format!("{to} on {label}"))
    };
    let targets: Vec<String> = diagram.edges.iter().filter(|edge| edge.from == place).map(target).collect();
    if !targets.is_empty() {
        let verb = if node.kind == NodeKind::Start { "begins with" } else { "sends to" };
        let _ = write!(title, "; {verb} {}", targets.join(", "));
    }
    if look.badges {
        let count = |level: Level| node.findings.iter().filter(|finding| finding.level == level).count();
        for level in [Level::Error, Level::Warning, Level::Note] {
            match count(level) {
                0 => {}
                1 => _ = write!(title, "; 1 {level}"),
                count => _ = write!(title, "; {count} {level}s"),
            }
        }
        if node.contract == Some(false) {
            title.push_str("; no contract");
        }
    }
    title
}

/// The line of an arrow as a path.
fn line(way: &Way, direction: Direction) -> String {
    let mut at = way.start;
    let mut line = format!("M{:.1} {:.1}", at.x, at.y);
    for part in &way.parts {
        let Point { x, y } = at;
        let _ = match (*part, direction) {
            (Part::Line(to), _) => write!(line, "L{:.1} {:.1}", to.x, to.y),
            (Part::Bend(to), Direction::Down) => {
                let middle = (y + to.y) / 2.0;
                write!(line, "C{x:.1} {middle:.1} {:.1} {middle:.1} {:.1} {:.1}", to.x, to.x, to.y)
            }
            (Part::Bend(to), Direction::Right) => {
                let middle = (x + to.x) / 2.0;
                write!(line, "C{middle:.1} {y:.1} {middle:.1} {:.1} {:.1} {:.1}", to.y, to.x, to.y)
            }
            (Part::Loop(to, far), Direction::Down) => {
                write!(line, "C{far:.1} {y:.1} {far:.1} {:.1} {:.1} {:.1}", to.y, to.x, to.y)
            }
            (Part::Loop(to, far), Direction::Right) => {
                write!(line, "C{x:.1} {far:.1} {:.1} {far:.1} {:.1} {:.1}", to.x, to.x, to.y)
            }
        };
        at = match *part {
            Part::Line(to) | Part::Bend(to) | Part::Loop(to, _) => to,
        };
    }
    line
}

/// About how long a text is, in pixels, by the widths of DejaVu Sans: of the fonts that programs take for `sans-serif`
/// the widest one.
fn length(text: &str, letters: f64) -> f64 {
    let width = |character: char| match character {
        'i' | 'j' | 'l' | '\'' => 0.28,
        'I' | ' ' | '.' | ',' | ':' | ';' | '/' | '\\' | '|' | '·' => 0.34,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '!' | '-' => 0.41,
        '_' | '"' | '*' | 's' | 'c' | 'z' => 0.56,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 1.0,
        'A'..='Z' | '+' | '=' | '<' | '>' | '~' | '#' | '&' | '×' => 0.79,
        '\u{1100}'.. => 1.1,
        _ => 0.64,
    };
    text.chars().map(width).sum::<f64>() * letters
}

/// Text of XML, without what may not stand in it.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            character if character.is_control() => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
    out
}
