//! One HTML file that needs no network: drawings with zoom, search, keyboard and the details of each step; of several
//! recipes an index first. Script and style are `html/view.js` and `html/view.css`.
//!
//! The page's content security policy permits its own script and style by their hashes, and no request.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Diagram, Direction, Edge, EdgeKind, Finding, Format, Node};
use crate::picture::{HEAD, Look, draw, escape};

/// The format of this file.
pub static FORMAT: Format = Format { name: "html", description: "a page with zoom, search and details", render };

const SCRIPT: &str = include_str!("html/view.js");
const STYLE: &str = include_str!("html/view.css");
const PAGE: &str = include_str!("html/page.html");

fn render(diagrams: &[Diagram], direction: Direction) -> String {
    let mut sections = String::new();
    for (number, diagram) in diagrams.iter().enumerate() {
        section(number, diagram, direction, &mut sections);
    }
    let title = match diagrams {
        [one] => one.name.clone(),
        several => format!("{} recipes", several.len()),
    };
    let data = json!({ "recipes": diagrams.iter().map(recipe).collect::<Vec<_>>() }).to_string();
    let parts = [
        ("SCRIPT_HASH", hash(SCRIPT)),
        ("STYLE_HASH", hash(STYLE)),
        ("TITLE", escape(&title)),
        ("STYLE", STYLE.to_owned()),
        ("INDEX", if diagrams.len() > 1 { index(diagrams) } else { String::new() }),
        ("SECTIONS", sections),
        // No text of a recipe ends the element.
        ("DATA", data.replace('<', "\\u003c")),
        ("SCRIPT", SCRIPT.to_owned()),
    ];
    fill(PAGE, &parts)
}

/// Puts parts in the place of `{{NAME}}`, once and from left to right: what a part holds is never replaced.
fn fill(page: &str, parts: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        out.extend(parts.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str()));
        rest = after;
    }
    out + rest
}

/// The source expression of a content security policy for a script or style.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

fn section(number: usize, diagram: &Diagram, direction: Direction, out: &mut String) {
    let prefix = format!("r{}", number + 1);
    let name = escape(&diagram.name);
    if let Some(why) = &diagram.empty {
        let _ = writeln!(
            out,
            "<section class=\"recipe\" id=\"{prefix}\" aria-label=\"{name}\"><p class=\"empty\">{}</p></section>",
            escape(why)
        );
        return;
    }
    let picture = draw(diagram, Look { direction, prefix: &prefix, role: "button", badges: true });
    let (width, height) = (picture.width, picture.height);
    let _ = writeln!(
        out,
        "<section class=\"recipe\" id=\"{prefix}\" aria-label=\"{name}\">\n<svg xmlns=\"http://www.w3.org/2000/svg\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"group\" aria-label=\"Graph of {name}\">\n{}<g class=\"stage\">\n{}</g></svg></section>",
        if number == 0 { HEAD } else { "" },
        picture.body,
    );
}

fn steps(diagram: &Diagram) -> usize {
    diagram.nodes.iter().filter(|node| node.step.is_some()).count()
}

fn findings(diagram: &Diagram) -> usize {
    diagram.findings.len() + diagram.nodes.iter().map(|node| node.findings.len()).sum::<usize>()
}

fn index(diagrams: &[Diagram]) -> String {
    let mut out = "<section id=\"index\" aria-label=\"Recipes\"><table>\n<thead><tr><th scope=\"col\">Recipe</th>\
                   <th scope=\"col\">Steps</th><th scope=\"col\">Findings</th></tr></thead>\n<tbody>\n"
        .to_owned();
    for (number, diagram) in diagrams.iter().enumerate() {
        let (name, steps, findings) = (escape(&diagram.name), steps(diagram), findings(diagram));
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><a href=\"#r{}\">{name}</a></th><td>{steps}</td><td>{findings}</td></tr>",
            number + 1
        );
    }
    out + "</tbody></table></section>\n"
}

/// What the script reads of a diagram.
fn recipe(diagram: &Diagram) -> Value {
    let node = |(place, node): (usize, &Node)| {
        json!({
            "title": diagram.title(place),
            "step": node.step,
            "mark": node.mark.map(super::Mark::name),
            "contract": node.contract,
            "details": node.details,
            "findings": node.findings.iter().map(finding).collect::<Vec<_>>(),
        })
    };
    let edge = |edge: &Edge| {
        let kind = match edge.kind {
            EdgeKind::Start => "start",
            EdgeKind::Output => "output",
            EdgeKind::Error => "error",
            EdgeKind::Broken => "broken",
        };
        json!({ "from": edge.from, "to": edge.to, "kind": kind, "label": edge.label })
    };
    json!({
        "name": diagram.name,
        "nodes": diagram.nodes.iter().enumerate().map(node).collect::<Vec<_>>(),
        "edges": diagram.edges.iter().map(edge).collect::<Vec<_>>(),
        "findings": diagram.findings.iter().map(finding).collect::<Vec<_>>(),
        "text": diagram.text,
    })
}

fn finding(finding: &Finding) -> Value {
    json!({ "level": finding.level.as_str(), "rule": finding.rule, "message": finding.message, "line": finding.line })
}
