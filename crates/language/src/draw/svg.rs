//! SVG, which browsers and editors show as it is: boxes in layers from top to bottom, each below what it follows from.
//!
//! Colours are properties (`--page`, `--box`, `--line`, `--text`, `--bad`), so that the page around it can set them; by
//! itself the picture is dark on white. The group of the box `n` has the id `n` with its place, as in a flowchart.

use std::fmt::Write as _;

use super::{Diagram, Edge, EdgeKind, Format, Node, NodeKind};
use crate::layout::{Input, Layout, Link, Part, Point, Way, layout};

/// The format of this file.
pub static FORMAT: Format = Format { name: "svg", description: "a picture for browsers and editors", render };

/// Sizes of the letters in boxes and in labels.
const LETTERS: f64 = 12.0;
const LABEL_LETTERS: f64 = 11.0;
/// Height of a line of a box, and of a label.
const LINE: f64 = 16.0;
const LABEL_LINE: f64 = 14.0;
/// Space around the text of a box.
const PADDING: f64 = 10.0;
/// Space between recipes, and height of their names.
const BETWEEN: f64 = 28.0;
const NAME: f64 = 32.0;

// A program that knows no properties ignores what names them, and takes the colour before.
const STYLE: &str = "text{font:12px sans-serif;fill:#222;fill:var(--text,#222);text-anchor:middle}\
.page{fill:#fff;fill:var(--page,#fff)}\
.box{fill:#fff;fill:var(--box,#fff);stroke:#555;stroke:var(--line,#555)}.topic .box,.both .box{stroke-width:2.5}\
.nowhere .box{stroke-dasharray:2 3}.error .box,.missing .box{stroke:#b22222;stroke:var(--bad,#b22222)}\
.missing .box{stroke-dasharray:5 4}.arrow{fill:none;stroke:#555;stroke:var(--line,#555)}.start.arrow{stroke-width:2.5}\
.error.arrow,.broken.arrow{stroke:#b22222;stroke:var(--bad,#b22222);stroke-dasharray:5 4}\
.head{fill:#555;fill:context-stroke}text.label{font-size:11px;text-anchor:start}";

fn render(diagrams: &[Diagram]) -> String {
    let (mut body, mut width, mut height) = (String::new(), 0.0_f64, 0.0_f64);
    for (number, diagram) in diagrams.iter().enumerate() {
        let several = diagrams.len() > 1;
        let prefix = if several { format!("r{}", number + 1) } else { String::new() };
        let top = if several { NAME } else { 0.0 };
        let layout = layout(&input(diagram));
        let left = width + if number > 0 { BETWEEN } else { 0.0 };
        let _ = writeln!(body, "<g transform=\"translate({left:.0} {top:.0})\">");
        if several {
            let (middle, name) = (layout.width / 2.0, escape(&diagram.name));
            let _ = writeln!(body, "<text x=\"{middle:.0}\" y=\"{:.0}\">{name}</text>", -NAME / 4.0);
        }
        draw(diagram, &layout, &prefix, &mut body);
        body.push_str("</g>\n");
        (width, height) = (left + layout.width, height.max(top + layout.height));
    }
    let names: Vec<String> = diagrams.iter().map(|diagram| escape(&diagram.name)).collect();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n",
        names.join(", "),
    );
    out.push_str(
        "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"head\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n",
    );
    let _ = writeln!(out, "<rect class=\"page\" width=\"{width:.0}\" height=\"{height:.0}\"/>");
    out + &body + "</svg>\n"
}

/// The sizes of boxes and labels.
fn input(diagram: &Diagram) -> Input {
    let size = |node: &Node| {
        let width = node.lines.iter().map(|line| length(line, LETTERS)).fold(0.0, f64::max);
        (width + 2.0 * PADDING, node.lines.len() as f64 * LINE + PADDING)
    };
    let label = |text: &String| (length(text, LABEL_LETTERS), LABEL_LINE);
    let link = |edge: &Edge| Link { from: edge.from, to: edge.to, label: edge.label.as_ref().map(label) };
    Input { boxes: diagram.nodes.iter().map(size).collect(), links: diagram.edges.iter().map(link).collect() }
}

fn draw(diagram: &Diagram, layout: &Layout, prefix: &str, out: &mut String) {
    for (edge, way) in diagram.edges.iter().zip(&layout.ways) {
        let class = match edge.kind {
            EdgeKind::Start => "start",
            EdgeKind::Output => "output",
            EdgeKind::Error => "error",
            EdgeKind::Broken => "broken",
        };
        let line = line(way);
        let _ = writeln!(out, "<path class=\"{class} arrow\" d=\"{line}\" marker-end=\"url(#head)\"/>");
        if let (Some(text), Some(rect)) = (&edge.label, way.label) {
            let (x, y, text) = (rect.x, rect.y + LABEL_LETTERS, escape(text));
            let _ = writeln!(out, "<text class=\"label\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
        }
    }
    for (place, (node, rect)) in diagram.nodes.iter().zip(&layout.boxes).enumerate() {
        let (class, round) = match node.kind {
            NodeKind::Start => ("start", 12.0),
            NodeKind::Error => ("error", 12.0),
            NodeKind::Queue => ("queue", 3.0),
            NodeKind::Topic => ("topic", 8.0),
            NodeKind::QueueAndTopic => ("both", 3.0),
            NodeKind::Nowhere => ("nowhere", 3.0),
            NodeKind::Missing => ("missing", 3.0),
        };
        let step = node.step.map_or(String::new(), |step| format!(" data-step=\"{step}\""));
        let _ = writeln!(out, "<g id=\"{prefix}n{place}\" class=\"{class} node\"{step}>");
        let _ = writeln!(
            out,
            "<rect class=\"box\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"{round}\"/>",
            rect.x, rect.y, rect.width, rect.height
        );
        let (x, lines) = (rect.x + rect.width / 2.0, node.lines.len() as f64 * LINE);
        let top = rect.y + (rect.height - lines) / 2.0;
        for (number, line) in node.lines.iter().enumerate() {
            let y = top + LINE * (number as f64 + 0.75);
            let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(line));
        }
        out.push_str("</g>\n");
    }
}

/// The line of an arrow as a path.
fn line(way: &Way) -> String {
    let mut at = way.start;
    let mut line = format!("M{:.1} {:.1}", at.x, at.y);
    for part in &way.parts {
        let Point { x, y } = at;
        let _ = match *part {
            Part::Line(to) => write!(line, "L{:.1} {:.1}", to.x, to.y),
            Part::Bend(to) => {
                let middle = (y + to.y) / 2.0;
                write!(line, "C{x:.1} {middle:.1} {:.1} {middle:.1} {:.1} {:.1}", to.x, to.x, to.y)
            }
            Part::Loop(to, far) => write!(line, "C{far:.1} {y:.1} {far:.1} {:.1} {:.1} {:.1}", to.y, to.x, to.y),
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
fn escape(text: &str) -> String {
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
