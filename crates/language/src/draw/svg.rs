//! SVG, which browsers and documents show as it is. The picture is legible by itself on light and dark pages, and screen
//! readers read its boxes in order.
//!
//! Colours are properties (`--page`, `--box`, `--line`, `--text`, `--bad`), so that a page around it can set them. The
//! group of the box `n` has the id `n` with its place, as in a flowchart. The element `metadata` holds the recipes.

use std::fmt::Write as _;

use serde_json::json;

use super::{Diagram, Direction, Format};
use crate::picture::{HEAD, Look, draw, escape};

/// The format of this file.
pub static FORMAT: Format = Format { name: "svg", description: "a picture for browsers and documents", render };

/// Space between recipes, and height of their names.
const BETWEEN: f64 = 28.0;
const NAME: f64 = 32.0;

// A program that reads no properties ignores rules that name them, and takes the colours of the first rules.
const STYLE: &str = include_str!("svg/picture.css");

fn render(diagrams: &[Diagram], direction: Direction) -> String {
    let (mut body, mut width, mut height) = (String::new(), 0.0_f64, 0.0_f64);
    for (number, diagram) in diagrams.iter().enumerate() {
        let several = diagrams.len() > 1;
        let prefix = if several { format!("r{}", number + 1) } else { String::new() };
        let top = if several { NAME } else { 0.0 };
        let picture = draw(diagram, Look { direction, prefix: &prefix, role: "img", badges: false });
        let left = width + if number > 0 { BETWEEN } else { 0.0 };
        let _ = writeln!(body, "<g transform=\"translate({left:.0} {top:.0})\">");
        if several {
            let (middle, name) = (picture.width / 2.0, escape(&diagram.name));
            let _ = writeln!(body, "<text x=\"{middle:.0}\" y=\"{:.0}\">{name}</text>", -NAME / 4.0);
        }
        body.push_str(&picture.body);
        body.push_str("</g>\n");
        (width, height) = (left + picture.width, height.max(top + picture.height));
    }
    let names: Vec<String> = diagrams.iter().map(|diagram| escape(&diagram.name)).collect();
    let names = names.join(", ");
    let sources = diagrams.iter().map(|diagram| json!({ "name": diagram.name, "text": diagram.text }));
    let sources = escape(&json!({ "recipes": sources.collect::<Vec<_>>() }).to_string());
    let steps: usize = diagrams.iter().map(|diagram| diagram.nodes.iter().filter(|n| n.step.is_some()).count()).sum();
    let noun = if steps == 1 { "step" } else { "steps" };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"graphics-document document\" aria-roledescription=\"flowchart\" \
         aria-labelledby=\"title\" aria-describedby=\"desc\">\n<title id=\"title\">{names}</title>\n\
         <desc id=\"desc\">Graph of a Zocalo recipe with {steps} {noun}.</desc>\n<metadata>{sources}</metadata>\n\
         <style>\n{STYLE}</style>\n{HEAD}<rect class=\"page\" width=\"{width:.0}\" height=\"{height:.0}\"/>\n\
         {body}</svg>\n"
    )
}
