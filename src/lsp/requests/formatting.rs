//! `textDocument/formatting`: the canonical layout, as `zrecipe fmt` writes it.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use zrecipe_language::format::{Layout, format};

/// The request.
pub use gen_lsp_types::DocumentFormattingRequest as Method;

/// What is offered, to clients that cannot be told later for which documents.
pub fn offer(offered: &mut lsp::ServerCapabilities, client: &Client) {
    offered.document_formatting_provider =
        (!client.registers_formatting).then_some(lsp::DocumentFormattingProvider::Bool(true));
}

/// The answer; nothing for a text that has no layout of ours, or not yet: editors ask whenever something is saved.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::DocumentFormattingParams) -> Result<Option<Vec<lsp::TextEdit>>, Error> {
    let view = session.view(&params.text_document.uri)?;
    Ok(match format(&view.compilation.recipe) {
        Layout::Text(text) if view.is_told() => Some(view.change_to(&text)),
        Layout::Text(_) | Layout::None(_) => None,
    })
}
