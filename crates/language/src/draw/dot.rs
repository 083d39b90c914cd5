//! Graphviz, for pictures of any size: `dot -Tsvg`.

use std::fmt::Write as _;

use super::{Diagram, Direction, Edge, EdgeKind, Format, Mark, Node, NodeKind};

/// The format of this file.
pub static FORMAT: Format = Format { name: "dot", description: "a graph for Graphviz", render };

fn render(diagrams: &[Diagram], direction: Direction) -> String {
    let mut out = "digraph recipes {\n".to_owned();
    if direction == Direction::Right {
        out.push_str("  rankdir=LR\n");
    }
    out.push_str("  graph [fontname=\"sans-serif\", labeljust=l]\n");
    out.push_str("  node [fontname=\"sans-serif\", shape=box]\n");
    out.push_str("  edge [fontname=\"sans-serif\", fontsize=11]\n");
    for (number, diagram) in diagrams.iter().enumerate() {
        let prefix = if diagrams.len() > 1 { format!("r{}", number + 1) } else { String::new() };
        let indent = if diagrams.len() > 1 { "    " } else { "  " };
        if diagrams.len() > 1 {
            let _ = writeln!(out, "  subgraph cluster_{prefix} {{\n    label={}", quote([&diagram.name]));
        }
        for (place, node) in diagram.nodes.iter().enumerate() {
            let Node { kind, lines, mark, .. } = node;
            let mark = mark.map_or(String::new(), |mark| format!(", {}", colour(mark)));
            let _ = writeln!(out, "{indent}{prefix}n{place} [label={}{}{mark}]", quote(lines), shape(*kind));
        }
        for edge in &diagram.edges {
            let Edge { from, to, kind, label, mark } = edge;
            let label = label.iter().map(|label| format!("label={}", quote([label])));
            let look: Vec<String> =
                label.chain(line(*kind).map(str::to_owned)).chain(mark.map(|mark| colour(mark).to_owned())).collect();
            let look = if look.is_empty() { String::new() } else { format!(" [{}]", look.join(", ")) };
            let _ = writeln!(out, "{indent}{prefix}n{from} -> {prefix}n{to}{look}");
        }
        if diagrams.len() > 1 {
            out.push_str("  }\n");
        }
    }
    out.push_str("}\n");
    out
}

fn shape(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Queue => "",
        NodeKind::Topic => ", shape=hexagon",
        NodeKind::QueueAndTopic => ", peripheries=2",
        NodeKind::Nowhere => ", color=gray",
        NodeKind::Start => ", shape=oval, style=bold",
        NodeKind::Error => ", shape=oval, color=firebrick, fontcolor=firebrick",
        NodeKind::Missing => ", style=dashed, color=firebrick, fontcolor=firebrick",
    }
}

fn colour(mark: Mark) -> &'static str {
    match mark {
        Mark::Added => "color=darkgreen",
        Mark::Removed => "color=firebrick, style=dotted",
        Mark::Changed | Mark::Rewired => "color=darkorange",
    }
}

fn line(kind: EdgeKind) -> Option<&'static str> {
    match kind {
        EdgeKind::Start => Some("style=bold"),
        EdgeKind::Output => None,
        EdgeKind::Error => Some("style=dashed, color=firebrick, fontcolor=firebrick"),
        EdgeKind::Broken => Some("style=dotted, arrowhead=tee"),
    }
}

/// A quoted label. Graphviz replaces `\N` and the like, and knows HTML's entities in any string.
fn quote<'a>(lines: impl IntoIterator<Item = &'a String>) -> String {
    let escape = |line: &String| line.replace('&', "&amp;").replace('\\', "\\\\").replace('"', "\\\"");
    let lines: Vec<String> = lines.into_iter().map(escape).collect();
    format!("\"{}\"", lines.join("\\n"))
}
