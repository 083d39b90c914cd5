//! `textDocument/rename`: another name for a step, channel, parameter, queue, service, block or environment, everywhere.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::renaming::{edits, renamable, renamed, scope};
use crate::lsp::session::Session;
use crate::lsp::view::workspace_edit;

/// The request.
pub use gen_lsp_types::RenameRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    let options = lsp::RenameOptions { prepare_provider: Some(true), ..Default::default() };
    offered.rename_provider = Some(lsp::RenameProvider::RenameOptions(options));
}

/// The answer.
///
/// # Errors
/// It cannot be called that; why, for the user.
pub fn run(session: &mut Session, params: lsp::RenameParams) -> Result<Option<lsp::WorkspaceEdit>, Error> {
    let at = params.text_document_position_params;
    let view = session.view(&at.text_document.uri)?;
    let name = renamable(&view, at.position)?.name.clone();
    let new = renamed(&name, &params.new_name)?;
    if new == name {
        return Ok(None);
    }
    let views = scope(session, &view, &name)?;
    let mut files = Vec::new();
    for other in &views {
        let edits: Vec<lsp::TextEdit> = edits(other, &name, &new)?.iter().map(|edit| other.edit(edit)).collect();
        if !edits.is_empty() {
            files.push((&**other, edits));
        }
    }
    Ok(Some(workspace_edit(&session.client, files)))
}
