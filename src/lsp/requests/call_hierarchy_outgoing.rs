//! `callHierarchy/outgoingCalls`: the steps on the other side of the links of a step.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use crate::lsp::steps;

/// The request.
pub use gen_lsp_types::CallHierarchyOutgoingCallsRequest as Method;

/// What is offered: see `textDocument/prepareCallHierarchy`.
pub fn offer(_offered: &mut lsp::ServerCapabilities, _client: &Client) {}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(
    session: &mut Session,
    params: lsp::CallHierarchyOutgoingCallsParams,
) -> Result<Option<Vec<lsp::CallHierarchyOutgoingCall>>, Error> {
    let view = session.view(&params.item.uri)?;
    let Some(place) = steps::place(&view, &params.item) else { return Ok(None) };
    let links = view.compilation.graph.outgoing(place).into_iter();
    let links = links.map(|(edge, to)| (to, steps::link(&view, place, edge)));
    let calls = steps::grouped(links).into_iter().map(|(other, from_ranges)| lsp::CallHierarchyOutgoingCall {
        to: steps::item(&view, &view.compilation.recipe.steps()[other]),
        from_ranges,
    });
    Ok(Some(calls.collect()))
}
