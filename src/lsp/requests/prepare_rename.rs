//! `textDocument/prepareRename`: whether the name under the cursor can be changed, and which text that is.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::renaming::renamable;
use crate::lsp::session::Session;

/// The request.
pub use gen_lsp_types::PrepareRenameRequest as Method;

/// What is offered: see `textDocument/rename`.
pub fn offer(_offered: &mut lsp::ServerCapabilities, _client: &Client) {}

/// The answer.
///
/// # Errors
/// It cannot; why, for the user.
pub fn run(session: &mut Session, params: lsp::PrepareRenameParams) -> Result<Option<lsp::PrepareRenameResult>, Error> {
    let at = params.text_document_position_params;
    let view = session.view(&at.text_document.uri)?;
    let found = renamable(&view, at.position)?;
    Ok(Some(lsp::PrepareRenameResult::PrepareRenamePlaceholder(lsp::PrepareRenamePlaceholder {
        range: view.range(found.span),
        placeholder: found.name.text(),
    })))
}
