//! `zrecipe/graph`: the graph of a recipe as a drawing, and which box of it is which step.
//!
//! Parameters: `{ "textDocument": { "uri" }, "position"?, "format"?, "direction"? }`, the format one of `zrecipe graph
//! --format`, the direction `down` or `right`.
//! The answer: `{ "format", "text", "boxes": [{ "box", "step", "range" }], "current" }`: of the boxes in the order of
//! the drawing (`n0`, `n1`, … of a flowchart) those that are steps, and the box of the step at the position. Boxes of
//! `svg` and `html` stay where they were in the last drawing of the open document.

use gen_lsp_types as lsp;
use serde_json::{Value, json};

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use zrecipe_language::draw::{Diagram, Direction, format, keep};
use zrecipe_language::source::Span;

/// The request.
pub enum Method {}

impl lsp::Request for Method {
    const METHOD: lsp::LspRequestMethod<'static> = lsp::LspRequestMethod::Custom("zrecipe/graph");
    const MESSAGE_DIRECTION: lsp::MessageDirection = lsp::MessageDirection::ClientToServer;
    type Params = Value;
    type Result = Value;
}

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.experimental = Some(json!({ "zrecipeGraph": true }));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`]; or there is no such format.
pub fn run(session: &mut Session, params: Value) -> Result<Value, Error> {
    let uri = params.pointer("/textDocument/uri").and_then(Value::as_str);
    let uri = uri.ok_or_else(|| Error::Invalid("`textDocument` has no `uri`".to_owned()))?;
    let view = session.view(&uri.into())?;
    let name = params.get("format").and_then(Value::as_str).unwrap_or("mermaid");
    let chosen = format(name).ok_or_else(|| Error::Invalid(format!("there is no format `{name}`")))?;
    let direction = match params.get("direction").and_then(Value::as_str) {
        None | Some("down") => Direction::Down,
        Some("right") => Direction::Right,
        Some(other) => return Err(Error::Invalid(format!("the direction is `down` or `right`, not `{other}`"))),
    };
    let recipe = &view.compilation.recipe;
    let title = view.path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let mut diagram = Diagram::of(&title, &view.compilation, view.basis.contracts());
    let position = params.get("position").and_then(|at| serde_json::from_value::<lsp::Position>(at.clone()).ok());
    let here = position.and_then(|at| view.step_at(view.offset(at))).map(|step| step.id);
    let boxes = diagram.nodes.iter().enumerate().filter_map(|(number, node)| {
        let step = recipe.step(node.step?)?;
        let span = Span { start: recipe.span(step.key).start, end: recipe.span(step.value).end };
        Some((number, step.id, view.range(span)))
    });
    let boxes: Vec<_> = boxes.collect();
    let current = boxes.iter().find(|(_, step, _)| Some(*step) == here).map(|(number, ..)| *number);
    let boxes: Vec<Value> =
        boxes.iter().map(|(number, step, range)| json!({ "box": number, "step": step, "range": range })).collect();
    // A panel that is drawn after each edit keeps its boxes where they are. The other formats have no places.
    let has_places = matches!(chosen.name, "svg" | "html");
    if let Some(earlier) = session.drawing(uri, direction).filter(|_| has_places) {
        keep(&mut diagram, earlier, direction);
    }
    let drawn = [diagram];
    let text = (chosen.render)(&drawn, direction);
    let [diagram] = drawn;
    if has_places {
        session.record_drawing(uri, direction, diagram);
    }
    Ok(json!({ "format": chosen.name, "text": text, "boxes": boxes, "current": current }))
}
