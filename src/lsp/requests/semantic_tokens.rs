//! `textDocument/semanticTokens/full`: steps, queues, channels, and what is inside of strings.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use crate::lsp::tokens::{TYPES, tokens};
use zrecipe_language::source::Span;

/// The request.
pub use gen_lsp_types::SemanticTokensRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    let legend =
        lsp::SemanticTokensLegend { token_types: TYPES.map(str::to_owned).to_vec(), token_modifiers: Vec::new() };
    offered.semantic_tokens_provider =
        Some(lsp::SemanticTokensProvider::SemanticTokensOptions(lsp::SemanticTokensOptions {
            legend,
            range: Some(lsp::SemanticTokensOptionsRange::Bool(true)),
            full: Some(lsp::Full::Bool(true)),
            ..Default::default()
        }));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::SemanticTokensParams) -> Result<Option<lsp::SemanticTokens>, Error> {
    let view = session.view(&params.text_document.uri)?;
    let all = Span::new(0, view.source().text().len());
    Ok(Some(lsp::SemanticTokens { result_id: None, data: tokens(&view, all) }))
}
