//! `textDocument/inlayHint`: what the numbers of steps stand for, and the types that placeholders must have.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use crate::lsp::view::View;
use zrecipe_language::infer;
use zrecipe_language::names::Name;
use zrecipe_language::report::printable;
use zrecipe_language::source::Span;

/// The request.
pub use gen_lsp_types::InlayHintRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.inlay_hint_provider = Some(lsp::InlayHintProvider::Bool(true));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::InlayHintParams) -> Result<Option<Vec<lsp::InlayHint>>, Error> {
    let view = session.view(&params.text_document.uri)?;
    let asked = view.span(params.range);
    let is_asked = |span: Span| asked.start <= span.end && span.start <= asked.end;
    let mut hints = Vec::new();
    let recipe = &view.compilation.recipe;
    for found in view.names().iter().filter(|found| !found.is_definition && is_asked(found.span)) {
        let Name::Step(id) = found.name else { continue };
        if let Some(purpose) = recipe.step(id).and_then(|step| recipe.purpose(step)) {
            let at = recipe.span(found.node).end;
            hints.push(hint(&view, at, format!(" {}", printable(&purpose, 40)), lsp::InlayHintKind::Parameter));
        }
    }
    for parameter in infer::demands(recipe, &view.compilation.templates, view.basis.contracts()) {
        let has_news = !parameter.meets.is_any() && parameter.meets != infer::Type::scalar();
        for used in parameter.uses.iter().filter(|_| has_news) {
            let span = used.span(recipe);
            if is_asked(span) {
                let at = if view.source().slice(span).ends_with('}') { span.end - 1 } else { span.end };
                let kind = lsp::InlayHintKind::Type;
                hints.push(hint(&view, at, format!(": {}", printable(&parameter.meets.to_string(), 40)), kind));
            }
        }
    }
    hints.sort_by_key(|hint| hint.position);
    Ok(Some(hints))
}

fn hint(view: &View, at: u32, label: String, kind: lsp::InlayHintKind) -> lsp::InlayHint {
    lsp::InlayHint {
        position: view.position(at),
        label: lsp::Label::String(label),
        kind: Some(kind),
        text_edits: None,
        tooltip: None,
        padding_left: Some(false),
        padding_right: Some(false),
        data: None,
    }
}
