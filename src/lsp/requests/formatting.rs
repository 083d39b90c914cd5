//! `textDocument/formatting`: the canonical layout, as `zrecipe fmt` writes it.

use gen_lsp_types as lsp;

use crate::format::{Layout, format};
use crate::lsp::session::{Client, Error, Session};

/// The request.
pub use gen_lsp_types::DocumentFormattingRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.document_formatting_provider = Some(lsp::DocumentFormattingProvider::Bool(true));
}

/// The answer.
///
/// # Errors
/// The text has no layout; why, for the user.
pub fn run(session: &mut Session, params: lsp::DocumentFormattingParams) -> Result<Option<Vec<lsp::TextEdit>>, Error> {
    let view = session.view(&params.text_document.uri)?;
    match format(&view.compilation.recipe) {
        Layout::Text(text) => Ok(Some(view.change_to(&text))),
        Layout::None(reason) => Err(Error::Failed(format!("cannot format this: {reason}"))),
    }
}
