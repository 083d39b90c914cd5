//! `textDocument/prepareCallHierarchy`: the step under the cursor, to ask what leads to it and where it leads.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use crate::lsp::steps;
use zrecipe_language::names::Name;

/// The request.
pub use gen_lsp_types::CallHierarchyPrepareRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.call_hierarchy_provider = Some(lsp::CallHierarchyProvider::Bool(true));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(
    session: &mut Session,
    params: lsp::CallHierarchyPrepareParams,
) -> Result<Option<Vec<lsp::CallHierarchyItem>>, Error> {
    let at = params.text_document_position_params;
    let view = session.view(&at.text_document.uri)?;
    let named = view.name_at(at.position).and_then(|found| match found.name {
        Name::Step(id) => view.compilation.recipe.step(id),
        _ => None,
    });
    let step = named.or_else(|| view.step_at(view.offset(at.position)));
    Ok(step.map(|step| vec![steps::item(&view, step)]))
}
