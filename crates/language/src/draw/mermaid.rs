//! Mermaid flowcharts, which GitHub, GitLab and many wikis draw from Markdown.

use std::fmt::Write as _;

use super::{Diagram, Direction, Edge, EdgeKind, Format, Mark, Node, NodeKind};

/// The format of this file.
pub static FORMAT: Format = Format { name: "mermaid", description: "a flowchart for Markdown pages and wikis", render };

/// The looks of what is not an ordinary step.
const CLASSES: [(NodeKind, &str, &str); 3] = [
    (NodeKind::Topic, "topic", "stroke-width:2px"),
    (NodeKind::Error, "error", "stroke:firebrick"),
    (NodeKind::Missing, "missing", "stroke:firebrick,stroke-dasharray:4 4,fill:none"),
];

fn render(diagrams: &[Diagram], direction: Direction) -> String {
    let mut out = if direction == Direction::Right { "flowchart LR\n" } else { "flowchart TD\n" }.to_owned();
    let (mut errors, mut broken, mut marked, mut count) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (number, diagram) in diagrams.iter().enumerate() {
        let prefix = if diagrams.len() > 1 { format!("r{}", number + 1) } else { String::new() };
        let indent = if diagrams.len() > 1 { "    " } else { "  " };
        if diagrams.len() > 1 {
            let _ = writeln!(out, "  subgraph {prefix}[\"{}\"]", escape(&diagram.name));
        }
        for (place, node) in diagram.nodes.iter().enumerate() {
            let _ = writeln!(out, "{indent}{prefix}n{place}{}", shape(node));
        }
        for (place, node) in diagram.nodes.iter().enumerate() {
            if let Some(mark) = node.mark {
                let _ = writeln!(out, "{indent}style {prefix}n{place} {}", colour(mark));
            }
        }
        for edge in &diagram.edges {
            let Edge { from, to, .. } = edge;
            let _ = writeln!(out, "{indent}{prefix}n{from} {} {prefix}n{to}", arrow(edge));
            match edge.kind {
                EdgeKind::Error => errors.push(count),
                EdgeKind::Broken => broken.push(count),
                EdgeKind::Start | EdgeKind::Output => {}
            }
            if let Some(mark) = edge.mark {
                marked.push((count, mark));
            }
            count += 1;
        }
        if diagrams.len() > 1 {
            out.push_str("  end\n");
        }
    }
    for (kind, name, look) in CLASSES {
        let is_used = diagrams.iter().any(|diagram| diagram.places(kind).next().is_some());
        if is_used {
            let _ = writeln!(out, "  classDef {name} {look}");
        }
    }
    for (edges, look) in [(errors, "stroke:firebrick"), (broken, "stroke:gray")] {
        if !edges.is_empty() {
            let edges: Vec<String> = edges.iter().map(usize::to_string).collect();
            let _ = writeln!(out, "  linkStyle {} {look}", edges.join(","));
        }
    }
    for (edge, mark) in marked {
        let _ = writeln!(out, "  linkStyle {edge} {}", colour(mark));
    }
    out
}

fn colour(mark: Mark) -> &'static str {
    match mark {
        Mark::Added => "stroke:darkgreen",
        Mark::Removed => "stroke:firebrick,stroke-dasharray:2 3",
        Mark::Changed | Mark::Rewired => "stroke:darkorange",
    }
}

fn shape(node: &Node) -> String {
    let text = node.lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("<br/>");
    let (open, close) = match node.kind {
        NodeKind::Start | NodeKind::Error => ("([", "])"),
        NodeKind::Topic => ("{{", "}}"),
        NodeKind::QueueAndTopic => ("[[", "]]"),
        NodeKind::Queue | NodeKind::Nowhere | NodeKind::Missing => ("[", "]"),
    };
    let class = CLASSES.iter().find(|(kind, ..)| *kind == node.kind);
    let class = class.map(|(_, name, _)| format!(":::{name}")).unwrap_or_default();
    format!("{open}\"{text}\"{close}{class}")
}

fn arrow(edge: &Edge) -> String {
    let line = match edge.kind {
        EdgeKind::Start => "==>",
        EdgeKind::Output => "-->",
        EdgeKind::Error => "-.->",
        EdgeKind::Broken => "-.-x",
    };
    match &edge.label {
        Some(label) => format!("{line}|\"{}\"|", escape(label)),
        None => line.to_owned(),
    }
}

/// Text for a quoted label. Mermaid reads Markdown, HTML, comments, directives and, of a line with `style` and `:`,
/// its own entities wrongly, so that all but harmless characters are written as entities.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut after_word = false;
    while let Some(character) = characters.next() {
        let is_word = |c: char| c.is_alphanumeric() && !"ﬂ¶ß°".contains(c);
        let is_joint = after_word && characters.peek().is_some_and(|&next| is_word(next));
        match character {
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '&' => out.push_str("#amp;"),
            '_' | '-' | '.' if is_joint => out.push(character),
            ' ' | ',' | '/' | '(' | ')' | '[' | ']' | '{' | '}' | '$' | '…' | '·' | '×' | '.' | '=' => {
                out.push(character);
            }
            _ if is_word(character) => out.push(character),
            _ if character.is_ascii() || "ﬂ¶ß°".contains(character) => {
                let _ = write!(out, "#{};", u32::from(character));
            }
            _ => out.push(character),
        }
        after_word = is_word(character);
    }
    // Its parser takes no empty label.
    if out.is_empty() { " ".to_owned() } else { out }
}
