//! `callHierarchy/incomingCalls`: the steps on the other side of the links of a step.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use crate::lsp::steps;

/// The request.
pub use gen_lsp_types::CallHierarchyIncomingCallsRequest as Method;

/// What is offered: see `textDocument/prepareCallHierarchy`.
pub fn offer(_offered: &mut lsp::ServerCapabilities, _client: &Client) {}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(
    session: &mut Session,
    params: lsp::CallHierarchyIncomingCallsParams,
) -> Result<Option<Vec<lsp::CallHierarchyIncomingCall>>, Error> {
    let view = session.view(&params.item.uri)?;
    let Some(place) = steps::place(&view, &params.item) else { return Ok(None) };
    let links = view.compilation.graph.incoming(place).into_iter();
    let links = links.map(|(edge, from)| (from, steps::link(&view, from, edge)));
    let calls = steps::grouped(links).into_iter().map(|(other, from_ranges)| lsp::CallHierarchyIncomingCall {
        from: steps::item(&view, &view.compilation.recipe.steps()[other]),
        from_ranges,
    });
    Ok(Some(calls.collect()))
}
