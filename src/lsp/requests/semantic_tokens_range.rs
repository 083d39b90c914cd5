//! `textDocument/semanticTokens/range`: the same of the part that is on the screen.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use crate::lsp::tokens::tokens;

/// The request.
pub use gen_lsp_types::SemanticTokensRangeRequest as Method;

/// What is offered: see `textDocument/semanticTokens/full`.
pub fn offer(_offered: &mut lsp::ServerCapabilities, _client: &Client) {}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(
    session: &mut Session,
    params: lsp::SemanticTokensRangeParams,
) -> Result<Option<lsp::SemanticTokens>, Error> {
    let view = session.view(&params.text_document.uri)?;
    Ok(Some(lsp::SemanticTokens { result_id: None, data: tokens(&view, view.span(params.range)) }))
}
