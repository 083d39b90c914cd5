//! `textDocument/references`: everywhere that a name is used.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;

/// The request.
pub use gen_lsp_types::ReferencesRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.references_provider = Some(lsp::ReferencesProvider::Bool(true));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::ReferenceParams) -> Result<Option<Vec<lsp::Location>>, Error> {
    let at = params.text_document_position_params;
    let view = session.view(&at.text_document.uri)?;
    let Some(name) = view.name_at(at.position).map(|found| found.name.clone()) else { return Ok(None) };
    let mut places = Vec::new();
    for other in session.views_with(&view, &name)? {
        let found = other.names().iter().filter(|found| found.name == name);
        let found = found.filter(|found| params.context.include_declaration || !found.is_definition);
        places.extend(found.map(|found| other.location(found.span)));
    }
    Ok(Some(places))
}
