//! `textDocument/documentHighlight`: the same name elsewhere in the document.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;

/// The request.
pub use gen_lsp_types::DocumentHighlightRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.document_highlight_provider = Some(lsp::DocumentHighlightProvider::Bool(true));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(
    session: &mut Session,
    params: lsp::DocumentHighlightParams,
) -> Result<Option<Vec<lsp::DocumentHighlight>>, Error> {
    let at = params.text_document_position_params;
    let view = session.view(&at.text_document.uri)?;
    let Some(here) = view.name_at(at.position) else { return Ok(None) };
    let found = view.names().iter().filter(|found| found.name == here.name);
    let highlight = |found: &zrecipe_language::names::Occurrence| lsp::DocumentHighlight {
        range: view.range(found.span),
        kind: Some(if found.is_definition {
            lsp::DocumentHighlightKind::Write
        } else {
            lsp::DocumentHighlightKind::Read
        }),
    };
    Ok(Some(found.map(highlight).collect()))
}
