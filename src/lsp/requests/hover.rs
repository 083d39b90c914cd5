//! `textDocument/hover`: what the thing under the cursor is.

use gen_lsp_types as lsp;

use crate::lsp::describe::{self, STEP_KEYS};
use crate::lsp::session::{Client, Error, Session, View};

/// The request.
pub use gen_lsp_types::HoverRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.hover_provider = Some(lsp::HoverProvider::Bool(true));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::HoverParams) -> Result<Option<lsp::Hover>, Error> {
    let at = params.text_document_position_params;
    let view = session.view(&at.text_document.uri)?;
    let parameters = session.parameters();
    let found = view.name_at(at.position).and_then(|found| {
        let text = describe::name(&view, &found.name, parameters.as_ref())?;
        Some((text, found.span))
    });
    let found = found.or_else(|| step_key(&view, view.offset(at.position)));
    Ok(found.map(|(value, span)| lsp::Hover {
        contents: lsp::Contents::MarkupContent(lsp::MarkupContent { kind: lsp::MarkupKind::Markdown, value }),
        range: Some(view.range(span)),
    }))
}

/// The keys of a step that the framework reads.
fn step_key(view: &View, offset: u32) -> Option<(String, crate::source::Span)> {
    let step = view.step_at(offset)?;
    let mut members = view.compilation.tree.node(step.value).members();
    let key = members.find(|member| member.key.span().start <= offset && offset <= member.key.span().end)?.key;
    let (name, text) = STEP_KEYS.into_iter().find(|(name, _)| key.is(name))?;
    Some((format!("`{name}`\n\n{text}"), key.span()))
}
